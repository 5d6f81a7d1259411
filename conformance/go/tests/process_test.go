package tests

// Commands: output, exit codes, time limits.

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var processBox = Shared(types.SandboxBaseParams{EnvVars: map[string]string{"WHO": "sandbox"}})

func TestOutputAndExitCodeAreTheCommands(t *testing.T) {
	answer := Must(processBox(t).Process.ExecuteCommand(Context(t), "echo out; echo err >&2; exit 42"))(t)
	Same(t, answer.ExitCode, 42)
	Same(t, answer.Result, "out\nerr\n")
}

func TestAnUnknownCommandIs127(t *testing.T) {
	answer := Must(processBox(t).Process.ExecuteCommand(Context(t), "no-such-command-here"))(t)
	Same(t, answer.ExitCode, 127)
}

func TestTheEnvironmentOfTheSandboxReachesACommand(t *testing.T) {
	Same(t, Run(t, processBox(t), "echo $WHO"), "sandbox\n")
}

func TestAWorkingFolderCanBeGiven(t *testing.T) {
	Same(t, Run(t, processBox(t), "pwd", options.WithCwd("/usr/lib")), "/usr/lib\n")
}

func TestACommandOverItsTimeLimitIsRefusedAndKilled(t *testing.T) {
	began := time.Now()
	limit := options.WithExecuteTimeout(time.Second)
	_, err := processBox(t).Process.ExecuteCommand(Context(t), "sleep 7654", limit)
	Refused(t, err, 408)
	if took := time.Since(began); took > 6*time.Second {
		t.Fatalf("took %v", took)
	}
	answer := Must(processBox(t).Process.ExecuteCommand(Context(t), "pgrep -f 'sleep 765[4]'"))(t)
	Same(t, answer.ExitCode, 1)
}

func TestARedirectedBackgroundProcessDoesNotHoldTheAnswer(t *testing.T) {
	began := time.Now()
	Run(t, processBox(t), "sleep 100 > /dev/null 2>&1 &")
	if took := time.Since(began); took > 10*time.Second {
		t.Fatalf("took %v", took)
	}
}

func TestMegabytesOfOutputArriveComplete(t *testing.T) {
	lines := strings.Fields(Run(t, processBox(t), "seq 1 300000"))
	Same(t, len(lines), 300_000)
	Same(t, lines[299_999], "300000")
}

func TestManyCommandsRunAtTheSameTime(t *testing.T) {
	sandbox, ctx := processBox(t), Context(t)
	began := time.Now()
	var all sync.WaitGroup
	for number := range 16 {
		all.Go(func() {
			answer, err := sandbox.Process.ExecuteCommand(ctx, fmt.Sprintf("sleep 0.3; echo %d", number))
			if err != nil || answer.Result != fmt.Sprintf("%d\n", number) {
				t.Errorf("%d: %v %v", number, answer, err)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > 16*300*time.Millisecond {
		t.Fatalf("took %v", took)
	}
}

func TestUnicodeAndQuotesArriveUntouched(t *testing.T) {
	Same(t, Run(t, processBox(t), `printf '%s' 'żółw 🐢 "x" \ $HOME'`), `żółw 🐢 "x" \ $HOME`)
}

func TestACommandThatIsGivenUpEndsForTheCaller(t *testing.T) {
	began := time.Now()
	sandbox, ctx := processBox(t), Context(t)
	short, cancel := contextWithin(ctx, time.Second)
	defer cancel()
	if _, err := sandbox.Process.ExecuteCommand(short, "sleep 60"); err == nil {
		t.Fatal("no error")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Fatalf("took %v", took)
	}
	Same(t, Run(t, sandbox, "echo next"), "next\n")
}
