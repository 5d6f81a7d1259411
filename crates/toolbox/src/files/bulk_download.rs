//! `POST /files/bulk-download`: many files as the parts of one form, in the order asked for.
//!
//! A file that cannot be had becomes a part named `error` that says why; the others follow.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;

use super::content::{self, Feed, Gone};
use super::download::{extended_file_name, file_name_parameters};
use super::random_hex;
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

const PATHS_MAX: usize = 100_000;
const ROUTE: &str = "/files/bulk-download";
/// By this header the published SDKs say what they are.
const SOURCE_HEADER: &str = "x-daytona-source";
/// How Python SDKs of 2026 call themselves; earlier ones were `python-sdk`.
const PYTHON_OF_2026: &str = "sdk-python";

/// How the plain `filename` of a part is written; the exact `filename*` follows it always.
///
/// Clients match parts to what they asked for by name. Some read the plain parameter only: Python
/// SDKs of 2025, and browsers, whose own parser is the TypeScript SDK's there. Those of 2026 use a
/// parser that fails on any character beyond Latin-1 in it, and take the other for the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PlainName {
    /// UTF-8, escaped as HTML forms are.
    Exact,
    /// ASCII, with a stand-in for every other character.
    StandIn,
}

impl PlainName {
    fn of_client(headers: &HeaderMap) -> Self {
        match headers.get(SOURCE_HEADER) {
            Some(source) if source == PYTHON_OF_2026 => Self::StandIn,
            _ => Self::Exact,
        }
    }

    fn parameters(self, path: &str) -> String {
        match self {
            Self::StandIn => file_name_parameters(path, "utf-8"),
            Self::Exact => {
                let escaped = path
                    .replace('\r', "%0D")
                    .replace('\n', "%0A")
                    .replace('"', "%22");
                let exact = extended_file_name(path, "utf-8");
                format!("filename=\"{escaped}\"; {exact}")
            }
        }
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct BulkDownloadRequest {
    paths: Option<Vec<String>>,
}

pub(crate) async fn bulk_download(
    State(toolbox): State<Arc<Toolbox>>,
    headers: HeaderMap,
    JsonBody(request): JsonBody<BulkDownloadRequest>,
) -> Result<Response, Failure> {
    let paths = request.paths.unwrap_or_default();
    if paths.is_empty() || paths.len() > PATHS_MAX {
        return Err(Failure::bad_request(format!(
            "paths: {} given, accepted are 1 to {PATHS_MAX}",
            paths.len()
        )));
    }
    let names = PlainName::of_client(&headers);
    let boundary = format!("sebring-{}", random_hex());
    let kind = format!("multipart/form-data; boundary={boundary}");
    let (feed, body) = content::body();
    tokio::task::spawn_blocking(move || {
        // A client that leaves early is no event.
        let _gone = send_all(&toolbox, &feed, &boundary, names, &paths);
    });
    Ok(([(CONTENT_TYPE, kind)], body).into_response())
}

fn send_all(
    toolbox: &Toolbox,
    feed: &Feed,
    boundary: &str,
    names: PlainName,
    paths: &[String],
) -> Result<(), Gone> {
    for path in paths {
        send_part(toolbox, feed, boundary, names, path)?;
    }
    feed.send(Bytes::from(format!("--{boundary}--\r\n")))
}

fn send_part(
    toolbox: &Toolbox,
    feed: &Feed,
    boundary: &str,
    names: PlainName,
    path: &str,
) -> Result<(), Gone> {
    let head = |name: &str, kind: &str, length: u64| {
        let file_name = names.parameters(path);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parser_that_fails_on_it_is_spared_the_exact_name() {
        let named = |source: &'static str| {
            let headers = HeaderMap::from_iter([(
                http::HeaderName::from_static(SOURCE_HEADER),
                http::HeaderValue::from_static(source),
            )]);
            PlainName::of_client(&headers)
        };
        assert_eq!(named("sdk-python"), PlainName::StandIn);
        assert_eq!(named("python-sdk"), PlainName::Exact);
        assert_eq!(named("sdk-typescript"), PlainName::Exact);
        assert_eq!(PlainName::of_client(&HeaderMap::new()), PlainName::Exact);
    }

    #[test]
    fn a_plain_name_is_exact_but_for_what_would_end_it() {
        let exact = "filename*=utf-8''%F0%9F%90%A2%0A%22b%22";
        assert_eq!(
            PlainName::Exact.parameters("🐢\n\"b\""),
            format!("filename=\"🐢%0A%22b%22\"; {exact}")
        );
        assert_eq!(
            PlainName::StandIn.parameters("🐢\n\"b\""),
            format!("filename=\"___b_\"; {exact}")
        );
    }
}
