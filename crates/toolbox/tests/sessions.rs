//! `/process/session`: shells that outlive calls.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use std::time::{Duration, Instant};

use common::{Reply, Settings, Toolbox, alive, eventually};
use serde_json::{Value, json};

const SDK: &str = "X-Daytona-SDK-Version";
const NEWEST: (&str, &str) = (SDK, "0.226.1");

/// A session named `s`.
fn session(toolbox: &Toolbox) -> Session<'_> {
    let reply = toolbox.post("/process/session", &json!({"sessionId": "s"}));
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert!(reply.body.is_empty());
    Session { toolbox }
}

struct Session<'a> {
    toolbox: &'a Toolbox,
}

impl Session<'_> {
    fn exec(&self, body: &Value, headers: &[(&str, &str)]) -> Reply {
        let body = body.to_string();
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        self.toolbox
            .send("POST", "/process/session/s/exec", &headers, body.as_bytes())
    }

    /// Exit code, standard output, standard error.
    fn run(&self, command: &str) -> (i64, String, String) {
        let reply = self.exec(&json!({"command": command}), &[NEWEST]);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let body = reply.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        let code = body["exitCode"].as_i64().unwrap();
        (code, text("stdout"), text("stderr"))
    }

    fn stdout(&self, command: &str) -> String {
        self.run(command).1
    }

    fn start(&self, command: &str) -> Command<'_> {
        self.start_with(&json!({"command": command, "runAsync": true}))
    }

    fn start_with(&self, body: &Value) -> Command<'_> {
        let reply = self.exec(body, &[NEWEST]);
        assert_eq!(reply.status, 202, "{}", reply.text());
        let id = reply.json()["cmdId"].as_str().unwrap().to_owned();
        Command {
            toolbox: self.toolbox,
            path: format!("/process/session/s/command/{id}"),
        }
    }
}

struct Command<'a> {
    toolbox: &'a Toolbox,
    path: String,
}

impl Command<'_> {
    fn exit_code(&self) -> Option<i64> {
        self.toolbox.get(&self.path).json()["exitCode"].as_i64()
    }

    fn wait(&self) -> i64 {
        eventually("the command ends", || self.exit_code().is_some());
        self.exit_code().unwrap()
    }

    fn logs(&self) -> Value {
        let path = format!("{}/logs", self.path);
        self.toolbox.send("GET", &path, &[NEWEST], b"").json()
    }

    fn output(&self) -> String {
        self.logs()["output"].as_str().unwrap().to_owned()
    }

    fn input(&self, data: &str) -> u16 {
        let path = format!("{}/input", self.path);
        self.toolbox.post(&path, &json!({"data": data})).status
    }
}

#[test]
fn what_a_shell_would_remember_is_there_for_the_next_command() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    session.run("cd /usr; export A=1; b=2; f() { echo \"fn $1\"; }; alias ll='echo aliased'");
    assert_eq!(
        session.stdout("pwd; echo $A $b; f x; ll"),
        "/usr\n1 2\nfn x\naliased\n"
    );
    session.start("cd /tmp").wait();
    assert_eq!(session.stdout("pwd"), "/tmp\n");
    // As at a terminal: open files and children too.
    session.run("exec 3</etc/passwd; sleep 0.1 &");
    let (code, output, _) = session.run("read line <&3; echo $line; wait $!; echo done $?");
    assert_eq!(code, 0);
    assert!(
        output.starts_with("root:") && output.ends_with("done 0\n"),
        "{output}"
    );
}

#[test]
fn streams_come_apart_and_exit_codes_are_the_commands() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let outcome = session.run("echo out; echo err >&2; (exit 42)");
    assert_eq!(outcome, (42, "out\n".into(), "err\n".into()));
    assert_eq!(session.run("nonsense-command").0, 127);
    let (code, _, errors) = session.run("if then");
    assert_eq!(code, 2);
    assert!(errors.contains("syntax error"), "{errors}");
    assert_eq!(session.run("sh -c 'kill -9 $$'").0, 137);
    assert_eq!(session.stdout("printf 'no newline'"), "no newline");
    assert_eq!(
        session.stdout("cat <<X\nhere\nX\necho after"),
        "here\nafter\n"
    );
    assert_eq!(session.stdout("printf 'a\\0b'"), "a\0b");
    let long = session.stdout("head -c 200000 /dev/zero | tr '\\0' x");
    assert_eq!(long.len(), 200_000);
    assert_eq!(session.stdout("break; echo here").trim(), "");
    assert_eq!(session.stdout("echo still"), "still\n");
}

#[test]
fn a_script_that_reads_its_input_does_not_swallow_itself() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    assert_eq!(session.stdout("cat\nread x\necho \"[$x]\""), "[]\n");
    let script = format!(": '{}'\necho ran; cat", "x".repeat(500_000));
    assert_eq!(session.stdout(&script), "ran\n");
}

#[test]
fn exit_ends_the_session_with_its_code_and_the_next_command_is_gone() {
    let toolbox = Toolbox::start();
    for (command, code) in [
        ("echo last; exit 7", 7),
        ("echo last; exec sh -c 'exit 6'", 6),
        ("echo last; set -e; false; echo never", 1),
        ("echo last; kill -9 $$; sleep 100", 137),
    ] {
        let session = session(&toolbox);
        assert_eq!(
            session.run(command),
            (code, "last\n".into(), String::new()),
            "{command}"
        );
        let reply = session.exec(&json!({"command": "echo no"}), &[]);
        assert_eq!(reply.status, 410, "{command}");
        assert_eq!(reply.json()["code"], "SESSION_ENDED");
        let body = toolbox.get("/process/session/s").json();
        assert_eq!(body["commands"][0]["exitCode"], code);
        assert_eq!(toolbox.delete("/process/session/s").status, 204);
    }
}

#[test]
fn commands_that_wait_when_the_shell_ends_are_told() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let first = session.start("read; exit 3");
    let second = session.start("echo second");
    std::thread::scope(|scope| {
        let third = scope.spawn(|| session.exec(&json!({"command": "echo third"}), &[]));
        eventually("the third waits", || {
            let body = toolbox.get("/process/session/s").json();
            body["commands"].as_array().unwrap().len() == 3
        });
        assert_eq!(first.input("go"), 204);
        assert_eq!(first.wait(), 3);
        assert_eq!(second.wait(), -1);
        assert_eq!(
            second.output(),
            "the session ended before this command could run\n"
        );
        let third = third.join().unwrap();
        assert_eq!(
            (third.status, third.json()["code"].as_str()),
            (410, Some("SESSION_ENDED"))
        );
    });
}

#[test]
fn words_of_an_exit_trap_belong_to_the_command_that_exits() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    session.run("trap 'echo trapped' EXIT");
    assert_eq!(
        session.run("echo last; exit 4"),
        (4, "last\ntrapped\n".into(), String::new())
    );
}

#[test]
fn commands_run_one_after_the_other_and_other_sessions_do_not_wait() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let stuck = session.start("read x; echo $x > order");
    let next = session.start("echo second >> order; cat order");
    toolbox.post("/process/session", &json!({"sessionId": "other"}));
    let reply = toolbox.post(
        "/process/session/other/exec",
        &json!({"command": "echo free"}),
    );
    assert_eq!(reply.json()["output"], "free\n");
    assert_eq!(next.exit_code(), None);
    assert_eq!(stuck.input("first"), 204);
    assert_eq!(next.wait(), 0);
    assert_eq!(next.output(), "first\nsecond\n");
}

#[test]
fn a_background_process_that_holds_the_pipes_delays_nothing_and_lives_on() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let began = Instant::now();
    let (code, output, _) = session.run("sh -c 'while sleep 0.02; do echo tick; done' & echo $!");
    assert_eq!(code, 0);
    let pid = output.lines().next().unwrap().to_owned();
    let (_, output, _) = session.run("nohup sleep 1000 & echo $!");
    let (_, daemon, _) = session.run("(setsid sleep 1001 > /dev/null 2>&1 & echo $!)");
    assert!(
        began.elapsed() < Duration::from_secs(30),
        "{:?}",
        began.elapsed()
    );
    let pids = [pid, output, daemon];
    // What it writes later is kept, in the log of the command that started it.
    let id = toolbox.get("/process/session/s").json()["commands"][0]["id"].clone();
    let logs = format!("/process/session/s/command/{}/logs", id.as_str().unwrap());
    eventually("ticks are kept", || {
        toolbox.get(&logs).text().matches("tick").count() > 5
    });
    assert!(pids.iter().all(|pid| alive(pid)));
    assert_eq!(toolbox.delete("/process/session/s").status, 204);
    for pid in pids {
        eventually("it ended with its session", || !alive(&pid));
    }
    assert_eq!(toolbox.get("/process/session/s").status, 404);
}

#[test]
fn deleting_a_session_ends_what_ignores_being_asked() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let command = session.start("trap '' TERM; echo $$; while :; do sleep 1; done");
    eventually("it runs", || command.output().ends_with('\n'));
    let pid = command.output();
    let began = Instant::now();
    assert_eq!(toolbox.delete("/process/session/s").status, 204);
    assert!(
        began.elapsed() > Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "{:?}",
        began.elapsed()
    );
    assert!(!alive(&pid));
}

#[test]
fn input_reaches_a_running_command_and_is_shown_unless_suppressed() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let command = session.start("printf 'Name: '; read name; echo \"Hello, $name\"");
    eventually("the prompt is there", || command.output() == "Name: ");
    assert_eq!(command.input("Ada"), 204);
    assert_eq!(command.wait(), 0);
    assert_eq!(command.output(), "Name: Ada\nHello, Ada\n");
    assert_eq!(command.input("late"), 410);
    let quiet = json!({"command": "read a; echo got $a", "async": true, "suppressInputEcho": true});
    let command = session.start_with(&quiet);
    assert_eq!(command.input(&"x".repeat((1 << 20) + 1)), 413);
    assert_eq!(command.input("secret\n"), 204);
    command.wait();
    assert_eq!(command.output(), "got secret\n");
    let reply = toolbox.post(
        "/process/session/s/command/none/input",
        &json!({"data": "x"}),
    );
    assert_eq!(
        (reply.status, reply.json()["code"].as_str()),
        (404, Some("PROCESS_NOT_FOUND"))
    );
}

#[test]
fn each_age_of_client_gets_the_shape_it_reads() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let command = json!({"command": "echo o; echo e >&2"});
    let marked = "\u{1}\u{1}\u{1}o\n\u{2}\u{2}\u{2}e\n";
    let exec = |headers: &[(&str, &str)]| session.exec(&command, headers).json();
    for headers in [&[][..], &[(SDK, "0.26.0")]] {
        let body = exec(headers);
        assert_eq!(
            (body["output"].as_str(), body.get("stdout")),
            (Some("o\ne\n"), None)
        );
    }
    for headers in [&[(SDK, "0.27.0")], &[("X-Daytona-Split-Output", "true")]] {
        let body = exec(headers);
        assert_eq!(
            (body["output"].as_str(), body.get("stdout")),
            (Some(marked), None)
        );
    }
    let body = exec(&[NEWEST]);
    let fields = (&body["output"], &body["stdout"], &body["stderr"]);
    assert_eq!(fields, (&json!("o\ne\n"), &json!("o\n"), &json!("e\n")));
    let id = body["cmdId"].as_str().unwrap();
    let path = format!("/process/session/s/command/{id}/logs");
    let logs = |headers: &[(&str, &str)]| toolbox.send("GET", &path, headers, b"");
    assert_eq!(logs(&[]).text(), "o\ne\n");
    assert_eq!(logs(&[(SDK, "0.100.0")]).text(), marked);
    let reply = logs(&[(SDK, "0.100.0")]);
    assert!(
        reply
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    let expected = json!({"output": "o\ne\n", "stdout": "o\n", "stderr": "e\n"});
    assert_eq!(logs(&[NEWEST]).json(), expected);
    let reply = toolbox.send("GET", &format!("{path}?offset=2"), &[NEWEST], b"");
    let expected = json!({"output": "e\n", "stdout": "", "stderr": "e\n", "nextOffset": 4});
    assert_eq!(reply.json(), expected);
}

#[test]
fn following_replays_then_goes_on_live_and_ends_with_the_command() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let command = session.start("echo early; read; echo late >&2; sleep 0.05; printf end");
    let path = format!("{}/logs?follow=true", command.path);
    let version = "X-Daytona-SDK-Version~0.216.0";
    let mut socket = toolbox.websocket_offering(&path, &["x", version]).unwrap();
    assert_eq!(socket.protocol.as_deref(), Some(version));
    let early = b"\x01\x01\x01early\n";
    assert_eq!(socket.binary_until(|all| all.len() >= early.len()), early);
    socket.ping();
    socket.wait_for_pong();
    command.input("go");
    let (frames, close) = socket.frames();
    let rest = b"go\n\x02\x02\x02late\n\x01\x01\x01end";
    assert_eq!(frames.concat(), rest);
    assert_eq!(close, Some((1000, String::new())));
    // All of it, for one who comes late.
    let mut socket = toolbox.websocket(&path);
    assert_eq!(socket.protocol, None);
    let (frames, close) = socket.frames();
    assert_eq!(frames.concat(), [&early[..], rest].concat());
    assert_eq!(close, Some((1000, String::new())));
}

#[test]
fn frames_suit_the_weakest_client() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let command =
        session.start("head -c 3000000 /dev/zero | tr '\\0' x; printf 'm\\1\\1\\1'; echo e >&2");
    let path = format!("{}/logs?follow=true", command.path);
    let (frames, _) = toolbox.websocket(&path).frames();
    for frame in &frames {
        assert!(frame.len() <= 32 << 10 && !frame.is_empty());
        assert!(!frame.ends_with(&[1, 1, 1]) && !frame.ends_with(&[2, 2, 2]));
    }
    let all = frames.concat();
    assert_eq!(all.iter().filter(|byte| **byte == b'x').count(), 3_000_000);
    assert!(all.ends_with(b"\x02\x02\x02e\n") || all.ends_with(b"m"));
}

#[test]
fn a_flood_is_bounded_and_the_newest_bytes_are_kept() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    let command = session.start("head -c 100000000 /dev/zero; echo; echo last");
    assert_eq!(command.wait(), 0);
    let path = format!("{}/logs?offset=99999990", command.path);
    let reply = toolbox.send("GET", &path, &[NEWEST], b"").json();
    assert_eq!(reply["stdout"], format!("{}\nlast\n", "\0".repeat(10)));
    assert_eq!(reply["nextOffset"], 100_000_006);
    assert_eq!(command.logs()["output"].as_str().unwrap().len(), 16 << 20);
    let status = std::fs::read_to_string(format!("/proc/{}/status", toolbox.pid())).unwrap();
    let resident = status
        .lines()
        .find(|line| line.starts_with("VmRSS"))
        .unwrap();
    let kib: u64 = resident.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(kib < 256 << 10, "{resident}");
}

#[test]
fn a_command_that_removes_the_pipes_it_runs_on_harms_no_session() {
    let toolbox = Toolbox::start();
    let session = session(&toolbox);
    session.run("export A=kept");
    let remove = r#"rm -rf "$(dirname "$(readlink /proc/$$/fd/2)")"; echo $A"#;
    assert_eq!(session.stdout(remove), "kept\n");
    assert_eq!(session.stdout("echo $A"), "kept\n");
}

#[test]
fn sessions_are_named_listed_and_refused_as_the_contract_says() {
    let toolbox = Toolbox::start();
    let create = |id: Value| toolbox.post("/process/session", &json!({"sessionId": id}));
    assert_eq!(toolbox.get("/process/session").json(), json!([]));
    for (id, status) in [
        (json!("a/b"), 201),
        (json!("a/b"), 409),
        (json!(""), 400),
        (json!("entrypoint"), 400),
        (json!(7), 400),
    ] {
        assert_eq!(create(id.clone()).status, status, "{id}");
    }
    let body = json!({"sessionId": "a/b", "commands": []});
    assert_eq!(toolbox.get("/process/session/a%2Fb").json(), body);
    assert_eq!(toolbox.get("/process/session").json(), json!([body]));
    let exec = |command: &str| {
        let body = json!({"command": command});
        toolbox.post("/process/session/a%2Fb/exec", &body).status
    };
    assert_eq!((exec(" \n"), exec("a\0b")), (400, 400));
    assert_eq!(toolbox.delete("/process/session/a%2Fb").status, 204);
    for reply in [
        toolbox.get("/process/session/a%2Fb"),
        toolbox.delete("/process/session/a%2Fb"),
        toolbox.post("/process/session/none/exec", &json!({"command": "true"})),
    ] {
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (404, Some("PROCESS_NOT_FOUND"))
        );
    }
}

#[test]
fn a_session_without_cgroups_is_ended_as_well() {
    let toolbox = Toolbox::start_with(Settings {
        cgroup: false,
        ..Settings::default()
    });
    let session = session(&toolbox);
    let (_, pids, _) = session.run("sleep 1000 & echo $!; setsid sleep 1001 & echo $!; disown -a");
    assert_eq!(toolbox.delete("/process/session/s").status, 204);
    for pid in pids.lines() {
        assert!(!alive(pid));
    }
}

#[test]
fn the_entrypoint_is_a_session_that_only_shows() {
    let toolbox = Toolbox::start_with(Settings {
        entrypoint: &["sh", "-c", "echo out; echo err >&2; exit 5"],
        ..Settings::default()
    });
    let path = "/process/session/entrypoint";
    eventually("it has ended", || {
        toolbox.get(path).json()["commands"][0]["exitCode"] == 5
    });
    let body = toolbox.get(path).json();
    let command = &body["commands"][0];
    assert_eq!(command["id"], "entrypoint_command");
    assert_eq!(command["command"], "sh -c 'echo out; echo err >&2; exit 5'");
    let logs = toolbox
        .send("GET", &format!("{path}/logs"), &[NEWEST], b"")
        .json();
    assert_eq!(
        (&logs["stdout"], &logs["stderr"]),
        (&json!("out\n"), &json!("err\n"))
    );
    let (frames, close) = toolbox
        .websocket(&format!("{path}/logs?follow=true"))
        .frames();
    assert_eq!(frames.concat().len(), 6 + 8);
    assert_eq!(close.unwrap().0, 1000);
    assert_eq!(toolbox.get("/process/session").json(), json!([]));
    let command = json!({"command": "true"});
    assert_eq!(toolbox.post(&format!("{path}/exec"), &command).status, 400);
    assert_eq!(toolbox.delete(path).status, 400);
}

#[test]
fn an_entrypoint_that_only_waits_is_shown_as_running() {
    let toolbox = Toolbox::start();
    let body = toolbox.get("/process/session/entrypoint").json();
    let command = json!({"id": "entrypoint_command", "command": "sleep infinity"});
    assert_eq!(
        body,
        json!({"sessionId": "entrypoint", "commands": [command]})
    );
    assert_eq!(toolbox.get("/process/session/entrypoint/logs").text(), "");
}
