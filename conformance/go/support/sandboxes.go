package support

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

// What a sandbox may wait for the build of its snapshot, which takes a minute or two on a host that
// has nothing else to do. Below what all tests together have.
const buildLimit = 8 * time.Minute

// What all tests together have to be deleted in, when they are over.
const cleanupLimit = time.Minute

var made struct {
	sync.Mutex
	sandboxes []*daytona.Sandbox
}

// Create makes a sandbox that is gone after the run.
func Create(t *testing.T, base types.SandboxBaseParams) *daytona.Sandbox {
	t.Helper()
	return Must(create(Context(t), Client(t), Snapshot(base)))(t)
}

// Shared is one sandbox for the tests of a file that only look inside; made when first asked for.
func Shared(base types.SandboxBaseParams) func(*testing.T) *daytona.Sandbox {
	return shared(Snapshot(base), testLimit)
}

// SharedFrom is Shared from a snapshot that may have to be built.
func SharedFrom(snapshot string) func(*testing.T) *daytona.Sandbox {
	return shared(types.SnapshotParams{Snapshot: snapshot}, buildLimit)
}

func shared(params types.SnapshotParams, limit time.Duration) func(*testing.T) *daytona.Sandbox {
	box := sync.OnceValues(func() (*daytona.Sandbox, error) {
		sdk, err := client()
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return create(ctx, sdk, params, options.WithTimeout(limit))
	})
	return func(t *testing.T) *daytona.Sandbox {
		t.Helper()
		return Must(box())(t)
	}
}

func create(
	ctx context.Context,
	sdk *daytona.Client,
	params types.SnapshotParams,
	opts ...func(*options.CreateSandbox),
) (*daytona.Sandbox, error) {
	sandbox, err := sdk.Create(ctx, params, opts...)
	if err == nil {
		made.Lock()
		defer made.Unlock()
		made.sandboxes = append(made.sandboxes, sandbox)
	}
	return sandbox, err
}

// DeleteAll deletes what the tests made and did not delete themselves.
func DeleteAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupLimit)
	defer cancel()
	for _, sandbox := range made.sandboxes {
		if err := sandbox.Delete(ctx); err != nil && Status(err) != 404 {
			return fmt.Errorf("delete %s: %w", sandbox.ID, err)
		}
	}
	return nil
}

// Run is what a command in the sandbox prints; any exit code but zero fails the test.
func Run(t *testing.T, sandbox *daytona.Sandbox, command string, opts ...func(*options.ExecuteCommand)) string {
	t.Helper()
	answer := Must(sandbox.Process.ExecuteCommand(Context(t), command, opts...))(t)
	if answer.ExitCode != 0 {
		t.Fatalf("%s: exit code %d: %s", command, answer.ExitCode, answer.Result)
	}
	return answer.Result
}
