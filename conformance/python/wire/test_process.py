"""`/sebring/process`: what is underneath sessions and terminals, from outside the sandbox."""

import json

import pytest
import websocket

SECONDS_MAX = 30
PROCESSES = "/sebring/process"


@pytest.fixture
def start(toolbox):
    made = []

    def start(command, **options):
        answer = toolbox.post(PROCESSES, json={"command": command, **options})
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
        return f"{PROCESSES}/{made[-1]}"

    yield start
    for each in made:
        toolbox.delete(f"{PROCESSES}/{each}")


@pytest.fixture
def attach(toolbox, sdk):
    def attach(process, offset=0):
        url = str(toolbox.base_url).rstrip("/").replace("http", "ws", 1) + f"{process}/attach?offset={offset}"
        return websocket.create_connection(url, SECONDS_MAX, header=[f"Authorization: Bearer {sdk.api_key}"])

    return attach


def test_it_outlives_its_maker_and_tells_how_it_ended(toolbox, start):
    process = start("echo out; echo err >&2; kill -TERM $$")
    seen = toolbox.get(f"{process}/wait?timeout=20").json()
    assert (seen["running"], seen["exitCode"], seen["signal"]) == (False, 143, 15)
    output = toolbox.get(f"{process}/output").json()
    assert (output["stdout"], output["stderr"], output["running"]) == ("out\n", "err\n", False)


def test_attaching_resumes_where_the_last_connection_broke(attach, start):
    process = start("printf first; read line; printf \"$line\"", input=True)
    socket = attach(process)
    assert json.loads(socket.recv())["type"] == "attached"
    heard = b""
    while heard != b"first":
        heard += socket.recv()[1:]
    socket.shutdown()
    socket = attach(process, len(heard))
    socket.recv()
    socket.send_binary(b"second\n")
    frames = []
    while not isinstance(frame := socket.recv(), str):
        frames.append(frame)
    assert b"".join(frame[1:] for frame in frames) == b"second"
    assert {frame[0] for frame in frames} == {1}
    ended = json.loads(frame)
    assert (ended["type"], ended["exitCode"]) == ("exited", 0)


def test_a_time_limit_and_a_signal_take_the_whole_tree(toolbox, start):
    limited = toolbox.get(f"{start('(setsid sleep 1000 &); sleep 1000', timeout=1)}/wait?timeout=20").json()
    assert (limited["exitCode"], limited["timedOut"]) == (137, True)
    process = start("(setsid sleep 1000 &); sleep 1000")
    assert toolbox.post(f"{process}/signal", json={"signal": "KILL"}).status_code == 204
    assert toolbox.get(f"{process}/wait?timeout=20").json()["exitCode"] == 137


def test_what_sessions_and_terminals_run_is_listed_as_well(toolbox, start, unique):
    name = unique("session")
    toolbox.post("/process/session", json={"sessionId": name})
    command = toolbox.post(f"/process/session/{name}/exec", json={"command": "echo out"}).json()["cmdId"]
    mine = start("sleep 1000").rpartition("/")[2]
    kinds = {each["id"]: each["kind"] for each in toolbox.get(PROCESSES).json()["processes"]}
    assert (kinds[mine], kinds[command]) == ("process", "session")
    toolbox.delete(f"/process/session/{name}")
