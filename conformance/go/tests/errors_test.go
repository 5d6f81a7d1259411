package tests

// Mistakes: each is the error type and the status that the SDK documents.

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	sdkerrors "github.com/daytonaio/daytona/libs/sdk-go/pkg/errors"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var errorsBox = Shared(types.SandboxBaseParams{})

func TestAnUnknownSandboxIsNotFound(t *testing.T) {
	_, err := Client(t).Get(Context(t), Unique("missing"))
	var missing *sdkerrors.DaytonaNotFoundError
	if !errors.As(err, &missing) {
		t.Fatalf("%T: %v", err, err)
	}
	if !strings.Contains(missing.Message, "not found") {
		t.Fatal(missing.Message)
	}
}

func TestAWrongKeyIsUnauthorized(t *testing.T) {
	config := types.DaytonaConfig{APIKey: "dtn_" + strings.Repeat("0", 64)}
	other := Must(daytona.NewClientWithConfig(&config))(t)
	_, err := other.Create(Context(t), nil)
	Refused(t, err, 401)
	if !strings.Contains(err.Error(), "Invalid credentials") {
		t.Fatal(err)
	}
}

func TestATakenNameIsAConflictThatNamesIt(t *testing.T) {
	name := Unique("taken")
	Create(t, types.SandboxBaseParams{Name: name})
	_, err := Client(t).Create(Context(t), Snapshot(types.SandboxBaseParams{Name: name}))
	Refused(t, err, 409)
	if !strings.Contains(err.Error(), name) {
		t.Fatal(err)
	}
}

func TestAnUnknownSnapshotIsABadRequest(t *testing.T) {
	_, err := Client(t).Create(Context(t), types.SnapshotParams{Snapshot: "no/such:1"})
	Refused(t, err, 400)
}

func TestAVolumeThatDoesNotExistIsRefused(t *testing.T) {
	_, err := Client(t).Create(Context(t), Snapshot(types.SandboxBaseParams{
		Volumes: []types.VolumeMount{{VolumeID: Unique("volume"), MountPath: "/data"}},
	}))
	if status := Status(err); status < 400 || status > 501 {
		t.Fatalf("status %d: %v", status, err)
	}
}

func TestWorkInAStoppedSandboxIsABadRequest(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{})
	Ok(t, sandbox.Stop(Context(t)))
	_, err := sandbox.Process.ExecuteCommand(Context(t), "true")
	Refused(t, err, 400)
	Refused(t, sandbox.Stop(Context(t)), 400)
}

func TestAMissingFileIsNotFound(t *testing.T) {
	fs := errorsBox(t).FileSystem
	_, err := fs.DownloadFile(Context(t), "/tmp/no/such", nil)
	Refused(t, err, 404)
	_, err = fs.GetFileInfo(Context(t), "/tmp/no/such")
	Refused(t, err, 404)
	_, err = fs.ListFiles(Context(t), "/tmp/no/such")
	Refused(t, err, 404)
}

func TestAMoveOntoAFileIsAConflict(t *testing.T) {
	Run(t, errorsBox(t), "touch /tmp/a /tmp/b")
	Refused(t, errorsBox(t).FileSystem.MoveFiles(Context(t), "/tmp/a", "/tmp/b"), 409)
}

func TestAPortOutOfRangeIsABadRequest(t *testing.T) {
	_, err := errorsBox(t).GetPreviewLink(Context(t), 70_000)
	Refused(t, err, 400)
}

func TestNoServerIsAnErrorWithoutAStatus(t *testing.T) {
	listener := Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	config := types.DaytonaConfig{APIUrl: "http://" + listener.Addr().String() + "/api"}
	Ok(t, listener.Close())
	nobody := Must(daytona.NewClientWithConfig(&config))(t)
	_, err := nobody.Get(Context(t), "anything")
	var broken *sdkerrors.DaytonaError
	if !errors.As(err, &broken) || broken.StatusCode != 0 {
		t.Fatalf("%T: %v", err, err)
	}
}
