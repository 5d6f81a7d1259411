"""`sebring down` gives the host back everything; `sebring up` finds the sandboxes again."""

import os
import signal

from support.wait import until


def expect_stopped(client, sandboxes, labels):
    # Until the runner has told the server what it found, the last known state is shown.
    wanted = dict.fromkeys(sandboxes, "stopped")
    until(lambda: {one["id"]: one["state"] for one in client.all(**labels)} == wanted, "all are stopped")


def test_down_leaves_nothing_and_up_finds_every_sandbox_with_its_files(clean, client, host, installation):
    running, stopped = client.create(labels=clean), client.create(labels=clean)
    for one in (running, stopped):
        client.run(one, "mkdir -p ~/kept && echo kept > ~/kept/file && sync")
    assert client("POST", f"/sandbox/{stopped}/stop").status_code == 200
    installation.down()
    host.expect_nothing()
    installation.down()
    host.expect_nothing()
    installation.up()
    expect_stopped(client, [running, stopped], clean)
    for one in (running, stopped):
        answer = client("POST", f"/sandbox/{one}/start")
        assert answer.status_code == 200, answer.text
        assert client.run(one, "cat ~/kept/file") == "kept\n"


def test_down_after_every_process_was_killed_leaves_nothing(clean, client, host, installation):
    sandbox = client.create(labels=clean)
    client.run(sandbox, "sleep 100000 >/dev/null 2>&1 &")
    for role in ["supervisor", "runner", "spawner", "server"]:
        pid = installation.find(role)
        if pid:
            os.kill(pid, signal.SIGKILL)
    installation.down()
    host.expect_nothing()
    installation.up()
    expect_stopped(client, [sandbox], clean)
