//! The toolbox as PID 1 of a pid namespace, started as the runner starts it: its socket and its
//! configuration are open descriptors.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Client, alive, eventually};
use sebring_api::boot::CLAIM_ROUTE;
use serde_json::json;

struct Sandbox {
    unshare: Child,
    directory: PathBuf,
    first: String,
}

impl Sandbox {
    fn start(name: &str) -> Self {
        Self::start_as(name, false)
    }

    fn start_as(name: &str, spare: bool) -> Self {
        let name = format!("sebring-first-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        std::fs::create_dir(&directory).unwrap();
        let config = json!({
            "sandbox_id": "s", "user": null, "env": {"FROM": "image"}, "work_dir": directory,
            "entrypoint": ["sh", "-c", "echo ran for $OWNER > entrypoint; exec sleep 1000"],
            "spare": spare,
            "limits": {"cpus": 1, "memory_bytes": 1 << 20, "disk_bytes": 1 << 20, "pids": 10},
        });
        std::fs::write(directory.join("config"), config.to_string()).unwrap();
        std::fs::write(directory.join("disk_used"), "00000000000000016384\n").unwrap();
        let listener = UnixListener::bind(directory.join("socket")).unwrap();
        // Descriptors 3 to 5; a namespace's first process dies with `unshare`.
        let script = "exec 3<&0 4<config 5<disk_used </dev/null; \
            exec unshare --pid --mount --fork --kill-child --mount-proc \"$0\"";
        let unshare = Command::new("sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_toolbox")])
            .current_dir(&directory)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()
            .unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let mut first = String::new();
        eventually("the first process exists", || {
            first = std::fs::read_to_string(&children).unwrap_or_default();
            !first.is_empty()
        });
        let first = first.trim().to_owned();
        Self {
            unshare,
            directory,
            first,
        }
    }

    fn client(&self) -> Client {
        Client::new(self.directory.join("socket"))
    }
}

/// A pids cgroup (v1, or v2 with the controller) for one sandbox.
struct PidsLimit(PathBuf);

impl PidsLimit {
    fn new(name: &str) -> Option<Self> {
        let name = format!("sebring-first-{}-{name}", std::process::id());
        let path = PathBuf::from("/sys/fs/cgroup/pids").join(name);
        std::fs::create_dir(&path).ok()?;
        Some(Self(path))
    }

    fn apply(&self, pid: &str, max: u32) {
        std::fs::write(self.0.join("pids.max"), max.to_string()).unwrap();
        std::fs::write(self.0.join("cgroup.procs"), pid).unwrap();
    }
}

impl Drop for PidsLimit {
    fn drop(&mut self) {
        eventually("the cgroup is empty", || {
            std::fs::remove_dir(&self.0).is_ok()
        });
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.unshare.kill().unwrap();
        self.unshare.wait().unwrap();
        std::fs::remove_dir_all(&self.directory).unwrap();
    }
}

#[test]
fn it_is_the_first_process_and_collects_every_orphan() {
    let sandbox = Sandbox::start("orphans");
    let client = sandbox.client();
    assert_eq!(client.execute("cat /proc/1/comm"), (0, "toolbox\n".into()));
    client.execute("for i in $(seq 500); do (setsid sh -c ':' &) ; done");
    let zombies = "grep -l '^State:.Z' /proc/[0-9]*/status | wc -l";
    eventually("no zombie is left", || {
        client.execute(zombies).1.trim() == "0"
    });
}

#[test]
fn a_sandbox_out_of_processes_still_answers_and_recovers() {
    let Some(limit) = PidsLimit::new("exhausted") else {
        eprintln!("skipped: this host has no pids controller to test with");
        return;
    };
    let sandbox = Sandbox::start("exhausted");
    let client = sandbox.client();
    limit.apply(&sandbox.first, 1000);
    client.execute("for i in $(seq 10); do sleep 1000 > /dev/null 2>&1 & done");
    limit.apply(&sandbox.first, 2);
    let (code, output) = client.execute("true");
    assert_eq!(
        (code, output.contains("out of processes")),
        (-1, true),
        "{output}"
    );
    // Files are served by threads, which are processes to the kernel.
    for _ in 0..20 {
        assert_eq!(client.get("/files?path=/etc").status, 200);
    }
    limit.apply(&sandbox.first, 1000);
    assert_eq!(client.execute("pkill sleep; echo again").1, "again\n");
}

#[test]
fn a_command_inherits_no_descriptor_of_ours() {
    let sandbox = Sandbox::start("descriptors");
    let (_, output) = sandbox.client().execute("ls /proc/self/fd | tr '\\n' ' '");
    // The fourth is that of `ls` itself, for the directory.
    assert_eq!(output, "0 1 2 3 ");
}

#[test]
fn the_entrypoint_runs_and_asking_to_stop_ends_everything() {
    let mut sandbox = Sandbox::start("stop");
    let entrypoint = sandbox.directory.join("entrypoint");
    eventually("the entrypoint has run", || entrypoint.exists());
    sandbox
        .client()
        .execute("setsid sleep 1000 > /dev/null 2>&1 &");
    let began = Instant::now();
    common::signal("-TERM", sandbox.first.parse().unwrap());
    sandbox.unshare.wait().unwrap();
    assert!(
        began.elapsed() < Duration::from_millis(1500),
        "{:?}",
        began.elapsed()
    );
    assert!(!alive(&sandbox.first));
}

#[test]
fn a_spare_takes_its_owners_variables_once_and_only_then_runs_the_entrypoint() {
    let sandbox = Sandbox::start_as("spare", true);
    let client = sandbox.client();
    let claim = |owner: &str| {
        let body = json!({"env": {"OWNER": owner, "HOME": "/given"}}).to_string();
        client.send("PUT", CLAIM_ROUTE, &[], body.as_bytes()).status
    };
    let variables = "echo $FROM,$OWNER,$HOME,$HOSTNAME";
    assert_eq!(client.execute(variables).1, "image,,/root,s\n");
    let entrypoint = sandbox.directory.join("entrypoint");
    assert!(!entrypoint.exists(), "it waits for its owner");
    assert_eq!(claim("me"), 204);
    assert_eq!(client.execute(variables).1, ",me,/given,s\n");
    let ran = || std::fs::read_to_string(&entrypoint).unwrap_or_default();
    eventually("the entrypoint has run", || ran() == "ran for me\n");
    assert_eq!(claim("another"), 409);
    assert_eq!(client.execute(variables).1, ",me,/given,s\n");
}

#[test]
fn what_was_somebodys_from_its_start_cannot_be_claimed() {
    let sandbox = Sandbox::start("owned");
    let client = sandbox.client();
    let claim = json!({"env": {"OWNER": "another"}}).to_string();
    let answer = client.send("PUT", CLAIM_ROUTE, &[], claim.as_bytes());
    assert_eq!(answer.status, 409);
    assert_eq!(client.execute("echo $FROM,$OWNER").1, "image,\n");
}

#[test]
fn only_the_host_has_it_upgraded() {
    let sandbox = Sandbox::start("upgrade");
    let client = sandbox.client();
    let request = "POST /_sebring/upgrade HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\
        Upgrade: sebring-upgrade\r\nContent-Length: 0\r\n\r\n";
    std::fs::write(sandbox.directory.join("request"), request).unwrap();
    let inside = "python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); \
        s.connect(\"socket\"); s.sendall(open(\"request\", \"rb\").read()); \
        print(s.recv(100).split(b\"\\r\")[0].decode())'";
    let refused = (0, "HTTP/1.1 403 Forbidden\n".to_owned());
    assert_eq!(client.execute(inside), refused);
    let mut stream = client.connect();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    // It was let in; where the runner mounts programs there is none here.
    let told = "start the new program: No such file or directory";
    assert!(answer.contains(told), "{answer}");
    assert_eq!(client.execute("echo fine").1, "fine\n");
}
