//go:build !older

package tests

// Code in three languages through `CodeRun`.

import (
	"strings"
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var codeBox = Shared(types.SandboxBaseParams{})

var programs = []struct {
	language       types.CodeLanguage
	hello, failing string
}{
	{types.CodeLanguagePython, `print('hello', 'python')`, `raise ValueError('on purpose')`},
	{types.CodeLanguageJavaScript, `console.log('hello', 'javascript')`, `throw new TypeError('on purpose')`},
	{
		types.CodeLanguageTypeScript,
		`const word: string = 'typescript'; console.log('hello', word)`,
		`const fail = (): never => { throw new RangeError('on purpose') }; fail()`,
	},
}

func TestALanguageRuns(t *testing.T) {
	for _, program := range programs {
		t.Run(string(program.language), func(t *testing.T) {
			language := options.WithCodeRunLanguage(program.language)
			answer := Must(codeBox(t).Process.CodeRun(Context(t), program.hello, language))(t)
			Same(t, answer.Result, "hello "+string(program.language)+"\n")
			Same(t, answer.ExitCode, 0)
		})
	}
}

func TestAnExceptionIsExitCode1WithItsText(t *testing.T) {
	for _, program := range programs {
		t.Run(string(program.language), func(t *testing.T) {
			language := options.WithCodeRunLanguage(program.language)
			answer := Must(codeBox(t).Process.CodeRun(Context(t), program.failing, language))(t)
			Same(t, answer.ExitCode, 1)
			if !strings.Contains(answer.Result, "on purpose") {
				t.Fatal(answer.Result)
			}
		})
	}
}

func TestTheLanguageOfTheSandboxIsTheDefault(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{Language: types.CodeLanguageJavaScript})
	again := Must(Client(t).Get(Context(t), sandbox.ID))(t)
	answer := Must(again.Process.CodeRun(Context(t), `console.log(typeof require)`))(t)
	Same(t, answer.Result, "function\n")
}

func TestArgumentsAndEnvironmentReachTheProgram(t *testing.T) {
	params := types.CodeRunParams{Argv: []string{"first", "it's 2nd"}, Env: map[string]string{"GREETING": "ahoj"}}
	code := `import sys, os; print(sys.argv[1:], os.environ["GREETING"])`
	answer := Must(codeBox(t).Process.CodeRun(Context(t), code, options.WithCodeRunParams(params)))(t)
	Same(t, answer.Result, `['first', "it's 2nd"] ahoj`+"\n")
}

func TestCodeOverItsTimeLimitIsRefused(t *testing.T) {
	_, err := codeBox(t).Process.CodeRun(Context(t), "while True: pass", options.WithCodeRunTimeout(time.Second))
	Refused(t, err, 408)
}
