"""The result log that the harness reads: one JSON object per line and test."""

import json
from pathlib import Path
from typing import IO


class ResultLog:
    """Appends outcomes to a file; a run without a file only prints as pytest does."""

    def __init__(self, path: str | None) -> None:
        self._file: IO[str] | None = None
        if path:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "w", encoding="utf-8")

    def add(self, client: str, area: str, test: str, outcome: str, seconds: float, detail: str) -> None:
        if self._file is None:
            return
        record = {
            "client": client,
            "area": area,
            "test": test,
            "outcome": outcome,
            "seconds": round(seconds, 3),
            "detail": detail[-4000:],
        }
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
