"""Sessions under everything that programs do; and, by `--minutes`, all of it at random for as long.

Whatever happens, the first process of the sandbox answers afterwards or the sandbox says why it
does not, and every file whose upload was answered is there, to the byte.
"""

import hashlib
import os
import random
import threading
import time

import pytest
from support.wait import until

from rig import torments
from rig.session import Session

# Sandboxes that are tormented side by side.
WORKERS = 4
# Descriptors that the first process may hold beyond those of an idle one.
DESCRIPTORS_SPARE = 24


@pytest.fixture(scope="module")
def victim(client, host):
    before = host.sandboxes()
    sandbox = client.create(labels={"test": "torture"})
    yield sandbox
    client.delete_all(test="torture")
    host.expect_no_more_than(before)


class Ledger:
    """Files that a sandbox has acknowledged, and whether it keeps them."""

    def __init__(self, client, sandbox):
        self._client, self._sandbox = client, sandbox
        self._digests: dict[str, str] = {}
        client.run(sandbox, "mkdir -p /home/daytona/kept")

    def add(self, size: int) -> None:
        content = os.urandom(size)
        path = f"/home/daytona/kept/{len(self._digests)}"
        url = self._client.toolbox(self._sandbox, f"/files/upload?path={path}")
        files = {"file": ("file", content)}
        answer = self._client.http.post(url, files=files, headers=self._client.headers)
        if answer.status_code == 200:
            self._digests[path] = hashlib.sha256(content).hexdigest()
        else:
            assert answer.status_code == 507, answer.text

    def check(self) -> None:
        printed = self._client.run(self._sandbox, "cd /home/daytona/kept && sha256sum -- *")
        found = {f"/home/daytona/kept/{name}": digest for digest, name in map(str.split, printed.splitlines())}
        lost = {path for path, digest in self._digests.items() if found.get(path) != digest}
        assert not lost, f"{len(lost)} of {len(self._digests)} acknowledged files are not there"

    def __len__(self) -> int:
        return len(self._digests)


def answers_or_says_why(client, sandbox) -> None:
    """What must hold after anything."""
    answer = client.execute(sandbox, "echo works")
    if answer.status_code == 200 and answer.json()["result"] == "works\n":
        return
    seen = until(lambda: one if (one := client.sandbox(sandbox))["state"] != "started" else None, "it is not started")
    assert seen["state"] == "error" and seen["errorReason"], f"{seen['state']}: {seen.get('errorReason')}; {answer.text}"


@pytest.mark.parametrize("torment", torments.ALL, ids=lambda torment: torment.__name__)
def test_a_session_takes(victim, client, torment):
    with Session(client, victim) as session:
        torment(session)
    answers_or_says_why(client, victim)


def test_5_gb_pass_through_a_log_of_bounded_size(victim, client, host, figure):
    with Session(client, victim) as session:
        began = time.monotonic()
        command = session.start("yes | head -c 5000000000; echo end")
        assert session.wait(command, 100) == 0
        took = time.monotonic() - began
        kept = session.logs(command)["stdout"]
        assert kept.endswith("y\nend\n") and len(kept) <= 16 << 20
    figure(f"5 GB through a session's log in {took:.1f} s: {5000 / 1.048576 / took:.0f} MiB/s")


def test_a_session_works_on_a_full_disk_and_what_was_stored_stays(client, clean):
    sandbox = client.create(labels=clean)
    ledger = Ledger(client, sandbox)
    ledger.add(1 << 20)
    fill = "fallocate -l 2800M /tmp/most; dd if=/dev/zero of=/tmp/rest bs=1M 2> /dev/null; echo full"
    with Session(client, sandbox) as session:
        assert session.stdout(fill) == "full\n"
        ledger.add(1 << 20)
        assert session.stdout("cd /usr; echo works; pwd") == "works\n/usr\n"
        # Its log finds no room on the disk, so the newest of it stays in memory.
        answer = session.run("seq 1 100000; echo e >&2")
        assert answer["stdout"].endswith("99999\n100000\n") and answer["stderr"] == "e\n"
        session.run("rm /tmp/most /tmp/rest")
        assert session.stdout("pwd") == "/usr\n"
    ledger.check()


def test_the_first_process_that_root_ends_is_a_sandbox_that_says_so(client, clean):
    sandbox = client.create(labels=clean)
    client.execute(sandbox, "sudo -n kill -TERM 1; sleep 5")
    seen = until(
        lambda: one if (one := client.sandbox(sandbox))["state"] != "started" else None,
        "the sandbox is seen to have ended",
        30,
    )
    assert seen["state"] in ("stopped", "error"), seen["state"]
    if seen["state"] == "error":
        assert seen["errorReason"]
    assert client("POST", f"/sandbox/{sandbox}/start").status_code == 200, "it can be started again"
    assert client.run(sandbox, "echo works") == "works\n"


class Worker(threading.Thread):
    """Torments one sandbox until the time is over."""

    def __init__(self, client, host, sandbox, until_time, seed):
        super().__init__()
        self._client, self._host, self._sandbox = client, host, sandbox
        self._until_time = until_time
        self._random = random.Random(seed)
        self.ledger = Ledger(client, sandbox)
        self.rounds = 0
        self.failure: BaseException | None = None

    def run(self):
        try:
            while time.monotonic() < self._until_time:
                self._round()
                self.rounds += 1
        except BaseException as error:
            self.failure = error

    def _round(self):
        if len(self.ledger) < 500:
            self.ledger.add(self._random.choice([0, 1, 4096, 100_000]))
        torment = self._random.choice(torments.ALL)
        try:
            with Session(self._client, self._sandbox) as session:
                torment(session)
            answers_or_says_why(self._client, self._sandbox)
            self.ledger.check()
        except BaseException as error:
            raise AssertionError(f"{torment.__name__}, round {self.rounds} of {self._sandbox}") from error


# As long as was asked for, and bounded by that.
@pytest.mark.timeout(0)
def test_torments_at_random_leave_nothing_behind(client, host, clean, seconds, figure):
    sandboxes = [client.create(labels=clean) for _ in range(WORKERS)]
    before = {sandbox: look_at(host.toolbox_of(sandbox)) for sandbox in sandboxes}
    seed = random.randrange(1 << 32)
    over = time.monotonic() + seconds
    workers = [Worker(client, host, sandbox, over, seed + number) for number, sandbox in enumerate(sandboxes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    failures = [worker.failure for worker in workers if worker.failure]
    if failures:
        raise AssertionError(f"seed {seed}; {len(failures)} of {WORKERS} failed") from failures[0]
    rounds, files = sum(worker.rounds for worker in workers), sum(len(worker.ledger) for worker in workers)
    for sandbox in sandboxes:
        expect_as_before(host, sandbox, before[sandbox])
    after = [look_at(host.toolbox_of(sandbox)) for sandbox in sandboxes]
    figure(
        f"{rounds} torments in {seconds:.0f} s, {files} files kept: toolbox "
        f"{min(one[0] for one in before.values()):.1f} MiB before, {max(one[0] for one in after):.1f} MiB after"
    )


def look_at(pid: int) -> tuple[float, int]:
    """MiB of memory and open descriptors of a process."""
    with open(f"/proc/{pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024, len(os.listdir(f"/proc/{pid}/fd"))


def expect_as_before(host, sandbox, before) -> None:
    limit = before[1] + DESCRIPTORS_SPARE
    until(lambda: look_at(host.toolbox_of(sandbox))[1] <= limit, "the first process has closed what it opened", 20)
    until(lambda: len(host.processes_of(sandbox)) == 1, "only the first process is left", 20)
