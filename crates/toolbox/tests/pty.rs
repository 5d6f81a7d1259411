//! `/process/pty`: terminals that outlive the connections to them.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::socket::{Frame, Socket};
use common::{Toolbox, alive, eventually, find};
use serde_json::{Value, json};

const EXIT_CONTROL: &str = "X-Daytona-Pty-Exit-Control";

fn contains(text: &str) -> impl FnMut(&[u8]) -> bool {
    move |all| find(all, text.as_bytes()).is_some()
}

/// A new terminal and a connection to it.
fn connect(toolbox: &Toolbox, query: &str, protocols: &[&str]) -> Socket {
    let target = format!("/process/pty/create-connect?{query}");
    let mut socket = toolbox.websocket_offering(&target, protocols).unwrap();
    let connected = socket.text();
    assert_eq!(
        (&connected["type"], &connected["status"]),
        (&json!("control"), &json!("connected"))
    );
    socket
}

/// What is still shown, what is said after it, and the close.
fn rest(socket: &mut Socket) -> (String, Option<Value>, (u16, Value)) {
    let (mut shown, mut said) = (Vec::new(), None);
    loop {
        match socket.next() {
            Frame::Binary(bytes) => {
                assert_eq!(said, None, "output after the end was told");
                shown.extend(bytes);
            }
            Frame::Text(text) => said = Some(text),
            Frame::Closed(close) => {
                let (code, reason) = close.expect("a close frame");
                let shown = String::from_utf8_lossy(&shown).into_owned();
                return (shown, said, (code, serde_json::from_str(&reason).unwrap()));
            }
        }
    }
}

#[test]
fn a_shell_on_a_terminal_of_its_own_answers_what_is_typed() {
    let toolbox = Toolbox::start();
    let envs = URL_SAFE_NO_PAD.encode(json!({"MINE": "ü 1"}).to_string());
    let envs = format!("X-Daytona-Pty-Envs~{envs}");
    let mut socket = connect(
        &toolbox,
        "id=t&cols=100&rows=30&cwd=/usr",
        &[&envs, EXIT_CONTROL],
    );
    assert_eq!(socket.protocol.as_deref(), Some(EXIT_CONTROL));
    socket.send(
        "tty; stty size; echo $TERM $MINE; pwd; echo job; sleep 0 & wait; jobs; echo do''ne\n",
    );
    let shown = socket.binary_until(contains("done\r\n"));
    let shown = String::from_utf8_lossy(&shown);
    for expected in [
        "/dev/pts/",
        "30 100\r\n",
        "xterm-256color ü 1\r\n",
        "/usr\r\n",
    ] {
        assert!(shown.contains(expected), "{expected} in {shown}");
    }
    // A job on its own terminal: nothing to complain of.
    assert!(!shown.contains("no job control"), "{shown}");
    socket.send_binary(b"exit 3\n");
    let (_, said, close) = rest(&mut socket);
    let exited = json!({"type": "control", "status": "exited", "exitCode": 3, "exitReason": "non-zero exit"});
    assert_eq!(said, Some(exited));
    assert_eq!(
        close,
        (1011, json!({"exitCode": 3, "exitReason": "non-zero exit"}))
    );
    assert_eq!(toolbox.get("/process/pty/t").status, 404);
}

#[test]
fn go_clients_get_the_exit_code_in_a_close_that_they_read() {
    let toolbox = Toolbox::start();
    let go = [("x-daytona-source", "sdk-go")];
    let target = "/process/pty/create-connect?id=t";
    let mut socket = toolbox.websocket_with(target, &go).unwrap();
    assert_eq!(socket.text()["status"], "connected");
    socket.send("exit 3\n");
    let (_, _, close) = rest(&mut socket);
    assert_eq!(
        close,
        (1000, json!({"exitCode": 3, "exitReason": "non-zero exit"}))
    );
}

#[test]
fn a_deletion_is_answered_as_go_clients_can_read_it() {
    let toolbox = Toolbox::start();
    let go = [("X-Daytona-Source", "sdk-go")];
    for (headers, body) in [
        (&go[..], json!({})),
        (&[], json!({"message": "terminal deleted"})),
    ] {
        toolbox.post("/process/pty", &json!({"id": "t"}));
        let reply = toolbox.send("DELETE", "/process/pty/t", headers, b"");
        assert_eq!((reply.status, reply.json()), (200, body));
    }
}

#[test]
fn without_the_subprotocol_the_end_is_in_the_close_alone() {
    let toolbox = Toolbox::start();
    let mut socket = connect(&toolbox, "id=t", &[]);
    assert_eq!(socket.protocol, None);
    socket.send("seq 30000; exit 0\n");
    let (shown, said, close) = rest(&mut socket);
    // All that was shown came before the close.
    assert!(shown.contains("\r\n29999\r\n30000\r\n"));
    assert_eq!(said, None);
    assert_eq!(close, (1000, json!({"exitCode": 0, "exitReason": ""})));
}

#[test]
fn control_c_interrupts_and_a_resize_is_seen() {
    let toolbox = Toolbox::start();
    let mut socket = connect(&toolbox, "id=t", &[]);
    // In the foreground before it says so.
    let sleeper = "sh -c 'echo re\"\"ady; exec sleep 1000'";
    socket.send(&format!("stty size; trap 'stty size' WINCH; {sleeper}\n"));
    let shown = socket.binary_until(contains("ready\r\n"));
    assert!(contains("24 80\r\n")(&shown));
    socket.send("\u{3}");
    socket.send("echo inter''rupted\n");
    socket.binary_until(contains("interrupted\r\n"));
    let resize = |cols: u64, rows: u64| {
        toolbox.post(
            "/process/pty/t/resize",
            &json!({"cols": cols, "rows": rows}),
        )
    };
    let body = resize(120, 40).json();
    assert_eq!((&body["cols"], &body["rows"]), (&json!(120), &json!(40)));
    // A shell that was about to wait for a key when the signal came acts on it after the next one.
    socket.send("\n");
    socket.binary_until(contains("40 120\r\n"));
    for (cols, rows) in [(0, 24), (80, 0), (1001, 24), (80, 70_000)] {
        assert_eq!(resize(cols, rows).status, 400);
    }
}

#[test]
fn a_terminal_outlives_its_connections_and_shows_what_was_missed() {
    let toolbox = Toolbox::start();
    let mut first = connect(&toolbox, "id=t", &[]);
    first.send("echo be''fore\n");
    first.binary_until(contains("before\r\n"));
    let home = toolbox.home();
    first.send(&format!(
        "cd {}; until [ -e go ]; do sleep 0.02; done; echo mis''sed; touch went\n",
        home.display()
    ));
    drop(first);
    std::fs::write(home.join("go"), "").unwrap();
    eventually("it went on alone", || home.join("went").exists());
    let mut second = toolbox.websocket("/process/pty/t/connect");
    assert_eq!(second.text()["offset"], 0);
    let shown = second.binary_until(contains("missed\r\n"));
    assert!(contains("before\r\n")(&shown));
    // From an offset on, and side by side.
    let offset = shown.len();
    let mut third = toolbox.websocket(&format!("/process/pty/t/connect?offset={offset}"));
    assert_eq!(third.text()["offset"], offset);
    second.send("echo bo''th\n");
    assert!(!contains("missed")(
        &third.binary_until(contains("both\r\n"))
    ));
    second.binary_until(contains("both\r\n"));
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody() {
    let toolbox = Toolbox::start();
    let mut reader = connect(&toolbox, "id=t", &[]);
    let mut sleeper = toolbox.websocket("/process/pty/t/connect");
    sleeper.text();
    reader.send("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo fin''ished\n");
    let mut tail = Vec::new();
    while !contains("finished\r\n")(&tail) {
        let Frame::Binary(bytes) = reader.next() else {
            panic!("no output");
        };
        tail.extend(bytes);
        tail.drain(..tail.len().saturating_sub(1000));
    }
    // It goes on with what is left for it, and is still heard.
    sleeper.send("echo aw''ake\n");
    sleeper.binary_until(contains("awake\r\n"));
}

#[test]
fn pings_are_answered_while_output_floods() {
    let toolbox = Toolbox::start();
    let mut socket = connect(&toolbox, "id=t", &[]);
    socket.send("yes\n");
    socket.binary_until(contains("y\r\ny\r\n"));
    for _ in 0..3 {
        socket.ping();
        socket.wait_for_pong();
    }
    socket.send("\u{3}");
    socket.send("echo cal''m\n");
    let mut tail = Vec::new();
    while !contains("calm\r\n")(&tail) {
        if let Frame::Binary(bytes) = socket.next() {
            tail.extend(bytes);
            tail.drain(..tail.len().saturating_sub(1000));
        }
    }
}

#[test]
fn deleting_ends_all_that_was_started_in_it() {
    let toolbox = Toolbox::start();
    let mut socket = connect(&toolbox, "id=t", &[EXIT_CONTROL]);
    socket.send("echo p''id $$ $(setsid sleep 1000 > /dev/null & echo $!) e''nd\n");
    let shown = socket.binary_until(contains(" end\r\n"));
    let shown = String::from_utf8_lossy(&shown).into_owned();
    let line = shown.split("pid ").nth(1).unwrap();
    let pids: Vec<&str> = line.split(' ').take(2).collect();
    let reply = toolbox.delete("/process/pty/t");
    assert_eq!(reply.status, 200);
    assert!(reply.json()["message"].is_string());
    let (_, said, close) = rest(&mut socket);
    assert_eq!(said.unwrap()["exitCode"], 137);
    assert_eq!(
        close,
        (1011, json!({"exitCode": 137, "exitReason": "SIGKILL"}))
    );
    for pid in pids {
        eventually("it is gone", || !alive(pid));
    }
    assert_eq!(toolbox.delete("/process/pty/t").status, 404);
}

#[test]
fn a_terminal_deleted_while_it_starts_leaves_no_shell() {
    let toolbox = Toolbox::start();
    for _ in 0..10 {
        let created = std::thread::scope(|scope| {
            let creating = scope.spawn(|| toolbox.post("/process/pty", &json!({"id": "t"})).status);
            eventually("it is there to be deleted", || {
                toolbox.delete("/process/pty/t").status == 200
            });
            creating.join().unwrap()
        });
        // Deleted before or after it was there for its maker.
        assert!(matches!(created, 201 | 404), "{created}");
        assert_eq!(toolbox.get("/process/pty/t").status, 404);
    }
    eventually("every shell has ended", || {
        let all = toolbox.get("/sebring/process").json();
        let mut all = all["processes"].as_array().unwrap().iter();
        all.all(|process| process["running"] == false)
    });
}

#[test]
fn the_older_routes_create_list_and_start_late() {
    let toolbox = Toolbox::start();
    assert_eq!(toolbox.get("/process/pty").json(), json!({"sessions": []}));
    let create = |body: Value| toolbox.post("/process/pty", &body);
    let reply = create(
        json!({"id": "t", "cwd": "/usr", "envs": {"A": "b"}, "cols": 90, "lazyStart": true}),
    );
    assert_eq!(
        (reply.status, reply.json()),
        (201, json!({"sessionId": "t"}))
    );
    let mut info = toolbox.get("/process/pty/t").json();
    let created = info["createdAt"].take();
    assert!(created.as_str().unwrap().ends_with('Z'), "{created}");
    let expected = json!({
        "id": "t", "cwd": "/usr", "envs": {"A": "b"}, "cols": 90, "rows": 24,
        "createdAt": null, "active": false, "lazyStart": true,
    });
    assert_eq!(info, expected);
    let mut socket = toolbox.websocket("/process/pty/t/connect");
    assert_eq!(socket.text()["status"], "connected");
    socket.send("echo $A; stty size; pwd\n");
    socket.binary_until(contains("24 90\r\n/usr\r\n"));
    let list = toolbox.get("/process/pty").json();
    assert_eq!(list["sessions"][0]["active"], true);
    assert_eq!(create(json!({"id": "now"})).status, 201);
    assert_eq!(toolbox.get("/process/pty/now").json()["active"], true);
}

#[test]
fn what_cannot_be_is_refused_by_a_status_before_the_upgrade() {
    let toolbox = Toolbox::start();
    let create = |body: Value| toolbox.post("/process/pty", &body).status;
    assert_eq!(create(json!({"id": "t"})), 201);
    for (body, status) in [
        (json!({"id": "t"}), 409),
        (json!({"id": ""}), 400),
        (json!({}), 400),
        (json!({"id": "u", "cols": 1001}), 400),
        (json!({"id": "u", "rows": 0}), 400),
        (json!({"id": "u", "cwd": "/no/where"}), 400),
        (json!({"id": "u", "envs": {"A-B": "x"}}), 400),
    ] {
        assert_eq!(create(body.clone()), status, "{body}");
    }
    let refused = |query: &str, protocols: &[&str]| {
        let target = format!("/process/pty/create-connect?{query}");
        toolbox.websocket_offering(&target, protocols).err()
    };
    assert_eq!(refused("id=t", &[]), Some(409));
    assert_eq!(refused("cols=80", &[]), Some(400));
    assert_eq!(refused("id=u&cols=abc", &[]), Some(400));
    assert_eq!(refused("id=u&cwd=/no/where", &[]), Some(400));
    assert_eq!(refused("id=u", &["X-Daytona-Pty-Envs~!!"]), Some(400));
    // Nothing of these is left behind.
    assert_eq!(toolbox.get("/process/pty/u").status, 404);
    let mut socket = toolbox.websocket("/process/pty/u/connect");
    let words = socket.text();
    assert_eq!(words["status"], "error");
    let error = words["error"].as_str().unwrap();
    assert!(
        error.starts_with("Failed to connect to PTY session: "),
        "{error}"
    );
    assert!(matches!(socket.next(), Frame::Closed(Some((1011, _)))));
}
