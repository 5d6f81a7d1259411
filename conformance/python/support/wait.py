"""Waiting on a level, with a bound: the only way a test here may wait."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Between looks. Short enough to be unnoticed, long enough not to load the server.
LOOK_SECONDS = 0.05


def until(look: Callable[[], T], what: str, seconds: float = 10, between: float = LOOK_SECONDS) -> T:
    """Looks until the answer is truthy and returns it; fails with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        seen = look()
        if seen:
            return seen
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what}; last seen: {seen!r}")
        time.sleep(between)
