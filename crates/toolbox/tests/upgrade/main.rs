//! The toolbox replaces itself while it runs things: the real executable becomes another build of
//! itself, which is the same program with a byte at its end.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

#[path = "../interpreter/client.rs"]
#[allow(dead_code, reason = "the interpreter's tests use all of it")]
mod client;
#[path = "../common/mod.rs"]
mod common;
mod others;
mod processes;
mod refusals;
mod sessions;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;

use common::Toolbox;
use serde_json::{Value, json};

/// Puts a program where the next one is looked for.
fn place(toolbox: &Toolbox, content: &[u8]) {
    let (new, path) = (
        toolbox.directory.join("program.new"),
        toolbox.directory.join("program"),
    );
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    // Not over the one that runs.
    fs::rename(new, path).unwrap();
}

/// Another build: the same but for its length.
fn place_another(toolbox: &Toolbox) {
    let mut program = fs::read(env!("CARGO_BIN_EXE_toolbox")).unwrap();
    program.push(0);
    place(toolbox, &program);
}

/// Asks for an upgrade; the connection on which the answer comes.
fn ask(toolbox: &Toolbox) -> UnixStream {
    switch(toolbox, "/_sebring/upgrade", "sebring-upgrade")
}

/// A connection that speaks another protocol from now on.
fn switch(toolbox: &Toolbox, path: &str, protocol: &str) -> UnixStream {
    let mut stream = toolbox.connect();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\n\
         Upgrade: {protocol}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

fn answer(mut stream: UnixStream) -> Value {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
}

/// Another build takes over, and tells so itself.
fn upgrade(toolbox: &Toolbox) {
    place_another(toolbox);
    let before = program_of(toolbox);
    assert_eq!(answer(ask(toolbox)), json!({"outcome": "done"}));
    assert_ne!(program_of(toolbox), before, "it is another file");
}

/// Device and number of the file that runs.
fn program_of(toolbox: &Toolbox) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt as _;
    let program = fs::metadata(format!("/proc/{}/exe", toolbox.pid())).unwrap();
    (program.dev(), program.ino())
}

/// How many descriptors it has open.
fn descriptors(toolbox: &Toolbox) -> usize {
    let open = fs::read_dir(format!("/proc/{}/fd", toolbox.pid())).unwrap();
    open.count()
}
