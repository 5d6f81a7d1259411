"""A git server with a login, to run inside a sandbox: `python3 git_server.py <folder>`.

Serves the repositories of the folder at `/open/` to everybody and at `/private/` to `USER` with
`PASSWORD`, and prints its port. The suites upload this file, so it needs the standard library and
`git` only. Must not: be a server for anything else.
"""

import base64
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

USER = "someone"
PASSWORD = "s3cr3t/w@rd"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(body)

    def answer(self, body: bytes) -> None:
        _, kind, path = urlsplit(self.path).path.split("/", 2)
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if kind == "private" and self.headers.get("Authorization") != f"Basic {login}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        self.backend(path, body)

    def backend(self, path: str, body: bytes) -> None:
        variables = {
            "GIT_PROJECT_ROOT": sys.argv[1],
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": f"/{path}",
            "QUERY_STRING": urlsplit(self.path).query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": USER,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        with subprocess.Popen(
            ["git", "http-backend"], env={**os.environ, **variables}, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as backend:
            backend.stdin.write(body)
            backend.stdin.close()
            self.send_head(backend.stdout)
            # By pieces: a clone may be larger than memory.
            while piece := backend.stdout.read1(1 << 16):
                self.wfile.write(piece)

    def send_head(self, answer) -> None:
        headers = dict(line.decode().strip().split(": ", 1) for line in iter(answer.readline, b"\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
