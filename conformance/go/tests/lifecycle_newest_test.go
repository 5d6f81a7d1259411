//go:build !older

package tests

import (
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

func TestTheLanguageIsKeptAsALabel(t *testing.T) {
	sandbox := Create(t, types.SandboxBaseParams{Language: types.CodeLanguageTypeScript})
	labels := Seen(t, sandbox.ID)["labels"].(map[string]any)
	Same[any](t, labels["code-toolbox-language"], "typescript")
}
