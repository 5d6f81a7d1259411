"""Each process of ours is killed while 100 sandboxes run something. None of them may notice."""

import time

import pytest
from rig.client import together
from rig.installation import ROLES

FLEET = 100
# Says the same as long as the process that was started first is still that process.
START = "nohup sleep 100000 >/dev/null 2>&1 & echo $! > /tmp/pid; cut -d' ' -f22 /proc/$!/stat > /tmp/born"
SAME = "pid=$(cat /tmp/pid); test \"$(cut -d' ' -f22 /proc/$pid/stat)\" = \"$(cat /tmp/born)\" && echo $pid"


@pytest.fixture(scope="module")
def fleet(client, host):
    before = host.sandboxes()
    made = together(lambda _: client.create(labels={"test": "fleet"}), range(FLEET))
    together(lambda one: client.run(one, START), made)
    yield {one: client.run(one, SAME) for one in made}
    client.delete_all(test="fleet")
    host.expect_no_more_than(before)


@pytest.mark.parametrize("role", ROLES)
def test_no_sandbox_notices_the_death_of(role, fleet, installation, client, figure):
    began = time.monotonic()
    installation.kill(role)
    back = time.monotonic() - began
    listed = client.settled(test="fleet")
    adopted = time.monotonic() - began
    seen = dict(zip(fleet, together(lambda one: client.run(one, SAME), fleet), strict=True))
    reached = time.monotonic() - began
    figure(
        f"kill -9 {role}, {FLEET} running: process back after {back:.2f} s, "
        f"all listed after {adopted:.2f} s, a command run in each after {reached:.2f} s"
    )
    assert {one["id"] for one in listed} == set(fleet), "none lost, none twice"
    assert {one["state"] for one in listed} == {"started"}
    assert seen == fleet, "every process is still the same"
    new = client.create(labels={"test": "new"})
    assert client.run(new, "echo works") == "works\n"
    client.delete(new)


def test_two_deaths_at_once_are_survived_too(fleet, installation, client):
    runner = installation.pid("runner")
    installation.kill("server")
    installation.kill("runner")
    assert installation.pid("runner") != runner
    assert together(lambda one: client.run(one, SAME), fleet) == list(fleet.values())
