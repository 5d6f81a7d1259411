"""Fixtures of the wire tests: sandboxes made by bare requests, and their toolbox."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.http import Api


class Maker:
    def __init__(self, api: Api) -> None:
        self._api = api
        self._made: list[str] = []

    def __call__(self, **body: Any) -> dict[str, Any]:
        answer = self._api("POST", "/sandbox", json=body)
        assert answer.status_code == 200, answer.text
        sandbox = answer.json()
        self._made.append(sandbox["id"])
        return sandbox

    def close(self) -> None:
        for sandbox_id in self._made:
            self._api("DELETE", f"/sandbox/{sandbox_id}")


@pytest.fixture
def make(api: Api) -> Iterator[Maker]:
    maker = Maker(api)
    yield maker
    maker.close()


@pytest.fixture(scope="module")
def shared(api: Api) -> Iterator[dict[str, Any]]:
    """A running sandbox for tests that only read it."""
    maker = Maker(api)
    yield maker()
    maker.close()


@pytest.fixture
def path(shared: dict[str, Any]) -> str:
    return f"/sandbox/{shared['id']}"


@pytest.fixture(scope="module")
def toolbox(shared: dict[str, Any], sdk: Any) -> Iterator[httpx.Client]:
    """The toolbox of the shared sandbox as an SDK reaches it, without SDK headers."""
    base = f"{shared['toolboxProxyUrl'].rstrip('/')}/{shared['id']}"
    headers = {"Authorization": f"Bearer {sdk.api_key}"}
    with httpx.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as client:
        yield client
