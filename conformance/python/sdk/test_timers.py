"""Deadlines: the smallest interval is a minute, so all of them run side by side."""

import pytest

from support.sdk import NotFound, state_of
from support.wait import until

# A minute, and what a timer may be late on a loaded host.
SECONDS_MAX = 100

pytestmark = [pytest.mark.mode("sync"), pytest.mark.needs("Sandbox.set_ttl"), pytest.mark.timeout(3 * SECONDS_MAX)]


def test_intervals_of_one_minute_take_effect(client, sandboxes):
    stops = sandboxes.create(auto_stop_interval=1)
    vanishes = sandboxes.create(auto_stop_interval=1, ephemeral=True)
    dies = sandboxes.create(auto_stop_interval=0, ttl_minutes=1)
    deletes = sandboxes.create(auto_delete_interval=1)
    deletes.stop()
    stays = sandboxes.create(auto_stop_interval=0)

    def state(sandbox) -> str:
        try:
            return state_of(client.get(sandbox.id))
        except NotFound:
            return "gone"

    until(lambda: state(stops) == "stopped", "auto-stop", SECONDS_MAX)
    until(lambda: state(vanishes) == "gone", "auto-stop of an ephemeral sandbox", SECONDS_MAX)
    until(lambda: state(dies) == "gone", "time to live", SECONDS_MAX)
    until(lambda: state(deletes) == "gone", "auto-delete of a stopped sandbox", SECONDS_MAX)
    assert state(stays) == "started"


def test_work_keeps_a_sandbox_awake(client, sandboxes):
    """Activity every few seconds pushes the deadline; a twin without activity falls asleep."""
    twin = sandboxes.create(auto_stop_interval=1)
    busy = sandboxes.create(auto_stop_interval=1)

    def twin_stopped() -> bool:
        busy.process.exec("sleep 2")
        return state_of(client.get(twin.id)) == "stopped"

    until(twin_stopped, "the twin stops", SECONDS_MAX)
    assert state_of(client.get(busy.id)) == "started"
