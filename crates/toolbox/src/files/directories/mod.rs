//! Whole directories in one request, as tar: packed while they are sent, unpacked as they arrive.
//!
//! Must not: hold an archive, or trust a name in one. What is unpacked stays below the directory
//! it was meant for, which the kernel sees to, not a look at its text.
//! Next: `pack`, `unpack`; `beneath` for the kernel's part, `headers` for what entries say.

mod beneath;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod headers;
mod pack;
mod pipe;
mod unpack;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;

use super::content;
use super::{Error, blocking};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

const KIND: &str = "application/x-tar";

/// Why an archive was not unpacked to its end.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("request body: {0}")]
    Body(#[source] io::Error),
    #[error("request body: entry {entry:?}: {reason}")]
    Entry { entry: String, reason: String },
    #[error("request body: more than {limit} directories: send it in parts")]
    TooManyDirectories { limit: usize },
    #[error(transparent)]
    File(#[from] Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::File(error) => error.into(),
            Refusal::Body(_) | Refusal::Entry { .. } | Refusal::TooManyDirectories { .. } => {
                Self::bad_request(refusal.to_string())
            }
        }
    }
}

/// `GET /sebring/files/tar`: everything below a directory.
pub(crate) async fn download(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Response, Failure> {
    let path = toolbox.resolve(query.required("path")?);
    let root = blocking(move || pack::open(path)).await?;
    let (feed, body) = content::body();
    tokio::task::spawn_blocking(move || pack::send(&root, feed));
    Ok(([(CONTENT_TYPE, KIND)], body).into_response())
}

/// `PUT /sebring/files/tar`: the body's entries, into a directory that is made if need be.
pub(crate) async fn upload(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    request: Request,
) -> Result<Json<unpack::Unpacked>, Failure> {
    let path: PathBuf = toolbox.resolve(query.required("path")?);
    let (pump, reader) = pipe::pipe();
    let unpacked = tokio::task::spawn_blocking(move || unpack::unpack(&path, reader));
    let mut body = request.into_body().into_data_stream();
    while let Some(piece) = body.next().await {
        // After a failure the rest is read into nothing, so that the client hears the answer.
        pump.send(piece.map_err(io::Error::other)).await;
    }
    pump.end().await;
    match unpacked.await {
        Ok(unpacked) => Ok(Json(unpacked?)),
        Err(_) => Err(Failure::internal("the archive was not unpacked to its end")),
    }
}
