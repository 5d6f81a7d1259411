"""Callers that close the connection in the middle of a call."""

import json
import socket
import uuid
from urllib.parse import urlsplit

from rig.client import Client
from support.wait import until

MIB = 1 << 20


def begin(client: Client, url: str, body: bytes, length: int | None = None, kind: str = "application/json"):
    """Sends a request, or its beginning when `length` is more than `body` has."""
    parts = urlsplit(url)
    stream = socket.create_connection((parts.hostname, parts.port), timeout=30)
    head = (
        f"POST {parts.path}{'?' + parts.query if parts.query else ''} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: {client.headers['Authorization']}\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {length or len(body)}\r\n\r\n"
    )
    stream.sendall(head.encode() + body)
    return stream


def test_a_create_nobody_waits_for_is_whole(clean, client, installation):
    for _ in range(20):
        name = f"r-{uuid.uuid4().hex[:12]}"
        labels = {"resilience": client.label, **clean}
        body = json.dumps({"name": name, "labels": labels}).encode()
        begin(client, f"{installation.api_url}/sandbox", body).close()
    listed = client.settled(**clean)
    assert {one["state"] for one in listed} <= {"started"}
    for one in listed:
        assert client.run(one["id"], "echo works") == "works\n"


def test_half_a_create_makes_nothing(clean, client, installation):
    body = json.dumps({"labels": {"resilience": client.label, **clean}}).encode()
    begin(client, f"{installation.api_url}/sandbox", body, len(body) + 1).close()
    begin(client, f"{installation.api_url}/sandbox", body[:-1], len(body)).close()
    client.create(labels=clean)
    assert len(client.settled(**clean)) == 1


def test_a_command_nobody_waits_for_is_ended_with_all_it_started(clean, client, host):
    sandbox = client.create(labels=clean)
    alone = set(host.processes_of(sandbox))
    command = "setsid sleep 100001 & (sleep 100002 & sleep 100003) & echo >/tmp/begun; sleep 100004"
    body = json.dumps({"command": command}).encode()
    stream = begin(client, client.toolbox(sandbox, "/process/execute"), body)
    until(lambda: len(set(host.processes_of(sandbox)) - alone) >= 4, "all of it runs")
    stream.close()
    until(lambda: set(host.processes_of(sandbox)) <= alone, "all of it has ended")
    assert client.run(sandbox, "echo works") == "works\n"


def test_half_an_upload_leaves_no_file_and_takes_no_space(clean, client, host):
    sandbox = client.create(labels=clean)
    client.run(sandbox, "mkdir /tmp/here; echo old > /tmp/here/there")
    used = "sync; df --output=used / | tail -1"
    before = int(client.run(sandbox, used))
    boundary = uuid.uuid4().hex
    for name in ["file", "there"]:
        part = (
            f"--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n"
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        url = client.toolbox(sandbox, f"/files/upload?path=/tmp/here/{name}")
        kind = f"multipart/form-data; boundary={boundary}"
        begin(client, url, part + bytes(32 * MIB), 64 * MIB, kind).close()
    until(lambda: client.run(sandbox, "ls -A /tmp/here") == "there\n", "only what was there before")
    assert client.run(sandbox, "cat /tmp/here/there") == "old\n"
    freed = lambda: int(client.run(sandbox, used)) < before + 8 * 1024  # noqa: E731
    until(freed, "the space is given back")
