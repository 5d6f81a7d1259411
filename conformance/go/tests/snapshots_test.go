package tests

// Snapshots as far as they can be read: list, get, use.

import (
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

// The default snapshot, by what a sandbox made without a choice says.
func defaultSnapshot(t *testing.T) string {
	t.Helper()
	return Seen(t, settingsBox(t).ID)["snapshot"].(string)
}

func TestTheDefaultSnapshotIsListedAndActive(t *testing.T) {
	wanted := defaultSnapshot(t)
	for _, snapshot := range Must(Client(t).Snapshot.List(Context(t), nil, nil))(t).Items {
		if snapshot.Name == wanted {
			Same(t, snapshot.State, "active")
			return
		}
	}
	t.Fatalf("%s is not in the list", wanted)
}

func TestASnapshotIsFoundByNameAndById(t *testing.T) {
	byName := Must(Client(t).Snapshot.Get(Context(t), defaultSnapshot(t)))(t)
	byID := Must(Client(t).Snapshot.Get(Context(t), byName.ID))(t)
	Same(t, byID.Name, defaultSnapshot(t))
}

func TestAnUnknownSnapshotIsNotFound(t *testing.T) {
	_, err := Client(t).Snapshot.Get(Context(t), "no/such:1")
	Refused(t, err, 404)
}

func TestANamedSnapshotCanBeAskedFor(t *testing.T) {
	sandbox := Must(Client(t).Create(Context(t), types.SnapshotParams{Snapshot: defaultSnapshot(t)}))(t)
	defer sandbox.Delete(Context(t))
	Same[any](t, Seen(t, sandbox.ID)["snapshot"], defaultSnapshot(t))
}

func TestPagesOfSnapshotsAddUp(t *testing.T) {
	one := 1
	page := Must(Client(t).Snapshot.List(Context(t), &one, &one))(t)
	Same(t, len(page.Items), 1)
	Same(t, page.TotalPages, page.Total)
}
