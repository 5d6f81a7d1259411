"""HTTP for the tests that go below the SDK: previews by host name, and exact bytes.

Must not: interpret answers.
"""

import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

TIMEOUT_SECONDS = 30


class Api:
    """The control plane by its base URL, with the key of one organization."""

    def __init__(self, api_url: str, api_key: str | None) -> None:
        self.url = api_url.rstrip("/")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.client = httpx.Client(timeout=TIMEOUT_SECONDS, headers=headers, trust_env=False)

    @property
    def path(self) -> str:
        """The path part of the base URL, such as `/api`."""
        return urlsplit(self.url).path

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.client.request(method, self.url + path, **options)

    def close(self) -> None:
        self.client.close()


def visit(url: str, method: str = "GET", **options: Any) -> httpx.Response:
    """Requests a preview URL without relying on how this machine resolves `*.localhost`."""
    to, headers = by_address(url)
    headers.update(options.pop("headers", {}))
    with httpx.Client(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        return client.request(method, to, headers=headers, **options)


def by_address(url: str) -> tuple[str, dict[str, str]]:
    """The same URL aimed at loopback, and the `Host` header that names the preview."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if not host.endswith(".localhost"):
        return url, {}
    port = parts.port or (443 if parts.scheme == "https" else 80)
    aimed = parts._replace(netloc=f"127.0.0.1:{port}").geturl()
    return aimed, {"Host": parts.netloc}


@dataclass
class RawAnswer:
    status: int
    headers: dict[str, str]
    body: bytes


def raw(api_url: str, request: bytes) -> RawAnswer:
    """Sends these bytes as they are and reads one answer; for what HTTP libraries refuse to send."""
    with connect(api_url) as stream:
        stream.sendall(request)
        return read_answer(stream)


def connect(api_url: str) -> socket.socket:
    parts = urlsplit(api_url)
    assert parts.hostname and parts.port, f"the API URL names a host and a port: {api_url}"
    return socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_SECONDS)


def read_answer(stream: socket.socket) -> RawAnswer:
    """Reads one answer framed by `Content-Length`, by chunks, or by the end of the stream."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += _more(stream)
    else:
        while len(body) < int(headers.get("content-length", 0)):
            body += _more(stream)
    return RawAnswer(int(first.split()[1]), headers, body)


def _more(stream: socket.socket) -> bytes:
    data = stream.recv(65536)
    assert data, "the server closed the connection in the middle of an answer"
    return data
