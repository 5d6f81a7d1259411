"""Fixtures: the server under test, the SDK, and sandboxes that are deleted whatever happens.

The server is named by the environment (`DAYTONA_API_URL`, `DAYTONA_API_KEY`); `cargo xtask
conformance` starts one. Next: `support/sdk.py` for what differs between releases.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import results
from support import sdk as sdks
from support.http import Api

WIRE = "raw HTTP"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sdk-mode", choices=sdks.MODES, default="sync", help="client mode under test")
    parser.addoption("--results", help="write one JSON line per test to this file")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LOG] = results.ResultLog(config.getoption("--results"))
    config.stash[SDK] = sdks.Sdk(
        config.getoption("--sdk-mode"),
        required("DAYTONA_API_URL"),
        required("DAYTONA_API_KEY"),
    )


LOG = pytest.StashKey[results.ResultLog]()
SDK = pytest.StashKey[sdks.Sdk]()


def required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise pytest.UsageError(f"{name} is not set: run `cargo xtask conformance`, which starts a server")
    return value


def pytest_unconfigure(config: pytest.Config) -> None:
    # A run without a server ends before these exist.
    for key in (SDK, LOG):
        if key in config.stash:
            config.stash[key].close()


def pytest_report_header(config: pytest.Config) -> str:
    return f"client: {config.stash[SDK].label}; server: {config.stash[SDK].api_url}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what this release or mode does not have; that is not a skip, it does not apply."""
    sdk = config.stash[SDK]
    kept, left_out = [], []
    for item in items:
        lacks = [mark.args[0] for mark in item.iter_markers("needs") if not sdk.has(mark.args[0])]
        modes = [mark.args[0] for mark in item.iter_markers("mode")]
        applies = not lacks and (not modes or sdk.mode in modes)
        (kept if applies else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    # Nothing of a selection may apply to this release. `cargo xtask` fails when none of them ran any.
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and session.testscollected == 0 and chose(session.config):
        session.exitstatus = pytest.ExitCode.OK


def chose(config: pytest.Config) -> bool:
    """Whether the run is of a part: by word, or by path."""
    return bool(config.option.keyword or config.option.markexpr or config.args_source is config.ArgsSource.ARGS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    # A test is one line: its call, or the phase around it that went wrong.
    if report.when == "call" or report.outcome != "passed":
        write_result(item, report)
    return report


def write_result(item: pytest.Item, report: pytest.TestReport) -> None:
    kind = item.path.parent.name
    client = WIRE if kind == "wire" else item.config.stash[SDK].label
    area = item.path.stem.removeprefix("test_").replace("_", " ")
    detail = "" if report.outcome == "passed" else str(report.longrepr)
    item.config.stash[LOG].add(client, area, item.name, report.outcome, report.duration, detail)


@pytest.fixture(scope="session")
def sdk(request: pytest.FixtureRequest) -> sdks.Sdk:
    return request.config.stash[SDK]


@pytest.fixture(scope="session")
def client(sdk: sdks.Sdk) -> Any:
    return sdk.client()


@pytest.fixture(scope="session")
def api(sdk: sdks.Sdk) -> Iterator[Api]:
    """The API with the admin key, below the SDK."""
    api = Api(sdk.api_url, sdk.api_key)
    yield api
    api.close()


@pytest.fixture(scope="session")
def run_label() -> dict[str, str]:
    """Marks what this run made, so that lists see only their own."""
    return {"conformance-run": uuid.uuid4().hex}


@pytest.fixture(scope="session")
def unique() -> Callable[[str], str]:
    return lambda prefix: f"{prefix}-{uuid.uuid4().hex[:12]}"


class Sandboxes:
    """Creates sandboxes through the SDK and deletes what is left of them."""

    def __init__(self, client: Any, api: Api, labels: dict[str, str]) -> None:
        self._client = client
        self._api = api
        self._labels = labels
        self._made: list[str] = []

    def create(self, **params: Any) -> Any:
        import daytona

        known = set(daytona.CreateSandboxFromSnapshotParams.model_fields)
        assert set(params) <= known, f"this release has no {set(params) - known}; mark the test with needs"
        params["labels"] = {**self._labels, **params.get("labels", {})}
        sandbox = self._client.create(daytona.CreateSandboxFromSnapshotParams(**params))
        self._made.append(sandbox.id)
        return sandbox

    def close(self) -> None:
        for sandbox_id in self._made:
            answer = self._api("DELETE", f"/sandbox/{sandbox_id}")
            assert answer.status_code in (200, 404), f"delete {sandbox_id}: {answer.text}"


@pytest.fixture
def sandboxes(client: Any, api: Api, run_label: dict[str, str]) -> Iterator[Sandboxes]:
    made = Sandboxes(client, api, run_label)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sandbox(client: Any, api: Api, run_label: dict[str, str]) -> Iterator[Any]:
    """One running sandbox for the tests of a file that only look inside."""
    made = Sandboxes(client, api, run_label)
    yield made.create()
    made.close()


@pytest.fixture
def folder(sandbox: Any, unique: Callable[[str], str]) -> Iterator[str]:
    """A fresh folder in the shared sandbox."""
    path = f"/tmp/{unique('folder')}"
    sandbox.fs.create_folder(path, "755")
    yield path
    sandbox.fs.delete_file(path, True)


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """A folder on this machine."""
    return tmp_path
