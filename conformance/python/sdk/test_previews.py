"""Servers inside a sandbox, reached from outside."""

import httpx
import pytest

from support.http import by_address, visit
from support.sdk import listed
from support.wait import until
from support.websocket import ECHO_SERVER, echo_once

# Answers with what it was asked; `/slow` sends its second half once a file appears.
SERVER = r"""
import http.server, json, os, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/slow":
            return self.slow()
        size = int(self.headers.get("Content-Length") or 0)
        told = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": self.rfile.read(size).decode(),
        }
        self.send(json.dumps(told).encode())

    do_POST = do_PUT = do_DELETE = do_GET

    def slow(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        self.wfile.flush()
        while not os.path.exists("/tmp/go"):
            time.sleep(0.02)
        self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

    def send(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *ignored):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", 8000), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def server(sandbox):
    """The shared sandbox with an HTTP server on its loopback port 8000."""
    sandbox.fs.upload_file(SERVER.encode(), "/tmp/server.py")
    sandbox.process.exec("python3 /tmp/server.py > /tmp/server.log 2>&1 &")
    until(lambda: sandbox.process.exec("curl -fs http://127.0.0.1:8000/").exit_code == 0, "the server listens")
    return sandbox


def test_a_link_names_the_port_and_the_sandbox(server):
    link = server.get_preview_link(8000)
    assert f"8000-{server.id}." in link.url
    assert link.token


def test_the_token_opens_the_link_by_header(server):
    link = server.get_preview_link(8000)
    answer = visit(link.url + "/path?q=1&r=%2F", headers={"X-Daytona-Preview-Token": link.token})
    assert answer.status_code == 200
    assert answer.json()["path"] == "/path?q=1&r=%2F"
    assert "x-daytona-preview-token" not in answer.json()["headers"], "our token stays outside"


def test_the_token_opens_the_link_by_query(server):
    link = server.get_preview_link(8000)
    answer = visit(f"{link.url}/p?a=%41+b&DAYTONA_SANDBOX_AUTH_KEY={link.token}&z=1")
    assert answer.status_code == 200
    assert answer.json()["path"] == "/p?a=%41+b&z=1", "only our parameter is taken out"


def test_the_api_key_opens_the_link_and_does_not_reach_the_sandbox(server, sdk):
    link = server.get_preview_link(8000)
    answer = visit(link.url, headers={"Authorization": f"Bearer {sdk.api_key}"})
    assert answer.status_code == 200
    assert sdk.api_key not in answer.text


@pytest.mark.parametrize("headers", [{}, {"X-Daytona-Preview-Token": "wrong"}, {"Authorization": "Bearer wrong"}])
def test_a_private_preview_without_a_valid_token_stays_closed(server, headers):
    answer = visit(server.get_preview_link(8000).url, headers=headers)
    assert answer.status_code in (307, 401)
    assert "127.0.0.1" not in answer.text


def test_bodies_and_methods_pass(server):
    link = server.get_preview_link(8000)
    for method in ("POST", "PUT", "DELETE"):
        answer = visit(link.url, method, content=b"body", headers={"X-Daytona-Preview-Token": link.token})
        assert (answer.json()["method"], answer.json()["body"]) == (method, "body")


def test_an_answer_is_passed_on_while_it_is_made(server):
    link = server.get_preview_link(8000)
    url, headers = by_address(link.url + "/slow")
    headers["X-Daytona-Preview-Token"] = link.token
    server.process.exec("rm -f /tmp/go")
    with httpx.stream("GET", url, headers=headers, timeout=20, trust_env=False) as answer:
        chunks = answer.iter_raw()
        assert next(chunks) == b"first"
        server.process.exec("touch /tmp/go")
        assert b"".join(chunks) == b"second"


def test_a_port_that_nobody_listens_on_is_a_bad_gateway(server):
    link = server.get_preview_link(8999)
    answer = visit(link.url, headers={"X-Daytona-Preview-Token": link.token})
    assert answer.status_code == 502


@pytest.mark.needs("Sandbox.create_signed_preview_url")
def test_a_signed_link_needs_nothing_else(server):
    signed = server.create_signed_preview_url(8000, 600)
    assert f"8000-{signed.token}." in signed.url
    answer = visit(signed.url + "/signed")
    assert answer.status_code == 200
    assert answer.json()["path"] == "/signed"


@pytest.mark.needs("Sandbox.create_signed_preview_url")
def test_a_signed_link_opens_its_port_only(server):
    signed = server.create_signed_preview_url(8001, 600)
    answer = visit(signed.url.replace("8001-", "8000-"))
    assert answer.status_code in (307, 401, 403, 404)


@pytest.mark.needs("Sandbox.expire_signed_preview_url")
def test_an_expired_signed_link_is_closed(server):
    signed = server.create_signed_preview_url(8000, 600)
    assert visit(signed.url).status_code == 200
    server.expire_signed_preview_url(8000, signed.token)
    assert visit(signed.url).status_code in (307, 401, 403, 404)


def test_a_public_sandbox_needs_no_token(sandboxes):
    sandbox = sandboxes.create(public=True)
    sandbox.process.exec("cd /tmp && echo open > index.html && python3 -m http.server 3000 > log 2>&1 &")
    link = sandbox.get_preview_link(3000)
    until(lambda: visit(link.url).status_code == 200, "the server listens")
    assert visit(link.url).text == "open\n"


@pytest.mark.parametrize("port", [2280, 22222])
def test_reserved_ports_of_a_public_sandbox_stay_closed(sandboxes, port):
    sandbox = sandboxes.create(public=True)
    assert visit(sandbox.get_preview_link(port).url).status_code in (307, 401)


@pytest.mark.needs("Sandbox.set_public")
def test_a_preview_closes_when_the_sandbox_becomes_private(sandboxes):
    sandbox = sandboxes.create(public=True)
    sandbox.process.exec("cd /tmp && python3 -m http.server 3000 > log 2>&1 &")
    link = sandbox.get_preview_link(3000)
    until(lambda: visit(link.url).status_code == 200, "the server listens")
    sandbox.set_public(False)
    until(lambda: visit(link.url).status_code in (307, 401), "the preview is closed")


def test_websockets_pass(server):
    """A handshake and one frame each way, with a server made of the standard library only."""
    server.fs.upload_file(ECHO_SERVER.encode(), "/tmp/echo.py")
    server.process.exec("python3 /tmp/echo.py 9001 > /tmp/echo.log 2>&1 &")
    until(lambda: server.process.exec("grep -q ready /tmp/echo.log").exit_code == 0, "the echo server listens")
    link = server.get_preview_link(9001)
    assert echo_once(link.url, link.token, b"across the proxy") == b"across the proxy"


def test_links_of_a_listed_sandbox_work(client, server, run_label):
    found = [sandbox for sandbox in listed(client, run_label) if sandbox.id == server.id]
    link = found[0].get_preview_link(8000)
    answer = visit(link.url, headers={"X-Daytona-Preview-Token": link.token})
    assert answer.json()["method"] == "GET"
