"""Snapshots as far as they can be read: list, get, use."""

import pytest

from support.sdk import NotFound


def test_the_default_snapshot_is_listed_and_active(client, sandbox):
    names = {snapshot.name: snapshot for snapshot in client.snapshot.list().items}
    assert sandbox.snapshot in names
    assert str(getattr(names[sandbox.snapshot].state, "value", names[sandbox.snapshot].state)) == "active"


def test_a_snapshot_is_found_by_name(client, sandbox):
    snapshot = client.snapshot.get(sandbox.snapshot)
    assert snapshot.name == sandbox.snapshot
    assert snapshot.id


def test_an_unknown_snapshot_is_not_found(client):
    with pytest.raises(NotFound):
        client.snapshot.get("no/such:1")


def test_pages_of_snapshots_add_up(client):
    page = client.snapshot.list(page=1, limit=1)
    assert len(page.items) == min(1, page.total)
    assert page.total_pages == page.total
