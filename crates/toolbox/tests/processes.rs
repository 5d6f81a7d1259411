//! `/sebring/process`: processes that outlive the connections to them.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use std::time::{Duration, Instant};

use common::socket::{Frame, Socket};
use common::{Toolbox, alive, eventually};
use serde_json::{Value, json};

struct Process<'a> {
    toolbox: &'a Toolbox,
    path: String,
}

fn start<'a>(toolbox: &'a Toolbox, body: &Value) -> Process<'a> {
    let reply = toolbox.post("/sebring/process", body);
    assert_eq!(reply.status, 201, "{}", reply.text());
    let id = reply.json()["id"].as_str().unwrap().to_owned();
    Process {
        toolbox,
        path: format!("/sebring/process/{id}"),
    }
}

impl Process<'_> {
    fn wait(&self) -> Value {
        self.toolbox
            .get(&format!("{}/wait?timeout=30", self.path))
            .json()
    }

    fn output(&self, offset: u64) -> Value {
        let path = format!("{}/output?offset={offset}", self.path);
        self.toolbox.get(&path).json()
    }

    fn input(&self, bytes: &[u8], query: &str) -> u16 {
        let path = format!("{}/input{query}", self.path);
        self.toolbox.send("POST", &path, &[], bytes).status
    }

    fn attach(&self, offset: u64) -> Socket {
        let path = format!("{}/attach?offset={offset}", self.path);
        let mut socket = self.toolbox.websocket(&path);
        assert_eq!(socket.text()["type"], "attached");
        socket
    }
}

#[test]
fn it_goes_on_without_its_maker_and_tells_how_it_ended() {
    let toolbox = Toolbox::start();
    let request = json!({"command": "pwd; echo $A >&2; exit 9", "cwd": "/usr", "envs": {"A": "b"}});
    let process = start(&toolbox, &request);
    let end = process.wait();
    assert_eq!(
        (&end["running"], &end["exitCode"]),
        (&json!(false), &json!(9))
    );
    assert_eq!(
        (&end["oomKilled"], &end["timedOut"]),
        (&json!(false), &json!(false))
    );
    let output = process.output(0);
    assert_eq!(
        (&output["stdout"], &output["stderr"]),
        (&json!("/usr\n"), &json!("b\n"))
    );
    assert_eq!(
        (&output["nextOffset"], &output["running"]),
        (&json!(7), &json!(false))
    );
    let killed = start(&toolbox, &json!({"command": "kill -9 $$"})).wait();
    assert_eq!(
        (&killed["exitCode"], &killed["signal"]),
        (&json!(137), &json!(9))
    );
}

#[test]
fn a_time_limit_ends_the_whole_tree_and_says_so() {
    let toolbox = Toolbox::start();
    let began = Instant::now();
    let command = "echo begun; setsid sleep 1000 & echo $!; sleep 1001";
    let process = start(
        &toolbox,
        &json!({"command": command, "timeout": 0.5, "merged": true}),
    );
    let end = process.wait();
    assert_eq!(
        (&end["timedOut"], &end["exitCode"]),
        (&json!(true), &json!(137))
    );
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    let output = process.output(0)["output"].as_str().unwrap().to_owned();
    let pid = output.strip_prefix("begun\n").unwrap();
    eventually("what left its session is gone as well", || !alive(pid));
}

#[test]
fn input_is_taken_to_the_byte_and_its_end_is_seen() {
    let toolbox = Toolbox::start();
    let process = start(
        &toolbox,
        &json!({"command": "od -An -tx1; echo end", "input": true}),
    );
    assert_eq!(process.input(b"a\0\xff", ""), 204);
    assert_eq!(process.input(b"", "?close=true"), 204);
    assert_eq!(process.wait()["exitCode"], 0);
    assert_eq!(process.output(0)["stdout"], " 61 00 ff\nend\n");
    assert_eq!(process.input(b"late", ""), 410);
    let deaf = start(&toolbox, &json!({"command": "sleep 1000"}));
    assert_eq!(deaf.input(b"x", ""), 400);
    assert_eq!(toolbox.delete(&deaf.path).status, 204);
}

#[test]
fn a_process_that_does_not_read_bounds_what_it_is_sent() {
    let toolbox = Toolbox::start();
    let process = start(&toolbox, &json!({"command": "sleep 1000", "input": true}));
    let piece = vec![b'x'; 64 << 10];
    let refused = (0..200)
        .map(|_| process.input(&piece, ""))
        .find(|status| *status != 204);
    assert_eq!(refused, Some(503));
    assert_eq!(process.input(&vec![b'x'; (1 << 20) + 1], ""), 413);
    assert_eq!(toolbox.delete(&process.path).status, 204);
}

#[test]
fn attaching_resumes_where_the_last_connection_broke() {
    let toolbox = Toolbox::start();
    let process = start(
        &toolbox,
        &json!({"command": "echo one; read x; echo $x >&2; exit 3", "input": true}),
    );
    let mut first = process.attach(0);
    assert_eq!(first.next(), Frame::Binary(b"\x01one\n".to_vec()));
    drop(first);
    let mut second = process.attach(4);
    second.send_binary(b"two\n");
    assert_eq!(second.next(), Frame::Binary(b"\x02two\n".to_vec()));
    let words = second.text();
    assert_eq!(
        (&words["type"], &words["exitCode"]),
        (&json!("exited"), &json!(3))
    );
    assert!(matches!(second.next(), Frame::Closed(Some((1000, _)))));
}

#[test]
fn a_late_follower_is_told_what_it_has_lost() {
    let toolbox = Toolbox::start();
    let process = start(&toolbox, &json!({"command": "head -c 20000000 /dev/zero"}));
    process.wait();
    let mut socket = process.attach(5);
    let lost = json!({"type": "lost", "from": 5, "to": 20_000_000 - (16 << 20)});
    assert_eq!(socket.text(), lost);
}

#[test]
fn signals_reach_the_whole_tree() {
    let toolbox = Toolbox::start();
    let command = "trap 'echo asked; exit 4' USR1; setsid sh -c 'trap \"echo too; exit\" USR1; echo ready; while :; do sleep 0.02; done' & while :; do sleep 0.02; done";
    let process = start(&toolbox, &json!({"command": command}));
    eventually("it is ready", || process.output(0)["stdout"] == "ready\n");
    let signal = |signal: Value| {
        let path = format!("{}/signal", process.path);
        toolbox.post(&path, &json!({"signal": signal})).status
    };
    assert_eq!(signal(json!("NONSENSE")), 400);
    assert_eq!(signal(json!("SIGUSR1")), 204);
    assert_eq!(process.wait()["exitCode"], 4);
    let output = process.output(0)["stdout"].as_str().unwrap().to_owned();
    assert!(
        output.contains("asked") && output.contains("too"),
        "{output}"
    );
    eventually("nothing is left to signal", || signal(json!(9)) == 410);
}

#[test]
fn what_was_left_running_is_ended_by_deleting() {
    let toolbox = Toolbox::start();
    let process = start(&toolbox, &json!({"command": "setsid sleep 1000 & echo $!"}));
    assert_eq!(process.wait()["exitCode"], 0);
    let pid = process.output(0)["stdout"].as_str().unwrap().to_owned();
    assert!(alive(&pid));
    assert_eq!(toolbox.delete(&process.path).status, 204);
    assert!(!alive(&pid));
    assert_eq!(toolbox.get(&process.path).status, 404);
}

#[test]
fn everything_that_runs_is_listed_whatever_started_it() {
    let toolbox = Toolbox::start();
    toolbox.post("/process/session", &json!({"sessionId": "s"}));
    let command = json!({"command": "sleep 1000", "runAsync": true});
    toolbox.post("/process/session/s/exec", &command);
    toolbox.post("/process/pty", &json!({"id": "t"}));
    start(&toolbox, &json!({"command": "sleep 1001"}));
    let body = toolbox.get("/sebring/process").json();
    let all = body["processes"].as_array().unwrap();
    let kinds: Vec<&str> = all.iter().map(|p| p["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["session", "pty", "process"]);
    assert_eq!(
        (&all[0]["sessionId"], &all[1]["ptyId"]),
        (&json!("s"), &json!("t"))
    );
    assert!(all.iter().all(|process| process["running"] == true));
    let path = format!("/sebring/process/{}", all[0]["id"].as_str().unwrap());
    assert_eq!(toolbox.delete(&path).status, 400);
    assert_eq!(
        toolbox.get(&format!("{path}/wait?timeout=0")).json()["running"],
        true
    );
}

/// A command of the session `s`, as the process that it is.
fn command<'a>(toolbox: &'a Toolbox, text: &str) -> Process<'a> {
    let body = json!({"command": text, "runAsync": true});
    let reply = toolbox.post("/process/session/s/exec", &body);
    assert_eq!(reply.status, 202, "{}", reply.text());
    let id = reply.json()["cmdId"].as_str().unwrap().to_owned();
    Process {
        toolbox,
        path: format!("/sebring/process/{id}"),
    }
}

#[test]
fn a_command_that_has_ended_or_not_begun_is_not_its_sessions_shell() {
    let toolbox = Toolbox::start();
    toolbox.post("/process/session", &json!({"sessionId": "s"}));
    let first = command(&toolbox, "exit_code() { return 3; }; exit_code");
    assert_eq!(first.wait()["exitCode"], 3);
    let second = command(&toolbox, "read x; echo $x");
    let third = command(&toolbox, "echo third");
    let signal = |process: &Process<'_>| {
        let path = format!("{}/signal", process.path);
        toolbox.post(&path, &json!({"signal": "KILL"})).status
    };
    assert_eq!((signal(&first), signal(&third)), (410, 409));
    // What has ended can be forgotten, which ends nothing.
    assert_eq!(toolbox.delete(&first.path).status, 204);
    assert_eq!(toolbox.get(&first.path).status, 404);
    assert_eq!(toolbox.delete(&second.path).status, 400);
    let commands = toolbox.get("/process/session/s").json()["commands"].clone();
    assert_eq!(commands.as_array().unwrap().len(), 2);
    // Its input is the shell's own, and what comes with a refusal is not written.
    assert_eq!(second.input(b"no\n", "?close=true"), 400);
    assert_eq!(second.input(b"no\n", "?close=maybe"), 400);
    assert_eq!(second.input(b"yes\n", ""), 204);
    assert_eq!(
        (&second.wait()["exitCode"], &third.wait()["exitCode"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(second.output(0)["stdout"], "yes\n");
    // Of a session that is gone nothing is left.
    assert_eq!(toolbox.delete("/process/session/s").status, 204);
    assert_eq!(
        toolbox.get("/sebring/process").json()["processes"],
        json!([])
    );
}

#[test]
fn a_terminal_is_typed_into_like_any_process_and_can_be_forgotten_when_it_has_ended() {
    let toolbox = Toolbox::start();
    toolbox.post("/process/pty", &json!({"id": "t"}));
    let all = toolbox.get("/sebring/process").json();
    let shell = Process {
        toolbox: &toolbox,
        path: format!(
            "/sebring/process/{}",
            all["processes"][0]["id"].as_str().unwrap()
        ),
    };
    assert_eq!(toolbox.delete(&shell.path).status, 400);
    assert_eq!(shell.input(b"", "?close=true"), 400);
    assert_eq!(shell.input(b"echo o''ne\n", ""), 204);
    eventually("it was typed", || {
        let shown = shell.output(0)["output"].as_str().unwrap().to_owned();
        shown.contains("one\r\n")
    });
    shell.attach(0).send("exit 4\n");
    assert_eq!(shell.wait()["exitCode"], 4);
    assert_eq!(toolbox.delete(&shell.path).status, 204);
    assert_eq!(toolbox.get(&shell.path).status, 404);
}

#[test]
fn whoever_attaches_is_told_that_input_goes_nowhere() {
    let toolbox = Toolbox::start();
    let deaf = start(&toolbox, &json!({"command": "echo one; exec sleep 1000"}));
    let mut socket = deaf.attach(0);
    assert_eq!(socket.next(), Frame::Binary(b"\x01one\n".to_vec()));
    socket.send_binary(b"anybody?\n");
    let words = socket.text();
    assert_eq!(words["type"], "refused");
    let reason = words["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("input: it was started without input"),
        "{reason}"
    );
    assert_eq!(toolbox.delete(&deaf.path).status, 204);
    assert_eq!(socket.text()["type"], "exited");
}

#[test]
fn a_directory_that_cannot_be_entered_is_the_callers_mistake_and_named() {
    let toolbox = Toolbox::start();
    for cwd in ["/no/where", "/tmp\0/x"] {
        for (path, mut body) in [
            ("/sebring/process", json!({"command": "true"})),
            ("/process/pty", json!({"id": "t"})),
        ] {
            body["cwd"] = cwd.into();
            let reply = toolbox.post(path, &body);
            assert_eq!(reply.status, 400, "{}", reply.text());
            let message = reply.json()["message"].as_str().unwrap().to_owned();
            assert!(message.starts_with("cwd: "), "{message}");
        }
    }
    std::fs::remove_dir(toolbox.home()).unwrap();
    let reply = toolbox.post("/process/session", &json!({"sessionId": "s"}));
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (400, &json!("BAD_REQUEST"))
    );
}

#[test]
fn a_thousand_followers_all_get_every_byte() {
    let toolbox = Toolbox::start();
    let process = start(
        &toolbox,
        &json!({"command": "read x; seq 10000", "input": true}),
    );
    let mut sockets: Vec<Socket> = (0..1000).map(|_| process.attach(0)).collect();
    process.input(b"go\n", "");
    let expected: String = (1..=10_000).map(|i| format!("{i}\n")).collect();
    for socket in &mut sockets {
        let mut all = Vec::new();
        while all.len() < expected.len() {
            let Frame::Binary(bytes) = socket.next() else {
                panic!("not output");
            };
            all.extend_from_slice(&bytes[1..]);
        }
        assert_eq!(all, expected.as_bytes());
    }
}
