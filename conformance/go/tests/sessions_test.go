package tests

// Sessions: one shell for many commands, and their logs.

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var sessionsBox = Shared(types.SandboxBaseParams{})

func newSession(t *testing.T) (*daytona.ProcessService, string) {
	t.Helper()
	process, id := sessionsBox(t).Process, Unique("session")
	Ok(t, process.CreateSession(Context(t), id))
	return process, id
}

// Runs a command in the background and gives its id.
func begin(t *testing.T, process *daytona.ProcessService, session, command string) string {
	t.Helper()
	answer := Must(process.ExecuteSessionCommand(Context(t), session, command, true, false))(t)
	if _, ended := answer["exitCode"]; ended {
		t.Fatalf("the answer waited for the end: %v", answer)
	}
	return answer["id"].(string)
}

// A stream of a log, and what it showed so far.
type stream struct {
	stdout, stderr chan string
	ended          chan error
	out, err       strings.Builder
}

func follow(t *testing.T, process *daytona.ProcessService, session, command string) *stream {
	s := &stream{stdout: make(chan string), stderr: make(chan string), ended: make(chan error, 1)}
	ctx := Context(t)
	go func() { s.ended <- process.GetSessionCommandLogsStream(ctx, session, command, s.stdout, s.stderr) }()
	return s
}

// Reads until this holds or the log is at its end.
func (s *stream) read(t *testing.T, enough func() bool) {
	t.Helper()
	limit := time.After(time.Minute)
	for stdout, stderr := s.stdout, s.stderr; (stdout != nil || stderr != nil) && !enough(); {
		select {
		case text, open := <-stdout:
			if !open {
				stdout = nil
			}
			s.out.WriteString(text)
		case text, open := <-stderr:
			if !open {
				stderr = nil
			}
			s.err.WriteString(text)
		case <-limit:
			t.Fatalf("no end: %.400q %.400q", s.out.String(), s.err.String())
		}
	}
}

// What a command shows in its stream, up to the end of it.
func streamed(t *testing.T, process *daytona.ProcessService, session, command string) (string, string) {
	t.Helper()
	s := follow(t, process, session, command)
	s.read(t, func() bool { return false })
	Ok(t, <-s.ended)
	return s.out.String(), s.err.String()
}

func TestTheStateOfAShellLastsFromCommandToCommand(t *testing.T) {
	process, id := newSession(t)
	Must(process.ExecuteSessionCommand(Context(t), id, "cd /usr && export KEPT='a b'", false, false))(t)
	answer := Must(process.ExecuteSessionCommand(Context(t), id, `pwd; echo "$KEPT"; false`, false, false))(t)
	Same(t, fmt.Sprint(answer["exitCode"]), "1")
	command := answer["id"].(string)
	out, _ := streamed(t, process, id, command)
	Same(t, out, "/usr\na b\n")
}

func TestTheStreamsOfACommandComeApart(t *testing.T) {
	process, id := newSession(t)
	command := begin(t, process, id, "echo out; echo err >&2; printf 'żółw 🐢'")
	out, err := streamed(t, process, id, command)
	Same(t, out, "out\nżółw 🐢")
	Same(t, err, "err\n")
}

func TestAStreamFollowsACommandThatRuns(t *testing.T) {
	process, id := newSession(t)
	// The SDK holds the last bytes back, which may be the beginning of a mark.
	command := begin(t, process, id, "echo begun and; until [ -e /tmp/go-on-"+id+" ]; do sleep 0.05; done; echo ended")
	s := follow(t, process, id, command)
	s.read(t, func() bool { return strings.Contains(s.out.String(), "begun") })
	Run(t, sessionsBox(t), "touch /tmp/go-on-"+id)
	s.read(t, func() bool { return false })
	Ok(t, <-s.ended)
	Same(t, s.out.String(), "begun and\nended\n")
}

func TestMegabytesOfALogArriveComplete(t *testing.T) {
	process, id := newSession(t)
	out, _ := streamed(t, process, id, begin(t, process, id, "seq 1 300000"))
	lines := strings.Fields(out)
	Same(t, len(lines), 300_000)
	Same(t, lines[299_999], "300000")
}

func TestACommandIsToldWithItsExitCodeOnceItEnded(t *testing.T) {
	process, id := newSession(t)
	command := begin(t, process, id, "until [ -e /tmp/end-"+id+" ]; do sleep 0.05; done; (exit 7)")
	running := Must(process.GetSessionCommand(Context(t), id, command))(t)
	Same(t, running["exitCode"], nil)
	Run(t, sessionsBox(t), "touch /tmp/end-"+id)
	Until(t, "the command ended", func() bool {
		seen := Must(process.GetSessionCommand(Context(t), id, command))(t)
		return fmt.Sprint(seen["exitCode"]) == "7"
	})
}

func TestSessionsAreListedAndDeleted(t *testing.T) {
	process, id := newSession(t)
	Must(process.ExecuteSessionCommand(Context(t), id, "true", false, false))(t)
	Same(t, Must(process.GetSession(Context(t), id))(t)["sessionId"].(string), id)
	listed := func() bool {
		for _, session := range Must(process.ListSessions(Context(t)))(t) {
			if session["sessionId"] == id {
				return true
			}
		}
		return false
	}
	Same(t, listed(), true)
	Ok(t, process.DeleteSession(Context(t), id))
	Same(t, listed(), false)
	_, err := process.GetSession(Context(t), id)
	Refused(t, err, 404)
}

func TestATakenSessionIsAConflictAndAMissingOneNotFound(t *testing.T) {
	process, id := newSession(t)
	Refused(t, process.CreateSession(Context(t), id), 409)
	_, err := process.ExecuteSessionCommand(Context(t), Unique("missing"), "true", false, false)
	Refused(t, err, 404)
	_, err = process.GetSessionCommand(Context(t), id, Unique("missing"))
	Refused(t, err, 404)
}
