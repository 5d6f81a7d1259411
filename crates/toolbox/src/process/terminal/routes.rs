//! `/process/pty`: terminals, all but what is said on their WebSockets.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Error, NewTerminal, Size, Terminal};
use crate::clock;
use crate::environment::Variables;
use crate::http::body::JsonBody;
use crate::http::client::is_go_sdk;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

type Shared = State<Arc<Toolbox>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CreateRequest {
    id: String,
    cwd: Option<String>,
    envs: Option<Variables>,
    cols: Option<u64>,
    rows: Option<u64>,
    lazy_start: Option<bool>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ResizeRequest {
    cols: u64,
    rows: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TerminalBody {
    id: String,
    cwd: String,
    envs: Variables,
    cols: u16,
    rows: u16,
    created_at: String,
    active: bool,
    lazy_start: bool,
}

pub(crate) async fn create(
    State(toolbox): Shared,
    JsonBody(request): JsonBody<CreateRequest>,
) -> Result<Response, Failure> {
    let new = NewTerminal {
        id: request.id,
        cwd: request.cwd,
        envs: request.envs.unwrap_or_default(),
        size: Size::new(request.cols, request.rows)?,
        lazy_start: request.lazy_start.unwrap_or(false),
    };
    let terminal = toolbox.processes.terminals.create(&toolbox, new).await?;
    let body = json!({"sessionId": terminal.id});
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

pub(crate) async fn list(State(toolbox): Shared) -> Json<Value> {
    let all = toolbox.processes.terminals.list();
    let all: Vec<TerminalBody> = all.iter().map(|terminal| body(terminal)).collect();
    Json(json!({"sessions": all}))
}

pub(crate) async fn get(
    State(toolbox): Shared,
    Path(id): Path<String>,
) -> Result<Json<TerminalBody>, Failure> {
    Ok(Json(body(&*toolbox.processes.terminals.get(&id)?)))
}

pub(crate) async fn delete(
    State(toolbox): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    toolbox.processes.terminals.delete(&id).await?;
    // Go clients take an object of objects here, and fail on a text.
    Ok(Json(if is_go_sdk(&headers) {
        json!({})
    } else {
        json!({"message": "terminal deleted"})
    }))
}

pub(crate) async fn resize(
    State(toolbox): Shared,
    Path(id): Path<String>,
    JsonBody(request): JsonBody<ResizeRequest>,
) -> Result<Json<TerminalBody>, Failure> {
    let size = Size::new(Some(request.cols), Some(request.rows))?;
    let terminal = toolbox.processes.terminals.get(&id)?;
    terminal.resize(size)?;
    Ok(Json(body(&terminal)))
}

fn body(terminal: &Terminal) -> TerminalBody {
    let size = terminal.size();
    TerminalBody {
        id: terminal.id.clone(),
        cwd: terminal.cwd.to_string_lossy().into_owned(),
        envs: terminal.envs.clone(),
        cols: size.cols,
        rows: size.rows,
        created_at: clock::rfc3339(terminal.created),
        active: terminal.is_active(),
        lazy_start: terminal.lazy_start,
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, code) = match error {
            Error::Start(error) => return error.into(),
            Error::Id(_) | Error::Size { .. } | Error::Environment(_) => {
                (StatusCode::BAD_REQUEST, "BAD_REQUEST")
            }
            Error::Exists(_) => (StatusCode::CONFLICT, "CONFLICT"),
            Error::NotFound(_) => (StatusCode::NOT_FOUND, "PROCESS_NOT_FOUND"),
            Error::TooMany | Error::TooManyProcesses(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_PROCESSES")
            }
            Error::Shell(_) | Error::Device(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_SERVER_ERROR")
            }
        };
        Self::new(status, code, error.to_string())
    }
}
