//! `/process/session`: sessions and their commands. Logs are in `logs`.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::wire::{Client, Form};
use super::{Command, ENTRYPOINT, ENTRYPOINT_COMMAND, Error, NewCommand, Session};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::process::record::{InputError, Process};
use crate::process::text;
use crate::toolbox::Toolbox;

type Shared = State<Arc<Toolbox>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateRequest {
    session_id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ExecuteRequest {
    command: String,
    run_async: Option<bool>,
    /// What `runAsync` was called before.
    r#async: Option<bool>,
    suppress_input_echo: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct InputRequest {
    data: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SessionBody {
    session_id: String,
    commands: Vec<Value>,
}

pub(crate) async fn create(
    State(toolbox): Shared,
    headers: HeaderMap,
    JsonBody(request): JsonBody<CreateRequest>,
) -> Result<StatusCode, Failure> {
    let sessions = &toolbox.processes.sessions;
    let cwd = if Client::of(&headers).starts_at_home {
        &toolbox.user.home
    } else {
        &toolbox.work_dir
    };
    sessions.create(&toolbox, &request.session_id, cwd)?;
    Ok(StatusCode::CREATED)
}

pub(crate) async fn list(State(toolbox): Shared, headers: HeaderMap) -> Json<Vec<SessionBody>> {
    let client = Client::of(&headers);
    let all = toolbox.processes.sessions.list();
    Json(all.iter().map(|session| body(session, client)).collect())
}

pub(crate) async fn get(
    State(toolbox): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<SessionBody>, Failure> {
    let client = Client::of(&headers);
    if id == ENTRYPOINT {
        return Ok(Json(SessionBody {
            session_id: id,
            commands: vec![command_body(&*entrypoint(&toolbox)?, client)],
        }));
    }
    Ok(Json(body(&*toolbox.processes.sessions.get(&id)?, client)))
}

pub(crate) async fn delete(
    State(toolbox): Shared,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    // As a task of its own: half a deletion because somebody hung up helps nobody.
    let deleting = Arc::clone(&toolbox);
    let deleted = toolbox.tasks.spawn("delete session", async move {
        let _whole = deleting.pause.hold();
        let sessions = &deleting.processes.sessions;
        sessions.delete(&deleting, &id).await
    });
    match deleted.await.ok().flatten() {
        Some(deleted) => deleted?,
        None => return Err(Failure::internal("delete the session")),
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn execute(
    State(toolbox): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<ExecuteRequest>,
) -> Result<Response, Failure> {
    if id == ENTRYPOINT {
        return Err(Error::Reserved.into());
    }
    let session = toolbox.processes.sessions.get(&id)?;
    let in_background = request.run_async.or(request.r#async).unwrap_or(false);
    toolbox.refresh_stand_ins();
    let new = NewCommand {
        text: request.command,
        takes_input: in_background,
        suppress_input_echo: request.suppress_input_echo.unwrap_or(false),
    };
    let command = session.submit(&toolbox, new)?;
    if in_background {
        let body = json!({"cmdId": command.process.id});
        return Ok((StatusCode::ACCEPTED, Json(body)).into_response());
    }
    let end = command.process.ended().await;
    if command.process.pid().is_none() {
        // The shell ended before its turn came.
        session.check_alive()?;
    }
    let mut answer = outputs(&command.process, Client::of(&headers));
    answer.insert("cmdId".to_owned(), command.process.id.clone().into());
    answer.insert("exitCode".to_owned(), end.exit.code().into());
    Ok(Json(answer).into_response())
}

/// `output` in the form that the client splits or shows, and both streams where it knows them.
fn outputs(process: &Process, client: Client) -> Map<String, Value> {
    let mut fields = Map::new();
    match client.form {
        Form::Plain => {
            let merged = text::lossy(text::merged(&process.log, 0));
            fields.insert("output".to_owned(), merged.into());
        }
        Form::Marked => {
            let marked = text::lossy(text::marked(&process.log, 0));
            fields.insert("output".to_owned(), marked.into());
        }
        Form::Split => {
            let running = process.end().is_none();
            let texts = text::texts(&process.log, 0, client.joined(), running);
            fields.insert("output".to_owned(), texts.merged.into());
            fields.insert("stdout".to_owned(), texts.output.into());
            fields.insert("stderr".to_owned(), texts.errors.into());
        }
    }
    fields
}

pub(crate) async fn command(
    State(toolbox): Shared,
    Path((session, command)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let process = find(&toolbox, &session, &command)?;
    Ok(Json(command_body(&process, Client::of(&headers))))
}

pub(crate) async fn input(
    State(toolbox): Shared,
    Path((session, command)): Path<(String, String)>,
    JsonBody(request): JsonBody<InputRequest>,
) -> Result<StatusCode, Failure> {
    if session == ENTRYPOINT {
        return Err(Error::Reserved.into());
    }
    let session = toolbox.processes.sessions.get(&session)?;
    session.command(&command)?.send_line(&request.data)?;
    Ok(StatusCode::NO_CONTENT)
}

/// A command's process, that of the entrypoint among them.
pub(super) fn find(toolbox: &Toolbox, session: &str, command: &str) -> Result<Arc<Process>, Error> {
    if session == ENTRYPOINT {
        let process = entrypoint(toolbox)?;
        return if command == ENTRYPOINT_COMMAND {
            Ok(process)
        } else {
            Err(Error::CommandNotFound {
                session: session.to_owned(),
                command: command.to_owned(),
            })
        };
    }
    let session = toolbox.processes.sessions.get(session)?;
    Ok(Arc::clone(&session.command(command)?.process))
}

pub(super) fn entrypoint(toolbox: &Toolbox) -> Result<Arc<Process>, Error> {
    let found = toolbox.processes.entrypoint.get().cloned();
    found.ok_or_else(|| Error::NotFound(ENTRYPOINT.to_owned()))
}

fn body(session: &Session, client: Client) -> SessionBody {
    let commands = session.commands();
    let body = |command: &Arc<Command>| command_body(&command.process, client);
    SessionBody {
        session_id: session.id.clone(),
        commands: commands.iter().map(body).collect(),
    }
}

fn command_body(process: &Process, client: Client) -> Value {
    let mut body = json!({"id": process.id, "command": process.command});
    if let Some(end) = process.end() {
        body["exitCode"] = end.exit.code().into();
        if end.out_of_memory && !client.is_strict {
            body["oomKilled"] = true.into();
        }
    }
    body
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, code) = match error {
            Error::Start(error) => return error.into(),
            Error::Id(_) | Error::Reserved | Error::Blank | Error::Nul => {
                (StatusCode::BAD_REQUEST, "BAD_REQUEST")
            }
            Error::Exists(_) => (StatusCode::CONFLICT, "CONFLICT"),
            Error::NotFound(_) | Error::CommandNotFound { .. } => {
                (StatusCode::NOT_FOUND, "PROCESS_NOT_FOUND")
            }
            Error::Ended { .. } => (StatusCode::GONE, "SESSION_ENDED"),
            Error::TooManySessions | Error::Busy(_) | Error::TooManyProcesses(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_PROCESSES")
            }
            Error::Shell(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        let (status, code) = match error {
            InputError::Ended => (StatusCode::GONE, "COMMAND_ALREADY_COMPLETED"),
            InputError::Closed => (StatusCode::BAD_REQUEST, "BAD_REQUEST"),
            InputError::Full => (StatusCode::SERVICE_UNAVAILABLE, "INPUT_FULL"),
            InputError::TooLong => (StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE"),
        };
        Self::new(status, code, format!("input: {error}"))
    }
}
