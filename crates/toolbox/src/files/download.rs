//! `GET /files/download`: one file, or a range of it.

use std::io::{Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::content::{self, Readable};
use super::{Error, blocking};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::toolbox::Toolbox;

/// From the first to the last byte, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u64,
    pub(super) last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    All,
    Part(Range),
    Impossible,
}

pub(crate) async fn download(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    answer(toolbox.resolve(query.required("path")?), &headers).await
}

/// A file, or the range of it that the headers ask for.
pub(crate) async fn answer(path: PathBuf, headers: &HeaderMap) -> Result<Response, Failure> {
    let opened = path.clone();
    let readable = blocking(move || content::open(&opened)).await?;
    let size = readable.size;
    let asked = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let (status, range) = match asked.map_or(Asked::All, |text| asked_range(text, size)) {
        Asked::All => (StatusCode::OK, None),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        Asked::Impossible => {
            let mut response = StatusCode::RANGE_NOT_SATISFIABLE.into_response();
            set(&mut response, CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    };
    let (skip, length) = range.map_or((0, size), |range| {
        (range.first, range.last - range.first + 1)
    });
    let mut response = (status, send(readable, skip, length)).into_response();
    set(&mut response, CONTENT_TYPE, "application/octet-stream");
    set(&mut response, CONTENT_LENGTH, &length.to_string());
    set(&mut response, ACCEPT_RANGES, "bytes");
    set(&mut response, CONTENT_DISPOSITION, &attachment(&path));
    if let Some(Range { first, last }) = range {
        set(
            &mut response,
            CONTENT_RANGE,
            &format!("bytes {first}-{last}/{size}"),
        );
    }
    Ok(response)
}

fn send(readable: Readable, skip: u64, length: u64) -> Body {
    let Readable {
        mut file, whole, ..
    } = readable;
    if let Some(whole) = whole {
        let start = usize::try_from(skip).unwrap_or(usize::MAX).min(whole.len());
        let length = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .min(whole.len() - start);
        return Body::from(Bytes::from(whole).slice(start..start + length));
    }
    let (feed, body) = content::body();
    tokio::task::spawn_blocking(move || {
        if file.seek(SeekFrom::Start(skip)).is_ok() {
            // A client that leaves early is no event.
            let _gone = feed.send_file(&mut file, length);
        }
    });
    body
}

fn set(response: &mut Response, name: http::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn attachment(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("attachment; {}", file_name_parameters(&name, "UTF-8"))
}

/// Both forms of a file name: a plain one for clients that know no other, in which characters that
/// could confuse them are replaced, and the exact one, which wins where it is understood.
pub(super) fn file_name_parameters(name: &str, charset: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && c != '"' && c != '\\' || c == ' ' {
                c
            } else {
                '_'
            }
        })
        .collect();
    let exact = extended_file_name(name, charset);
    format!("filename=\"{plain}\"; {exact}")
}

/// The exact form, in characters that every parser takes.
pub(super) fn extended_file_name(name: &str, charset: &str) -> String {
    let exact = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("filename*={charset}''{exact}")
}

/// Reads a single range; anything else that is legal may be answered with the whole.
pub(super) fn asked_range(header: &str, size: u64) -> Asked {
    let Some(spec) = header.trim().strip_prefix("bytes=") else {
        return Asked::All;
    };
    let Some((first, last)) = spec.split_once('-') else {
        return Asked::All;
    };
    let (first, last) = (first.trim(), last.trim());
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => Range {
            first,
            last: last.min(size.saturating_sub(1)),
        },
        (Ok(first), Err(_)) if last.is_empty() => Range {
            first,
            last: size.saturating_sub(1),
        },
        (Err(_), Ok(length)) if first.is_empty() => {
            if length == 0 {
                return Asked::Impossible;
            }
            Range {
                first: size.saturating_sub(length),
                last: size.saturating_sub(1),
            }
        }
        _ => return Asked::All,
    };
    if range.first < size {
        Asked::Part(range)
    } else {
        Asked::Impossible
    }
}

impl From<content::Gone> for Error {
    fn from(_: content::Gone) -> Self {
        Self::Other {
            path: std::path::PathBuf::new(),
            source: std::io::ErrorKind::BrokenPipe.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        let part = |first, last| Asked::Part(Range { first, last });
        assert_eq!(asked_range("bytes=0-4", 10), part(0, 4));
        assert_eq!(asked_range("bytes=5-", 10), part(5, 9));
        assert_eq!(asked_range("bytes=-3", 10), part(7, 9));
        assert_eq!(asked_range("bytes=-30", 10), part(0, 9));
        assert_eq!(asked_range("bytes=8-100", 10), part(8, 9));
        assert_eq!(asked_range("bytes=10-", 10), Asked::Impossible);
        assert_eq!(asked_range("bytes=0-", 0), Asked::Impossible);
        assert_eq!(asked_range("bytes=-0", 10), Asked::Impossible);
        assert_eq!(asked_range("bytes=0-1,3-4", 10), Asked::All);
        assert_eq!(asked_range("lines=1-2", 10), Asked::All);
        assert_eq!(asked_range("bytes=4-1", 10), Asked::All);
    }

    #[test]
    fn a_name_is_given_plainly_and_exactly() {
        assert_eq!(
            file_name_parameters("a \"ü\".txt", "UTF-8"),
            "filename=\"a ___.txt\"; filename*=UTF-8''a%20%22%C3%BC%22%2Etxt"
        );
    }
}
