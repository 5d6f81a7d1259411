"""What a program does with Sebring, by plain HTTP: create, look, execute, delete.

Must not: retry by itself. A test decides which failures it can take.
"""

import json
import threading
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx
from support.wait import until

from rig.installation import Installation

TIMEOUT_SECONDS = 60
# Requests at one time: a burst, yet fewer than connections that a server may refuse.
TOGETHER = 40
In = TypeVar("In")
Out = TypeVar("Out")
SETTLED = {"started", "stopped", "error", "destroyed"}


class Client:
    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.label = uuid.uuid4().hex[:12]
        self._local = threading.local()

    @property
    def http(self) -> httpx.Client:
        """One per thread, and a connection per request: none outlives a server that is killed."""
        if not hasattr(self._local, "http"):
            limits = httpx.Limits(max_keepalive_connections=0)
            # There is no TLS here; loading certificates takes longer than most requests.
            self._local.http = httpx.Client(
                timeout=TIMEOUT_SECONDS, trust_env=False, limits=limits, verify=False
            )
        return self._local.http

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._installation.api_key}"}

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = self._installation.api_url + path
        return self.http.request(method, url, headers=self.headers, **options)

    def try_create(self, **body: Any) -> httpx.Response:
        body.setdefault("name", f"r-{uuid.uuid4().hex[:12]}")
        labels = {"resilience": self.label, **body.pop("labels", {})}
        return self("POST", "/sandbox", json={"labels": labels, **body})

    def create(self, **body: Any) -> str:
        answer = self.try_create(**body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["state"] == "started", answer.text
        return answer.json()["id"]

    def sandbox(self, sandbox: str) -> dict[str, Any]:
        answer = self("GET", f"/sandbox/{sandbox}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def state(self, sandbox: str) -> str:
        return self.sandbox(sandbox)["state"]

    def all(self, **labels: str) -> list[dict[str, Any]]:
        """Every sandbox of this run, or those of it with these labels."""
        wanted = json.dumps({"resilience": self.label, **labels})
        found: list[dict[str, Any]] = []
        cursor = None
        while True:
            query = {"labels": wanted, "limit": "100", **({"cursor": cursor} if cursor else {})}
            answer = self("GET", "/sandbox", params=query)
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            cursor = answer.json().get("nextCursor")
            if not cursor:
                return found

    def settled(self, seconds: float = 30, **labels: str) -> list[dict[str, Any]]:
        """As `all`, once nothing is in between any more."""

        def look() -> list[dict[str, Any]] | None:
            found = self.all(**labels)
            return None if {one["state"] for one in found} - SETTLED else [*found, {}]

        return until(look, "every sandbox settles", seconds)[:-1]

    def toolbox(self, sandbox: str, path: str) -> str:
        return self._installation.api_url.removesuffix("/api") + f"/toolbox/{sandbox}{path}"

    def execute(self, sandbox: str, command: str, **fields: Any) -> httpx.Response:
        body = {"command": command, **fields}
        url = self.toolbox(sandbox, "/process/execute")
        return self.http.post(url, json=body, headers=self.headers)

    def run(self, sandbox: str, command: str, **fields: Any) -> str:
        """What a command that must succeed prints."""
        answer = self.execute(sandbox, command, **fields)
        assert answer.status_code == 200, f"{sandbox}: {answer.text[-2000:]}"
        assert answer.json()["exitCode"] == 0, f"{sandbox}: {answer.text[-2000:]}"
        return answer.json()["result"]

    def delete(self, sandbox: str) -> None:
        answer = self("DELETE", f"/sandbox/{sandbox}")
        assert answer.status_code == 200, answer.text
        until(lambda: self("GET", f"/sandbox/{sandbox}").status_code == 404, f"{sandbox} is gone")

    def delete_all(self, **labels: str) -> None:
        together(self.delete, [one["id"] for one in self.all(**labels)])


def together(work: Callable[[In], Out], each: Iterable[In]) -> list[Out]:
    """Does all of it at the same time, as far as the bound allows, and answers in order."""
    with ThreadPoolExecutor(TOGETHER) as pool:
        return list(pool.map(work, each))
