package tests

// Everything that can be changed on a sandbox after it was made.

import (
	"strings"
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var settingsBox = Shared(types.SandboxBaseParams{})

func TestLabelsAreReplacedAsAWhole(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{Labels: map[string]string{"old": "yes"}})
	Ok(t, sandbox.SetLabels(Context(t), map[string]string{"fresh": "yes"}))
	labels := Seen(t, sandbox.ID)["labels"].(map[string]any)
	Same(t, len(labels), 1)
	Same[any](t, labels["fresh"], "yes")
}

func TestIntervalsAreStored(t *testing.T) {
	archive, remove, never := 120, 60, -1
	Ok(t, settingsBox(t).SetAutoArchiveInterval(Context(t), &archive))
	Ok(t, settingsBox(t).SetAutoDeleteInterval(Context(t), &remove))
	seen := Must(Client(t).Get(Context(t), settingsBox(t).ID))(t)
	Same(t, seen.AutoArchiveInterval, 120)
	Same(t, seen.AutoDeleteInterval, 60)
	Ok(t, settingsBox(t).SetAutoDeleteInterval(Context(t), &never))
	Same(t, Must(Client(t).Get(Context(t), settingsBox(t).ID))(t).AutoDeleteInterval, -1)
}

func TestCpuAndMemoryGrowWhileRunning(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{})
	Ok(t, sandbox.Resize(Context(t), &types.Resources{CPU: 2, Memory: 2}))
	Same(t, string(sandbox.State), "started")
	seen := Seen(t, sandbox.ID)
	Same[any](t, seen["cpu"], 2.0)
	Same[any](t, seen["memory"], 2.0)
	Same(t, strings.TrimSpace(Run(t, sandbox, "nproc")), "2")
}

func TestDiskGrowsWhileStopped(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{})
	Ok(t, sandbox.Stop(Context(t)))
	Ok(t, sandbox.Resize(Context(t), &types.Resources{Disk: 5}))
	Same(t, string(sandbox.State), "stopped")
	Same[any](t, Seen(t, sandbox.ID)["disk"], 5.0)
}
