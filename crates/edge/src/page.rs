//! What the pages that the edge itself serves have in common: files of ours, on reserved ports of
//! every sandbox, with a policy that lets nothing in from elsewhere.
//!
//! Must not: judge who may; whoever comes here was admitted, as to any preview.
//! Next: `terminal` and `recordings` for the pages.

use std::borrow::Cow;

use axum::body::Body as ApiBody;
use http::{HeaderValue, Method, Response, header};

use crate::carry::To;
use crate::refusal::Refusal;
use crate::reply::{Reply, ReplyBody};

/// Where a request to a port of a sandbox ends.
#[derive(Debug)]
pub(crate) enum Way<'r> {
    Inside(To, Cow<'r, str>),
    File(File),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    pub(crate) content: &'static [u8],
    pub(crate) kind: &'static str,
    pub(crate) policy: &'static str,
}

pub(crate) const HTML: &str = "text/html; charset=utf-8";
pub(crate) const CSS: &str = "text/css; charset=utf-8";
pub(crate) const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The way to a file, if there is one, for those who ask to read it.
pub(crate) fn way(method: &Method, file: Option<File>) -> Result<Way<'static>, Refusal> {
    file.filter(|_| is_read(method))
        .map(Way::File)
        .ok_or(Refusal::NoSuchRoute)
}

pub(crate) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

pub(crate) fn reply(file: File) -> Reply {
    let mut reply = Response::new(ReplyBody::Other(ApiBody::from(file.content)));
    guard(&mut reply, file.policy);
    let headers = reply.headers_mut();
    let kind = HeaderValue::from_static(file.kind);
    headers.insert(header::CONTENT_TYPE, kind);
    // It changes with the server, whose address does not.
    let fresh = HeaderValue::from_static("no-cache");
    headers.insert(header::CACHE_CONTROL, fresh);
    reply
}

/// Holds a browser to what the reply says it is, and to `policy`.
pub(crate) fn guard(reply: &mut Reply, policy: &'static str) {
    let headers = reply.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The address may hold a token.
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
