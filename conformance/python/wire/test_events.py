"""Socket.IO as SDKs speak it, frame by frame and with the published client."""

import json
import queue
from urllib.parse import urlsplit

import pytest

from support.shapes import SANDBOX, check

websocket = pytest.importorskip("websocket")
socketio = pytest.importorskip("socketio")

# What the SDKs allow for a connect.
SECONDS_MAX = 5


def socket_url(api_url: str) -> str:
    parts = urlsplit(api_url)
    return f"ws://{parts.netloc}{parts.path}/socket.io/?EIO=4&transport=websocket"


class Frames:
    """Text frames of one connection; pings are answered and left out."""

    def __init__(self, api_url: str) -> None:
        self._stream = websocket.create_connection(socket_url(api_url), timeout=SECONDS_MAX)
        self.send = self._stream.send
        self.close = self._stream.close

    def recv(self) -> str:
        while (frame := self._stream.recv()) == "2":
            self.send("3")
        return frame


@pytest.fixture
def frames(sdk):
    frames = Frames(sdk.api_url)
    yield frames
    frames.close()


def test_the_engine_opens_with_its_terms(frames):
    opened = frames.recv()
    assert opened.startswith("0{")
    terms = json.loads(opened[1:])
    assert {"sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"} <= set(terms)
    assert terms["upgrades"] == []


def test_a_valid_token_connects(frames, sdk):
    frames.recv()
    frames.send("40" + json.dumps({"token": sdk.api_key}))
    answer = frames.recv()
    assert answer.startswith("40{") and "sid" in json.loads(answer[2:])


@pytest.mark.parametrize("login", ['{"token":"wrong"}', "{}", ""])
def test_a_bad_token_is_refused_with_a_reason(frames, login):
    frames.recv()
    frames.send("40" + login)
    answer = frames.recv()
    assert answer.startswith("44{") and json.loads(answer[2:])["message"]


class Listener:
    """Collects every event with the published Socket.IO client."""

    def __init__(self, api_url: str, token: str) -> None:
        parts = urlsplit(api_url)
        self.events: queue.Queue = queue.Queue()
        self._client = socketio.Client(reconnection=False)
        self._client.on("*", lambda name, data: self.events.put((name, data)))
        self._client.connect(
            f"{parts.scheme}://{parts.netloc}",
            socketio_path=f"{parts.path}/socket.io/",
            transports=["websocket"],
            auth={"token": token},
            wait_timeout=SECONDS_MAX,
        )

    def states(self, sandbox_id: str, until: str) -> list[tuple[str, str]]:
        """The (old, new) states of one sandbox up to `until`."""
        seen = []
        while True:
            name, data = self.events.get(timeout=SECONDS_MAX)
            if name == "sandbox.state.updated" and data["sandbox"]["id"] == sandbox_id:
                seen.append((data["oldState"], data["newState"]))
                if data["newState"] == until:
                    return seen

    def close(self) -> None:
        self._client.disconnect()


@pytest.fixture
def listener(sdk):
    listener = Listener(sdk.api_url, sdk.api_key)
    yield listener
    listener.close()


def test_a_new_sandbox_is_announced_in_full(listener, make):
    sandbox = make()
    while True:
        name, data = listener.events.get(timeout=SECONDS_MAX)
        if name == "sandbox.created" and data["id"] == sandbox["id"]:
            break
    check(data, SANDBOX)
    assert listener.states(sandbox["id"], "started")[-1][1] == "started"


def test_a_state_change_carries_the_whole_sandbox(listener, make, api):
    sandbox = make()
    listener.states(sandbox["id"], "started")
    api("POST", f"/sandbox/{sandbox['id']}/stop")
    while True:
        name, data = listener.events.get(timeout=SECONDS_MAX)
        if name == "sandbox.state.updated" and data["newState"] == "stopped":
            break
    check(data["sandbox"], SANDBOX)
    assert data["sandbox"]["state"] == "stopped"


def test_states_follow_each_other_without_gaps(listener, make, api):
    sandbox = make()
    path = f"/sandbox/{sandbox['id']}"
    api("POST", f"{path}/stop")
    api("POST", f"{path}/start")
    api("DELETE", path)
    seen = listener.states(sandbox["id"], "destroyed")
    assert [after for _, after in seen[:-1]] == [before for before, _ in seen[1:]], seen


def test_many_listeners_all_hear(sdk, make):
    listeners = [Listener(sdk.api_url, sdk.api_key) for _ in range(20)]
    sandbox = make()
    for one in listeners:
        assert one.states(sandbox["id"], "started")
        one.close()
