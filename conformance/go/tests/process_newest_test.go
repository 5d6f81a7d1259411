//go:build !older

package tests

import (
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/options"

	. "sebring.test/conformance/support"
)

func TestTheEnvironmentOfACallIsOnlyItsOwn(t *testing.T) {
	env := map[string]string{"WHO": "call", "MORE": "a 'b' \"c\" $d\nsecond line"}
	text := Run(t, processBox(t), `printf '%s|%s' "$WHO" "$MORE"`, options.WithCommandEnv(env))
	Same(t, text, "call|"+env["MORE"])
	Same(t, Run(t, processBox(t), `echo "$WHO$MORE"`), "sandbox\n")
}
