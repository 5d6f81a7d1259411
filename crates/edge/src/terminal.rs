//! Port 22222 of every sandbox: a terminal for people, in their browser.
//!
//! The page and its files are ours and the same for all; only the socket leads into the sandbox.
//! Must not: judge who may; whoever comes here was admitted, as to any preview.
//! Next: `assets/terminal` for the page, `process::terminal::web` of the toolbox for the shell.

use axum::body::Body as ApiBody;
use http::{HeaderValue, Method, Response, header};

use crate::refusal::Refusal;
use crate::reply::{Reply, ReplyBody};

pub(crate) const PORT: u16 = 22222;
/// Nothing but what is served here, and the socket.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      connect-src 'self'; frame-ancestors 'self'; base-uri 'none'";

macro_rules! asset {
    ($name:literal) => {
        include_bytes!(concat!("../assets/terminal/", $name))
    };
}

/// The path of the shell's socket.
pub(crate) const SOCKET: &str = "/ws";

/// One of the page's files.
pub(crate) fn file(method: &Method, path: &str) -> Result<Reply, Refusal> {
    let (content, kind): (&'static [u8], _) = match path {
        "" | "/" => (asset!("index.html"), "text/html; charset=utf-8"),
        "/terminal.mjs" => (asset!("terminal.mjs"), "text/javascript; charset=utf-8"),
        "/xterm.mjs" => (asset!("xterm.mjs"), "text/javascript; charset=utf-8"),
        "/addon-fit.mjs" => (asset!("addon-fit.mjs"), "text/javascript; charset=utf-8"),
        "/terminal.css" => (asset!("terminal.css"), "text/css; charset=utf-8"),
        "/xterm.css" => (asset!("xterm.css"), "text/css; charset=utf-8"),
        _ => return Err(Refusal::NoSuchRoute),
    };
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::NoSuchRoute);
    }
    Ok(reply(content, kind))
}

fn reply(content: &'static [u8], kind: &'static str) -> Reply {
    let mut reply = Response::new(ReplyBody::Other(ApiBody::from(content)));
    let headers = reply.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // It changes with the server, whose address does not.
        (header::CACHE_CONTROL, "no-cache"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}
