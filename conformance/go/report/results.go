package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The most that is kept of what a failed test printed.
const detailMax = 4000

// event is one line of `go test -json`.
type event struct {
	Action  string
	Test    string
	Output  string
	Elapsed float64
}

// record is one line of the results.
type record struct {
	Client  string  `json:"client"`
	Area    string  `json:"area"`
	Test    string  `json:"test"`
	Outcome string  `json:"outcome"`
	Seconds float64 `json:"seconds"`
	Detail  string  `json:"detail"`
}

type report struct {
	client string
	// Areas of the declared tests that were not seen to end yet.
	areas map[string]string
	lines *json.Encoder
	// What each running test printed, and how its parts ended.
	printed map[string]string
	parts   map[string]map[string]bool
}

var outcomes = map[string]string{"pass": "passed", "fail": "failed", "skip": "skipped"}

func (r *report) see(seen event) error {
	if r.printed == nil {
		r.printed, r.parts = map[string]string{}, map[string]map[string]bool{}
	}
	if seen.Action == "output" || seen.Action == "build-output" {
		if seen.Test == "" {
			fmt.Print(seen.Output)
		}
		r.printed[seen.Test] = last(r.printed[seen.Test] + seen.Output)
		return nil
	}
	outcome, ended := outcomes[seen.Action]
	if !ended || seen.Test == "" {
		return nil
	}
	return r.end(seen, outcome)
}

// A test with parts stands for them: it counts only where it failed and none of them did.
func (r *report) end(seen event, outcome string) error {
	function, _, nested := strings.Cut(seen.Test, "/")
	area := r.areas[function]
	if nested {
		above := seen.Test[:strings.LastIndex(seen.Test, "/")]
		if r.parts[above] == nil {
			r.parts[above] = map[string]bool{}
		}
		r.parts[above][outcome] = true
	} else {
		delete(r.areas, function)
	}
	parts := r.parts[seen.Test]
	if parts != nil && (outcome != "failed" || parts["failed"]) {
		return nil
	}
	detail := ""
	if outcome != "passed" {
		detail = explain(r.printed[seen.Test])
		fmt.Printf("%s %s\n%s", outcome, seen.Test, r.printed[seen.Test])
	}
	delete(r.printed, seen.Test)
	return r.lines.Encode(record{r.client, area, sentence(seen.Test), outcome, seen.Elapsed, detail})
}

// finish counts every declared test that has no end as a failure.
func (r *report) finish() error {
	for test, area := range r.areas {
		detail := "it did not run to its end\n" + r.printed[test]
		if err := r.lines.Encode(record{r.client, area, sentence(test), "failed", 0, detail}); err != nil {
			return err
		}
	}
	return nil
}

// explain leaves out the lines in which the runner names the test.
func explain(printed string) string {
	var kept []string
	for line := range strings.Lines(printed) {
		text := strings.TrimSpace(line)
		if !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- ") {
			kept = append(kept, text)
		}
	}
	return strings.Join(kept, "\n")
}

func last(text string) string {
	return text[max(0, len(text)-detailMax):]
}
