"""One WebSocket frame each way, by hand: enough to see that a proxy passes upgrades."""

import os
import struct
from urllib.parse import urlsplit

from .http import by_address, connect

# Runs inside a sandbox with nothing but the standard library.
ECHO_SERVER = r"""
import base64, hashlib, socket, sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    stream, _ = listener.accept()
    reader = stream.makefile("rb")
    headers = {}
    while (line := reader.readline().strip()):
        name, _, value = line.partition(b":")
        headers[name.lower()] = value.strip()
    key = headers[b"sec-websocket-key"] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(key).digest())
    stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    first, second = reader.read(2)
    mask = reader.read(4)
    payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(reader.read(second & 0x7F)))
    stream.sendall(bytes([first, len(payload)]) + payload)
    stream.close()
"""


def echo_once(url: str, token: str, message: bytes) -> bytes:
    """Opens the preview at `url` as a WebSocket, sends one short binary frame, returns the reply."""
    assert len(message) < 126, "one frame with a short length"
    aimed, headers = by_address(url)
    lines = [
        f"GET {urlsplit(aimed).path or '/'} HTTP/1.1",
        f"Host: {headers.get('Host', urlsplit(aimed).netloc)}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        f"X-Daytona-Preview-Token: {token}",
        "",
        "",
    ]
    with connect(aimed) as stream, stream.makefile("rb") as reader:
        stream.sendall("\r\n".join(lines).encode())
        status = reader.readline()
        assert b" 101 " in status, status
        answered = [line for line in iter(reader.readline, b"\r\n")]
        assert any(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in line for line in answered), answered
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[index % 4] for index, byte in enumerate(message))
        stream.sendall(struct.pack("!BB", 0x82, 0x80 | len(message)) + mask + masked)
        _, length = reader.read(2)
        return reader.read(length)
