"""Each process of ours is killed in the middle of a burst of creates, and of running commands.

What was answered with 200 exists exactly once and runs; what was not exists once or not at all;
nothing is left in between, and nothing is left over.
"""

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from rig.client import together
from rig.installation import ROLES
from support.wait import until

BURST = 40
# Answers after which the kill comes, so that it meets creates in every phase.
KILL_AFTER = [0, 6]


@pytest.mark.parametrize("after", KILL_AFTER)
@pytest.mark.parametrize("role", ROLES)
def test_creates_are_whole_or_absent_after_the_death_of(role, after, clean, client, installation):
    answered = threading.Semaphore(0)

    def create(name: str) -> httpx.Response | None:
        try:
            return client.try_create(name=name, labels=clean)
        except httpx.HTTPError:
            return None
        finally:
            answered.release()

    asked = [f"r-{uuid.uuid4().hex[:12]}" for _ in range(BURST)]
    with ThreadPoolExecutor(BURST) as pool:
        creates = [pool.submit(create, name) for name in asked]
        for _ in range(after):
            answered.acquire()
        installation.kill(role)
        answers = dict(zip(asked, [one.result() for one in creates], strict=True))
    acknowledged = {name for name, answer in answers.items() if answer and answer.status_code == 200}
    listed = client.settled(**clean)
    names = [one["name"] for one in listed]
    assert len(names) == len(set(names)), "none twice"
    assert acknowledged <= set(names), "none lost"
    assert set(names) <= set(asked)
    states = {one["name"]: one["state"] for one in listed}
    assert {states[name] for name in acknowledged} <= {"started"}, states
    running = [one["id"] for one in listed if one["state"] == "started"]
    assert together(lambda one: client.run(one, "echo works"), running) == ["works\n"] * len(running)
    if role in ("runner", "spawner"):
        refused = {name: answer.text if answer else None for name, answer in answers.items()
                   if name not in acknowledged}  # fmt: skip
        assert not refused, "the server was there all the time and can wait for the host"
    new = client.create(labels=clean)
    assert client.run(new, "echo works") == "works\n"


# Waits until another command opens the gate.
GATED = "mkfifo /tmp/gate; echo begun > /tmp/mark; read word < /tmp/gate; echo $word"


@pytest.mark.parametrize("role", ["runner", "spawner"])
def test_a_command_ends_as_if_nothing_had_happened_after_the_death_of(role, clean, client, installation):
    sandbox = client.create(labels=clean)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.run, sandbox, GATED)
        until(lambda: client.execute(sandbox, "cat /tmp/mark").json()["exitCode"] == 0, "it has begun")
        installation.kill(role)
        client.run(sandbox, "echo opened > /tmp/gate")
        assert running.result() == "opened\n"


@pytest.mark.parametrize("role", ["server", "supervisor"])
def test_a_command_whose_caller_was_cut_off_leaves_no_process_after_the_death_of(
    role, clean, client, host, installation
):
    sandbox = client.create(labels=clean)
    alone = set(host.processes_of(sandbox))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.execute, sandbox, GATED)
        until(lambda: set(host.processes_of(sandbox)) - alone, "it has begun")
        installation.kill(role)
        assert isinstance(running.exception(), httpx.HTTPError)
    until(lambda: set(host.processes_of(sandbox)) <= alone, "its processes end")
    assert client.run(sandbox, "echo works") == "works\n"
