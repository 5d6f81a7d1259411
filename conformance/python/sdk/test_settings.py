"""Everything that can be changed on a sandbox after it was made."""

from datetime import datetime, timedelta, timezone

import daytona
import pytest

from support.sdk import state_of


def test_labels_are_replaced_as_a_whole(client, sandboxes):
    sandbox = sandboxes.create(labels={"old": "1"})
    kept = dict(client.get(sandbox.id).labels)
    del kept["old"]
    assert sandbox.set_labels({**kept, "new": "2"}) == {**kept, "new": "2"}
    assert client.get(sandbox.id).labels == {**kept, "new": "2"}


@pytest.mark.parametrize("minutes", [0, 1, 240])
def test_autostop_interval_is_stored(client, sandboxes, minutes):
    sandbox = sandboxes.create()
    sandbox.set_autostop_interval(minutes)
    assert client.get(sandbox.id).auto_stop_interval == minutes


def test_autoarchive_interval_zero_means_the_maximum(client, sandboxes):
    sandbox = sandboxes.create()
    sandbox.set_auto_archive_interval(120)
    assert client.get(sandbox.id).auto_archive_interval == 120
    sandbox.set_auto_archive_interval(0)
    assert client.get(sandbox.id).auto_archive_interval == 43200


@pytest.mark.parametrize("minutes", [-1, 0, 60])
def test_autodelete_interval_is_stored(client, sandboxes, minutes):
    sandbox = sandboxes.create()
    sandbox.set_auto_delete_interval(minutes)
    assert client.get(sandbox.id).auto_delete_interval == minutes


@pytest.mark.needs("Sandbox.set_ttl")
def test_ttl_counts_from_now_and_zero_turns_it_off(client, sandboxes):
    sandbox = sandboxes.create(ttl_minutes=60)
    assert_about(client.get(sandbox.id).auto_destroy_at, timedelta(minutes=60))
    sandbox.set_ttl(5)
    assert_about(client.get(sandbox.id).auto_destroy_at, timedelta(minutes=5))
    sandbox.set_ttl(0)
    assert client.get(sandbox.id).auto_destroy_at is None


@pytest.mark.needs("Sandbox.set_public")
def test_public_can_be_switched(client, sandboxes):
    sandbox = sandboxes.create()
    sandbox.set_public(True)
    assert client.get(sandbox.id).public is True
    sandbox.set_public(False)
    assert client.get(sandbox.id).public is False


@pytest.mark.needs("Sandbox.refresh_activity")
def test_refreshing_activity_moves_the_last_activity(client, sandboxes):
    sandbox = sandboxes.create()
    before = client.get(sandbox.id).last_activity_at
    sandbox.refresh_activity()
    assert client.get(sandbox.id).last_activity_at >= before


@pytest.mark.needs("Sandbox.resize")
def test_cpu_and_memory_grow_while_running(client, sandboxes):
    sandbox = sandboxes.create()
    sandbox.process.exec("sleep 5678 > /dev/null 2>&1 &")
    sandbox.resize(daytona.Resources(cpu=2, memory=2))
    assert state_of(sandbox) == "started"
    seen = client.get(sandbox.id)
    assert (seen.cpu, seen.memory, seen.disk) == (2, 2, 3)
    assert sandbox.process.exec("nproc").result.strip() == "2"
    assert sandbox.process.exec("grep -c ^processor /proc/cpuinfo").result.strip() == "2"
    assert sandbox.process.exec("free --gibi | awk '/Mem/ {print $2}'").result.strip() == "2"
    assert (
        sandbox.process.exec("grep Cpus_allowed: /proc/$(pgrep -f '^sleep 5678')/status")
        .result.split()[1]
        .endswith("3")
    )
    assert sandbox.process.exec("pgrep -f 'sleep 5678'").exit_code == 0, "processes survive a resize"


@pytest.mark.needs("Sandbox.resize")
def test_a_stopped_sandbox_can_change_everything(client, sandboxes):
    sandbox = sandboxes.create()
    sandbox.stop()
    sandbox.resize(daytona.Resources(cpu=2, memory=2, disk=5))
    seen = client.get(sandbox.id)
    assert (seen.cpu, seen.memory, seen.disk) == (2, 2, 5)
    assert state_of(seen) == "stopped"
    sandbox.start()
    assert sandbox.process.exec("nproc").result.strip() == "2"


@pytest.mark.needs("Sandbox.update_network_settings")
def test_blocking_the_network_is_shown_and_can_be_undone(client, sandboxes):
    sandbox = sandboxes.create()
    sandbox.update_network_settings(network_block_all=True)
    assert client.get(sandbox.id).network_block_all is True
    sandbox.update_network_settings(network_block_all=False)
    assert client.get(sandbox.id).network_block_all is False


def assert_about(stamp: str, ahead: timedelta) -> None:
    at = datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    off = abs(at - (datetime.now(timezone.utc) + ahead))
    assert off < timedelta(seconds=30), f"{stamp} is {off} away from {ahead} ahead"
