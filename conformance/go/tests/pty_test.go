package tests

// Terminals: what is typed and shown, sizes, ends.

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var ptyBox = Shared(types.SandboxBaseParams{})

// A terminal that is connected.
func terminal(t *testing.T, opts ...func(*options.CreatePty)) *daytona.PtyHandle {
	t.Helper()
	handle := Must(ptyBox(t).Process.CreatePty(Context(t), Unique("pty"), opts...))(t)
	t.Cleanup(func() { _ = handle.Disconnect() })
	Ok(t, handle.WaitForConnection(Context(t)))
	return handle
}

func typed(t *testing.T, handle *daytona.PtyHandle, text string) {
	t.Helper()
	Ok(t, handle.SendInput([]byte(text)))
}

// Reads until this was shown.
func awaited(t *testing.T, handle *daytona.PtyHandle, text string) {
	t.Helper()
	var shown []byte
	for limit := time.After(30 * time.Second); !bytes.Contains(shown, []byte(text)); {
		select {
		case data, open := <-handle.DataChan():
			if !open {
				t.Fatalf("it ended before %q was shown: %q", text, shown)
			}
			shown = append(shown, data...)
		case <-limit:
			t.Fatalf("%q was not shown: %q", text, shown)
		}
	}
}

// Lets go of what is still shown, and waits for the end.
func ended(t *testing.T, handle *daytona.PtyHandle) *types.PtyResult {
	t.Helper()
	go func() {
		for range handle.DataChan() {
		}
	}()
	return Must(handle.Wait(Context(t)))(t)
}

func TestWhatIsTypedIsAnsweredOnATerminalOfItsSize(t *testing.T) {
	handle := terminal(t,
		options.WithCreatePtySize(types.PtySize{Rows: 33, Cols: 101}),
		options.WithCreatePtyEnv(map[string]string{"MINE": "ü 1"}),
	)
	typed(t, handle, "stty size; echo \"[$MINE]\"; test -t 0 && echo ter''minal\n")
	awaited(t, handle, "33 101\r\n")
	typed(t, handle, "echo \"[$MINE]\"\n")
	awaited(t, handle, "[ü 1]\r\n")
}

func TestAResizeReachesTheProgram(t *testing.T) {
	handle := terminal(t)
	info := Must(handle.Resize(Context(t), 120, 40))(t)
	Same(t, fmt.Sprint(info.Cols, info.Rows), "120 40")
	typed(t, handle, "stty size\n")
	awaited(t, handle, "40 120\r\n")
}

func TestTheExitCodeIsTold(t *testing.T) {
	for _, code := range []int{0, 7} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			handle := terminal(t)
			typed(t, handle, fmt.Sprintf("exit %d\n", code))
			result := ended(t, handle)
			if result.ExitCode == nil {
				t.Fatalf("no exit code: %v", *result.Error)
			}
			Same(t, *result.ExitCode, code)
		})
	}
}

func TestAKilledTerminalEndsAndIsGone(t *testing.T) {
	handle := terminal(t)
	typed(t, handle, "sleep 1000\n")
	Ok(t, handle.Kill(Context(t)))
	ended(t, handle)
	_, err := ptyBox(t).Process.GetPtySessionInfo(Context(t), handle.SessionID())
	Refused(t, err, 404)
}

func TestATerminalOutlivesItsConnection(t *testing.T) {
	handle := terminal(t)
	typed(t, handle, "kept=still; echo re''ady\n")
	awaited(t, handle, "ready\r\n")
	Ok(t, handle.Disconnect())
	again := Must(ptyBox(t).Process.ConnectPty(Context(t), handle.SessionID()))(t)
	defer again.Disconnect()
	Ok(t, again.WaitForConnection(Context(t)))
	typed(t, again, "echo $kept here\n")
	awaited(t, again, "still here\r\n")
}

func TestTerminalsAreListedAndDescribed(t *testing.T) {
	size := types.PtySize{Rows: 20, Cols: 60}
	id := Unique("pty")
	process := ptyBox(t).Process
	Same(t, Must(process.CreatePtySession(Context(t), id, options.WithPtySize(size)))(t).ID, id)
	info := Must(process.GetPtySessionInfo(Context(t), id))(t)
	Same(t, types.PtySize{Rows: info.Rows, Cols: info.Cols}, size)
	found := false
	for _, each := range Must(process.ListPtySessions(Context(t)))(t) {
		found = found || each.ID == id
	}
	Same(t, found, true)
	Ok(t, process.KillPtySession(Context(t), id))
	Refused(t, process.KillPtySession(Context(t), id), 404)
}

func TestATakenTerminalIsAConflict(t *testing.T) {
	handle := terminal(t)
	_, err := ptyBox(t).Process.CreatePtySession(Context(t), handle.SessionID())
	Refused(t, err, 409)
}

func TestAMissingTerminalIsToldOnTheSocket(t *testing.T) {
	handle := Must(ptyBox(t).Process.ConnectPty(Context(t), Unique("missing")))(t)
	if err := handle.WaitForConnection(Context(t)); err == nil {
		t.Fatal("no error")
	}
}
