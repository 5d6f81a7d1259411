"""Lists: by label, by filter, in pages, in order."""

import uuid
from datetime import datetime, timedelta, timezone

import daytona
import pytest

from support.sdk import listed, state_of

NEW_LIST = pytest.mark.needs("ListSandboxesQuery")
OLD_LIST = pytest.mark.needs("Daytona.list(page)")


@pytest.fixture(scope="module")
def family(client, api):
    """Five sandboxes that share a label, one of them stopped; their ids in the order of creation."""
    label = {"family": uuid.uuid4().hex}
    made = []
    for number in range(5):
        params = daytona.CreateSandboxFromSnapshotParams(
            name=f"{label['family'][:12]}-{number}", labels={**label, "number": str(number)}, public=number == 1
        )
        made.append(client.create(params))
    made[4].stop()
    yield label, [sandbox.id for sandbox in made]
    for sandbox in made:
        api("DELETE", f"/sandbox/{sandbox.id}")


def test_a_label_selects_exactly_its_sandboxes(client, family):
    label, ids = family
    assert sorted(sandbox.id for sandbox in listed(client, label)) == sorted(ids)


def test_all_labels_must_match(client, family):
    label, ids = family
    assert [sandbox.id for sandbox in listed(client, {**label, "number": "2"})] == [ids[2]]
    assert listed(client, {**label, "number": "no such"}) == []


def test_listed_sandboxes_can_be_used_at_once(client, family):
    label, _ = family
    first = listed(client, {**label, "number": "0"})[0]
    assert first.process.exec("echo from a list").result.strip() == "from a list"


@NEW_LIST
def test_pages_of_two_give_everything_once(client, family):
    label, ids = family
    query = daytona.ListSandboxesQuery(labels=label, limit=2)
    assert sorted(sandbox.id for sandbox in client.list(query)) == sorted(ids)


@NEW_LIST
@pytest.mark.parametrize(
    ("order", "expected"),
    [("asc", [0, 1, 2, 3, 4]), ("desc", [4, 3, 2, 1, 0])],
)
@pytest.mark.parametrize("field", ["createdAt", "name"])
def test_pages_keep_the_order(client, family, field, order, expected):
    label, ids = family
    query = daytona.ListSandboxesQuery(
        labels=label,
        limit=2,
        sort=daytona.SandboxListSortField(field),
        order=daytona.SandboxListSortDirection(order),
    )
    assert [sandbox.id for sandbox in client.list(query)] == [ids[number] for number in expected]


@NEW_LIST
def test_filters_select(client, family):
    label, ids = family

    def found(**filters):
        query = daytona.ListSandboxesQuery(labels=label, **filters)
        return sorted(ids.index(sandbox.id) for sandbox in client.list(query))

    assert found(states=[daytona.SandboxState("stopped")]) == [4]
    assert found(states=[daytona.SandboxState("stopped"), daytona.SandboxState("started")]) == [0, 1, 2, 3, 4]
    assert found(id=ids[3][:13].upper()) == [3]
    assert found(name=f"{label['family'][:12]}-2".upper()) == [2]
    assert found(is_public=True) == [1]
    assert found(min_cpu=1, max_cpu=1) == [0, 1, 2, 3, 4]
    assert found(min_cpu=2) == []
    assert found(min_memory_gib=1, max_memory_gib=1) == [0, 1, 2, 3, 4]
    assert found(max_disk_gib=2) == []
    assert found(targets=["no-such-region"]) == []


@NEW_LIST
def test_times_select(client, family):
    label, ids = family
    now = datetime.now(timezone.utc)

    def count(**filters):
        return len(list(client.list(daytona.ListSandboxesQuery(labels=label, **filters))))

    assert count(created_at_after=now - timedelta(hours=1)) == 5
    assert count(created_at_after=now + timedelta(hours=1)) == 0
    assert count(created_at_before=now - timedelta(hours=1)) == 0
    assert count(last_activity_after=now - timedelta(hours=1)) == 5
    assert count(last_activity_before=now - timedelta(hours=1)) == 0


@NEW_LIST
def test_a_filter_by_snapshot_selects(client, family):
    label, ids = family
    snapshot = client.get(ids[0]).snapshot
    assert len(list(client.list(daytona.ListSandboxesQuery(labels=label, snapshots=[snapshot])))) == 5
    assert len(list(client.list(daytona.ListSandboxesQuery(labels=label, snapshots=["none/such:1"])))) == 0


@OLD_LIST
def test_numbered_pages_add_up(client, family):
    label, ids = family
    pages = [client.list(label, page=page, limit=2) for page in (1, 2, 3)]
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert {(page.total, page.total_pages) for page in pages} == {(5, 3)}
    assert [page.page for page in pages] == [1, 2, 3]
    assert sorted(sandbox.id for page in pages for sandbox in page.items) == sorted(ids)


@OLD_LIST
def test_a_list_without_labels_is_everything(client, family):
    """This release sends the text `null` as the label filter when none is given."""
    _, ids = family
    assert client.list().total >= len(ids)


@OLD_LIST
def test_find_one_by_labels(client, family):
    label, ids = family
    assert client.find_one(labels={**label, "number": "3"}).id == ids[3]


def test_listed_states_are_the_shown_states(client, family):
    label, ids = family
    states = {sandbox.id: state_of(sandbox) for sandbox in listed(client, label)}
    assert [states[sandbox_id] for sandbox_id in ids] == ["started"] * 4 + ["stopped"]
