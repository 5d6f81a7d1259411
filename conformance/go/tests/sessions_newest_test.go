//go:build !older

package tests

import (
	"testing"

	. "sebring.test/conformance/support"
)

func TestTheAnswerOfACommandHasBothStreams(t *testing.T) {
	process, id := newSession(t)
	answer := Must(process.ExecuteSessionCommand(Context(t), id, "echo out; echo err >&2; (exit 3)", false, false))(t)
	Same[any](t, answer["stdout"], "out\n")
	Same[any](t, answer["stderr"], "err\n")
	Same[any](t, answer["exitCode"], int32(3))
	logs := Must(process.GetSessionCommandLogs(Context(t), id, answer["id"].(string)))(t)
	Same(t, logs.GetStdout(), "out\n")
	Same(t, logs.GetStderr(), "err\n")
}

func TestTheEntrypointHasASessionAndALog(t *testing.T) {
	process := sessionsBox(t).Process
	session := Must(process.GetEntrypointSession(Context(t)))(t)
	Same(t, session.SessionId, "entrypoint")
	Same(t, len(session.Commands), 1)
	Must(process.GetEntrypointLogs(Context(t)))(t)
}
