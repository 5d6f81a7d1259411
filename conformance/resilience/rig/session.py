"""One session of a sandbox, by plain HTTP. Must not: retry."""

import uuid
from typing import Any

import httpx
from support.wait import until

from rig.client import Client

# Clients of this age are given both streams apart.
VERSION = {"X-Daytona-SDK-Version": "0.226.1"}


class Session:
    def __init__(self, client: Client, sandbox: str) -> None:
        self.client, self.sandbox = client, sandbox
        self.name = uuid.uuid4().hex
        answer = self.request("POST", "", json={"sessionId": self.name})
        assert answer.status_code == 201, answer.text

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = self.client.toolbox(self.sandbox, f"/process/session{path}")
        return self.client.http.request(method, url, headers=self.client.headers | VERSION, **options)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        answer = self.request("DELETE", f"/{self.name}")
        assert answer.status_code == 204, answer.text

    def try_run(self, command: str, **fields: Any) -> httpx.Response:
        return self.request("POST", f"/{self.name}/exec", json={"command": command, **fields})

    def run(self, command: str) -> dict[str, Any]:
        answer = self.try_run(command)
        assert answer.status_code == 200, answer.text[-2000:]
        return answer.json()

    def stdout(self, command: str) -> str:
        """What a command that must succeed prints."""
        answer = self.run(command)
        assert answer["exitCode"] == 0, str(answer)[-2000:]
        return answer["stdout"]

    def start(self, command: str) -> str:
        answer = self.try_run(command, runAsync=True)
        assert answer.status_code == 202, answer.text
        return answer.json()["cmdId"]

    def command(self, command: str) -> dict[str, Any]:
        answer = self.request("GET", f"/{self.name}/command/{command}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def logs(self, command: str) -> dict[str, str]:
        answer = self.request("GET", f"/{self.name}/command/{command}/logs")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def input(self, command: str, data: str) -> None:
        answer = self.request("POST", f"/{self.name}/command/{command}/input", json={"data": data})
        assert answer.status_code == 204, answer.text

    def wait(self, command: str, seconds: float = 60) -> int:
        until(lambda: "exitCode" in self.command(command), "the command has ended", seconds)
        return self.command(command)["exitCode"]
