package tests

// Python that remembers, and its contexts.

import (
	"strings"
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

var interpreterBox = Shared(types.SandboxBaseParams{})

// Runs code to its end, listening as the SDK needs it, and gives the result with what was heard.
func speak(t *testing.T, code string, opts ...func(*options.RunCode)) (*types.ExecutionResult, []string) {
	t.Helper()
	channels := Must(interpreterBox(t).CodeInterpreter.RunCode(Context(t), code, opts...))(t)
	var heard []string
	for channels.Stdout != nil || channels.Stderr != nil || channels.Errors != nil {
		select {
		case message, open := <-channels.Stdout:
			if !open {
				channels.Stdout = nil
				continue
			}
			heard = append(heard, "out "+message.Text)
		case message, open := <-channels.Stderr:
			if !open {
				channels.Stderr = nil
				continue
			}
			heard = append(heard, "err "+message.Text)
		case _, open := <-channels.Errors:
			if !open {
				channels.Errors = nil
			}
		}
	}
	return <-channels.Done, heard
}

// What code prints that must not fail.
func said(t *testing.T, code string, opts ...func(*options.RunCode)) string {
	t.Helper()
	result, _ := speak(t, code, opts...)
	if result.Error != nil {
		t.Fatalf("%s: %s", result.Error.Name, result.Error.Value)
	}
	return result.Stdout
}

func TestVariablesImportsAndFunctionsLast(t *testing.T) {
	said(t, "import math\nnumber = 6\ndef times(other): return number * other")
	Same(t, said(t, "print(times(7), math.floor(2.5))"), "42 2\n")
}

func TestOutputComesWhileTheCodeRunsAndInTheResult(t *testing.T) {
	result, heard := speak(t, "import sys\nprint('one')\nprint('two', file=sys.stderr)")
	Same(t, result.Stdout, "one\n")
	Same(t, result.Stderr, "two\n")
	Same(t, len(heard), 2)
}

func TestAnExceptionHasNameValueAndTraceback(t *testing.T) {
	result, _ := speak(t, "def broken():\n    return 1 / 0\nbroken()")
	if result.Error == nil || result.Error.Traceback == nil {
		t.Fatalf("%+v", result)
	}
	Same(t, result.Error.Name, "ZeroDivisionError")
	Same(t, result.Error.Value, "division by zero")
	if !strings.Contains(*result.Error.Traceback, "return 1 / 0") {
		t.Fatal(*result.Error.Traceback)
	}
	Same(t, said(t, "print('still here')"), "still here\n")
}

func TestATimeoutIsATimeoutErrorAndTheStateSurvives(t *testing.T) {
	said(t, "kept = 1")
	began := time.Now()
	result, _ := speak(t, "while True: pass", options.WithInterpreterTimeout(time.Second))
	if result.Error == nil || result.Error.Name != "TimeoutError" {
		t.Fatalf("%+v", result.Error)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Fatalf("took %v", took)
	}
	Same(t, said(t, "print(kept)"), "1\n")
}

func TestVariablesOfTheEnvironmentAreForOneCall(t *testing.T) {
	code := "import os; print(os.environ.get('GREETING'))"
	env := map[string]string{"GREETING": "ahoj 'světe' $HOME"}
	Same(t, said(t, code, options.WithEnv(env)), env["GREETING"]+"\n")
	Same(t, said(t, code), "None\n")
}

func TestLargeAndUnusualOutputArrivesWhole(t *testing.T) {
	Same(t, said(t, `print('ž' * 500_000); print('\x00\x1b[0m', end='')`), strings.Repeat("ž", 500_000)+"\n\x00\x1b[0m")
}

func TestContextsAreIsolatedListedAndDeleted(t *testing.T) {
	interpreter := interpreterBox(t).CodeInterpreter
	folder := "/usr/lib"
	made := Must(interpreter.CreateContext(Context(t), &folder))(t)
	id := made["id"].(string)
	Same[any](t, made["cwd"], folder)
	Same[any](t, made["language"], "python")
	said(t, "where = 'default'")
	own := options.WithCustomContext(id)
	Same(t, said(t, "import os; print('where' in globals(), os.getcwd())", own), "False /usr/lib\n")
	known := func() (ids []string) {
		for _, each := range Must(interpreter.ListContexts(Context(t)))(t) {
			ids = append(ids, each["id"].(string))
		}
		return ids
	}
	Same(t, strings.Join(known(), " "), id)
	Ok(t, interpreter.DeleteContext(Context(t), id))
	Same(t, len(known()), 0)
	Refused(t, interpreter.DeleteContext(Context(t), id), 404)
}

func TestAContextInAMissingFolderIsRefused(t *testing.T) {
	missing := "/no/where"
	_, err := interpreterBox(t).CodeInterpreter.CreateContext(Context(t), &missing)
	if status := Status(err); status < 400 || status >= 500 || !strings.Contains(err.Error(), missing) {
		t.Fatalf("status %d: %v", status, err)
	}
}
