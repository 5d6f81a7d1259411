"""The release of the Python SDK that is installed here, in one of its client modes.

Hides the few names that moved between releases, so that a test is written once. Must not: hide
behaviour; what a release does differently is a different test.
"""

import dataclasses
import importlib.metadata
import inspect
from typing import Any

import daytona
from daytona.common.errors import DaytonaNotFoundError as NotFound

from .blocking import Blocking, Loop

__all__ = ["MODES", "NotFound", "Sdk", "listed", "state_of", "terminals"]

MODES = ("sync", "async", "polling")


class Sdk:
    """One release in one mode; makes clients and answers what the release can do."""

    def __init__(self, mode: str, api_url: str, api_key: str) -> None:
        self.mode = mode
        self.version = importlib.metadata.version("daytona")
        self.api_url = api_url
        self.api_key = api_key
        self._loop = Loop() if mode == "async" else None
        self._clients: list[Any] = []

    @property
    def label(self) -> str:
        return f"daytona {self.version} {self.mode}"

    @property
    def waits_by_events(self) -> bool:
        """Whether this release opens the event socket in this mode."""
        return self.mode != "polling" and "use_deprecated_polling" in daytona.DaytonaConfig.model_fields

    def client(self, api_key: str | None = None, api_url: str | None = None) -> Any:
        options: dict[str, Any] = {
            "api_key": api_key or self.api_key,
            "api_url": api_url or self.api_url,
        }
        if self.mode == "polling":
            options["use_deprecated_polling"] = True
        config = daytona.DaytonaConfig(**options)
        if self._loop is None:
            client = daytona.Daytona(config)
        else:
            made = self._loop.call(lambda: daytona.AsyncDaytona(config))
            client = Blocking(made, self._loop)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            if self._loop is not None and hasattr(client, "close"):
                client.close()
        if self._loop is not None:
            self._loop.close()

    def has(self, path: str) -> bool:
        """Whether the release has `Sandbox.set_ttl`, `FileSystem.list_files(depth)` and so on."""
        name, _, parameter = path.rstrip(")").partition("(")
        value = self._resolve(name)
        if value is None:
            return False
        return not parameter or parameter in _parameters(value)

    def _resolve(self, name: str) -> Any:
        owner, *rest = name.split(".")
        value = getattr(daytona, owner, None) or _service_class(owner)
        for part in rest:
            fields = getattr(value, "model_fields", {})
            value = fields.get(part) or getattr(value, part, None)
        return value


def _parameters(value: Any) -> set[str]:
    if hasattr(value, "model_fields"):
        return set(value.model_fields)
    if dataclasses.is_dataclass(value):
        return {field.name for field in dataclasses.fields(value)}
    return set(inspect.signature(value).parameters)


def _service_class(name: str) -> Any:
    """Classes that the package does not export but hands out, such as `FileSystem`."""
    from daytona._sync import computer_use, filesystem, git, process, snapshot

    for module in (computer_use, filesystem, git, process, snapshot):
        if hasattr(module, name):
            return getattr(module, name)
    return None


def listed(client: Any, labels: dict[str, str]) -> list[Any]:
    """Every sandbox that carries `labels`, through whichever list call the release has."""
    if hasattr(daytona, "ListSandboxesQuery"):
        return list(client.list(daytona.ListSandboxesQuery(labels=labels)))
    return list(client.list(labels).items)


def terminals(process: Any) -> list[Any]:
    """Every terminal; the older release hands out the answer that holds the list."""
    found = process.list_pty_sessions()
    return getattr(found, "sessions", found)


def state_of(sandbox: Any) -> str:
    """The wire name of the state; releases differ in whether it is an enum."""
    return getattr(sandbox.state, "value", sandbox.state)
