package tests

// Create, find, start, stop, delete: what every program does first.

import (
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

func TestCreateWithoutArgumentsGivesAStartedSandbox(t *testing.T) {
	sandbox := Must(Client(t).Create(Context(t), nil))(t)
	defer sandbox.Delete(Context(t))
	Same(t, string(sandbox.State), "started")
	Same(t, sandbox.Name, sandbox.ID)
	seen := Seen(t, sandbox.ID)
	for key, wanted := range map[string]any{"cpu": 1.0, "memory": 1.0, "disk": 3.0, "public": false, "autoStopInterval": 15.0} {
		Same(t, seen[key], wanted)
	}
}

func TestCreateKeepsEveryParameter(t *testing.T) {
	name, seven, sixty, ninety := Unique("kept"), 7, 60, 90
	sandbox := Create(t, types.SandboxBaseParams{
		Name:                name,
		EnvVars:             map[string]string{"COLOUR": "teal", "QUOTED": `it's "so" $HOME`},
		Labels:              map[string]string{"näme": "wärt"},
		Public:              true,
		AutoStopInterval:    &seven,
		AutoArchiveInterval: &sixty,
		AutoDeleteInterval:  &ninety,
	})
	Same(t, sandbox.Name, name)
	Same(t, sandbox.AutoArchiveInterval, 60)
	Same(t, sandbox.AutoDeleteInterval, 90)
	seen := Seen(t, sandbox.ID)
	Same[any](t, seen["public"], true)
	Same[any](t, seen["autoStopInterval"], 7.0)
	labels := seen["labels"].(map[string]any)
	Same[any](t, labels["näme"], "wärt")
	Same(t, Run(t, sandbox, `printf '%s|%s' "$COLOUR" "$QUOTED"`), `teal|it's "so" $HOME`)
}

func TestASandboxThatIsNotWaitedForStartsByItself(t *testing.T) {
	params := Snapshot(types.SandboxBaseParams{})
	sandbox := Must(Client(t).Create(Context(t), params, options.WithWaitForStart(false)))(t)
	defer sandbox.Delete(Context(t))
	Ok(t, sandbox.WaitForStart(Context(t), time.Minute))
	Same(t, string(sandbox.State), "started")
}

func TestAnEphemeralSandboxIsGoneOnceItStops(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{Ephemeral: true})
	Same(t, sandbox.AutoDeleteInterval, 0)
	// The SDK waits for a state that such a sandbox may pass unseen.
	err := sandbox.Stop(Context(t))
	if err != nil {
		Refused(t, err, 404)
	}
	Until(t, "it is gone", func() bool {
		_, err := Client(t).Get(Context(t), sandbox.ID)
		return Status(err) == 404
	})
}

func TestGetFindsByIdAndByName(t *testing.T) {
	name := Unique("findable")
	sandbox := Create(t, types.SandboxBaseParams{Name: name})
	Same(t, Must(Client(t).Get(Context(t), sandbox.ID))(t).Name, name)
	Same(t, Must(Client(t).Get(Context(t), name))(t).ID, sandbox.ID)
}

func TestFilesOutliveAStopAndAStart(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{})
	Run(t, sandbox, "echo kept > ~/kept")
	Ok(t, sandbox.Stop(Context(t)))
	Same(t, string(sandbox.State), "stopped")
	Ok(t, sandbox.Start(Context(t)))
	Same(t, string(sandbox.State), "started")
	Same(t, Run(t, sandbox, "cat ~/kept"), "kept\n")
}

func TestADeletedSandboxIsNotFound(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{})
	Ok(t, sandbox.Delete(Context(t)))
	_, err := Client(t).Get(Context(t), sandbox.ID)
	Refused(t, err, 404)
	Refused(t, sandbox.RefreshData(Context(t)), 404)
}

func TestHomeAndWorkingFolderAreTold(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{})
	home := Must(sandbox.GetUserHomeDir(Context(t)))(t)
	Same(t, home+"\n", Run(t, sandbox, "echo ~"))
	folder := Must(sandbox.GetWorkingDir(Context(t)))(t)
	Same(t, folder+"\n", Run(t, sandbox, "pwd"))
}
