//! A git server on loopback: `git http-backend` behind the little HTTP that git speaks, with and
//! without a login, and ways to be refused.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "test code"
)]

pub mod setup;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine as _;

pub const USER: &str = "me";
pub const PASSWORD: &str = "s3cr3t/p@ss:w ord";

/// Serves `root/<repository>` at `/open/`, `/private/`, `/forbidden/`, and sends `/moved/` to
/// `/private/` under another name of this host.
#[derive(Debug)]
pub struct GitServer {
    pub port: u16,
    pub root: PathBuf,
    /// `host authorization` of each request that had one.
    seen: Arc<Mutex<Vec<String>>>,
}

struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl GitServer {
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, served) = (Arc::clone(&seen), root.to_owned());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, root) = (Arc::clone(&log), served.clone());
                std::thread::spawn(move || serve(stream.unwrap(), &root, port, &log));
            }
        });
        Self {
            port,
            root: root.to_owned(),
            seen,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// The same with a login in it.
    pub fn url_with(&self, login: &str, path: &str) -> String {
        format!("http://{login}@127.0.0.1:{}/{path}", self.port)
    }

    pub fn logins_seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// Makes a bare repository with one commit on `main`, and `feature` with a second.
    pub fn repository(&self, name: &str) -> PathBuf {
        let bare = self.root.join(name);
        let tree = self.root.join(format!("{name}.tree"));
        git(&self.root, &["init", "-q", "--bare", "-b", "main", name]);
        git(&bare, &["config", "http.receivepack", "true"]);
        git(&self.root, &["clone", "-q", name, tree.to_str().unwrap()]);
        git(&tree, &["checkout", "-q", "-b", "main"]);
        commit(&tree, "README.md", "hello\n", "first");
        git(&tree, &["push", "-q", "origin", "main"]);
        git(&tree, &["checkout", "-q", "-b", "feature"]);
        commit(&tree, "feature.txt", "feature\n", "second");
        git(&tree, &["push", "-q", "origin", "feature"]);
        git(&tree, &["checkout", "-q", "main"]);
        tree
    }
}

/// Writes a file and commits it.
pub fn commit(tree: &Path, name: &str, content: &str, message: &str) -> String {
    std::fs::write(tree.join(name), content).unwrap();
    git(tree, &["add", "-A"]);
    git(tree, &["commit", "-q", "-m", message]);
    git(tree, &["rev-parse", "HEAD"])
}

/// The real git, on the server's side.
pub fn git(directory: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Server", "-c", "user.email=s@example.org"])
        .args(args)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "git {args:?}: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn serve(mut stream: TcpStream, root: &Path, port: u16, log: &Mutex<Vec<String>>) {
    let request = receive(&stream);
    let header = |name: &str| find(&request.headers, name);
    if let Some(login) = header("authorization") {
        let host = header("host").unwrap_or_default();
        log.lock().unwrap().push(format!("{host} {login}"));
    }
    let (kind, path) = request.target[1..].split_once('/').unwrap_or_default();
    let answer = match kind {
        "open" => backend(&request, root, path),
        "private" if header("authorization") == Some(expected()) => backend(&request, root, path),
        "private" => plain(
            "401 Unauthorized",
            "WWW-Authenticate: Basic realm=\"git\"\r\n",
        ),
        "forbidden" => plain("403 Forbidden", ""),
        "moved" => plain(
            "302 Found",
            &format!("Location: http://localhost:{port}/private/{path}\r\n"),
        ),
        _ => plain("404 Not Found", ""),
    };
    stream.write_all(&answer).unwrap();
}

fn expected() -> String {
    let login = format!("{USER}:{PASSWORD}");
    let encoded = base64::engine::general_purpose::STANDARD.encode(login);
    format!("Basic {encoded}")
}

fn plain(status: &str, headers: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n")
        .into_bytes()
}

fn receive(stream: &TcpStream) -> Request {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut stream = stream;
    if find(&headers, "expect").is_some() {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    }
    let mut body = Vec::new();
    if find(&headers, "transfer-encoding").as_deref() == Some("chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let size = u64::from_str_radix(line.trim(), 16).unwrap();
            reader.by_ref().take(size).read_to_end(&mut body).unwrap();
            reader.read_line(&mut String::new()).unwrap();
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = find(&headers, "content-length") {
        let length = length.parse().unwrap();
        reader.by_ref().take(length).read_to_end(&mut body).unwrap();
    }
    Request {
        method,
        target,
        headers,
        body,
    }
}

fn find(headers: &[(String, String)], name: &str) -> Option<String> {
    let found = headers.iter().find(|(key, _)| key == name)?;
    Some(found.1.clone())
}

/// What git's own CGI program answers.
fn backend(request: &Request, root: &Path, target: &str) -> Vec<u8> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name| find(&request.headers, name).unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{path}"))
        .env("QUERY_STRING", query)
        .env("REQUEST_METHOD", &request.method)
        .env("REMOTE_USER", USER)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", request.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("HTTP_GIT_PROTOCOL", header("git-protocol"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let body = request.body.clone();
    let writer = std::thread::spawn(move || {
        // It may answer before it has read everything.
        let _early = stdin.write_all(&body);
    });
    let output = child.wait_with_output().unwrap().stdout;
    writer.join().unwrap();
    let end = crate::common::find(&output, b"\r\n\r\n").expect("a head of the CGI program");
    let head = String::from_utf8(output[..end].to_vec()).unwrap();
    let (status, rest): (Vec<&str>, Vec<&str>) = head
        .split("\r\n")
        .partition(|line| line.starts_with("Status: "));
    let status = status.first().map_or("200 OK", |line| &line[8..]);
    let mut answer = format!(
        "HTTP/1.1 {status}\r\n{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        rest.join("\r\n"),
        output.len() - end - 4
    )
    .into_bytes();
    answer.extend_from_slice(&output[end + 4..]);
    answer
}
