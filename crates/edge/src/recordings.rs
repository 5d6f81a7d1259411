//! Port 33333 of every sandbox: the recordings of its desktop, for people, in their browser.
//!
//! The page is ours; `/videos/{file}` and `/api/recordings` are answered by the toolbox, which
//! needs no desktop for it. Must not: judge who may; whoever comes here was admitted, as to any
//! preview. Next: `assets/recordings` for the page, `computer::recording::page` of the toolbox.

use std::borrow::Cow;

use http::Method;
use sebring_api::boot::RECORDINGS_ROUTE;

use crate::carry::To;
use crate::page::{self, CSS, File, HTML, SCRIPT, Way};
use crate::refusal::Refusal;
use crate::reply::Reply;

pub(crate) const PORT: u16 = 33333;
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
                      media-src 'self'; connect-src 'self'; frame-ancestors 'self'; \
                      base-uri 'none'; form-action 'none'";
/// What comes from inside is to be played or read, and runs nothing. Browsers show a video by a
/// page of their own, with a style in it.
const POLICY_INSIDE: &str = "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'; \
                             frame-ancestors 'self'; base-uri 'none'";

pub(crate) fn way(method: &Method, path: &str) -> Result<Way<'static>, Refusal> {
    if path == "/api/recordings" {
        return Ok(Way::Inside(To::Internal, RECORDINGS_ROUTE.into()));
    }
    match path.strip_prefix("/videos/") {
        Some(name) => video(method, name),
        None => page::way(method, file(path)),
    }
}

/// The name stays as it was written: the toolbox decodes it and looks for exactly that one.
fn video(method: &Method, name: &str) -> Result<Way<'static>, Refusal> {
    let is_one = !name.is_empty() && !name.contains('/');
    if !is_one || !page::is_read(method) {
        return Err(Refusal::NoSuchRoute);
    }
    let path = Cow::Owned(format!("{RECORDINGS_ROUTE}/{name}"));
    Ok(Way::Inside(To::Internal, path))
}

/// Keeps what came from inside from being more than what it should be.
pub(crate) fn guard(reply: &mut Reply) {
    page::guard(reply, POLICY_INSIDE);
}

macro_rules! asset {
    ($name:literal) => {
        include_bytes!(concat!("../assets/recordings/", $name))
    };
}

fn file(path: &str) -> Option<File> {
    let (content, kind): (&'static [u8], _) = match path {
        "" | "/" => (asset!("index.html"), HTML),
        "/recordings.mjs" => (asset!("recordings.mjs"), SCRIPT),
        "/recordings.css" => (asset!("recordings.css"), CSS),
        _ => return None,
    };
    Some(File {
        content,
        kind,
        policy: POLICY,
    })
}
