"""A PTY through either client: what it shows is collected as it comes.

The sync client hands out output to whoever waits, the async one to a callback; here both have a
`shown` that grows. Must not: hide what a handle returns.
"""

import threading
from collections.abc import Callable
from typing import Any

from .wait import until


class Terminal:
    def __init__(self, open_handle: Callable[..., Any], mode: str, *args: Any, **options: Any) -> None:
        self._shown = bytearray()
        self._result: Any = None
        self._reader: threading.Thread | None = None
        if mode == "async":
            self.handle = open_handle(*args, on_data=self._shown.extend, **options)
            return
        self.handle = open_handle(*args, **options)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        self._result = self.handle.wait(on_data=self._shown.extend)

    @property
    def shown(self) -> str:
        return bytes(self._shown).decode(errors="replace")

    def type(self, text: str) -> None:
        self.handle.send_input(text)

    def until_shown(self, text: str, seconds: float = 10) -> str:
        until(lambda: text in self.shown, f"the terminal shows {text!r}", seconds)
        return self.shown

    def wait(self) -> Any:
        """The result, once the shell has ended."""
        if self._reader is None:
            return self.handle.wait()
        self._reader.join(timeout=30)
        assert not self._reader.is_alive(), "the terminal has not ended"
        return self._result

    def leave(self) -> None:
        """Closes the connection, which ends nothing else."""
        self.handle.disconnect()
