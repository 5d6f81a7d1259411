//! `POST /files/bulk-download`: many files as the parts of one form, in the order asked for.
//!
//! A file that cannot be had becomes a part named `error` that says why; the others follow.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::content::{self, Feed, Gone};
use super::download::file_name_parameters;
use super::random_hex;
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

const PATHS_MAX: usize = 100_000;
const ROUTE: &str = "/files/bulk-download";

#[derive(Debug, Deserialize)]
pub(crate) struct BulkDownloadRequest {
    paths: Option<Vec<String>>,
}

pub(crate) async fn bulk_download(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<BulkDownloadRequest>,
) -> Result<Response, Failure> {
    let paths = request.paths.unwrap_or_default();
    if paths.is_empty() || paths.len() > PATHS_MAX {
        return Err(Failure::bad_request(format!(
            "paths: {} given, accepted are 1 to {PATHS_MAX}",
            paths.len()
        )));
    }
    let boundary = format!("sebring-{}", random_hex());
    let kind = format!("multipart/form-data; boundary={boundary}");
    let (feed, body) = content::body();
    tokio::task::spawn_blocking(move || {
        // A client that leaves early is no event.
        let _gone = send_all(&toolbox, &feed, &boundary, &paths);
    });
    Ok(([(CONTENT_TYPE, kind)], body).into_response())
}

fn send_all(toolbox: &Toolbox, feed: &Feed, boundary: &str, paths: &[String]) -> Result<(), Gone> {
    for path in paths {
        send_part(toolbox, feed, boundary, path)?;
    }
    feed.send(Bytes::from(format!("--{boundary}--\r\n")))
}

fn send_part(toolbox: &Toolbox, feed: &Feed, boundary: &str, path: &str) -> Result<(), Gone> {
    let head = |name: &str, kind: &str, length: u64| {
        let file_name = file_name_parameters(path, "utf-8");
        Bytes::from(format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; {file_name}\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
        ))
    };
    match content::open(&toolbox.resolve(path)) {
        Ok(mut readable) => {
            feed.send(head("file", "application/octet-stream", readable.size))?;
            match readable.whole {
                Some(whole) if whole.is_empty() => {}
                Some(whole) => feed.send(Bytes::from(whole))?,
                None => feed.send_file(&mut readable.file, readable.size)?,
            }
        }
        Err(error) => {
            let body = Failure::from(error).body("POST", ROUTE).to_string();
            feed.send(head("error", "application/json", body.len() as u64))?;
            feed.send(Bytes::from(body))?;
        }
    }
    feed.send(Bytes::from_static(b"\r\n"))
}
