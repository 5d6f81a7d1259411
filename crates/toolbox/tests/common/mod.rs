//! The real executable on a socket of its own, and a small HTTP client for it.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test code"
)]

pub mod socket;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// A running toolbox. Dropping it stops it and removes what it left.
pub struct Toolbox {
    process: Child,
    client: Client,
    pub directory: PathBuf,
    pub cgroup: Option<PathBuf>,
}

impl Deref for Toolbox {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Talks to a toolbox, one connection for each request.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        assert_eq!(
            self.header("content-type"),
            Some("application/json; charset=utf-8"),
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// As whom the sandbox's processes run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub user: &'static str,
    /// Whether it gets a cgroup directory to end process trees with.
    pub cgroup: bool,
    /// What it runs from its start.
    pub entrypoint: &'static [&'static str],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            user: "nobody",
            cgroup: true,
            entrypoint: &["sleep", "infinity"],
        }
    }
}

impl Toolbox {
    pub fn start() -> Self {
        Self::start_with(Settings::default())
    }

    pub fn start_with(settings: Settings) -> Self {
        Self::start_among(settings, &[])
    }

    /// Finds `files` in its directory when it starts.
    pub fn start_among(settings: Settings, files: &[(&str, &str)]) -> Self {
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sebring-toolbox-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(&name);
        let home = directory.join("home");
        std::fs::create_dir_all(&home).unwrap();
        let open = |path: &Path| {
            Command::new("chown")
                .arg(settings.user)
                .arg(path)
                .status()
                .unwrap();
        };
        open(&home);
        write_files(&directory, files);
        let cgroup = settings.cgroup.then(|| cgroup_directory(&name)).flatten();
        let config = json!({
            "sandbox_id": "11111111-2222-4333-8444-555555555555",
            "user": settings.user,
            "env": {"GREETING": "hello", "PATH": std::env::var("PATH").unwrap()},
            "work_dir": home,
            "entrypoint": settings.entrypoint,
            "limits": {"cpus": 2, "memory_bytes": 1_u64 << 30, "disk_bytes": 10_u64 << 30, "pids": 512},
        });
        std::fs::write(directory.join("config.json"), config.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_toolbox"));
        command
            .args([
                "--listen",
                "toolbox.sock",
                "--config",
                "config.json",
                "--sudo",
                &name,
                // Where a test has put something there.
                "--memory",
                "memory",
                "--proc",
                "proc",
            ])
            .args([
                "--cgroup",
                cgroup
                    .as_deref()
                    .unwrap_or_else(|| Path::new("/none"))
                    .to_str()
                    .unwrap(),
            ])
            // What an upgrade would make of it; nothing unless a test puts something there.
            .arg("--program")
            .arg(directory.join("program"))
            .current_dir(&directory)
            .stdin(Stdio::null());
        if directory.join("disk_used").exists() {
            command.args(["--disk-use", "disk_used"]);
        }
        let process = command.spawn().unwrap();
        let toolbox = Self {
            client: Client::new(directory.join("toolbox.sock")),
            process,
            directory,
            cgroup,
        };
        eventually("it listens", || {
            UnixStream::connect(&toolbox.client.socket).is_ok()
        });
        toolbox
    }

    pub fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn sudo_socket(&self) -> &str {
        self.directory.file_name().unwrap().to_str().unwrap()
    }

    /// Asks it to stop; how long that took.
    pub fn stop(&mut self) -> Duration {
        let began = Instant::now();
        signal("-TERM", self.pid());
        self.process.wait().unwrap();
        began.elapsed()
    }
}

impl Client {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream
    }

    pub fn get(&self, target: &str) -> Reply {
        self.send("GET", target, &[], b"")
    }

    pub fn delete(&self, target: &str) -> Reply {
        self.send("DELETE", target, &[], b"")
    }

    pub fn post(&self, target: &str, body: &Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        self.send(
            "POST",
            target,
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        )
    }

    pub fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut stream = self.connect();
        let mut head = format!(
            "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
        // A server that refuses early may close before it has read everything.
        let _early = stream.write_all(body);
        receive(&mut stream)
    }

    pub fn execute(&self, command: &str) -> (i64, String) {
        self.execute_with(&json!({"command": command}))
    }

    pub fn execute_with(&self, request: &Value) -> (i64, String) {
        let reply = self.post("/process/execute", request);
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer = reply.json();
        (
            answer["exitCode"].as_i64().unwrap(),
            answer["result"].as_str().unwrap().to_owned(),
        )
    }
}

impl Drop for Toolbox {
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            signal("-TERM", self.pid());
            self.process.wait().unwrap();
        }
        std::fs::remove_dir_all(&self.directory).unwrap();
        if let Some(cgroup) = &self.cgroup {
            for entry in std::fs::read_dir(cgroup).unwrap().flatten() {
                if entry.file_type().unwrap().is_dir() {
                    std::fs::remove_dir(entry.path()).unwrap();
                }
            }
            std::fs::remove_dir(cgroup).unwrap();
        }
    }
}

fn write_files(directory: &Path, files: &[(&str, &str)]) {
    for (name, content) in files {
        let path = directory.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// A directory in this host's cgroup v2 hierarchy; none where it has no such thing.
fn cgroup_directory(name: &str) -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    let path = Path::new(mount.split(' ').nth(1)?).join(name);
    std::fs::create_dir(&path).ok()?;
    Some(path)
}

pub fn signal(signal: &str, pid: u32) {
    Command::new("kill")
        .args([signal, &pid.to_string()])
        .status()
        .unwrap();
}

pub fn alive(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| !stat.rsplit(") ").next().unwrap().starts_with('Z'))
}

/// Waits, within bounds, until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::yield_now();
    }
}

/// Reads one reply from a connection that closes after it.
pub fn receive(stream: &mut UnixStream) -> Reply {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    let _closed = stream.shutdown(Shutdown::Both);
    let end = find(&all, b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = if chunked {
        unchunk(&all[end + 4..])
    } else {
        all[end + 4..].to_vec()
    };
    Reply {
        status,
        headers,
        body,
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = find(rest, b"\r\n").expect("the size of a chunk");
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
