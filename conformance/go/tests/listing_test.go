package tests

// Lists: by label and in pages.

import (
	"slices"
	"sync"
	"testing"

	"github.com/daytonaio/daytona/libs/sdk-go/pkg/types"

	. "sebring.test/conformance/support"
)

// Three sandboxes that share a label, made once.
var family = struct {
	sync.Once
	label string
	ids   []string
}{label: Unique("family")}

func relatives(t *testing.T) []string {
	family.Do(func() {
		for _, number := range []string{"0", "1", "2"} {
			labels := map[string]string{"family": family.label, "number": number}
			family.ids = append(family.ids, Create(t, types.SandboxBaseParams{Labels: labels}).ID)
		}
	})
	Same(t, len(family.ids), 3)
	return family.ids
}

func listed(t *testing.T, labels map[string]string, page, limit *int) (ids []string, total, pages int) {
	t.Helper()
	labels["family"] = family.label
	found := Must(Client(t).List(Context(t), labels, page, limit))(t)
	for _, sandbox := range found.Items {
		ids = append(ids, sandbox.ID)
	}
	return ids, found.Total, found.TotalPages
}

func TestALabelSelectsExactlyItsSandboxes(t *testing.T) {
	wanted := slices.Sorted(slices.Values(relatives(t)))
	ids, total, _ := listed(t, map[string]string{}, nil, nil)
	if !slices.Equal(slices.Sorted(slices.Values(ids)), wanted) {
		t.Fatalf("got %v, wanted %v", ids, wanted)
	}
	Same(t, total, 3)
}

func TestAllLabelsMustMatch(t *testing.T) {
	wanted := relatives(t)
	ids, _, _ := listed(t, map[string]string{"number": "1"}, nil, nil)
	Same(t, len(ids), 1)
	Same(t, ids[0], wanted[1])
	none, total, _ := listed(t, map[string]string{"number": "no such"}, nil, nil)
	Same(t, len(none), 0)
	Same(t, total, 0)
}

func TestPagesOfTwoGiveEverythingOnce(t *testing.T) {
	wanted := slices.Sorted(slices.Values(relatives(t)))
	one, two, size := 1, 2, 2
	first, total, pages := listed(t, map[string]string{}, &one, &size)
	second, _, _ := listed(t, map[string]string{}, &two, &size)
	Same(t, len(first), 2)
	Same(t, total, 3)
	Same(t, pages, 2)
	if got := slices.Sorted(slices.Values(append(first, second...))); !slices.Equal(got, wanted) {
		t.Fatalf("got %v, wanted %v", got, wanted)
	}
}

func TestAListedSandboxCanBeUsedAtOnce(t *testing.T) {
	relatives(t)
	labels := map[string]string{"family": family.label, "number": "0"}
	found := Must(Client(t).List(Context(t), labels, nil, nil))(t)
	Same(t, len(found.Items), 1)
	Same(t, Run(t, found.Items[0], "echo listed"), "listed\n")
}
