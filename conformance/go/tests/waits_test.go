package tests

// Waiting: this SDK asks for the state again and again, and has no event socket.

import (
	"context"
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

func contextWithin(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, limit)
}

func TestAnObjectSeesWhatAnotherOneDid(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{})
	same := Must(Client(t).Get(Context(t), sandbox.ID))(t)
	Ok(t, same.Stop(Context(t)))
	Ok(t, sandbox.WaitForStop(Context(t), time.Minute))
	Same(t, string(sandbox.State), "stopped")
	Ok(t, same.Start(Context(t)))
	Ok(t, sandbox.WaitForStart(Context(t), time.Minute))
	Same(t, string(sandbox.State), "started")
}

func TestAWaitForAStateThatDoesNotComeEndsInTime(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{})
	began := time.Now()
	if err := sandbox.WaitForStop(Context(t), time.Second); err == nil {
		t.Fatal("no error")
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Fatalf("took %v", took)
	}
}
