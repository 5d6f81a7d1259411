"""Git in a sandbox through the SDK, against a git server in the same sandbox."""

from dataclasses import dataclass
from typing import Any

import daytona
import pytest
from daytona.common.errors import DaytonaError

from support import git_server
from support.wait import until

AUTHOR = {"author": "Ada Löve", "email": "ada@example.org"}

SEED = """
set -e
cd {folder}
git init -q --bare -b main {name}.git
git -C {name}.git config http.receivepack true
git init -q -b main {name}
cd {name}
git config user.name Server
git config user.email server@example.org
echo hello > README.md
git add README.md
git commit -q -m first
git push -q ../{name}.git main
git checkout -q -b feature
echo feature > feature.txt
git add feature.txt
git commit -q -m second
git push -q ../{name}.git feature
git checkout -q main
"""


@dataclass
class Origin:
    """A repository on the server: `main` with one commit, `feature` with one more."""

    sandbox: Any
    folder: str
    url: str
    private_url: str

    def git(self, command: str) -> str:
        return self._in("origin", command)

    def clone(self, **options: Any) -> str:
        path = f"{self.folder}/clone"
        self.sandbox.git.clone(self.url, path, **options)
        return path

    def advance(self, name: str) -> None:
        """Somebody else's commit on `main`."""
        self.git(f"pull -q --rebase {self.folder}/origin.git main")
        self.git(f"commit -q --allow-empty -m {name}")
        self.git(f"push -q {self.folder}/origin.git main")

    def _in(self, path: str, command: str) -> str:
        return run(self.sandbox, f"git -C {self.folder}/{path} {command}")


def run(sandbox, command: str) -> str:
    answer = sandbox.process.exec(command)
    assert answer.exit_code == 0, f"{command}: {answer.result}"
    return answer.result.strip()


@pytest.fixture(scope="module")
def server(sandbox) -> str:
    """The base URL, in the sandbox, of a git server for `/tmp`."""
    with open(git_server.__file__, "rb") as file:
        sandbox.fs.upload_file(file.read(), "/tmp/git_server.py")
    run(sandbox, "nohup python3 /tmp/git_server.py /tmp > /tmp/git_server.port 2>/tmp/git_server.log &")
    port = until(lambda: run(sandbox, "cat /tmp/git_server.port"), "the git server names its port")
    return f"http://127.0.0.1:{port}"


@pytest.fixture
def origin(sandbox, folder, server) -> Origin:
    run(sandbox, SEED.format(folder=folder, name="origin"))
    name = folder.removeprefix("/tmp/")
    return Origin(sandbox, folder, f"{server}/open/{name}/origin.git", f"{server}/private/{name}/origin.git")


def commit(sandbox, path: str, name: str, content: str = "x\n", **options: Any) -> str:
    sandbox.fs.upload_file(content.encode(), f"{path}/{name}")
    sandbox.git.add(path, [name])
    return sandbox.git.commit(path=path, message=f"write {name}", **AUTHOR, **options).sha


def files_of(status) -> dict[str, tuple[str, str]]:
    value = lambda state: getattr(state, "value", state)  # noqa: E731
    return {file.name: (value(file.staging), value(file.worktree)) for file in status.file_status}


def refused(name: str):
    """The class that newer releases have for this refusal; older ones have one for all."""
    return pytest.raises(getattr(daytona, name, DaytonaError))


def test_a_clone_is_changed_committed_and_pushed(sandbox, origin):
    path = origin.clone()
    assert sandbox.fs.download_file(f"{path}/README.md") == b"hello\n"
    hash_ = commit(sandbox, path, "new.txt")
    assert len(hash_) == 40
    assert sandbox.git.status(path).ahead == 1
    sandbox.git.push(path)
    assert sandbox.git.status(path).ahead == 0
    assert run(sandbox, f"git -C {origin.folder}/origin.git rev-parse main") == hash_
    assert run(sandbox, f"git -C {path} log -1 --format='%an <%ae> %s'") == "Ada Löve <ada@example.org> write new.txt"


def test_a_fresh_clone_is_clean_published_and_level(sandbox, origin):
    status = sandbox.git.status(origin.clone())
    assert (status.current_branch, status.file_status) == ("main", [])
    assert (status.branch_published, status.ahead, status.behind) == (True, 0, 0)


def test_a_branch_is_cloned_alone(sandbox, origin):
    path = origin.clone(branch="feature")
    assert sandbox.git.status(path).current_branch == "feature"
    assert sandbox.git.branches(path).branches == ["feature"]


# Releases without a depth lose `commit_id` before they send the request.
@pytest.mark.needs("Git.clone(depth)")
def test_a_commit_is_cloned_detached(sandbox, origin):
    first = origin.git("rev-parse HEAD")
    origin.advance("later")
    path = origin.clone(commit_id=first)
    assert run(sandbox, f"git -C {path} rev-parse HEAD") == first
    assert sandbox.git.status(path).current_branch == "HEAD"


@pytest.mark.needs("Git.clone(depth)")
def test_a_clone_may_be_shallow(sandbox, origin):
    path = origin.clone(branch="feature", depth=1)
    assert run(sandbox, f"git -C {path} rev-list --count HEAD") == "1"


def test_status_tells_staged_from_changed_from_new(sandbox, origin):
    path = origin.clone()
    sandbox.fs.upload_file(b"changed\n", f"{path}/README.md")
    sandbox.fs.upload_file(b"x", f"{path}/ünï \"q\".txt")
    sandbox.fs.upload_file(b"x", f"{path}/staged")
    sandbox.git.add(path, ["staged"])
    assert files_of(sandbox.git.status(path)) == {
        "README.md": ("Unmodified", "Modified"),
        'ünï "q".txt': ("Untracked", "Untracked"),
        "staged": ("Added", "Unmodified"),
    }
    sandbox.git.add(path, ["."])
    assert {staging for staging, _ in files_of(sandbox.git.status(path)).values()} == {"Modified", "Added"}


def test_a_rename_names_both_files(sandbox, origin):
    path = origin.clone()
    run(sandbox, f"git -C {path} mv README.md LIESMICH.md")
    (file,) = sandbox.git.status(path).file_status
    assert (file.name, file.extra) == ("LIESMICH.md", "README.md")


def test_branches_are_made_listed_switched_and_deleted(sandbox, origin):
    path = origin.clone()
    sandbox.git.create_branch(path, "topic/one")
    assert sandbox.git.status(path).current_branch == "topic/one"
    assert sandbox.git.branches(path).branches == ["main", "topic/one"]
    sandbox.git.checkout_branch(path, "main")
    sandbox.git.delete_branch(path, "topic/one")
    assert sandbox.git.branches(path).branches == ["main"]


def test_pull_takes_what_others_pushed(sandbox, origin):
    path = origin.clone()
    origin.advance("theirs")
    sandbox.git.pull(path)
    assert run(sandbox, f"git -C {path} log -1 --format=%s") == "theirs"
    sandbox.git.pull(path)


def test_a_login_opens_a_private_repository_and_is_kept_nowhere(sandbox, origin):
    path = f"{origin.folder}/private"
    login = {"username": git_server.USER, "password": git_server.PASSWORD}
    sandbox.git.clone(origin.private_url, path, **login)
    commit(sandbox, path, "secretly")
    with refused("DaytonaGitAuthFailedError"):
        sandbox.git.push(path)
    sandbox.git.push(path, **login)
    sandbox.git.pull(path, **login)
    found = sandbox.process.exec(f"grep -rlaF {git_server.PASSWORD} {path} $HOME/.git* 2>/dev/null").result
    assert found == ""


def test_a_wrong_login_is_refused_without_being_repeated(sandbox, origin):
    with refused("DaytonaGitAuthFailedError") as error:
        sandbox.git.clone(origin.private_url, f"{origin.folder}/x", username="me", password="wr0ng-one")
    assert "wr0ng" not in str(error.value)
    assert sandbox.process.exec(f"ls -d {origin.folder}/x").exit_code != 0


@pytest.mark.parametrize(
    ("error", "url"),
    [
        ("DaytonaGitAuthFailedError", "{base}/private/{name}/origin.git"),
        ("DaytonaGitRepoNotFoundError", "{base}/open/nowhere.git"),
        ("DaytonaGitTransportFailedError", "http://127.0.0.1:1/x.git"),
        ("DaytonaGitTransportFailedError", "https://nowhere.invalid/x.git"),
    ],
)
def test_a_clone_says_why_it_failed(sandbox, origin, server, error, url):
    url = url.format(base=server, name=origin.folder.removeprefix("/tmp/"))
    with refused(error):
        sandbox.git.clone(url, f"{origin.folder}/x")


def test_each_refusal_has_its_class(sandbox, origin):
    path = origin.clone()
    with refused("DaytonaGitBranchNotFoundError"):
        sandbox.git.clone(origin.url, f"{origin.folder}/x", branch="nope")
    with refused("DaytonaGitBranchNotFoundError"):
        sandbox.git.checkout_branch(path, "nope")
    with refused("DaytonaGitBranchNotFoundError"):
        sandbox.git.delete_branch(path, "nope")
    with refused("DaytonaGitBranchExistsError"):
        sandbox.git.create_branch(path, "main")
    with refused("DaytonaGitRepoNotFoundError"):
        sandbox.git.status(origin.folder)
    with refused("DaytonaConflictError"):
        sandbox.git.commit(path=path, message="nothing", **AUTHOR)


def test_a_push_or_pull_that_would_lose_commits_is_refused(sandbox, origin):
    path = origin.clone()
    origin.advance("theirs")
    commit(sandbox, path, "mine")
    with refused("DaytonaGitPushRejectedError"):
        sandbox.git.push(path)
    with refused("DaytonaGitMergeConflictError"):
        sandbox.git.pull(path)


def test_a_checkout_keeps_changes_that_are_in_its_way(sandbox, origin):
    path = origin.clone()
    sandbox.git.create_branch(path, "other")
    commit(sandbox, path, "README.md", "other\n")
    sandbox.fs.upload_file(b"unsaved\n", f"{path}/README.md")
    with refused("DaytonaGitDirtyWorktreeError"):
        sandbox.git.checkout_branch(path, "main")
    assert sandbox.fs.download_file(f"{path}/README.md") == b"unsaved\n"


def test_a_remote_that_declines_is_told_apart(sandbox, origin):
    hook = f"{origin.folder}/origin.git/hooks/pre-receive"
    run(sandbox, f"printf '#!/bin/sh\\necho policy says no\\nexit 1\\n' > {hook} && chmod +x {hook}")
    path = origin.clone()
    commit(sandbox, path, "mine")
    with refused("DaytonaGitRemoteRejectedError") as error:
        sandbox.git.push(path)
    assert "policy says no" in str(error.value)


@pytest.mark.needs("Git.init")
def test_a_repository_starts_empty_and_can_be_used_at_once(sandbox, folder):
    path = f"{folder}/deep/repo"
    sandbox.git.init(path, initial_branch="trunk")
    status = sandbox.git.status(path)
    assert (status.current_branch, status.file_status, status.upstream) == ("trunk", [], "")
    assert sandbox.git.branches(path).branches == []
    assert sandbox.git.branches(path).current == "trunk"
    commit(sandbox, path, "first")
    assert sandbox.git.branches(path).branches == ["trunk"]
    sandbox.git.init(f"{folder}/bare.git", bare=True)
    assert run(sandbox, f"git -C {folder}/bare.git rev-parse --is-bare-repository") == "true"


@pytest.mark.needs("Git.push(set_upstream)")
def test_a_new_branch_is_pushed_with_its_upstream(sandbox, origin):
    path = origin.clone()
    sandbox.git.create_branch(path, "topic")
    commit(sandbox, path, "mine")
    assert sandbox.git.status(path).branch_published is False
    sandbox.git.push(path, branch="topic", remote="origin", set_upstream=True)
    status = sandbox.git.status(path)
    assert (status.branch_published, status.upstream, status.ahead) == (True, "origin/topic", 0)
    sandbox.git.pull(path, remote="origin", branch="main")


@pytest.mark.needs("Git.reset")
def test_reset_takes_modes_targets_and_files(sandbox, origin):
    path = origin.clone()
    commit(sandbox, path, "a", "1\n")
    second = commit(sandbox, path, "a", "2\n")
    sandbox.git.reset(path, mode="soft", target="HEAD~1")
    assert files_of(sandbox.git.status(path)) == {"a": ("Modified", "Unmodified")}
    sandbox.git.reset(path, files=["a"])
    assert files_of(sandbox.git.status(path)) == {"a": ("Unmodified", "Modified")}
    sandbox.git.reset(path, mode="hard", target=second)
    assert sandbox.git.status(path).file_status == []
    for mode in ("mixed", "merge", "keep"):
        sandbox.git.reset(path, mode=mode)
    with pytest.raises(daytona.DaytonaError):
        sandbox.git.reset(path, mode="gentle")
    with refused("DaytonaGitBranchNotFoundError"):
        sandbox.git.reset(path, target="nope")


@pytest.mark.needs("Git.restore")
def test_restore_is_of_the_working_tree_unless_asked_otherwise(sandbox, origin):
    path = origin.clone()
    commit(sandbox, path, "a", "1\n")
    commit(sandbox, path, "a", "2\n")
    sandbox.fs.upload_file(b"3\n", f"{path}/a")
    sandbox.git.add(path, ["a"])
    sandbox.git.restore(path, ["a"], staged=True)
    assert files_of(sandbox.git.status(path)) == {"a": ("Unmodified", "Modified")}
    sandbox.git.restore(path, ["a"])
    assert sandbox.fs.download_file(f"{path}/a") == b"2\n"
    sandbox.git.restore(path, ["a"], source="HEAD~1")
    assert sandbox.fs.download_file(f"{path}/a") == b"1\n"


@pytest.mark.needs("Git.remote_add")
def test_remotes_are_added_fetched_replaced_and_listed(sandbox, origin):
    path = f"{origin.folder}/repo"
    sandbox.git.init(path)
    assert sandbox.git.remotes(path).remotes == []
    sandbox.git.remote_add(path, "origin", origin.url, fetch=True)
    assert "origin/feature" in run(sandbox, f"git -C {path} branch -r")
    with refused("DaytonaConflictError"):
        sandbox.git.remote_add(path, "origin", "https://example.org/x.git")
    sandbox.git.remote_add(path, "origin", "https://example.org/x.git", overwrite=True)
    assert sandbox.git.remote_get(path, "origin") == "https://example.org/x.git"
    assert sandbox.git.remote_get(path, "absent") is None


@pytest.mark.needs("Git.set_config")
def test_configuration_is_per_scope_and_none_when_unset(sandbox, origin, unique):
    key = f"conformance.{unique('k').replace('-', '')}"
    path = origin.clone()
    assert sandbox.git.get_config(key) is None
    sandbox.git.set_config(key, "gl öb \"al\"")
    sandbox.git.set_config(key, "-here", scope="local", path=path)
    assert sandbox.git.get_config(key) == 'gl öb "al"'
    assert sandbox.git.get_config(key, scope="local", path=path) == "-here"
    assert sandbox.git.get_config(key, scope="system") is None
    sandbox.git.configure_user("Ada", "ada@example.org", scope="local", path=path)
    assert sandbox.git.get_config("user.email", scope="local", path=path) == "ada@example.org"
    with pytest.raises(daytona.DaytonaError):
        sandbox.git.get_config(key, scope="local")


@pytest.mark.needs("Git.dangerously_authenticate")
def test_stored_credentials_serve_later_calls(sandbox, origin, server):
    host = server.removeprefix("http://")
    sandbox.git.dangerously_authenticate(git_server.USER, git_server.PASSWORD, host=host, protocol="http")
    try:
        sandbox.git.clone(origin.private_url, f"{origin.folder}/private")
    finally:
        run(sandbox, "rm ~/.git-credentials && git config --global --unset-all credential.helper")
