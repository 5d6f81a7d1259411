//go:build !older

package tests

import (
	"testing"

	apiclient "github.com/daytonaio/daytona/libs/api-client-go"

	. "sebring.test/conformance/support"
)

func TestBlockingTheNetworkIsShownAndCanBeUndone(t *testing.T) {
	for _, blocked := range []bool{true, false} {
		settings := apiclient.NewUpdateSandboxNetworkSettings()
		settings.SetNetworkBlockAll(blocked)
		Ok(t, settingsBox(t).UpdateNetworkSettings(Context(t), *settings))
		Same(t, settingsBox(t).NetworkBlockAll, blocked)
		Same(t, Must(Client(t).Get(Context(t), settingsBox(t).ID))(t).NetworkBlockAll, blocked)
	}
}
