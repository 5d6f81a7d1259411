"""Git below the SDK: exact statuses and bodies, and a repository larger than memory."""

import httpx
import pytest

from support import git_server
from support.wait import until

# Of files that do not compress; the largest is a quarter of the sandbox's memory.
LARGE = """
set -e
git init -q -b main ~/served/large
cd ~/served/large
git config core.compression 0
git config core.bigFileThreshold 10m
for n in $(seq 1 72); do head -c 25M /dev/urandom > part-$n; done
head -c 248M /dev/urandom > large
git add .
git -c user.name=a -c user.email=a@b commit -q -m large
rm part-* large
"""
LARGE_BYTES = (72 * 25 + 248) << 20


def run(toolbox, command: str, timeout: float = 30) -> str:
    answer = toolbox.post("/process/execute", json={"command": command}, timeout=timeout)
    assert (answer.status_code, answer.json()["exitCode"]) == (200, 0), answer.text
    return answer.json()["result"].strip()


@pytest.fixture
def repo(toolbox, unique) -> str:
    path = f"/tmp/{unique('repo')}"
    answer = toolbox.post("/git/init", json={"path": path, "initial_branch": "main"})
    assert (answer.status_code, answer.content) == (201, b"")
    return path


def test_each_change_answers_its_status_without_a_body(toolbox, repo):
    run(toolbox, f"echo x > {repo}/a")
    author = {"author": "A", "email": "a@example.org"}
    for method, route, body, status in [
        ("POST", "add", {"files": ["."]}, 200),
        ("POST", "commit", {"message": "one", **author}, 200),
        ("POST", "branches", {"name": "topic"}, 201),
        ("POST", "checkout", {"branch": "main"}, 200),
        ("DELETE", "branches", {"name": "topic"}, 204),
        ("POST", "reset", {"mode": "hard"}, 200),
        ("POST", "restore", {"files": ["a"]}, 200),
        ("POST", "remotes", {"name": "origin", "url": "https://example.org/x"}, 201),
        ("POST", "config", {"key": "a.b", "value": "c", "scope": "local"}, 200),
        ("POST", "config/user", {"name": "A", "email": "a@b", "scope": "local"}, 200),
    ]:
        answer = toolbox.request(method, f"/git/{route}", json={"path": repo, **body})
        assert answer.status_code == status, f"{route}: {answer.text}"
        assert (route == "commit") == bool(answer.content)


def test_lists_are_never_null_and_an_unset_value_is(toolbox, repo):
    get = lambda route, **q: toolbox.get(f"/git/{route}", params={"path": repo, **q}).json()  # noqa: E731
    assert get("branches") == {"branches": [], "current": "main"}
    assert get("history") == []
    assert get("remotes") == {"remotes": []}
    assert get("status")["fileStatus"] == []
    assert get("config", key="a.b", scope="local") == {"value": None}


def test_history_is_newest_first(toolbox, repo):
    for message in ("one", "two\n\nwith a body"):
        body = {"path": repo, "message": message, "author": "Ada", "email": "ada@b", "allow_empty": True}
        assert toolbox.post("/git/commit", json=body).status_code == 200
    newest, oldest = toolbox.get("/git/history", params={"path": repo}).json()
    assert set(newest) == {"hash", "author", "email", "message", "timestamp"}
    assert (newest["message"], oldest["message"]) == ("two\n\nwith a body", "one")


@pytest.mark.parametrize(
    ("route", "body", "status", "code"),
    [
        ("checkout", {"branch": "nope"}, 404, "GIT_BRANCH_NOT_FOUND"),
        ("commit", {"message": "m", "author": "A", "email": "a@b"}, 409, "CONFLICT"),
        ("add", {"files": ["absent"]}, 400, "BAD_REQUEST"),
        ("push", {}, 404, "GIT_REPO_NOT_FOUND"),
        ("remotes", {"name": "x", "url": "ext::sh -c id"}, 400, "BAD_REQUEST"),
        ("checkout", {"branch": "--orphan=x"}, 400, "INVALID_REQUEST_BODY"),
        ("checkout", {}, 400, "INVALID_REQUEST_BODY"),
    ],
)
def test_a_refusal_has_the_code_of_the_contract(toolbox, repo, route, body, status, code):
    answer = toolbox.post(f"/git/{route}", json={"path": repo, **body})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json()["source"] == "DAYTONA_DAEMON"


@pytest.fixture
def roomy(api, make, sdk):
    """The toolbox of a sandbox with one gigabyte of memory and ten of disk."""
    sandbox = make()
    path = f"/sandbox/{sandbox['id']}"
    state = lambda: api("GET", path).json()["state"]  # noqa: E731
    for action, body, wanted in [("stop", None, "stopped"), ("resize", {"disk": 10}, "stopped"),
                                 ("start", None, "started")]:  # fmt: skip
        answer = api("POST", f"{path}/{action}", json=body)
        assert answer.status_code == 200, answer.text
        until(lambda wanted=wanted: state() == wanted, f"{action} leads to {wanted}", 30)
    assert api("GET", path).json()["memory"] == 1
    headers = {"Authorization": f"Bearer {sdk.api_key}"}
    base = f"{sandbox['toolboxProxyUrl'].rstrip('/')}/{sandbox['id']}"
    with httpx.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as client:
        yield client


@pytest.mark.timeout(600)
def test_a_repository_of_two_gigabytes_is_cloned_within_one_of_memory(roomy):
    with open(git_server.__file__, "rb") as file:
        answer = roomy.post("/files/upload", params={"path": "/tmp/git_server.py"}, files={"file": file})
    assert answer.status_code == 200, answer.text
    run(roomy, LARGE, timeout=240)
    run(roomy, "nohup python3 /tmp/git_server.py ~/served > /tmp/port 2>/dev/null &")
    port = until(lambda: run(roomy, "cat /tmp/port"), "the git server names its port")
    request = {"url": f"http://127.0.0.1:{port}/open/large/.git", "path": "clone"}
    answer = roomy.post("/git/clone", json=request, timeout=240)
    assert answer.status_code == 200, answer.text
    size = run(roomy, "cat clone/part-* clone/large | wc -c", timeout=120)
    assert int(size) == LARGE_BYTES
    status = roomy.get("/git/status", params={"path": "clone"}, timeout=120)
    assert status.json()["fileStatus"] == []
