"""How fast the toolbox starts commands and carries output. Prints figures; asserts what was carried."""

import json
import os
import selectors
import socket
import statistics
import time
from urllib.parse import urlsplit

import pytest
import websocket

from rig.session import VERSION, Session

FOLLOWERS = 1000
LINES = 50
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def sandbox(client, host):
    before = host.sandboxes()
    made = client.create(labels={"test": "figures"})
    yield made
    client.delete_all(test="figures")
    host.expect_no_more_than(before)


def cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def memory_mib(pid: int) -> dict[str, float]:
    """What the kernel says of a process's memory: `Rss`, `Pss`, `Private_Dirty` and so on."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        rows = [line.split() for line in file.readlines()[1:]]
    return {name.rstrip(":"): int(kib) / 1024 for name, kib, _ in rows}


def test_idle_memory(sandbox, host, figure):
    memory = memory_mib(host.toolbox_of(sandbox))
    figure(
        f"toolbox of a new sandbox: {memory['Private_Dirty']:.2f} MiB of its own,"
        f" {memory['Rss']:.2f} MiB with its program, which all sandboxes share"
    )


def percentiles(run, times: int) -> str:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        took.append((time.perf_counter() - began) * 1000)
    took.sort()
    return f"p50 {statistics.median(took):.2f} ms, p99 {took[times * 99 // 100 - 1]:.2f} ms"


def test_commands_one_after_the_other(sandbox, client, figure):
    figure(f"execute `true`: {percentiles(lambda: client.run(sandbox, 'true'), 200)}")
    with Session(client, sandbox) as session:
        figure(f"`true` in a session: {percentiles(lambda: session.stdout('true'), 200)}")


def test_cells_of_the_interpreter(sandbox, client, figure):
    url = client.toolbox(sandbox, "/process/interpreter/execute").replace("http", "ws", 1)
    contexts = client.toolbox(sandbox, "/process/interpreter/context")

    def run(context: str) -> None:
        socket = websocket.create_connection(url, 30, header=client.headers)
        socket.send(json.dumps({"code": "print(1+1)", "contextId": context}))
        assert json.loads(socket.recv()) == {"type": "stdout", "text": "2\n"}
        socket.close()

    def new_context() -> str:
        answer = client.http.post(contexts, headers=client.headers, json={})
        return answer.json()["id"]

    def run_in_a_new_one() -> None:
        context = new_context()
        run(context)
        assert client.http.delete(f"{contexts}/{context}", headers=client.headers).is_success

    figure(f"a new context and its first cell: {percentiles(run_in_a_new_one, 20)}")
    context = new_context()
    run(context)
    figure(f"`1+1` in a context: {percentiles(lambda: run(context), 200)}")


def test_a_log_is_filled_and_read(sandbox, client, host, figure):
    toolbox = host.toolbox_of(sandbox)
    with Session(client, sandbox) as session:
        began, cpu = time.monotonic(), cpu_seconds(toolbox)
        command = session.start("head -c 2147483648 /dev/zero | tr '\\0' x")
        assert session.wait(command, 100) == 0
        took, cpu = time.monotonic() - began, cpu_seconds(toolbox) - cpu
        figure(f"a log takes 2 GiB in {took:.1f} s: {2048 / took:.0f} MiB/s, toolbox {cpu:.1f} s of processor")
        url = client.toolbox(sandbox, f"/process/session/{session.name}/command/{command}/logs")
        began = time.monotonic()
        for _ in range(5):
            answer = client.http.get(url, headers=client.headers)
            assert len(answer.content) == 16 << 20
        figure(f"a log is read as plain text at {5 * 16 / (time.monotonic() - began):.0f} MiB/s")


class Follower:
    """The least that follows a log: sends the upgrade and counts what comes."""

    def __init__(self, client, url):
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port), 30)
        headers = {
            **client.headers,
            **VERSION,
            "Host": parts.netloc,
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        head = f"GET {parts.path}?follow=true HTTP/1.1\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.socket.sendall(head.encode() + b"\r\n")
        status = self.socket.recv(12)
        assert status == b"HTTP/1.1 101", status
        self.received = bytearray()
        self.socket.setblocking(False)

    def read(self) -> bool:
        """Whether there may be more."""
        data = self.socket.recv(65536)
        self.received += data
        # A close frame is the last of all.
        return bool(data) and self.received[-4:] != b"\x88\x02\x03\xe8"

    def close(self) -> None:
        self.socket.close()


def follow_all(followers) -> None:
    with selectors.DefaultSelector() as selector:
        for one in followers:
            selector.register(one.socket, selectors.EVENT_READ, one)
        deadline = time.monotonic() + 60
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} followers wait for the end"
            for key, _ in selector.select(1):
                if not key.data.read():
                    selector.unregister(key.fileobj)


def test_a_thousand_followers(sandbox, client, host, installation, figure):
    toolbox, server = host.toolbox_of(sandbox), installation.pid("server")
    with Session(client, sandbox) as session:
        command = session.start(f"read go; for i in $(seq {LINES}); do echo line $i; sleep 0.1; done")
        url = client.toolbox(sandbox, f"/process/session/{session.name}/command/{command}/logs")
        followers = [Follower(client, url) for _ in range(FOLLOWERS)]
        memory = memory_mib(toolbox)['Rss']
        began, cpu, edge = time.monotonic(), cpu_seconds(toolbox), cpu_seconds(server)
        session.input(command, "go")
        follow_all(followers)
        took = time.monotonic() - began
        cpu, edge = (cpu_seconds(toolbox) - cpu) / took, (cpu_seconds(server) - edge) / took
        for one in followers:
            one.close()
            assert all(f"line {number}\n".encode() in one.received for number in range(1, LINES + 1))
    figure(
        f"{FOLLOWERS} followers of ten lines a second: toolbox {cpu:.2f} of a processor and {memory:.0f} MiB, "
        f"server {edge:.2f} of a processor"
    )
