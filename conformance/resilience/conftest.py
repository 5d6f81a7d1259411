"""Fixtures: an installation of its own that tests may kill, and figures to print at the end.

`cargo xtask resilience` names the executable (`SEBRING_BINARY`) and the folder of data
(`SEBRING_DATA_DIR`), which is kept between runs because the default snapshot takes a minute.
Next: `rig/installation.py` for the processes, `rig/host.py` for what they leave.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import results

from rig.client import Client
from rig.host import Host
from rig.installation import Installation

CLIENT = "resilience"
# Enough for each kind to be drawn, few enough for every run.
AT_RANDOM_SECONDS = 10
FIGURES = pytest.StashKey[list[str]]()
LOG = pytest.StashKey[results.ResultLog]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--results", help="write one JSON line per test to this file")
    parser.addoption("--minutes", type=float, help="how long to torment at random instead of seconds")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []
    config.stash[LOG] = results.ResultLog(config.getoption("--results"))


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[LOG].close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    # A test is one line: its call, or the phase around it that went wrong.
    if report.when == "call" or report.outcome != "passed":
        area = item.path.stem.removeprefix("test_").replace("_", " ")
        detail = "" if report.outcome == "passed" else str(report.longrepr)
        item.config.stash[LOG].add(CLIENT, area, item.name, report.outcome, report.duration, detail)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[FIGURES]:
        terminalreporter.section("measured, not asserted")
        for line in config.stash[FIGURES]:
            terminalreporter.write_line(line)


def required(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        raise pytest.UsageError(f"{name} is not set: run `cargo xtask resilience`")
    return value


@pytest.fixture(scope="session")
def installation() -> Iterator[Installation]:
    made = Installation(required("SEBRING_BINARY"), Path(required("SEBRING_DATA_DIR")))
    # What a run that was killed has left; without one this changes nothing.
    try:
        if (made.data_dir / "pool.img").exists():
            made.down()
        Host(made).expect_nothing()
        made.up()
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def host(installation: Installation) -> Host:
    return Host(installation)


@pytest.fixture(scope="session")
def client(installation: Installation) -> Client:
    client = Client(installation)
    # Sandboxes of a run that was killed are nobody's.
    for one in client("GET", "/sandbox/paginated", params={"limit": "200"}).json()["items"]:
        client.delete(one["id"])
    return client


@pytest.fixture(scope="session", autouse=True)
def clocks(client: Client) -> dict[str, str]:
    """Sandboxes whose timers run while everything else is tested."""
    from test_timers import set_clocks

    return set_clocks(client)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a measured figure at the end of the run."""
    return request.config.stash[FIGURES].append


@pytest.fixture
def seconds(request: pytest.FixtureRequest) -> float:
    """How long a test that goes on at random goes on."""
    minutes = request.config.getoption("--minutes")
    return AT_RANDOM_SECONDS if minutes is None else minutes * 60


@pytest.fixture
def clean(client: Client, host: Host) -> Iterator[dict[str, str]]:
    """Labels for the sandboxes of one test, which are deleted and must leave nothing."""
    import uuid

    labels = {"test": uuid.uuid4().hex[:12]}
    before = host.sandboxes()
    yield labels
    client.settled(**labels)
    client.delete_all(**labels)
    host.expect_no_more_than(before)
