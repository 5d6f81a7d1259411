// Package tests drives the Go SDK: one file per area, one function per claim. Files that end in
// `_newest` use what the older release lacks.
package tests

import (
	"fmt"
	"os"
	"testing"

	"sebring.test/conformance/support"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := support.DeleteAll(); err != nil {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}
