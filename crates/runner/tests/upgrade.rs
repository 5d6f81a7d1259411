//! A runner with another toolbox than that of the sandboxes it finds.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::process::{Process, log_of};
use common::{Dirs, eventually, running, sh, socket_of, spec};
use sebring_core::id::SandboxId;
use sebring_testkit::rootfs;
use serde_json::{Value, json};

/// The same program to all intents, and another file.
fn another(dirs: &Dirs, name: &str, toolbox: &Path) -> PathBuf {
    let mut program = fs::read(toolbox).unwrap();
    program.push(0);
    let path = dirs.place.data_dir.join(name);
    fs::write(&path, program).unwrap();
    path
}

fn first_process(dirs: &Dirs, id: SandboxId) -> i64 {
    let record = format!("sandboxes/{id}/running.json");
    let record = fs::read(dirs.place.run_dir.join(record)).unwrap();
    let record: Value = serde_json::from_slice(&record).unwrap();
    record["pid"].as_i64().unwrap()
}

/// Size of the program that a process executes.
fn program_size(pid: i64) -> u64 {
    fs::metadata(format!("/proc/{pid}/exe")).unwrap().size()
}

/// Asks a real toolbox.
fn ask(socket: &Path, method: &str, path: &str, body: &Value) -> Value {
    let body = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

fn execute(socket: &Path, command: &str) -> String {
    let answer = ask(
        socket,
        "POST",
        "/process/execute",
        &json!({"command": command}),
    );
    assert_eq!(answer["exitCode"], 0, "{answer}");
    answer["result"].as_str().unwrap().to_owned()
}

/// What the first process of a sandbox executes, seen from inside.
const SHOWN: &str = "stat -L -c %s /.sebring/toolbox; /sudo id -u; \
    grep -c ' /.sebring/toolbox ' /proc/mounts";

async fn until_upgraded(pids: &[i64], size: u64) {
    let all = || pids.iter().all(|pid| program_size(*pid) == size);
    eventually("all are upgraded", || all().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn adopted_sandboxes_get_the_other_toolbox_and_their_processes_go_on() {
    let dirs = Dirs::new();
    let mut toolbox = rootfs::toolbox().unwrap();
    let mut process = Process::start_with_toolbox(&dirs, &toolbox).await;
    dirs.add_snapshot();
    let mut sandboxes = Vec::new();
    for _ in 0..4 {
        let id = SandboxId::random();
        let socket = socket_of(&process.command(id, &running(1, spec())));
        let flood = "i=0; while [ ! -e /stop ]; do i=$((i+1)); echo $i; sleep 0.02; done; exit 7";
        let body = json!({"command": flood, "merged": true});
        let started = ask(&socket, "POST", "/sebring/process", &body);
        let path = format!("/sebring/process/{}", started["id"].as_str().unwrap());
        execute(&socket, "ln -s /.sebring/toolbox /sudo");
        sandboxes.push((id, socket, path));
    }
    let things = dirs.place.things().unwrap();
    let pids = sandboxes.iter().map(|(id, ..)| first_process(&dirs, *id));
    let pids: Vec<i64> = pids.collect();
    for name in ["second", "third"] {
        toolbox = another(&dirs, name, &toolbox);
        let size = fs::metadata(&toolbox).unwrap().len();
        process.kill();
        process = Process::start_with_toolbox(&dirs, &toolbox).await;
        until_upgraded(&pids, size).await;
        for (_, socket, path) in &sandboxes {
            assert_eq!(execute(socket, SHOWN), format!("{size}\n0\n1\n"));
            assert_eq!(ask(socket, "GET", path, &Value::Null)["running"], true);
        }
    }
    for (_, socket, path) in &sandboxes {
        execute(socket, "touch /stop");
        let end = ask(
            socket,
            "GET",
            &format!("{path}/wait?timeout=30"),
            &Value::Null,
        );
        assert_eq!(end["exitCode"], 7);
        let output = ask(socket, "GET", &format!("{path}/output"), &Value::Null);
        let lines = output["output"].as_str().unwrap().lines();
        assert!(
            lines
                .zip(1_u64..)
                .all(|(line, number)| line == number.to_string())
        );
    }
    // Now that what was started has ended.
    dirs.place.expect_no_more_than(&things).unwrap();
    process.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolbox_that_cannot_go_on_leaves_everything_as_it_was() {
    let dirs = Dirs::new();
    let toolbox = rootfs::toolbox().unwrap();
    let process = Process::start_with_toolbox(&dirs, &toolbox).await;
    dirs.add_snapshot();
    let id = SandboxId::random();
    let socket = socket_of(&process.command(id, &running(1, spec())));
    execute(&socket, "ln -s /.sebring/toolbox /sudo");
    let size = fs::metadata(&toolbox).unwrap().len();
    let pid = first_process(&dirs, id);
    process.kill();
    let broken = dirs.place.data_dir.join("broken");
    fs::write(&broken, "#!/bin/sh\necho not with me; exit 1\n").unwrap();
    let process = Process::start_with_toolbox(&dirs, &broken).await;
    let told = || {
        let log = fs::read_to_string(log_of(&dirs)).unwrap();
        log.contains("the new program cannot go on from here: not with me")
            .then_some(())
    };
    eventually("it is told", told).await;
    assert_eq!(program_size(pid), size);
    assert_eq!(execute(&socket, SHOWN), format!("{size}\n0\n1\n"));
    process.kill();
    // The next one can.
    let newer = another(&dirs, "newer", &toolbox);
    let process = Process::start_with_toolbox(&dirs, &newer).await;
    until_upgraded(&[pid], size + 1).await;
    assert_eq!(execute(&socket, SHOWN), format!("{}\n0\n1\n", size + 1));
    process.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toolbox_that_knows_nothing_of_upgrades_is_left_alone() {
    let dirs = Dirs::new();
    let toolbox = rootfs::stand_in_toolbox().unwrap();
    let process = Process::start_with_toolbox(&dirs, &toolbox).await;
    dirs.add_snapshot();
    let id = SandboxId::random();
    let socket = socket_of(&process.command(id, &running(1, spec())));
    let pid = first_process(&dirs, id);
    let size = fs::metadata(&toolbox).unwrap().len();
    process.kill();
    let newer = another(&dirs, "newer", &toolbox);
    let process = Process::start_with_toolbox(&dirs, &newer).await;
    let told = || {
        let log = fs::read_to_string(log_of(&dirs)).unwrap();
        log.contains("the toolbox does not know how").then_some(())
    };
    eventually("it is told", told).await;
    assert_eq!(program_size(pid), size);
    let look = "stat -L -c %s /.sebring/toolbox";
    assert_eq!(sh(&socket, look), (0, format!("{size}\n")));
    process.finish();
}
