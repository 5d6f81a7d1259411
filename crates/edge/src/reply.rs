//! What leaves the edge: bodies of every origin under one type, and refusals as JSON or a page.
//!
//! Must not: choose statuses; see `refusal`.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body as ApiBody;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use http_body::{Body, Frame, SizeHint};
use sebring_api::error::{ErrorBody, Source};
use sebring_core::clock::Timestamp;
use tracing::warn;

use crate::activity::OpenRequest;
use crate::headers;
use crate::refusal::Refusal;
use crate::upstream::UpstreamBody;

pub(crate) type Reply = Response<ReplyBody>;

#[derive(Debug)]
pub(crate) enum ReplyBody {
    /// Straight from a sandbox; the request counts as open until this is dropped.
    Sandbox {
        body: UpstreamBody,
        _open: Option<OpenRequest>,
    },
    /// From the control plane, from events, or made here.
    Other(ApiBody),
}

impl ReplyBody {
    pub(crate) fn empty() -> Self {
        Self::Other(ApiBody::empty())
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *self {
            Self::Sandbox { body, .. } => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Self::Other(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Sandbox { body, .. } => body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Sandbox { body, .. } => body.size_hint(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

/// The parts of a request that a refusal repeats, kept while the request itself travels.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    /// A browser navigating, so a person reads the answer.
    pub(crate) wants_page: bool,
}

impl Asked {
    pub(crate) fn by(method: &Method, path: &str, request: &HeaderMap) -> Self {
        Self {
            method: method.clone(),
            path: path.to_owned(),
            wants_page: headers::wants_page(request),
        }
    }
}

pub(crate) fn refuse(refusal: &Refusal, asked: &Asked, now: Timestamp) -> Reply {
    if let Refusal::Unavailable(unavailable) = refusal {
        warn!(error = %unavailable, "request refused");
    }
    let (body, content_type) = if asked.wants_page {
        (page(refusal), "text/html; charset=utf-8")
    } else {
        (json(refusal, asked, now), "application/json; charset=utf-8")
    };
    let mut reply = Response::new(ReplyBody::Other(body.into()));
    *reply.status_mut() = refusal.status();
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if refusal.is_passing() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    reply
}

fn json(refusal: &Refusal, asked: &Asked, now: Timestamp) -> String {
    let status = refusal.status();
    let body = ErrorBody {
        status_code: status.as_u16(),
        error: status.canonical_reason().unwrap_or_default().to_owned(),
        message: refusal.to_string(),
        code: refusal.code().to_owned(),
        source: Source::Edge,
        timestamp: now.to_string(),
        path: asked.path.clone(),
        method: asked.method.to_string(),
    };
    serde_json::to_string(&body).expect("strings and a number always serialize")
}

fn page(refusal: &Refusal) -> String {
    let status = refusal.status();
    let title = format!(
        "{} {}",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default()
    );
    let message = escaped(&sentence(&refusal.to_string()));
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8>\
         <meta name=viewport content=width=device-width><title>{title}</title>\
         <link rel=icon href=data:,>\
         <style>:root{{color-scheme:light dark}}\
         body{{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:15vh auto;padding:0 1em;\
         overflow-wrap:anywhere}}</style>\
         <h1>{title}</h1><p>{message}</p>\n"
    )
}

/// A message as people write: errors begin small and end without a stop.
fn sentence(message: &str) -> String {
    let mut rest = message.chars();
    let first = rest.next().into_iter().flat_map(char::to_uppercase);
    let mut text: String = first.chain(rest).collect();
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
