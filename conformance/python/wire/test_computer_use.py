"""Computer use below the SDK: exact fields, statuses and aliases."""

import httpx
import pytest

from support.wait import until

BUILD_SECONDS = 900

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 60)


@pytest.fixture(scope="module")
def desktop(api, sdk):
    """The toolbox of a sandbox whose desktop runs, as an SDK reaches it."""
    made = api("POST", "/sandbox", json={"snapshot": "desktop"})
    assert made.status_code == 200, made.text
    path = f"/sandbox/{made.json()['id']}"

    def is_started():
        shown = api("GET", path).json()
        assert shown["state"] in ("creating", "building_snapshot", "started"), shown
        return shown["state"] == "started"

    until(is_started, "the sandbox is started", BUILD_SECONDS)
    base = f"{made.json()['toolboxProxyUrl'].rstrip('/')}/{made.json()['id']}/computeruse"
    headers = {"Authorization": f"Bearer {sdk.api_key}"}
    with httpx.Client(base_url=base, headers=headers, timeout=30, trust_env=False) as client:
        assert client.post("/start").status_code == 200
        yield client
    api("DELETE", path)


def test_a_start_tells_each_program_in_lower_case(desktop):
    status = desktop.post("/start").json()["status"]
    assert set(status) >= {"xvfb", "openbox", "atspi", "x11vnc", "novnc"}
    assert status["xvfb"]["running"] is True
    assert type(status["xvfb"]["pid"]) is int and type(status["xvfb"]["priority"]) is int
    assert status["xvfb"]["autoRestart"] is True


def test_both_status_routes_agree(desktop):
    assert desktop.get("/status").json() == desktop.get("/process-status").json() == {"status": "active"}


def test_numbers_of_the_display_are_integers(desktop):
    (display,) = desktop.get("/display/info").json()["displays"]
    assert display == {"id": 0, "x": 0, "y": 0, "width": 1024, "height": 768, "isActive": True}
    assert desktop.get("/display/windows").json()["windows"] == []


def test_the_pointer_is_told_as_the_contract_has_it(desktop):
    desktop.post("/mouse/move", json={"x": 100, "y": 200})
    assert desktop.get("/screenshot").json()["cursorPosition"] == {"x": 0, "y": 0}
    for name in ("showCursor", "show_cursor"):
        assert desktop.get(f"/screenshot?{name}=1").json()["cursorPosition"] == {"x": 100, "y": 200}
    region = "x=5&y=6&width=7&height=8"
    assert desktop.get(f"/screenshot/region?{region}").json()["cursorPosition"] == {"x": 5, "y": 6}
    assert "cursorPosition" not in desktop.get("/screenshot/compressed").json()
    half = desktop.get("/screenshot/compressed?scale=0.5&showCursor=t").json()
    assert half["cursorPosition"] == {"x": 50, "y": 100}


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/screenshot?showCursor=maybe", "showCursor"),
        ("/screenshot/region?x=0&y=0&width=1", "height"),
        ("/screenshot/region?x=0&y=0&width=0&height=1", "width"),
        ("/screenshot/region?x=1000&y=0&width=100&height=1", "width"),
        ("/screenshot/compressed?quality=101", "quality"),
        ("/screenshot/compressed?scale=2", "scale"),
        ("/screenshot/compressed?format=gif", "format"),
        ("/a11y/tree?scope=elsewhere", "scope"),
    ],
)
def test_a_bad_query_is_400_and_named(desktop, path, field):
    answer = desktop.get(path)
    assert answer.status_code == 400, answer.text
    assert field in answer.json()["message"] and answer.json()["source"] == "DAYTONA_DAEMON"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/mouse/move", {"x": 1024, "y": 0}, "x"),
        ("/mouse/click", {"x": 1, "y": 1, "clicks": 0}, "clicks"),
        ("/mouse/click", {"x": 1, "y": 1, "button": "thumb"}, "button"),
        ("/mouse/scroll", {"x": 1, "y": 1, "direction": "up", "amount": -1}, "amount"),
        ("/keyboard/key", {"key": "a", "modifiers": ["lctrl"]}, "modifiers"),
        ("/keyboard/hotkey", {"keys": "ctrl+"}, "keys"),
        ("/keyboard/type", {"text": "tab\there"}, "text"),
        ("/recordings/start", {"label": "a/b"}, "label"),
    ],
)
def test_a_bad_body_is_400_and_named(desktop, path, body, field):
    answer = desktop.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["message"].startswith(field)


def test_a_film_begins_with_201_and_an_empty_body(desktop):
    answer = desktop.post("/recordings/start", content=b"", headers={"Content-Type": "application/json"})
    assert answer.status_code == 201, answer.text
    film = answer.json()
    active = desktop.delete(f"/recordings/{film['id']}")
    assert (active.status_code, active.json()["code"]) == (409, "RECORDING_STILL_ACTIVE")
    stopped = desktop.post("/recordings/stop", json={"id": film["id"]})
    assert stopped.json()["status"] == "completed"
    assert stopped.json()["filePath"].startswith("/home/daytona/.daytona/recordings/")
    assert desktop.delete(f"/recordings/{film['id']}").status_code == 204
    assert desktop.get(f"/recordings/{film['id']}").status_code == 404


def test_commands_find_the_display(desktop):
    answer = desktop.post(
        str(desktop.base_url).replace("/computeruse/", "/process/execute"), json={"command": "echo $DISPLAY"}
    )
    assert answer.json()["result"] == ":0\n"


@pytest.mark.parametrize("path", ["/computeruse/start", "/computeruse/mouse/move"])
def test_without_a_desktop_it_is_503_with_a_way_out(toolbox, path):
    answer = toolbox.post(path, json={"x": 1, "y": 1})
    assert answer.status_code == 503
    body = answer.json()
    assert "Xvfb" in body["details"] and "desktop" in body["solution"] and body["message"]


def test_the_snapshot_is_listed(api, desktop):
    shown = api("GET", "/snapshots/desktop").json()
    assert (shown["state"], shown["cpu"], shown["mem"]) == ("active", 2, 4)
    assert shown["size"] > 0.5
