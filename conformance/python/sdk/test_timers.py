"""Deadlines: the smallest interval is a minute, so all of them run side by side."""

import pytest

from support.sdk import NotFound, state_of
from support.wait import until

# A minute, and what a timer may be late on a loaded host.
SECONDS_MAX = 100

pytestmark = [pytest.mark.mode("sync"), pytest.mark.needs("Sandbox.set_ttl"), pytest.mark.timeout(3 * SECONDS_MAX)]


def test_intervals_of_one_minute_take_effect_unless_there_is_activity(client, sandboxes):
    stops = sandboxes.create(auto_stop_interval=1)
    vanishes = sandboxes.create(auto_stop_interval=1, ephemeral=True)
    dies = sandboxes.create(auto_stop_interval=0, ttl_minutes=1)
    deletes = sandboxes.create(auto_delete_interval=1)
    deletes.stop()
    stays = sandboxes.create(auto_stop_interval=0)
    busy = sandboxes.create(auto_stop_interval=1)

    def reaches(sandbox, wanted: str, by: str) -> None:
        def look() -> bool:
            busy.process.exec("sleep 1")
            return state(sandbox) == wanted

        until(look, f"{wanted} by {by}", SECONDS_MAX)

    def state(sandbox) -> str:
        try:
            return state_of(client.get(sandbox.id))
        except NotFound:
            return "gone"

    reaches(stops, "stopped", "auto-stop")
    reaches(vanishes, "gone", "auto-stop of an ephemeral sandbox")
    reaches(dies, "gone", "its time to live")
    reaches(deletes, "gone", "auto-delete")
    assert state(stays) == "started", "zero means never"
    assert state(busy) == "started", "each command pushed the deadline"
