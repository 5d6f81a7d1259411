//! `/process/interpreter/context`: making, listing and deleting contexts.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::routing::{delete, get};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::{DEFAULT_ID, Error, socket};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::process;
use crate::process::execute::directory;
use crate::toolbox::Toolbox;

/// The one language that is spoken.
const LANGUAGE: &str = "python";

pub(crate) fn router() -> Router<Arc<Toolbox>> {
    Router::new()
        .route("/process/interpreter/context", get(list).post(create))
        .route("/process/interpreter/context/{id}", delete(remove))
        .route("/process/interpreter/execute", get(socket::execute))
}

#[derive(Debug, Deserialize)]
struct CreateRequest {
    cwd: Option<String>,
    language: Option<String>,
}

/// A context as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: String,
    cwd: String,
    created_at: String,
    active: bool,
    language: &'static str,
}

#[derive(Debug, Serialize)]
struct List {
    contexts: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Deleted {
    message: String,
}

async fn create(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<CreateRequest>,
) -> Result<Json<Shown>, Failure> {
    let language = request.language.unwrap_or_default();
    if !language.is_empty() && !language.eq_ignore_ascii_case(LANGUAGE) {
        return Err(Failure::bad_request(format!(
            "language {language:?}: contexts speak {LANGUAGE} only; \
             /process/code-run also takes javascript and typescript"
        )));
    }
    let asked = request.cwd.unwrap_or_default();
    if asked.contains('\0') {
        return Err(Failure::bad_request("cwd: must not contain NUL bytes"));
    }
    let cwd = directory(&toolbox, Some(&asked));
    let context = toolbox.interpreter.create(&toolbox, &cwd)?;
    Ok(Json(Shown::from(&*context)))
}

async fn list(State(toolbox): State<Arc<Toolbox>>) -> Json<List> {
    let contexts = toolbox.interpreter.list();
    Json(List {
        contexts: contexts
            .iter()
            .map(|context| Shown::from(&**context))
            .collect(),
    })
}

async fn remove(
    State(toolbox): State<Arc<Toolbox>>,
    Path(id): Path<String>,
) -> Result<Json<Deleted>, Failure> {
    if id == DEFAULT_ID {
        return Err(Failure::bad_request(
            "context \"default\": is always there and cannot be deleted",
        ));
    }
    if !toolbox.interpreter.delete(&id) {
        return Err(Failure::not_found(format!(
            "context {id:?}: no such context"
        )));
    }
    Ok(Json(Deleted {
        message: format!("context {id} deleted"),
    }))
}

impl From<&Context> for Shown {
    fn from(context: &Context) -> Self {
        Self {
            id: context.id.clone(),
            cwd: context.cwd.to_string_lossy().into_owned(),
            created_at: context.created_at.clone(),
            active: context.is_active(),
            language: LANGUAGE,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::TooMany => too_many(error.to_string()),
            Error::Start(process::Error::Stopping) => Self::stopping(),
            // A directory that is not there, or an image without Python.
            Error::Start(
                error @ (process::Error::Directory { .. } | process::Error::Execute { .. }),
            ) => Self::bad_request(error.to_text()),
            Error::Start(error @ (process::Error::Exhausted | process::Error::TooMany(_))) => {
                too_many(error.to_text())
            }
            Error::Start(error @ process::Error::Start(_)) => Self::internal(error.to_text()),
        }
    }
}

fn too_many(message: String) -> Failure {
    Failure::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "TOO_MANY_PROCESSES",
        message,
    )
}
