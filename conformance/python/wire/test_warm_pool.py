"""A sandbox that was brought up ahead of need is the one that was asked for, in every respect."""

import json
from typing import Any

import pytest

from support.wait import until

# The phase in `Server-Timing` that only a sandbox has which was ready before it was asked for.
CLAIMED = "runner-claim"
# The server makes the next one when nothing else is going on.
BETWEEN_SECONDS = 0.4
# Whoever names a user, whichever it is, gets a sandbox that was started for this request.
COLD = {"user": "daytona"}


@pytest.fixture
def create(api):
    """Creates, and says whether it was ready before."""
    made = []

    def create(**body: Any) -> tuple[dict[str, Any], bool]:
        answer = api("POST", "/sandbox", json=body)
        assert answer.status_code == 200, answer.text
        made.append(answer.json()["id"])
        return answer.json(), CLAIMED in answer.headers["server-timing"]

    yield create
    for sandbox_id in made:
        assert api("DELETE", f"/sandbox/{sandbox_id}").status_code == 200


@pytest.fixture
def create_warm(create):
    def create_warm(**body: Any) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            sandbox, claimed = create(**body)
            return sandbox if claimed else None

        return until(look, "a sandbox was ready before it was asked for", 30, BETWEEN_SECONDS)

    return create_warm


@pytest.fixture
def run(api):
    def run(sandbox: dict[str, Any], route: str, **body: Any) -> str:
        url = f"{sandbox['toolboxProxyUrl'].rstrip('/')}/{sandbox['id']}{route}"
        answer = api.client.post(url, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["exitCode"] == 0, answer.text
        return answer.json()["result"]

    return run


def test_its_variables_and_processes_are_those_of_a_sandbox_that_was_not(create, create_warm, run):
    given = {"env": {"GREETING": "hello", "HOME": "/tmp"}}
    cold, claimed = create(**given, **COLD)
    assert not claimed
    warm = create_warm(**given)

    def seen(sandbox: dict[str, Any]) -> dict[str, Any]:
        source = "import os, json; print(json.dumps(dict(os.environ)))"
        code = run(sandbox, "/process/code-run", code=source, language="python")
        return {
            "execute": without(sandbox, run(sandbox, "/process/execute", command="env | sort")),
            "code-run": json.loads(without(sandbox, code)),
            "name": without(sandbox, run(sandbox, "/process/execute", command="hostname")),
            "processes": run(sandbox, "/process/execute", command="ps -e -o comm= | sort"),
            "files": run(sandbox, "/process/execute", command="sudo ls -A / /tmp /home/daytona /root"),
            "user": run(sandbox, "/process/execute", command="id; pwd; umask; ulimit -a"),
        }

    shown = seen(warm)
    assert shown == seen(cold)
    assert "GREETING=hello\n" in shown["execute"]
    assert "DAYTONA_SANDBOX_ID=<id>\n" in shown["execute"]
    assert shown["name"] == "<id>\n"


def without(sandbox: dict[str, Any], text: str) -> str:
    return text.replace(sandbox["id"], "<id>")


def test_two_of_them_share_nothing(create_warm, run):
    one, two = create_warm(env={"ONLY": "one"}), create_warm()
    assert one["id"] != two["id"]
    run(one, "/process/execute", command="echo one > /tmp/mark")
    look = "echo ${ONLY-none}; cat /tmp/mark 2>/dev/null; cat /proc/sys/kernel/random/boot_id"
    of_one = run(one, "/process/execute", command=look).split()
    of_two = run(two, "/process/execute", command=look).split()
    assert (of_one[:2], of_two[:1]) == (["one", "one"], ["none"])
    assert of_one[-1] != of_two[-1] and len(of_two) == 2
