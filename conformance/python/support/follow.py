"""Following a log through either client: both hand out a coroutine for it."""

import asyncio
import inspect
from typing import Any

# A log that is followed ends with its command, so no test waits longer than this.
SECONDS_MAX = 60


def follow(read: Any, *args: Any) -> tuple[str, str]:
    """What the two callbacks of `read` have heard when it returns."""
    heard: tuple[list[str], list[str]] = ([], [])
    answer = read(*args, heard[0].append, heard[1].append)
    if inspect.isawaitable(answer):

        async def run() -> None:
            await asyncio.wait_for(answer, SECONDS_MAX)

        asyncio.run(run())
    return "".join(heard[0]), "".join(heard[1])
