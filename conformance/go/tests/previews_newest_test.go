//go:build !older

package tests

import (
	"testing"

	. "sebring.test/conformance/support"
)

func TestASignedLinkNeedsNothingElseUntilItIsExpired(t *testing.T) {
	sandbox := servedBox(t)
	link := Must(sandbox.GetSignedPreviewLink(Context(t), servedPort, 600))(t)
	Same(t, link.SandboxID, sandbox.ID)
	Same(t, link.Port, servedPort)
	_, text := Visit(t, link.URL, nil)
	Same(t, text, "served\n")
	Ok(t, sandbox.ExpireSignedPreviewLink(Context(t), servedPort, link.Token))
	if status, _ := Visit(t, link.URL, nil); status < 300 {
		t.Fatal(status)
	}
}
