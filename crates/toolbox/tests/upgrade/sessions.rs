//! Sessions and terminals.

use serde_json::{Value, json};

use crate::common::{Toolbox, eventually, find};
use crate::upgrade;

const NEWEST: (&str, &str) = ("X-Daytona-SDK-Version", "0.226.1");

fn exec(toolbox: &Toolbox, session: &str, body: &Value) -> Value {
    let path = format!("/process/session/{session}/exec");
    let headers = [("Content-Type", "application/json"), NEWEST];
    let reply = toolbox.send("POST", &path, &headers, body.to_string().as_bytes());
    assert!([200, 202].contains(&reply.status), "{}", reply.text());
    reply.json()
}

fn run(toolbox: &Toolbox, session: &str, command: &str) -> String {
    let answer = exec(toolbox, session, &json!({"command": command}));
    answer["stdout"].as_str().unwrap().to_owned()
}

fn begin(toolbox: &Toolbox, session: &str, command: &str) -> String {
    let body = json!({"command": command, "runAsync": true, "suppressInputEcho": true});
    let id = exec(toolbox, session, &body)["cmdId"]
        .as_str()
        .unwrap()
        .to_owned();
    format!("/process/session/{session}/command/{id}")
}

fn wait(toolbox: &Toolbox, command: &str) -> i64 {
    let code = || toolbox.get(command).json()["exitCode"].as_i64();
    eventually("the command ends", || code().is_some());
    code().unwrap()
}

fn logs(toolbox: &Toolbox, command: &str) -> Value {
    let path = format!("{command}/logs");
    toolbox.send("GET", &path, &[NEWEST], b"").json()
}

#[test]
fn a_session_keeps_its_shell_its_command_its_queue_and_its_past() {
    let toolbox = Toolbox::start();
    for id in ["s", "gone", "idle"] {
        toolbox.post("/process/session", &json!({"sessionId": id}));
    }
    run(&toolbox, "s", "A='kept here'; cd /usr; f() { echo f:$1; }");
    let past = begin(&toolbox, "s", "echo past; echo bad >&2; (exit 8)");
    assert_eq!(wait(&toolbox, &past), 8);
    exec(&toolbox, "gone", &json!({"command": "exit 7"}));
    let home = toolbox.home();
    let home = home.display();
    let current = begin(
        &toolbox,
        "s",
        &format!("read line; echo got $line; touch {home}/begun; read line; echo got $line; B=2"),
    );
    let queued = begin(
        &toolbox,
        "s",
        "echo queued $A $B; read line; echo got $line",
    );
    let last = begin(&toolbox, "s", "f last");
    let send = |command: &str, line: &str| {
        let reply = toolbox.post(&format!("{command}/input"), &json!({"data": line}));
        assert_eq!(reply.status, 204, "{}", reply.text());
    };
    send(&current, "one");
    send(&queued, "early");
    eventually("it has read", || toolbox.home().join("begun").exists());
    for _ in 0..2 {
        upgrade(&toolbox);
    }
    assert_eq!(toolbox.get(&current).json()["exitCode"], Value::Null);
    send(&current, "two");
    assert_eq!(wait(&toolbox, &current), 0);
    assert_eq!(logs(&toolbox, &current)["stdout"], "got one\ngot two\n");
    assert_eq!(wait(&toolbox, &queued), 0);
    assert_eq!(
        logs(&toolbox, &queued)["stdout"],
        "queued kept here 2\ngot early\n"
    );
    assert_eq!(wait(&toolbox, &last), 0);
    assert_eq!(logs(&toolbox, &last)["stdout"], "f:last\n");
    assert_eq!(run(&toolbox, "s", "pwd; echo $A"), "/usr\nkept here\n");
    assert_eq!(run(&toolbox, "idle", "echo idle"), "idle\n");
    assert_eq!(wait(&toolbox, &past), 8);
    let told = logs(&toolbox, &past);
    assert_eq!(
        (&told["stdout"], &told["stderr"]),
        (&json!("past\n"), &json!("bad\n"))
    );
    let refused = toolbox.post("/process/session/gone/exec", &json!({"command": "true"}));
    assert_eq!(refused.status, 410, "{}", refused.text());
    assert_eq!(toolbox.delete("/process/session/s").status, 204);
    let listed = toolbox.get("/process/session").json();
    assert_eq!(listed.as_array().unwrap().len(), 2);
}

#[test]
fn a_shell_that_ends_while_the_programs_change_is_seen_to_have_ended() {
    let toolbox = Toolbox::start();
    let ids: Vec<String> = (0..20).map(|number| format!("s{number}")).collect();
    for (id, number) in ids.iter().zip(0..) {
        toolbox.post("/process/session", &json!({"sessionId": id}));
        let pause = 0.1 + f64::from(number) * 0.02;
        begin(&toolbox, id, &format!("sleep {pause}; exit {number}"));
    }
    upgrade(&toolbox);
    upgrade(&toolbox);
    for (id, number) in ids.iter().zip(0..) {
        let code = || {
            let session = toolbox.send("GET", &format!("/process/session/{id}"), &[NEWEST], b"");
            session.json()["commands"][0]["exitCode"].as_i64()
        };
        eventually("it ends", || code().is_some());
        assert_eq!(code(), Some(number));
    }
}

#[test]
fn a_terminal_is_typed_into_as_before_and_shows_what_it_showed() {
    let toolbox = Toolbox::start();
    let mut socket = toolbox.websocket("/process/pty/create-connect?id=t&cols=100&rows=30");
    assert_eq!(socket.text()["status"], "connected");
    let until = |text: &'static str| move |all: &[u8]| find(all, text.as_bytes()).is_some();
    socket.send("V=kept; echo be''fore\n");
    socket.binary_until(until("before\r\n"));
    toolbox.post(
        "/process/pty",
        &json!({"id": "lazy", "lazyStart": true, "cols": 90}),
    );
    upgrade(&toolbox);
    drop(socket);
    let facts = toolbox.get("/process/pty/t").json();
    assert_eq!((&facts["cols"], &facts["rows"]), (&json!(100), &json!(30)));
    assert_eq!(toolbox.get("/process/pty/lazy").json()["cols"], 90);
    let mut socket = toolbox.websocket("/process/pty/t/connect");
    assert_eq!(socket.text()["status"], "connected");
    socket.binary_until(until("before\r\n"));
    socket.send("echo $V af''ter; stty size; tty\n");
    let shown = socket.binary_until(until("/dev/pts/"));
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("kept after\r\n30 100\r\n"), "{shown}");
    let resize = json!({"cols": 70, "rows": 20});
    assert_eq!(toolbox.post("/process/pty/t/resize", &resize).status, 200);
    socket.send("stty size; exit 3\n");
    socket.binary_until(until("20 70\r\n"));
    eventually("its end is seen", || {
        toolbox.get("/process/pty/t").status == 404
    });
}
