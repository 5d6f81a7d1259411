"""Statuses, forms of a log by the age of the client, and frames of sessions."""

import pytest
import websocket

from support.wait import until

SECONDS_MAX = 30
VERSION = "X-Daytona-SDK-Version"
OUT, ERR = b"\x01\x01\x01", b"\x02\x02\x02"


@pytest.fixture
def session(toolbox, unique):
    name = unique("session")
    assert toolbox.post("/process/session", json={"sessionId": name}).status_code == 201
    yield f"/process/session/{name}"
    toolbox.delete(f"/process/session/{name}")


@pytest.fixture
def run(toolbox, session):
    def run(command, headers=None, **options):
        return toolbox.post(f"{session}/exec", json={"command": command, **options}, headers=headers or {})

    return run


@pytest.fixture
def follow(toolbox, sdk, session):
    """Frames of a command's log, and the code of the close."""

    def follow(command, query="", subprotocols=None):
        base = str(toolbox.base_url).rstrip("/").replace("http", "ws", 1)
        url = f"{base}{session}/command/{command}/logs?follow=true{query}"
        header = [f"Authorization: Bearer {sdk.api_key}"]
        socket = websocket.create_connection(url, SECONDS_MAX, header=header, subprotocols=subprotocols)
        frames = []
        while True:
            opcode, data = socket.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return frames, int.from_bytes(data[:2], "big"), socket.getsubprotocol()
            assert opcode == websocket.ABNF.OPCODE_BINARY, opcode
            frames.append(data)

    return follow


def exit_code(toolbox, session, command):
    return toolbox.get(f"{session}/command/{command}").json().get("exitCode")


def test_a_synchronous_command_is_200_and_a_background_one_202(run):
    answer = run("echo out")
    assert (answer.status_code, answer.json()["exitCode"]) == (200, 0)
    answer = run("sleep 0.2", runAsync=True)
    assert (answer.status_code, set(answer.json())) == (202, {"cmdId"})


def test_the_old_name_of_the_background_flag_is_known(run):
    assert run("sleep 0.2", **{"async": True}).status_code == 202


def test_a_running_command_has_no_exit_code_field(toolbox, session, run):
    command = run("sleep 1000", runAsync=True).json()["cmdId"]
    assert set(toolbox.get(f"{session}/command/{command}").json()) == {"id", "command"}


@pytest.mark.parametrize(
    ("headers", "output"),
    [
        ({}, "one\ntwo\n"),
        ({VERSION: "0.26.0"}, "one\ntwo\n"),
        ({VERSION: "0.100.0"}, "\x01\x01\x01one\n\x02\x02\x02two\n"),
        ({"X-Daytona-Split-Output": "true"}, "\x01\x01\x01one\n\x02\x02\x02two\n"),
    ],
)
def test_older_clients_get_one_text_in_the_form_they_read(toolbox, session, run, headers, output):
    answer = run("echo one; sleep 0.1; echo two >&2", headers).json()
    assert answer["output"] == output and "stdout" not in answer
    logs = toolbox.get(f"{session}/command/{answer['cmdId']}/logs", headers=headers)
    assert logs.headers["content-type"].startswith("text/plain")
    assert logs.text == output


@pytest.mark.parametrize("version", ["0.167.0", "0.226.1", "v0.0.0-dev"])
def test_newer_clients_get_both_streams_as_json(toolbox, session, run, version):
    headers = {VERSION: version}
    answer = run("echo one; echo two >&2", headers).json()
    assert (answer["stdout"], answer["stderr"]) == ("one\n", "two\n")
    logs = toolbox.get(f"{session}/command/{answer['cmdId']}/logs", headers=headers)
    assert logs.headers["content-type"].startswith("application/json")
    assert set(logs.json()) == {"output", "stdout", "stderr"}
    assert (logs.json()["stdout"], logs.json()["stderr"]) == ("one\n", "two\n")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "", {"sessionId": ""}, 400),
        ("POST", "", {}, 400),
        ("POST", "", {"sessionId": "entrypoint"}, 400),
        ("GET", "/no-such-session", None, 404),
        ("DELETE", "/no-such-session", None, 404),
        ("DELETE", "/entrypoint", None, 400),
        ("POST", "/no-such-session/exec", {"command": "true"}, 404),
        ("POST", "/entrypoint/exec", {"command": "true"}, 400),
        ("POST", "/entrypoint/command/entrypoint_command/input", {"data": "x"}, 400),
        ("GET", "/entrypoint", None, 200),
        ("GET", "/entrypoint/logs", None, 200),
        ("GET", "/entrypoint/command/entrypoint_command", None, 200),
    ],
)
def test_statuses_are_the_contract_s(toolbox, method, path, body, status):
    answer = toolbox.request(method, f"/process/session{path}", json=body)
    assert answer.status_code == status, answer.text


def test_what_is_refused_names_its_code(toolbox, session, run):
    name = session.rpartition("/")[2]
    assert toolbox.post("/process/session", json={"sessionId": name}).json()["code"] == "CONFLICT"
    assert run("  ").status_code == 400
    assert toolbox.get(f"{session}/command/nothing").json()["code"] == "PROCESS_NOT_FOUND"
    command = run("echo done").json()["cmdId"]
    late = toolbox.post(f"{session}/command/{command}/input", json={"data": "x"})
    assert (late.status_code, late.json()["code"]) == (410, "COMMAND_ALREADY_COMPLETED")
    assert run("exit 9").json()["exitCode"] == 9
    assert (run("true").status_code, run("true").json()["code"]) == (410, "SESSION_ENDED")
    assert toolbox.delete(session).status_code == 204


def test_the_list_leaves_out_the_entrypoint(toolbox, session):
    names = [each["sessionId"] for each in toolbox.get("/process/session").json()]
    assert session.rpartition("/")[2] in names and "entrypoint" not in names


def test_following_sends_small_binary_frames_and_closes_with_1000(run, follow):
    command = run("seq 1 100000; seq 1 100000 >&2; printf end", runAsync=True).json()["cmdId"]
    frames, code, _ = follow(command)
    assert code == 1000
    assert max(map(len, frames)) <= 32 << 10
    assert not [frame for frame in frames if frame.endswith((OUT, ERR))]
    text = b"".join(f"{number}\n".encode() for number in range(1, 100001))
    joined = b"".join(frames)
    assert joined.startswith(OUT)
    assert split(joined) == (text + b"end", text)


def split(log):
    """Both streams of a marked log whose own bytes hold no mark."""
    streams, current = {OUT: b"", ERR: b""}, None
    for part in log.replace(OUT, b"\0" + OUT).replace(ERR, b"\0" + ERR).split(b"\0"):
        if part:
            current, rest = part[:3], part[3:]
            streams[current] += rest
    return streams[OUT], streams[ERR]


def test_bytes_that_look_like_a_mark_do_not_end_a_frame(run, follow):
    command = run(r"for i in 1 2 3; do printf 'a\1\1\1'; sleep 0.1; done; printf 'b'", runAsync=True).json()["cmdId"]
    frames, code, _ = follow(command)
    assert code == 1000 and not [frame for frame in frames if frame.endswith((OUT, ERR))]
    assert b"".join(frames).replace(OUT, b"") == b"aaab"


def test_one_offered_subprotocol_is_chosen_and_none_without_an_offer(run, follow):
    command = run("echo out").json()["cmdId"]
    assert follow(command)[2] is None
    offer = ["something", f"{VERSION}~0.216.0"]
    # The library tells it in lower case.
    assert follow(command, subprotocols=offer)[2] == offer[1].lower()


def test_following_resumes_from_an_offset(toolbox, session, run, follow):
    command = run("printf 0123456789").json()["cmdId"]
    assert b"".join(follow(command, "&offset=4")[0]) == OUT + b"456789"
    headers = {VERSION: "0.226.1"}
    logs = toolbox.get(f"{session}/command/{command}/logs?offset=7", headers=headers).json()
    assert (logs["stdout"], logs["nextOffset"]) == ("789", 10)


def test_a_follower_that_leaves_ends_nothing(toolbox, sdk, session, run):
    command = run("sleep 0.5; echo end", runAsync=True).json()["cmdId"]
    base = str(toolbox.base_url).rstrip("/").replace("http", "ws", 1)
    header = [f"Authorization: Bearer {sdk.api_key}"]
    url = f"{base}{session}/command/{command}/logs?follow=true"
    websocket.create_connection(url, SECONDS_MAX, header=header).shutdown()
    until(lambda: exit_code(toolbox, session, command) == 0, "it has ended by itself")
    assert toolbox.get(f"{session}/command/{command}/logs").text == "end\n"


def test_a_command_that_waits_when_its_session_is_deleted_does_not_hang(toolbox, session, run):
    run("sleep 1000", runAsync=True)
    assert run("echo never", runAsync=True).status_code == 202
    assert toolbox.delete(session).status_code == 204
    assert toolbox.get(session).status_code == 404
