"""A desktop through the SDK: its programs, the screen, mouse and keyboard, films, accessibility.

The first sandbox from the snapshot `desktop` waits until that is built, which takes minutes, once.
"""

import base64
import struct

import daytona
import httpx
import pytest
from daytona.common.computer_use import ScreenshotOptions, ScreenshotRegion

from support.http import by_address, visit
from support.wait import until

BUILD_SECONDS = 900

pytestmark = pytest.mark.timeout(BUILD_SECONDS + 60)

PAGE = "<title>A page</title><h1>Hello from a file</h1><button onclick=\"document.title='Clicked'\">Press me</button>"


@pytest.fixture(scope="module")
def desktop(client, api, run_label):
    """A sandbox whose desktop runs."""
    params = daytona.CreateSandboxFromSnapshotParams(snapshot="desktop", labels=run_label)
    sandbox = client.create(params, timeout=BUILD_SECONDS)
    sandbox.computer_use.start()
    yield sandbox
    api("DELETE", f"/sandbox/{sandbox.id}")


@pytest.fixture(scope="module")
def terminal(desktop):
    """A terminal that writes what is typed into a file; its window."""
    desktop.process.exec("xterm -title typed -geometry 80x24+50+60 -e 'cat > /tmp/typed' > /dev/null 2>&1 &")
    return until(lambda: window(desktop, "typed"), "the terminal is there")


def window(sandbox, title):
    windows = sandbox.computer_use.display.get_windows().windows
    return next((one for one in windows if title in one.title and getattr(one, "is_active", True)), None)


def size_of(png):
    data = base64.b64decode(png)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def text_of(sandbox, path):
    return sandbox.fs.download_file(path).decode()


def test_a_second_start_changes_nothing_and_all_is_active(desktop):
    first = desktop.computer_use.start()
    again = desktop.computer_use.start()
    assert first.message and first.status == again.status
    assert desktop.computer_use.get_status().status == "active"


@pytest.mark.parametrize("name", ["xvfb", "xfce4", "x11vnc", "novnc"])
def test_each_program_tells_its_status_and_what_it_wrote(desktop, name):
    status = desktop.computer_use.get_process_status(name)
    assert (status.process_name, status.running) == (name, True)
    assert isinstance(desktop.computer_use.get_process_logs(name).logs, str)
    assert isinstance(desktop.computer_use.get_process_errors(name).errors, str)


def test_a_restarted_program_runs_again(desktop):
    assert desktop.computer_use.restart_process("novnc").process_name == "novnc"
    until(lambda: desktop.computer_use.get_status().status == "active", "all of it runs")


def test_an_unknown_program_is_refused(desktop):
    with pytest.raises(Exception, match="xvfb"):
        desktop.computer_use.get_process_logs("emacs")


def test_the_display_is_told(desktop):
    displays = desktop.computer_use.display.get_info().displays
    assert [(one.x, one.y, one.width, one.height) for one in displays] == [(0, 0, 1024, 768)]


def test_pictures_are_whole_parts_and_smaller(desktop):
    screenshot = desktop.computer_use.screenshot
    assert size_of(screenshot.take_full_screen().screenshot) == (1024, 768)
    region = ScreenshotRegion(x=10, y=20, width=300, height=200)
    assert size_of(screenshot.take_region(region).screenshot) == (300, 200)
    half = screenshot.take_compressed(ScreenshotOptions(fmt="png", scale=0.5, show_cursor=True))
    assert size_of(half.screenshot) == (512, 384)
    jpeg = screenshot.take_compressed_region(region, ScreenshotOptions(fmt="jpeg", quality=50))
    assert base64.b64decode(jpeg.screenshot)[:3] == b"\xff\xd8\xff"
    assert jpeg.size_bytes == len(base64.b64decode(jpeg.screenshot))


def test_a_shown_pointer_is_told_and_drawn(desktop):
    moved = desktop.computer_use.mouse.move(400, 700)
    assert (moved.x, moved.y) == (400, 700)
    without = desktop.computer_use.screenshot.take_full_screen()
    shown = desktop.computer_use.screenshot.take_full_screen(True)
    assert shown.screenshot != without.screenshot
    position = shown.cursor_position
    assert (position.x, position.y) == (400, 700) if hasattr(position, "x") else position


def test_typed_text_and_keys_arrive_in_a_program(desktop, terminal):
    keyboard = desktop.computer_use.keyboard
    keyboard.type("Hello, World! ~#{} \u00fc\u20ac\n")
    until(lambda: text_of(desktop, "/tmp/typed") == "Hello, World! ~#{} \u00fc\u20ac\n", "the text has arrived")
    keyboard.type("ab", 10)
    keyboard.press("backspace")
    keyboard.press("7", ["shift"])
    keyboard.hotkey("ctrl+v")
    keyboard.press("tab")
    keyboard.press("enter")
    until(lambda: text_of(desktop, "/tmp/typed").endswith("\na&\t\n"), "the keys have arrived")


def test_the_mouse_works_a_window(desktop, terminal):
    mouse = desktop.computer_use.mouse
    mouse.click(terminal.x + 40, terminal.y + 40)
    scrolled = mouse.scroll(terminal.x + 40, terminal.y + 40, "down", 2)
    assert getattr(scrolled, "success", scrolled) is True
    # Where it was when it was first seen need not be where its frame was put.
    at = until(lambda: window(desktop, "typed"), "the terminal is there")
    mouse.drag(at.x + 100, at.y - 8, at.x + 150, at.y + 22)
    until(lambda: (window(desktop, "typed") or at).x == at.x + 50, f"the window was dragged from {at}")
    position = mouse.get_position()
    assert (position.x, position.y) == (at.x + 150, at.y + 22)


def test_a_point_beside_the_screen_is_refused(desktop):
    with pytest.raises(Exception, match="x 5000"):
        desktop.computer_use.mouse.move(5000, 1)
    with pytest.raises(Exception, match="key"):
        desktop.computer_use.keyboard.press("nokey")


@pytest.mark.needs("Mouse.down")
def test_buttons_and_keys_can_be_held(desktop):
    mouse, keyboard = desktop.computer_use.mouse, desktop.computer_use.keyboard
    assert mouse.down(10, 700).x == 10
    assert mouse.up(20, 710).y == 710
    mouse.click(10, 700, clicks=3, modifiers=["shift"])
    keyboard.down("shift")
    keyboard.up("shift")


@pytest.mark.needs("RecordingService.start")
def test_a_film_is_made_listed_fetched_and_deleted(desktop, local):
    films = desktop.computer_use.recording
    film = films.start()
    assert film.status == "recording"
    desktop.computer_use.mouse.move(300, 300)
    stopped = films.stop(film.id)
    assert stopped.status == "completed" and stopped.duration_seconds > 0
    assert film.id in [one.id for one in films.list().recordings]
    films.download(film.id, str(local / "film.mp4"))
    content = (local / "film.mp4").read_bytes()
    assert len(content) == stopped.size_bytes and content[4:8] == b"ftyp"
    films.delete(film.id)
    with pytest.raises(Exception, match=film.id):
        films.get(film.id)


@pytest.mark.needs("Accessibility.get_tree")
def test_a_browser_is_seen_and_worked_by_its_accessibility_tree(desktop):
    desktop.fs.upload_file(PAGE.encode(), "/tmp/page.html")
    desktop.process.exec("chromium file:///tmp/page.html > /tmp/chromium.log 2>&1 &")
    until(lambda: window(desktop, "A page"), "the browser shows the page", 60)
    tree = desktop.computer_use.accessibility

    def button():
        found = tree.find_nodes(scope="all", name="Press me", name_match="exact").matches
        return next((one for one in found if one.actions), None)

    pressed = until(button, "the page's button is in the tree", 30)
    assert pressed.bounds.width > 0
    tree.invoke_node(pressed.id)
    until(lambda: window(desktop, "Clicked"), "the page has noticed")
    focused = tree.get_tree()
    assert "Clicked" in focused.root.name


def test_the_desktop_is_seen_through_the_preview_of_its_port(desktop):
    link = desktop.get_preview_link(6080)
    page = visit(f"{link.url}/vnc.html", headers={"x-daytona-preview-token": link.token})
    assert page.status_code == 200 and "noVNC" in page.text
    url, headers = by_address(f"{link.url}/websockify")
    headers |= {
        "x-daytona-preview-token": link.token,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "binary",
    }
    with httpx.Client(trust_env=False, timeout=30) as web, web.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 101
        stream = answer.extensions["network_stream"]
        said = b""
        while b"RFB 003" not in said:
            more = stream.read(1024, timeout=10)
            assert more, said
            said += more


def test_a_sandbox_without_a_desktop_says_what_is_missing(sandbox):
    with pytest.raises(Exception, match="Xvfb.*desktop"):
        sandbox.computer_use.start()


def test_a_stopped_desktop_can_be_started_again(desktop):
    desktop.computer_use.stop()
    assert desktop.computer_use.get_status().status == "inactive"
    with pytest.raises(Exception, match="not running"):
        desktop.computer_use.screenshot.take_full_screen()
    desktop.computer_use.start()
    assert desktop.computer_use.get_status().status == "active"
