// Package support has what every area needs: the client under test, sandboxes that are deleted
// whatever happens, bounded waiting. The server is named by DAYTONA_API_URL and DAYTONA_API_KEY.
//
// Must not: hide an answer of the SDK from a test.
package support

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/daytona"
	sdkerrors "github.com/daytonaio/daytona/libs/sdk-go/pkg/errors"
	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"
)

// The longest that one test may take; a hang is then its own failure and not the suite's.
const testLimit = 2 * time.Minute

var client = sync.OnceValues(daytona.NewClient)

// Client is the SDK under test, configured by the environment alone.
func Client(t *testing.T) *daytona.Client {
	t.Helper()
	return Must(client())(t)
}

// Context ends with the test, or when it takes too long.
func Context(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	return ctx
}

// Must fails the test on an error, and is the value otherwise: `Must(call())(t)`.
func Must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatalf("%v", err)
		}
		return value
	}
}

// Ok fails the test on an error.
func Ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}

// Same fails the test unless both are equal.
func Same[T comparable](t *testing.T, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Fatalf("got %.400v, wanted %.400v", fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", wanted))
	}
}

// As is what the SDK hands on without a type, read as what it is.
func As[T any](t *testing.T, untyped any) (value T) {
	t.Helper()
	Ok(t, json.Unmarshal(Must(json.Marshal(untyped))(t), &value))
	return value
}

// Unique is a name that nothing else has.
func Unique(prefix string) string {
	return prefix + "-" + rand.Text()[:12]
}

// Status is the HTTP status that an error of the SDK tells, 0 for none.
func Status(err error) int {
	var missing *sdkerrors.DaytonaNotFoundError
	var limited *sdkerrors.DaytonaRateLimitError
	var other *sdkerrors.DaytonaError
	switch {
	case errors.As(err, &missing):
		return missing.StatusCode
	case errors.As(err, &limited):
		return limited.StatusCode
	case errors.As(err, &other):
		return other.StatusCode
	}
	return 0
}

// Refused fails the test unless the error tells this status.
func Refused(t *testing.T, err error, status int) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, wanted status %d", status)
	}
	if got := Status(err); got != status {
		t.Fatalf("status %d, wanted %d: %v", got, status, err)
	}
}

// Snapshot is a request for the default snapshot with these settings.
func Snapshot(base types.SandboxBaseParams) types.SnapshotParams {
	return types.SnapshotParams{SandboxBaseParams: base}
}
