"""Lets tests written for the sync SDK drive the async one.

The async package is used as published, on an event loop of its own thread; this proxy awaits
what it returns. Must not: change arguments or results, or retry anything.
"""

import asyncio
import inspect
import threading
from collections.abc import Iterator
from typing import Any

# Objects of these packages have async methods, so they are wrapped; plain models are not.
ASYNC_PACKAGES = ("daytona._async", "daytona.handle")

# Longer than any call a test makes; a hang becomes a failure that names the call.
CALL_SECONDS_MAX = 180


class Loop:
    """An event loop on its own thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sdk-loop", daemon=True)
        self._thread.start()

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls `function` on the loop's thread and awaits its result if it is awaitable."""

        async def run() -> Any:
            result = function(*args, **kwargs)
            return await result if inspect.isawaitable(result) else result

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(CALL_SECONDS_MAX)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)


class Blocking:
    """A sync face of one object of the async SDK."""

    def __init__(self, target: Any, loop: Loop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not callable(value):
            return wrap(value, self._loop)

        def method(*args: Any, **kwargs: Any) -> Any:
            plain = [unwrap(argument) for argument in args]
            named = {key: unwrap(argument) for key, argument in kwargs.items()}
            return wrap(self._loop.call(value, *plain, **named), self._loop)

        return method

    def __repr__(self) -> str:
        return f"Blocking({self._target!r})"


def wrap(value: Any, loop: Loop) -> Any:
    if isinstance(value, list):
        return [wrap(item, loop) for item in value]
    if hasattr(value, "__anext__"):
        return _drain(value, loop)
    if type(value).__module__.startswith(ASYNC_PACKAGES):
        return Blocking(value, loop)
    return value


def unwrap(value: Any) -> Any:
    return value._target if isinstance(value, Blocking) else value


def _drain(iterator: Any, loop: Loop) -> Iterator[Any]:
    while True:
        try:
            yield wrap(loop.call(iterator.__anext__), loop)
        except StopAsyncIteration:
            return
