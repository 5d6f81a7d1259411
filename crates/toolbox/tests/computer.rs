//! A real desktop: Xvfb, openbox, x11vnc, websockify and xterm of this host.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::needless_pass_by_value,
    reason = "test code"
)]

mod common;
#[path = "common/desktop.rs"]
mod desktop;

use std::net::TcpStream;

use base64::Engine as _;
use common::{Toolbox, alive, eventually, find};
use desktop::{do_it, ok, refused, started, toolbox, window};
use serde_json::{Value, json};

/// Makes the terminal tell presses and releases of buttons, and passes them on at once.
const TRACKED: &str = "stty -icanon -echo; printf '\\033[?1000h\\033[?1006h'";

fn picture(answer: &Value) -> (u32, u32, Vec<u8>) {
    let file = base64::engine::general_purpose::STANDARD
        .decode(answer["screenshot"].as_str().unwrap())
        .unwrap();
    assert_eq!(answer["sizeBytes"], file.len());
    let mut reader = png::Decoder::new(std::io::Cursor::new(file))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    (info.width, info.height, pixels)
}

/// Opens an xterm that writes what is typed into a file, and waits until it has the keyboard.
/// `set_up` runs in it before; the terminal takes its title when it has acted on what that prints.
fn open_terminal(toolbox: &Toolbox, set_up: &str) -> Value {
    let script = format!("{set_up}; printf '\\033]2;typed\\007'; exec cat > typed");
    std::fs::write(toolbox.home().join("script"), script).unwrap();
    let command = "LC_ALL=C.UTF-8 xterm -geometry 80x24+50+60 -e sh script > xterm.log 2>&1 &";
    assert_eq!(toolbox.execute(command).0, 0);
    window(toolbox, "typed")
}

/// What the terminal was told of the mouse: a button's number, and M for pressed or m for released.
fn told(toolbox: &Toolbox, expected: &[&str]) {
    let path = toolbox.home().join("typed");
    let expected: Vec<String> = expected.iter().map(|one| (*one).to_owned()).collect();
    eventually(&format!("the terminal is told {expected:?}"), || {
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let events = text.split("\u{1b}[<").skip(1);
        let events = events.map(|event| {
            let button = event.split(';').next().unwrap();
            format!("{button}{}", &event[event.len() - 1..])
        });
        events.collect::<Vec<_>>() == expected
    });
}

fn typed(toolbox: &Toolbox, expected: &str) {
    eventually(&format!("{expected:?} was typed"), || {
        std::fs::read_to_string(toolbox.home().join("typed")).is_ok_and(|text| text == expected)
    });
}

#[test]
fn a_desktop_starts_once_serves_vnc_and_stops_with_all_its_processes() {
    let toolbox = toolbox();
    let status = |path: &str| ok(toolbox.get(&format!("/computeruse/{path}")));
    assert_eq!(status("process-status")["status"], "inactive");
    refused(
        &toolbox.get("/computeruse/screenshot"),
        409,
        "/computeruse/start",
    );

    let first = do_it(&toolbox, "start", Value::Null);
    assert_eq!(first["status"]["xvfb"]["running"], true);
    assert_eq!(first["status"]["xvfb"]["priority"], 100);
    assert_eq!(first["status"]["novnc"]["autoRestart"], true);
    let again = do_it(&toolbox, "start", Value::Null);
    assert_eq!(
        first["status"], again["status"],
        "a second start changes nothing"
    );
    for path in ["status", "process-status"] {
        assert_eq!(status(path)["status"], "active");
    }
    for name in [
        "xvfb", "openbox", "xfce4", "x11vnc", "novnc", "dbus", "atspi",
    ] {
        let one = status(&format!("process/{name}/status"));
        assert_eq!(one, json!({"processName": name, "running": true}));
        assert!(status(&format!("process/{name}/logs"))["logs"].is_string());
        assert!(status(&format!("process/{name}/errors"))["errors"].is_string());
    }
    assert_eq!(
        toolbox
            .execute("echo $DISPLAY $DBUS_SESSION_BUS_ADDRESS | grep -c unix:path")
            .1,
        "1\n"
    );

    let pids: Vec<String> = first["status"]
        .as_object()
        .unwrap()
        .values()
        .map(|one| one["pid"].to_string())
        .collect();
    assert_eq!(pids.len(), 6);
    assert!(pids.iter().all(|pid| alive(pid)));
    let stopped = do_it(&toolbox, "stop", Value::Null);
    assert_eq!(stopped["status"]["xvfb"]["running"], false);
    assert_eq!(pids.iter().filter(|pid| alive(pid)).count(), 0);
    assert_eq!(status("process-status")["status"], "inactive");
    do_it(&toolbox, "stop", Value::Null);
    do_it(&toolbox, "start", Value::Null);
}

#[test]
fn the_web_page_of_the_desktop_speaks_vnc_over_websockets() {
    use std::io::{Read as _, Write as _};
    let toolbox = started();
    let port: u16 = toolbox.execute("echo -n $NO_VNC_PORT").1.parse().unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    stream
        .write_all(
            b"GET /websockify HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: binary\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let mut said = Vec::new();
    let mut buffer = [0; 512];
    while find(&said, b"RFB 003").is_none() {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn a_part_that_dies_comes_back_and_one_that_is_restarted_is_another_process() {
    let toolbox = started();
    let pid = |name: &str| do_it(&toolbox, "start", Value::Null)["status"][name]["pid"].to_string();
    let before = pid("openbox");
    common::signal("-KILL", before.parse().unwrap());
    eventually("the window manager is back", || {
        toolbox.get("/computeruse/process/openbox/status").json()["running"] == true
            && !alive(&before)
    });
    let before = pid("novnc");
    let answer = do_it(&toolbox, "process/novnc/restart", Value::Null);
    assert_eq!(answer["processName"], "novnc");
    assert_ne!(pid("novnc"), before);
    // All that draws starts anew on a new display server.
    let before = pid("x11vnc");
    common::signal("-KILL", pid("xvfb").parse().unwrap());
    eventually("everything is back on a new display", || {
        toolbox.get("/computeruse/process-status").json()["status"] == "active" && !alive(&before)
    });
    eventually("pictures are taken again", || {
        toolbox.get("/computeruse/screenshot").status == 200
    });

    for (method, path) in [
        ("GET", "status"),
        ("GET", "logs"),
        ("GET", "errors"),
        ("POST", "restart"),
    ] {
        let reply = toolbox.send(
            method,
            &format!("/computeruse/process/emacs/{path}"),
            &[],
            b"",
        );
        refused(&reply, 400, "xvfb");
    }
}

#[test]
fn a_start_brings_back_what_is_missing_and_leaves_the_windows() {
    let toolbox = started();
    let parts = || do_it(&toolbox, "start", Value::Null)["status"].clone();
    let before = parts();
    let window = open_terminal(&toolbox, "true");
    // It is not restarted by itself.
    let pid = before["atspi"]["pid"].to_string();
    common::signal("-KILL", pid.parse().unwrap());
    eventually("a part is missing", || {
        toolbox.get("/computeruse/process-status").json()["status"] == "partial"
    });
    let after = parts();
    assert_eq!(after["atspi"]["running"], true);
    for name in ["dbus", "xvfb", "openbox", "x11vnc", "novnc"] {
        assert_eq!(before[name]["pid"], after[name]["pid"], "{name}");
    }
    let windows = ok(toolbox.get("/computeruse/display/windows"));
    assert_eq!(windows["windows"][0]["id"], window["id"]);
    // What was begun anew follows a new display server as the others do.
    let (server, fresh) = (&after["xvfb"]["pid"], after["atspi"]["pid"].to_string());
    common::signal("-KILL", server.to_string().parse().unwrap());
    eventually("it is another process", || {
        toolbox.get("/computeruse/process-status").json()["status"] == "active" && !alive(&fresh)
    });
}

#[test]
fn pictures_are_whole_parts_smaller_and_with_the_pointer() {
    let toolbox = started();
    let get = |path: &str| ok(toolbox.get(&format!("/computeruse/{path}")));
    do_it(&toolbox, "mouse/move", json!({"x": 400, "y": 300}));

    let whole = get("screenshot");
    assert_eq!(whole["cursorPosition"], json!({"x": 0, "y": 0}));
    let (width, height, without) = picture(&whole);
    assert_eq!((width, height), (800, 600));
    assert_eq!(
        without[..3],
        [0x2e, 0x34, 0x40],
        "the colour of the empty desktop"
    );
    for name in ["showCursor", "show_cursor"] {
        let shown = get(&format!("screenshot?{name}=true"));
        assert_eq!(shown["cursorPosition"], json!({"x": 400, "y": 300}));
        assert_ne!(picture(&shown).2, without, "the pointer is drawn");
    }

    let part = get("screenshot/region?x=10&y=20&width=30&height=40");
    assert_eq!(part["cursorPosition"], json!({"x": 10, "y": 20}));
    assert_eq!((picture(&part).0, picture(&part).1), (30, 40));

    let small = get("screenshot/compressed?scale=0.5&showCursor=true");
    assert_eq!((picture(&small).0, picture(&small).1), (400, 300));
    assert_eq!(small["cursorPosition"], json!({"x": 200, "y": 150}));
    let jpeg =
        get("screenshot/region/compressed?x=0&y=0&width=100&height=100&format=jpeg&quality=40");
    assert!(jpeg["screenshot"].as_str().unwrap().starts_with("/9j/"));
    assert_eq!(jpeg.get("cursorPosition"), None);

    for (query, name) in [
        ("region?x=0&y=0&width=801&height=1", "width"),
        ("region?x=-1&y=0&width=1&height=1", "query x"),
        ("region?x=0&y=0&width=1", "height"),
        ("region?x=a&y=0&width=1&height=1", "query x"),
        ("compressed?quality=0", "quality"),
        ("compressed?quality=101", "quality"),
        ("compressed?format=webp", "format"),
        ("compressed?scale=0", "scale"),
        ("compressed?scale=NaN", "scale"),
        ("compressed?scale=1.01", "scale"),
        ("compressed?showCursor=maybe", "showCursor"),
    ] {
        refused(
            &toolbox.get(&format!("/computeruse/screenshot/{query}")),
            400,
            name,
        );
    }
}

#[test]
fn what_is_typed_arrives_in_a_program_letter_by_letter() {
    let toolbox = started();
    let window = open_terminal(&toolbox, "true");
    assert!(window["width"].as_i64().unwrap() > 100 && window["x"].as_i64().unwrap() >= 50);
    let text = "Hello, World! {[~#\"'\\|]} 1+1=2 \u{fc}\u{20ac}\u{3bb} ok\n";
    assert_eq!(
        do_it(&toolbox, "keyboard/type", json!({"text": text})),
        json!({})
    );
    typed(&toolbox, text);
    do_it(&toolbox, "keyboard/type", json!({"text": "ab", "delay": 5}));
    do_it(&toolbox, "keyboard/key", json!({"key": "backspace"}));
    do_it(
        &toolbox,
        "keyboard/key",
        json!({"key": "7", "modifiers": ["shift"]}),
    );
    do_it(&toolbox, "keyboard/down", json!({"key": "shift"}));
    do_it(&toolbox, "keyboard/key", json!({"key": "x"}));
    do_it(&toolbox, "keyboard/up", json!({"key": "shift"}));
    // Digits of the number pad, which are its arrows without num lock.
    do_it(&toolbox, "keyboard/key", json!({"key": "num7"}));
    do_it(&toolbox, "keyboard/down", json!({"key": "num_decimal"}));
    do_it(&toolbox, "keyboard/up", json!({"key": "num_decimal"}));
    do_it(&toolbox, "keyboard/hotkey", json!({"keys": "num0"}));
    do_it(&toolbox, "keyboard/key", json!({"key": "Return"}));
    typed(&toolbox, &format!("{text}a&X7.0\n"));
    do_it(&toolbox, "keyboard/hotkey", json!({"keys": "ctrl+d"}));
    eventually("the terminal has closed at the end of its input", || {
        let windows = ok(toolbox.get("/computeruse/display/windows"));
        windows["windows"].as_array().unwrap().is_empty()
    });
}

#[test]
fn the_mouse_points_clicks_drags_and_scrolls() {
    let toolbox = started();
    let window = open_terminal(&toolbox, TRACKED);
    let at = |x: i64, y: i64| json!({"x": x, "y": y});
    assert_eq!(do_it(&toolbox, "mouse/move", at(5, 7)), at(5, 7));
    assert_eq!(ok(toolbox.get("/computeruse/mouse/position")), at(5, 7));

    let (x, y) = (window["x"].as_i64().unwrap(), window["y"].as_i64().unwrap());
    let click = |more: Value| {
        let mut click = json!({"x": x + 12, "y": y + 8});
        click
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert_eq!(do_it(&toolbox, "mouse/click", click), at(x + 12, y + 8));
    };
    click(json!({}));
    click(json!({"double": true, "button": "Middle"}));
    do_it(&toolbox, "mouse/down", json!({"button": "right"}));
    let up = json!({"x": x + 30, "y": y + 30, "button": "right"});
    assert_eq!(do_it(&toolbox, "mouse/up", up), at(x + 30, y + 30));
    let scroll = json!({"x": x + 40, "y": y + 40, "direction": "down", "amount": 3});
    assert_eq!(
        do_it(&toolbox, "mouse/scroll", scroll),
        json!({"success": true})
    );
    let scroll = json!({"x": x + 40, "y": y + 40, "direction": "up"});
    do_it(&toolbox, "mouse/scroll", scroll);
    let middle = ["1M", "1m", "1M", "1m"];
    let wheel = ["65M", "65M", "65M", "64M"];
    told(
        &toolbox,
        &[&["0M", "0m"], &middle[..], &["2M", "2m"], &wheel].concat(),
    );

    // By its title bar, which is above it.
    let drag = json!({"startX": x + 100, "startY": y - 8, "endX": x + 160, "endY": y + 42});
    assert_eq!(do_it(&toolbox, "mouse/drag", drag), at(x + 160, y + 42));
    eventually("the window has moved with the drag", || {
        let moved = self::window(&toolbox, "typed");
        (moved["x"].as_i64(), moved["y"].as_i64()) == (Some(x + 60), Some(y + 50))
    });
}

#[test]
fn input_that_cannot_be_is_refused_by_the_name_of_its_field() {
    let toolbox = started();
    for (path, body, part) in [
        ("mouse/move", json!({"x": 800, "y": 0}), "x 800"),
        ("mouse/move", json!({"x": 0, "y": -1}), "y -1"),
        ("mouse/move", json!({"y": 1}), "x: is required"),
        ("mouse/move", json!({"x": "1", "y": 1}), "x: invalid type"),
        (
            "mouse/click",
            json!({"x": 1, "y": 1, "button": "fourth"}),
            "button",
        ),
        (
            "mouse/click",
            json!({"x": 1, "y": 1, "clicks": 0}),
            "clicks",
        ),
        (
            "mouse/click",
            json!({"x": 1, "y": 1, "modifiers": ["hyper"]}),
            "modifiers",
        ),
        (
            "mouse/drag",
            json!({"startX": 1, "startY": 1, "endX": 1, "endY": 9000}),
            "endY",
        ),
        (
            "mouse/scroll",
            json!({"x": 1, "y": 1, "direction": "in"}),
            "direction",
        ),
        (
            "mouse/scroll",
            json!({"x": 1, "y": 1, "direction": "up", "amount": -1}),
            "amount",
        ),
        ("mouse/down", json!({"x": 1}), "y: is required"),
        ("keyboard/key", json!({"key": "!"}), "shift"),
        ("keyboard/key", json!({}), "key"),
        (
            "keyboard/key",
            json!({"key": "shift", "modifiers": ["shift"]}),
            "modifiers",
        ),
        ("keyboard/hotkey", json!({"keys": "ctrl+c ctrl+v"}), "keys"),
        ("keyboard/type", json!({"text": "a\tb"}), "text"),
        ("keyboard/type", json!({"text": "a", "delay": -1}), "delay"),
        ("keyboard/down", json!({"key": "nokey"}), "key"),
    ] {
        refused(
            &toolbox.post(&format!("/computeruse/{path}"), &body),
            400,
            part,
        );
    }
    let resolution = json!({"set": {"VNC_RESOLUTION": "9x9"}});
    toolbox.post("/env", &resolution);
    refused(
        &toolbox.post("/computeruse/start", &Value::Null),
        400,
        "VNC_RESOLUTION",
    );
}

#[test]
fn an_image_without_a_desktop_says_what_is_missing_and_what_to_do() {
    let toolbox = toolbox();
    toolbox.post("/env", &json!({"set": {"PATH": "/nowhere"}}));
    for (method, path) in [
        ("POST", "start"),
        ("POST", "stop"),
        ("GET", "status"),
        ("GET", "screenshot"),
        ("GET", "display/windows"),
        ("GET", "a11y/tree"),
        ("GET", "process/xvfb/status"),
        ("GET", "mouse/position"),
    ] {
        let reply = toolbox.send(method, &format!("/computeruse/{path}"), &[], b"");
        refused(&reply, 503, "Xvfb");
        let body = reply.json();
        assert_eq!(body["code"], "COMPUTER_USE_UNAVAILABLE", "{path}");
        assert!(
            body["solution"].as_str().unwrap().contains("desktop"),
            "{path}"
        );
        assert!(
            body["details"].as_str().unwrap().contains("openbox"),
            "{path}"
        );
    }
    assert_eq!(
        ok(toolbox.get("/computeruse/recordings")),
        json!({"recordings": []})
    );
    let reply = toolbox.post("/computeruse/recordings/start", &json!({}));
    refused(&reply, 503, "ffmpeg");
    assert_eq!(reply.json()["code"], "RECORDING_FFMPEG_NOT_FOUND");
}
