//! `/sebring/process`: processes that outlive the connections to them, whatever started them.
//!
//! Sessions, terminals and the entrypoint are older words for the same thing; all of their
//! processes are listed here and can be attached to, awaited and signalled.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use rustix::process::Signal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::durable::{self, Output, Plan, Stdin};
use super::record::{INPUT_BYTES_MAX, InputError, Kind, Process};
use super::session::uuid;
use super::shell::{self, Shell};
use super::text::{self, Joined};
use super::{Error, Exit, execute};
use crate::clock;
use crate::environment::Variables;
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::number::Seconds;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

type Shared = State<Arc<Toolbox>>;

/// The longest single wait; ask again for more.
const WAIT_SECONDS_MAX: u64 = 3600;
/// Between SIGTERM and SIGKILL when a process is deleted.
const DELETE_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug, Deserialize)]
pub(crate) struct StartRequest {
    command: String,
    cwd: Option<String>,
    envs: Option<Variables>,
    timeout: Option<Seconds>,
    /// Input can be sent; without, it finds the end of its input at once.
    #[serde(default)]
    input: bool,
    /// One stream in exact order instead of two.
    #[serde(default)]
    merged: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SignalRequest {
    signal: Value,
}

pub(crate) async fn start(
    State(toolbox): Shared,
    JsonBody(request): JsonBody<StartRequest>,
) -> Result<Response, Failure> {
    if request.command.trim().is_empty() {
        return Err(Failure::bad_request("command: must not be empty"));
    }
    let env = toolbox
        .environment
        .with(&request.envs.unwrap_or_default())?;
    let cwd = execute::directory(&toolbox, request.cwd.as_deref());
    let invocation = Shell::find()
        .and_then(|shell| shell.script(&request.command))
        .map_err(|error| match error {
            shell::Error::Nul => Failure::bad_request("command: must not contain NUL bytes"),
            error => Failure::internal(error.to_string()),
        })?;
    if request.input && invocation.reads_stdin {
        return Err(Failure::bad_request(format!(
            "command: with input at most {} bytes; put more in a file",
            shell::ARGUMENT_BYTES_MAX
        )));
    }
    toolbox.refresh_stand_ins();
    let process = durable::start(
        &toolbox,
        Plan {
            kind: Kind::Process,
            id: uuid(),
            command: request.command,
            programs: vec![invocation.program],
            argv: invocation.argv,
            env: &env,
            cwd: &cwd,
            stdin: if request.input {
                Stdin::Open
            } else {
                Stdin::File(invocation.stdin)
            },
            output: if request.merged {
                Output::Merged
            } else {
                Output::Split
            },
            timeout: request.timeout.and_then(Seconds::limit),
        },
    )?;
    Ok((StatusCode::CREATED, Json(body(&process))).into_response())
}

pub(crate) async fn list(State(toolbox): Shared) -> Json<Value> {
    let all = toolbox.processes.table.list();
    let all: Vec<Value> = all.iter().map(|process| body(process)).collect();
    Json(json!({"processes": all}))
}

pub(crate) async fn get(
    State(toolbox): Shared,
    Path(id): Path<String>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(body(&*find(&toolbox, &id)?)))
}

/// Ends all of it, also what it left running, and forgets it.
pub(crate) async fn delete(
    State(toolbox): Shared,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    let process = find(&toolbox, &id)?;
    let belongs_to = match &process.kind {
        Kind::Process => None,
        Kind::Session(_) | Kind::Terminal(_) if process.end().is_some() => None,
        Kind::Session(of) => Some(format!("session {of:?}; delete that, or send a signal")),
        Kind::Terminal(of) => Some(format!("terminal {of:?}; delete that, or send a signal")),
        Kind::Entrypoint => Some("sandbox; send a signal".to_owned()),
    };
    if let Some(owner) = belongs_to {
        return Err(Failure::bad_request(format!(
            "process {id}: belongs to the {owner}"
        )));
    }
    if let Some(tree) = process.tree() {
        // As a task of its own: it must be ended whether or not the client waits.
        let whole = toolbox.pause.hold();
        let ending = toolbox.tasks.spawn("end process", async move {
            let _whole = whole;
            tree.end(DELETE_GRACE).await;
        });
        let _ended = ending.await;
    }
    toolbox.processes.forget(&process);
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn output(
    State(toolbox): Shared,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let process = find(&toolbox, &id)?;
    let from = query.number("offset")?.unwrap_or(0);
    // Asked before reading: what an ended process wrote is all there.
    let running = process.end().is_none();
    let begin = process.log.extent().begin;
    let texts = text::texts(&process.log, from, Joined::Plain, running);
    Ok(Json(json!({
        "offset": from.max(begin).min(texts.next),
        "nextOffset": texts.next,
        "output": texts.merged,
        "stdout": texts.output,
        "stderr": texts.errors,
        "running": running,
    })))
}

/// The body is the input, to the byte.
pub(crate) async fn input(
    State(toolbox): Shared,
    Path(id): Path<String>,
    query: Query,
    body: Body,
) -> Result<StatusCode, Failure> {
    let process = find(&toolbox, &id)?;
    let closes = query.flag("close")?;
    let bytes = to_bytes(body, INPUT_BYTES_MAX)
        .await
        .map_err(|_| Failure::too_large(INPUT_BYTES_MAX))?;
    if process.end().is_some() {
        return Err(InputError::Ended.into());
    }
    if closes && process.kind != Kind::Process {
        // Theirs is that of a shell or a terminal, which goes on.
        return Err(Failure::bad_request(format!(
            "query close: the input of a {} has no end; only processes started here can be told one",
            kind(&process.kind)
        )));
    }
    if !bytes.is_empty() {
        process.write(bytes)?;
    }
    if closes {
        process.close_input();
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn signal(
    State(toolbox): Shared,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<SignalRequest>,
) -> Result<StatusCode, Failure> {
    let process = find(&toolbox, &id)?;
    let signal = parse_signal(&request.signal).ok_or_else(|| {
        Failure::bad_request(format!(
            "signal {}: accepted are names such as TERM or SIGTERM, and 1 to 31",
            request.signal
        ))
    })?;
    if process.signal(signal) {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(if process.end().is_some() {
        Failure::new(
            StatusCode::GONE,
            "COMMAND_ALREADY_COMPLETED",
            format!("process {id}: has ended, and left nothing running"),
        )
    } else {
        let message = format!("process {id}: has not begun; those before it in its session run");
        Failure::new(StatusCode::CONFLICT, "CONFLICT", message)
    })
}

/// Answers when the process has ended, or when the time is up and it has not.
pub(crate) async fn wait(
    State(toolbox): Shared,
    Path(id): Path<String>,
    query: Query,
) -> Result<Json<Value>, Failure> {
    let process = find(&toolbox, &id)?;
    let seconds = query.number("timeout")?.unwrap_or(WAIT_SECONDS_MAX);
    let limit = Duration::from_secs(seconds.min(WAIT_SECONDS_MAX));
    // Being late is an answer as well: it says that the process runs.
    let _late = tokio::time::timeout(limit, process.ended()).await;
    Ok(Json(body(&process)))
}

pub(super) fn find(toolbox: &Toolbox, id: &str) -> Result<Arc<Process>, Failure> {
    toolbox.processes.table.get(id).ok_or_else(|| {
        let message = format!("process {id:?} does not exist, or was forgotten after its end");
        Failure::new(StatusCode::NOT_FOUND, "PROCESS_NOT_FOUND", message)
    })
}

pub(super) fn body(process: &Process) -> Value {
    let extent = process.log.extent();
    let mut body = json!({
        "id": process.id,
        "kind": kind(&process.kind),
        "command": process.command,
        "pid": process.pid(),
        "startedAt": clock::rfc3339(process.started),
        "running": process.end().is_none(),
        "firstOffset": extent.begin,
        "nextOffset": extent.end,
    });
    match &process.kind {
        Kind::Session(id) => body["sessionId"] = id.clone().into(),
        Kind::Terminal(id) => body["ptyId"] = id.clone().into(),
        Kind::Process | Kind::Entrypoint => {}
    }
    if let Some(end) = process.end() {
        body["exitCode"] = end.exit.code().into();
        if let Exit::Signal(number) = end.exit {
            body["signal"] = number.into();
        }
        body["oomKilled"] = end.out_of_memory.into();
        body["timedOut"] = end.timed_out.into();
        body["endedAt"] = clock::rfc3339(end.at).into();
    }
    body
}

const fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::Process => "process",
        Kind::Session(_) => "session",
        Kind::Terminal(_) => "pty",
        Kind::Entrypoint => "entrypoint",
    }
}

/// Only those that are the same everywhere.
fn parse_signal(value: &Value) -> Option<Signal> {
    if let Some(number) = value.as_i64() {
        return Signal::from_named_raw(i32::try_from(number).ok()?);
    }
    let name = value.as_str()?.to_ascii_uppercase();
    Some(match name.strip_prefix("SIG").unwrap_or(&name) {
        "HUP" => Signal::HUP,
        "INT" => Signal::INT,
        "QUIT" => Signal::QUIT,
        "KILL" => Signal::KILL,
        "USR1" => Signal::USR1,
        "USR2" => Signal::USR2,
        "TERM" => Signal::TERM,
        "CONT" => Signal::CONT,
        "STOP" => Signal::STOP,
        "WINCH" => Signal::WINCH,
        _ => return None,
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Stopping => Self::stopping(),
            Error::Directory { .. } => Self::bad_request(format!("cwd: {}", error.to_text())),
            Error::Exhausted | Error::TooMany(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "TOO_MANY_PROCESSES",
                error.to_text(),
            ),
            Error::Execute { .. } | Error::Start(_) => Self::internal(error.to_text()),
        }
    }
}
