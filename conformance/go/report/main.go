// Command report runs the tests against one release of the SDK and writes one JSON line per test,
// in the format of the other suites. Failures are shown as they come.
//
// Must not: decide what counts as a failure; the exit code is that of `go test`.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	log := flag.String("results", "", "file for the results")
	module := flag.String("module", "go.mod", "module file, which names the release")
	tags := flag.String("tags", "", "build tags of this release")
	flag.Parse()
	if err := run(*log, "-modfile="+*module, "-tags="+*tags); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(log string, flags ...string) error {
	release, err := output("list", flags, "-m", "-f", "{{.Version}}", sdk)
	if err != nil {
		return err
	}
	files, err := output("list", flags, "-f", `{{join .TestGoFiles "\n"}}`, "./tests")
	if err != nil {
		return err
	}
	declared, err := claims("tests", strings.Fields(files))
	if err != nil {
		return err
	}
	file, err := os.Create(log)
	if err != nil {
		return err
	}
	defer file.Close()
	label := "go sdk-go " + strings.TrimPrefix(strings.TrimSpace(release), "v")
	results := &report{client: label, areas: declared, lines: json.NewEncoder(file)}
	ran := watch(flags, results)
	return errors.Join(ran, results.finish())
}

// The SDK's module path; both releases have it.
const sdk = "github.com/daytonaio/daytona/libs/sdk-go"

func command(verb string, flags []string, args ...string) *exec.Cmd {
	all := append(append([]string{verb}, flags...), args...)
	command := exec.Command("go", all...)
	command.Stderr = os.Stderr
	return command
}

func output(verb string, flags []string, args ...string) (string, error) {
	text, err := command(verb, flags, args...).Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", verb, err)
	}
	return string(text), nil
}

// Runs the tests, handing each event on. A panic of one is a failure of all that did not run.
func watch(flags []string, results *report) error {
	test := command("test", flags, "-json", "-count=1", "-timeout=9m", "./tests")
	events, err := test.StdoutPipe()
	if err != nil {
		return err
	}
	if err := test.Start(); err != nil {
		return err
	}
	read := each(events, results)
	if err := test.Wait(); err != nil {
		return fmt.Errorf("go test: %w", err)
	}
	return read
}

func each(events io.Reader, results *report) error {
	decoder := json.NewDecoder(bufio.NewReader(events))
	for {
		var seen event
		switch err := decoder.Decode(&seen); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			// What else is printed must not fill the pipe.
			_, _ = io.Copy(os.Stderr, events)
			return err
		}
		if err := results.see(seen); err != nil {
			return err
		}
	}
}
