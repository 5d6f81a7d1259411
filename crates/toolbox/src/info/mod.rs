//! What the sandbox says about itself.

pub(crate) mod disk;
pub(crate) mod limits;
pub(crate) mod metrics;

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use crate::environment::{Change, Variables};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

#[derive(Debug, Serialize)]
pub(crate) struct Directory {
    dir: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Version {
    version: &'static str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Message {
    message: &'static str,
}

pub(crate) async fn version() -> Json<Version> {
    Json(Version {
        version: concat!("v", env!("CARGO_PKG_VERSION")),
    })
}

/// Telemetry credentials in the contract; there is no telemetry, and nothing to remember.
pub(crate) async fn init() -> Json<Message> {
    Json(Message { message: "ok" })
}

pub(crate) async fn home_dir(State(toolbox): State<Arc<Toolbox>>) -> Json<Directory> {
    Json(Directory {
        dir: toolbox.user.home.to_string_lossy().into_owned(),
    })
}

pub(crate) async fn work_dir(State(toolbox): State<Arc<Toolbox>>) -> Json<Directory> {
    Json(Directory {
        dir: toolbox.work_dir.to_string_lossy().into_owned(),
    })
}

pub(crate) async fn change_environment(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(change): JsonBody<Change>,
) -> Result<Json<Variables>, Failure> {
    Ok(Json(toolbox.environment.change(change)?))
}
