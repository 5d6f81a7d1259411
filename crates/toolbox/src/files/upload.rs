//! `POST /files/upload` and `/files/upload-v2`: one file, as a form field or as the raw body.

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt as _;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use super::form::Form;
use super::sink::Sink;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// Directories made on the way: as private as the old route made them.
const OLD_DIRECTORY_MODE: u32 = 0o750;
const DIRECTORY_MODE: u32 = 0o755;

#[derive(Debug, Serialize)]
pub(crate) struct Uploaded {
    name: String,
    path: String,
    r#type: &'static str,
}

/// The old route: multipart only, nothing in the answer.
pub(crate) async fn upload(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    request: Request,
) -> Result<Response, Failure> {
    let path = toolbox.resolve(query.required("path")?);
    receive_form(&path, OLD_DIRECTORY_MODE, request).await?;
    Ok(().into_response())
}

pub(crate) async fn upload_v2(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    request: Request,
) -> Result<Json<Uploaded>, Failure> {
    let asked = query.required("path")?;
    let path = toolbox.resolve(asked);
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    if kind.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data")) {
        receive_form(&path, DIRECTORY_MODE, request).await?;
    } else {
        receive_raw(&path, request).await?;
    }
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Json(Uploaded {
        name,
        path: path.to_string_lossy().into_owned(),
        r#type: "file",
    }))
}

async fn receive_raw(path: &Path, request: Request) -> Result<(), Failure> {
    let mut sink = Sink::open(path.to_owned(), DIRECTORY_MODE);
    let mut body = request.into_body().into_data_stream();
    let mut wanted = true;
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| broken(&error))?;
        // After a failure the rest is read into nothing, so that the client hears the answer.
        wanted = wanted && sink.write(piece).await;
    }
    sink.finish().await?;
    Ok(())
}

async fn receive_form(path: &Path, directory_mode: u32, request: Request) -> Result<(), Failure> {
    let mut form = Form::open(request).await?;
    let mut outcome = Err(Failure::bad_request("form field file: is required"));
    while let Some(mut field) = form.next_field().await? {
        if field.name() != Some("file") {
            field.skip().await?;
            continue;
        }
        let mut sink = Sink::open(path.to_owned(), directory_mode);
        let mut wanted = true;
        while let Some(piece) = field.chunk().await? {
            wanted = wanted && sink.write(piece).await;
        }
        outcome = sink.finish().await.map(drop).map_err(Failure::from);
    }
    outcome
}

pub(super) fn broken(error: &dyn std::error::Error) -> Failure {
    Failure::bad_request(format!("request body: {}", sebring_tasks::chain(error)))
}
