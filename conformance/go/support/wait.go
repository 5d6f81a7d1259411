package support

import (
	"testing"
	"time"
)

const (
	lookEvery = 50 * time.Millisecond
	waitLimit = 10 * time.Second
)

// Until waits on a level, with a bound: the only way a test here may wait.
func Until(t *testing.T, what string, look func() bool) {
	t.Helper()
	deadline := time.Now().Add(waitLimit)
	for !look() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", waitLimit, what)
		}
		time.Sleep(lookEvery)
	}
}
