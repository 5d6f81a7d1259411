"""State changes reach the SDK over the event socket, without asking."""

import pytest

from support.sdk import state_of
from support.wait import until

pytestmark = [pytest.mark.needs("DaytonaConfig.use_deprecated_polling")]


@pytest.mark.mode("sync")
@pytest.mark.mode("async")
def test_an_object_follows_its_sandbox_without_asking(sdk, sandboxes):
    if not sdk.waits_by_events:
        pytest.fail("this mode opens the event socket")
    sandbox = sandboxes.create()
    other = sdk.client().get(sandbox.id)
    other.stop()
    until(lambda: state_of(sandbox) == "stopped", "the stop arrives as an event", seconds=5)
    other.start()
    until(lambda: state_of(sandbox) == "started", "the start arrives as an event", seconds=5)


@pytest.mark.mode("sync")
@pytest.mark.mode("async")
def test_a_delete_is_seen_as_destroyed(sdk, sandboxes):
    sandbox = sandboxes.create()
    sdk.client().get(sandbox.id).delete()
    until(lambda: state_of(sandbox) == "destroyed", "the delete arrives as an event", seconds=10)


def test_waits_end_in_every_mode(sandboxes):
    sandbox = sandboxes.create()
    sandbox.stop(timeout=20)
    sandbox.start(timeout=20)
    sandbox.delete(timeout=20, wait=True)
    assert state_of(sandbox) == "destroyed"
