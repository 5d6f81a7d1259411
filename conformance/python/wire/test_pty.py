"""What is said on the socket of a terminal, and the statuses before it."""

import base64
import json
import time

import pytest
import websocket

SECONDS_MAX = 30
EXIT_CONTROL = "X-Daytona-Pty-Exit-Control"
CREATE = "/process/pty/create-connect?id="


@pytest.fixture
def connect(toolbox, sdk):
    opened = []

    def connect(path, subprotocols=None):
        url = str(toolbox.base_url).rstrip("/").replace("http", "ws", 1) + path
        header = [f"Authorization: Bearer {sdk.api_key}"]
        socket = websocket.create_connection(url, SECONDS_MAX, header=header, subprotocols=subprotocols)
        opened.append(socket)
        return socket

    yield connect
    for socket in opened:
        socket.shutdown()
    for each in toolbox.get("/process/pty").json()["sessions"]:
        toolbox.delete(f"/process/pty/{each['id']}")


def until_shown(socket, text):
    shown = b""
    while text not in shown:
        opcode, data = socket.recv_data()
        assert opcode == websocket.ABNF.OPCODE_BINARY, (opcode, data)
        shown += data
    return shown


def rest(socket):
    """Text frames until the close, its code, and its reason."""
    texts = []
    while True:
        opcode, data = socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return texts, int.from_bytes(data[:2], "big"), json.loads(data[2:])
        if opcode == websocket.ABNF.OPCODE_TEXT:
            texts.append(json.loads(data))


def refused(connect, path, subprotocols=None):
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        connect(path, subprotocols)
    return caught.value.status_code


def test_connected_is_the_first_word_and_comes_at_once(connect, unique):
    """One client gives up a tenth of a second after the upgrade."""
    socket = connect(CREATE + unique("pty"))
    began = time.monotonic()
    opcode, data = socket.recv_data()
    assert time.monotonic() - began < 0.1
    assert opcode == websocket.ABNF.OPCODE_TEXT
    assert json.loads(data).items() >= {"type": "control", "status": "connected"}.items()


@pytest.mark.parametrize(("command", "code", "close"), [("exit", 0, 1000), ("exit 3", 3, 1011), ("kill -9 $$", 137, 1011)])
def test_the_end_is_told_in_a_message_and_in_the_close(connect, unique, command, code, close):
    socket = connect(CREATE + unique("pty"), [EXIT_CONTROL])
    # The library tells it in lower case.
    assert socket.getsubprotocol() == EXIT_CONTROL.lower()
    socket.recv()
    socket.send(command + "\n")
    texts, seen, reason = rest(socket)
    assert len(texts) == 1
    assert texts[0].items() >= {"type": "control", "status": "exited", "exitCode": code}.items()
    assert (seen, reason["exitCode"]) == (close, code)


def test_without_the_subprotocol_only_the_close_tells_the_end(connect, unique):
    socket = connect(CREATE + unique("pty"))
    assert socket.getsubprotocol() is None
    socket.recv()
    socket.send("exit 5\n")
    assert rest(socket) == ([], 1011, {"exitCode": 5, "exitReason": "non-zero exit"})


def test_variables_travel_as_a_subprotocol(connect, unique):
    envs = {"WHO": "it's \"me\" 🐢", "LONG": "x" * 4000}
    token = base64.urlsafe_b64encode(json.dumps(envs).encode()).rstrip(b"=").decode()
    socket = connect(CREATE + unique("pty"), [EXIT_CONTROL, f"X-Daytona-Pty-Envs~{token}"])
    socket.recv()
    socket.send("echo \"[$WHO]\" ${#LONG}\n")
    until_shown(socket, "[it's \"me\" 🐢] 4000\r\n".encode())


def test_what_cannot_be_is_refused_before_the_upgrade(connect, unique, toolbox):
    name = unique("pty")
    connect(CREATE + name)
    assert refused(connect, CREATE + name) == 409
    assert refused(connect, "/process/pty/create-connect") == 400
    for query in ("&cols=1001", "&rows=0", "&cols=many", "&cwd=/no/such/place"):
        assert refused(connect, CREATE + unique("pty") + query) == 400, query
    assert refused(connect, CREATE + unique("pty"), ["X-Daytona-Pty-Envs~not-json"]) == 400
    # Nothing is left behind by those.
    assert [each["id"] for each in toolbox.get("/process/pty").json()["sessions"]] == [name]


def test_connecting_to_nothing_is_told_on_the_socket(connect):
    socket = connect("/process/pty/no-such/connect")
    said = json.loads(socket.recv())
    assert (said["type"], said["status"]) == ("control", "error") and "no-such" in said["error"]
    assert socket.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE


def test_a_message_of_a_megabyte_is_input(connect, unique):
    socket = connect(CREATE + unique("pty"))
    socket.recv()
    socket.send("stty -echo raw; echo re''ady; head -c 1000000 | wc -c\n")
    until_shown(socket, b"ready\n")
    socket.send_binary(b"x" * 1_000_000)
    until_shown(socket, b"1000000\n")


def test_pings_are_answered_while_output_floods(connect, unique):
    socket = connect(CREATE + unique("pty"))
    socket.recv()
    socket.send("yes flood\n")
    until_shown(socket, b"flood\r\nflood\r\n")
    socket.ping("are you there")
    deadline = time.monotonic() + 10
    while socket.recv_data(control_frame=True)[0] != websocket.ABNF.OPCODE_PONG:
        assert time.monotonic() < deadline, "no pong"


def test_the_older_routes_create_describe_resize_and_delete(toolbox, unique):
    name = unique("pty")
    body = {"id": name, "cwd": "/tmp", "envs": {"A": "b"}, "lazyStart": True}
    made = toolbox.post("/process/pty", json=body)
    assert (made.status_code, made.json()) == (201, {"sessionId": name})
    seen = toolbox.get(f"/process/pty/{name}").json()
    assert seen.keys() == {"id", "cwd", "envs", "cols", "rows", "createdAt", "active", "lazyStart"}
    assert (seen["cwd"], seen["envs"], seen["cols"], seen["rows"]) == ("/tmp", {"A": "b"}, 80, 24)
    assert (seen["active"], seen["lazyStart"]) == (False, True)
    resized = toolbox.post(f"/process/pty/{name}/resize", json={"cols": 100, "rows": 50})
    assert (resized.status_code, resized.json()["cols"], resized.json()["rows"]) == (200, 100, 50)
    assert toolbox.post(f"/process/pty/{name}/resize", json={"cols": 0, "rows": 50}).status_code == 400
    deleted = toolbox.delete(f"/process/pty/{name}")
    assert deleted.status_code == 200 and deleted.json()["message"]
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/resize")):
        answer = toolbox.request(method, f"/process/pty/{name}{path}", json={"cols": 1, "rows": 1})
        assert answer.status_code == 404, (method, path)


@pytest.mark.parametrize("body", [{}, {"id": ""}, {"id": "x", "cols": 1001}, {"id": "x", "envs": {"A-B": "c"}}])
def test_a_terminal_that_cannot_be_is_400(toolbox, body):
    assert toolbox.post("/process/pty", json=body).status_code == 400
