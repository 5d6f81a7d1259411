//! A client of the interpreter: what to send, and what came of it.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket, client::IntoClientRequest};

use crate::common::Toolbox;

/// A cell that was sent.
pub(crate) struct Cell(WebSocket<Steady>);

/// A socket on which a signal to the test is nothing to fail for.
#[derive(Debug)]
pub(crate) struct Steady(UnixStream);

impl Read for Steady {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }
}

impl Write for Steady {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(buffer) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) frames: Vec<Value>,
    pub(crate) code: u16,
    pub(crate) reason: String,
}

impl Cell {
    pub(crate) fn open(toolbox: &Toolbox) -> Self {
        Self::open_as(toolbox, "sdk-python")
    }

    /// Opened by the client that calls itself `source`.
    pub(crate) fn open_as(toolbox: &Toolbox, source: &str) -> Self {
        let request = "ws://x/process/interpreter/execute".into_client_request();
        let mut request = request.unwrap();
        let headers = request.headers_mut();
        headers.insert("X-Daytona-Source", source.parse().unwrap());
        let opened = tungstenite::client(request, Steady(toolbox.connect()));
        Self(opened.unwrap().0)
    }

    pub(crate) fn start(toolbox: &Toolbox, request: &Value) -> Self {
        let mut cell = Self::open(toolbox);
        cell.send(request);
        cell
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).unwrap();
    }

    /// The next frame, or the code and reason of the close.
    pub(crate) fn next(&mut self) -> Result<Value, (u16, String)> {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                Message::Close(frame) => {
                    let frame = frame.expect("a close with a code");
                    // Answers the close.
                    let _flushed = self.0.flush();
                    return Err((frame.code.into(), frame.reason.to_string()));
                }
                Message::Ping(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Skips to the first frame of that type.
    pub(crate) fn wait_for(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next().unwrap();
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    pub(crate) fn finish(mut self) -> Answer {
        let mut answer = Answer::default();
        loop {
            match self.next() {
                Ok(frame) => answer.frames.push(frame),
                Err((code, reason)) => {
                    return Answer {
                        code,
                        reason,
                        ..answer
                    };
                }
            }
        }
    }
}

impl Answer {
    pub(crate) fn text_of(&self, kind: &str) -> String {
        let frames = self.frames.iter().filter(|frame| frame["type"] == kind);
        frames
            .map(|frame| frame["text"].as_str().unwrap())
            .collect()
    }

    pub(crate) fn stdout(&self) -> String {
        self.text_of("stdout")
    }

    pub(crate) fn stderr(&self) -> String {
        self.text_of("stderr")
    }

    pub(crate) fn of(&self, kind: &str) -> &Value {
        let found = self.frames.iter().find(|frame| frame["type"] == kind);
        found.unwrap_or_else(|| panic!("no {kind}: {self:?}"))
    }

    /// Output of both kinds in the order in which it came, with a mark before each change.
    pub(crate) fn interleaved(&self) -> String {
        let (mut text, mut last) = (String::new(), "");
        for frame in &self.frames {
            let kind = match frame["type"].as_str().unwrap() {
                "stdout" => "1",
                "stderr" => "2",
                "display" => "d",
                _ => continue,
            };
            if kind != last {
                text.push_str(kind);
                last = kind;
            }
            text.push_str(frame["text"].as_str().unwrap_or("|"));
        }
        text
    }
}

pub(crate) fn run(toolbox: &Toolbox, code: &str) -> Answer {
    run_with(toolbox, &json!({"code": code}))
}

pub(crate) fn run_with(toolbox: &Toolbox, request: &Value) -> Answer {
    Cell::start(toolbox, request).finish()
}

/// The output of a cell that must end well.
pub(crate) fn output(toolbox: &Toolbox, code: &str) -> String {
    let answer = run(toolbox, code);
    assert_eq!(
        (answer.code, &*answer.text_of("control")),
        (1000, "completed"),
        "{answer:?}"
    );
    assert_eq!(answer.stderr(), "", "{answer:?}");
    answer.stdout()
}

pub(crate) fn create(toolbox: &Toolbox, request: &Value) -> Value {
    let reply = toolbox.post("/process/interpreter/context", request);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

pub(crate) fn contexts(toolbox: &Toolbox) -> Vec<Value> {
    let reply = toolbox.get("/process/interpreter/context");
    assert_eq!(reply.status, 200);
    reply.json()["contexts"].as_array().unwrap().clone()
}
