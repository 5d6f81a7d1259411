"""The terminal in a browser: the preview of port 22222, as a browser uses it."""

import json
from urllib.parse import urlsplit

import pytest
import websocket

from support.http import by_address, visit
from support.wait import until

SECONDS_MAX = 30


@pytest.fixture
def link(api, path):
    answer = api("GET", f"{path}/ports/22222/preview-url")
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def terminal(link):
    """Opens the page's socket as the page does: with its cookie and from its own origin."""
    opened = []

    def connect(query="cols=80&rows=24", **options):
        url, headers = by_address(link["url"])
        first = visit(f"{link['url']}/?DAYTONA_SANDBOX_AUTH_KEY={link['token']}")
        assert first.status_code == 200, first.text
        options.setdefault("cookie", first.headers["set-cookie"].split(";")[0])
        options.setdefault("origin", f"http://{urlsplit(link['url']).netloc}")
        url = f"{url.rstrip('/').replace('http', 'ws', 1)}/ws?{query}"
        socket = websocket.create_connection(url, SECONDS_MAX, host=headers["Host"], **options)
        opened.append(socket)
        return socket

    yield connect
    for socket in opened:
        socket.close()


def shown_until(socket, wanted: str) -> str:
    shown = ""
    while wanted not in shown:
        opcode, data = socket.recv_data()
        assert opcode == websocket.ABNF.OPCODE_TEXT, (opcode, shown)
        shown += data.decode()
    return shown


def terminals(toolbox) -> list[str]:
    found = [one["id"] for one in toolbox.get("/process/pty").json()["sessions"]]
    return [name for name in found if name.startswith("web-")]


def test_the_page_and_its_files_come_with_a_policy(link):
    key = {"X-Daytona-Preview-Token": link["token"]}
    page = visit(link["url"], headers=key)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("terminal.mjs", "xterm.mjs", "addon-fit.mjs", "xterm.css", "terminal.css"):
        assert name in page.text or name in ("xterm.mjs", "addon-fit.mjs")
        assert visit(f"{link['url'].rstrip('/')}/{name}", headers=key).status_code == 200, name


def test_what_is_typed_runs_at_home_and_sizes_are_followed(terminal):
    socket = terminal("cols=101&rows=33")
    socket.send("stty size; echo $((40+2))=$PWD=ü\r")
    assert "33 101" in shown_until(socket, "42=/home/daytona=ü")
    socket.send(json.dumps({"rows": 50, "cols": 120}))
    socket.send("stty size\r")
    shown_until(socket, "50 120")


def test_the_end_of_the_shell_is_told_in_the_close(terminal, toolbox):
    socket = terminal()
    socket.send("exit 3\r")
    while True:
        opcode, data = socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            break
    assert (int.from_bytes(data[:2], "big"), data[2:].decode()) == (1000, "The shell has ended (3).")


def test_a_shell_ends_with_the_page_it_is_on(terminal, toolbox):
    until(lambda: not terminals(toolbox), "those of other tests have ended")
    socket = terminal()
    socket.send("sleep 4321 & echo started\r")
    shown_until(socket, "started\r\n")
    assert len(terminals(toolbox)) == 1
    socket.close()
    until(lambda: not terminals(toolbox), "the terminal is gone")
    left = toolbox.post("/process/execute", json={"command": "pgrep -f 'sleep 432[1]'"}).json()
    assert left["exitCode"] == 1, left


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_another_page_cannot_open_the_socket_with_the_cookie(terminal, origin):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        terminal(origin=origin)
    assert refused.value.status_code == 401


def test_a_size_that_no_screen_has_is_refused_by_name(terminal):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        terminal("cols=0&rows=24")
    assert refused.value.status_code == 400
    assert b"cols 0" in refused.value.resp_body
