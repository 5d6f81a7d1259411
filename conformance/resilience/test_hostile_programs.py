"""Programs that take all they can get. Their neighbours live on, and they can be deleted."""

import statistics
import threading
import time
from pathlib import Path

import pytest
from support.wait import until

MIB = 1 << 20
# Of the toolbox at its highest: two bounded ends of the output, and their text as an answer.
TOOLBOX_MIB_MAX = 160
SERVER_MIB_MAX = 200


@pytest.fixture
def pair(clean, client):
    """A sandbox for the bad program, and its neighbour."""
    return client.create(labels=clean), client.create(labels=clean)


class Latency:
    """How long commands in a neighbour take, while something else goes on."""

    def __init__(self, client, sandbox):
        self._client, self._sandbox = client, sandbox
        self._over = threading.Event()
        self._took: list[float] = []
        self._wrong: list[str] = []
        self._thread = threading.Thread(target=self._measure)

    def _measure(self):
        while not self._over.is_set():
            began = time.monotonic()
            answer = self._client.execute(self._sandbox, "echo works")
            self._took.append(time.monotonic() - began)
            if answer.status_code != 200 or answer.json()["result"] != "works\n":
                self._wrong.append(answer.text)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        assert not self._wrong, self._wrong
        assert self._took

    def __str__(self):
        took = sorted(one * 1000 for one in self._took)
        return f"{len(took)} commands, p50 {statistics.median(took):.1f} ms, max {took[-1]:.1f} ms"


def peak_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in text.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def test_a_memory_bomb_is_killed_and_named(pair, client, figure):
    bomb, neighbour = pair
    with Latency(client, neighbour) as latency:
        answer = client.execute(bomb, "python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 24))'")
    figure(f"beside a memory bomb: {latency}")
    assert answer.status_code == 200, answer.text
    assert answer.json()["exitCode"] != 0
    assert answer.json()["oomKilled"] is True
    assert "out of memory" in answer.json()["result"]
    assert client.run(bomb, "echo works") == "works\n", "only the bomb was killed"


def test_a_bomb_in_a_file_system_of_memory_is_bounded(pair, client):
    bomb, neighbour = pair
    answer = client.execute(bomb, "cat /dev/zero > /dev/shm/file; echo $?", timeout=60)
    assert client.run(neighbour, "echo works") == "works\n"
    assert answer.status_code in (200, 408), answer.text
    client.execute(bomb, "rm -f /dev/shm/file")
    assert client.run(bomb, "echo works") == "works\n"


def test_a_fork_bomb_stays_in_its_sandbox(pair, client, figure):
    bomb, neighbour = pair
    with Latency(client, neighbour) as latency:
        answer = client.execute(bomb, "bomb() { bomb | bomb & }; bomb; sleep 1000", timeout=5)
        assert answer.status_code == 408, answer.text[-2000:]
    figure(f"beside a fork bomb: {latency}")
    assert client.run(bomb, "echo works") == "works\n", "the time limit ended all of it"


def test_a_detached_fork_bomb_can_be_deleted(pair, client, host, figure):
    bomb, neighbour = pair
    script = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
    # Nobody waits for it, and nothing ends it but the end of the sandbox.
    client.run(bomb, f"setsid python3 -c '{script}' >/dev/null 2>&1 &")

    def is_full() -> bool:
        count, limit = host.process_count(bomb)
        return count > limit - 100

    until(is_full, "it has all it can get", 30)
    with Latency(client, neighbour) as latency:
        client.run(neighbour, "python3 -c 'print(sum(range(10**6)))'")
        client.delete(bomb)
    figure(f"beside a fork bomb that is deleted: {latency}")


def test_20000_short_lived_children_leave_no_zombie(pair, client, host, figure):
    parent, neighbour = pair
    # Each is an orphan when it ends, so the first process has to collect it.
    script = "for i in 0 1 2 3 4 5 6 7 8 9; do n=0; while [ $n -lt 1000 ]; do (: & : &); n=$((n+1)); done; done"
    began = time.monotonic()
    with Latency(client, neighbour) as latency:
        client.run(parent, script)
    figure(f"beside 20,000 children in {time.monotonic() - began:.1f} s: {latency}")
    zombies = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z ' || true"
    assert client.run(parent, zombies) == "0\n"


def test_a_flood_of_output_is_bounded_in_memory(pair, client, host, installation, figure):
    flood, neighbour = pair
    began = time.monotonic()
    with Latency(client, neighbour) as latency:
        answer = client.execute(flood, "yes | head -c 5000000000")
    took = time.monotonic() - began
    assert answer.status_code == 200, answer.text[-2000:]
    assert answer.json()["truncated"]["droppedBytes"] > 4_900_000_000
    toolbox, server = peak_mib(host.toolbox_of(flood)), peak_mib(installation.pid("server"))
    figure(f"5 GB of output in {took:.1f} s: toolbox {toolbox:.0f} MiB, server {server:.0f} MiB at most")
    figure(f"beside a flood of output: {latency}")
    assert toolbox < TOOLBOX_MIB_MAX
    assert server < SERVER_MIB_MAX


def test_a_processor_hog_leaves_its_neighbours_their_share(pair, client, figure):
    hog, neighbour = pair
    spin = "for i in 1 2 3 4; do (while :; do :; done) & done; sleep 1000"
    with Latency(client, neighbour) as latency:
        answer = client.execute(hog, spin, timeout=3)
        assert answer.status_code == 408
    figure(f"beside a processor hog: {latency}")
