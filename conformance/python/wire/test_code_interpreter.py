"""The interpreter's frames, close codes and routes, below the SDK."""

import json

import pytest
import websocket

SECONDS_MAX = 30
CONTEXTS = "/process/interpreter/context"


@pytest.fixture
def cell(toolbox, sdk):
    """Opens the socket of one execution; with subprotocols if some are given."""
    opened = []

    def connect(subprotocols=None):
        url = str(toolbox.base_url).rstrip("/").replace("http", "ws", 1) + "/process/interpreter/execute"
        header = [f"Authorization: Bearer {sdk.api_key}"]
        socket = websocket.create_connection(url, SECONDS_MAX, header=header, subprotocols=subprotocols)
        opened.append(socket)
        return socket

    yield connect
    for socket in opened:
        socket.close()


def run(socket, request):
    """Every message of an execution, and the code and reason of the close."""
    if request is not None:
        socket.send(request if isinstance(request, str) else json.dumps(request))
    messages = []
    while True:
        opcode, data = socket.recv_data()
        if opcode == websocket.ABNF.OPCODE_CLOSE:
            return messages, int.from_bytes(data[:2], "big"), data[2:].decode()
        assert opcode == websocket.ABNF.OPCODE_TEXT, opcode
        messages.append(json.loads(data))


def test_the_end_is_a_control_message_and_then_a_close_with_1000(cell):
    messages, code, _ = run(cell(), {"code": "print('hello')"})
    assert messages == [{"type": "stdout", "text": "hello\n"}, {"type": "control", "text": "completed"}]
    assert code == 1000


def test_an_error_is_a_message_and_no_other_end(cell):
    messages, code, _ = run(cell(), {"code": "raise ValueError('on purpose')"})
    assert [message["type"] for message in messages] == ["error", "control"]
    assert set(messages[0]) == {"type", "name", "value", "traceback"}
    assert (messages[0]["name"], messages[0]["value"], code) == ("ValueError", "on purpose", 1000)


def test_a_timeout_is_4008_without_a_control_message(cell):
    messages, code, reason = run(cell(), {"code": "print('begun')\nwhile True: pass", "timeout": 1})
    assert (messages, code) == ([{"type": "stdout", "text": "begun\n"}], 4008)
    assert "1 s" in reason


def test_a_crash_is_1001_with_a_reason(cell):
    messages, code, reason = run(cell(), {"code": "import os; os._exit(3)"})
    assert code == 1001 and "exited with code 3" in reason
    assert messages[0]["type"] == "error"


@pytest.mark.parametrize(
    ("request_text", "code"),
    [
        ("{not json", 1002),
        ("[]", 1002),
        ('{"code": 7}', 1002),
        ('{"code": "1", "timeout": -1}', 1002),
        ('{"code": " "}', 1008),
        ('{"code": "1", "contextId": "no-such-context"}', 1008),
        ('{"code": "1", "envs": {"A-B": "x"}}', 1008),
    ],
)
def test_a_request_that_cannot_run_is_refused_by_its_code(cell, request_text, code):
    messages, seen, reason = run(cell(), request_text)
    assert (messages, seen) == ([], code)
    assert reason


def test_exactly_one_offered_subprotocol_is_chosen(cell):
    assert cell().getsubprotocol() is None
    chosen = cell(["other", "X-Daytona-SDK-Version~0.216.0"]).getsubprotocol()
    # This client tells it in lower case.
    assert chosen.lower() == "x-daytona-sdk-version~0.216.0"


def test_a_client_that_leaves_interrupts_its_cell(cell):
    leaver = cell()
    leaver.send(json.dumps({"code": "try:\n  print('on')\n  while True: pass\nexcept KeyboardInterrupt: left = True"}))
    assert json.loads(leaver.recv())["text"] == "on\n"
    leaver.close()
    messages, _, _ = run(cell(), {"code": "print(left)"})
    assert messages[0]["text"] == "True\n"


def test_an_interrupt_message_ends_the_cell_and_keeps_the_state(cell):
    socket = cell()
    socket.send(json.dumps({"code": "kept = 1\nprint('on')\nwhile True: pass"}))
    assert json.loads(socket.recv())["text"] == "on\n"
    messages, code, _ = run(socket, {"type": "interrupt"})
    assert messages[0]["name"] == "KeyboardInterrupt"
    assert (messages[-1], code) == ({"type": "control", "text": "interrupted"}, 1000)
    assert run(cell(), {"code": "print(kept)"})[0][0]["text"] == "1\n"


def test_input_is_asked_of_a_client_that_says_it_answers(cell):
    socket = cell()
    socket.send(json.dumps({"code": "print('hello', input('name? '))", "allowInput": True}))
    assert json.loads(socket.recv()) == {"type": "input", "prompt": "name? "}
    messages, _, _ = run(socket, {"type": "input", "text": "Žofie"})
    assert messages[0] == {"type": "stdout", "text": "hello Žofie\n"}


def test_values_displays_and_charts_are_messages_of_their_own(cell):
    messages, _, _ = run(cell(), {"code": "display([1])\n1 + 1"})
    assert messages[:2] == [
        {"type": "display", "data": {"text/plain": "[1]"}},
        {"type": "result", "data": {"text/plain": "2"}},
    ]
    code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\nNone"
    messages, _, _ = run(cell(), {"code": code})
    assert [message["type"] for message in messages] == ["chart", "control"]
    chart = messages[0]["chart"]
    assert (chart["type"], chart["elements"][0]["points"]) == ("line", [[0, 1], [1, 2]])
    assert chart["png"].startswith("iVBOR")


def test_a_table_is_displayed_as_html_too(cell):
    messages, _, _ = run(cell(), {"code": "import pandas\npandas.DataFrame({'a': [1]})"})
    assert "<table" in messages[0]["data"]["text/html"]


def test_no_message_is_too_large_for_any_client(cell):
    messages, code, _ = run(cell(), {"code": "print('\\x01' * 9_000_000)\n'x' * 9_000_000"})
    assert code == 1000
    assert max(len(json.dumps(message)) for message in messages) < 4 << 20


def test_the_context_routes_answer_with_their_statuses(toolbox):
    made = toolbox.post(CONTEXTS, json={"cwd": "/tmp"})
    assert made.status_code == 200
    context = made.json()
    assert set(context) == {"id", "cwd", "createdAt", "active", "language"}
    assert (context["cwd"], context["active"], context["language"]) == ("/tmp", True, "python")
    assert context in toolbox.get(CONTEXTS).json()["contexts"]
    deleted = toolbox.delete(f"{CONTEXTS}/{context['id']}")
    assert deleted.status_code == 200 and deleted.json()["message"]
    assert toolbox.delete(f"{CONTEXTS}/{context['id']}").status_code == 404
    assert toolbox.delete(f"{CONTEXTS}/default").status_code == 400
    assert toolbox.post(CONTEXTS, json={"language": "ruby"}).status_code == 400
    assert toolbox.post(CONTEXTS, json={"cwd": "/no/where"}).status_code == 400


def test_contexts_are_an_empty_list_when_there_are_none(toolbox):
    assert toolbox.get(CONTEXTS).json() == {"contexts": []}


def test_an_execution_without_a_websocket_is_400(toolbox):
    assert toolbox.get("/process/interpreter/execute").status_code == 400
