//! Port 22222 of every sandbox: a terminal for people, in their browser.
//!
//! The page and its files are ours and the same for all; only the socket leads into the sandbox.
//! Must not: judge who may; whoever comes here was admitted, as to any preview.
//! Next: `assets/terminal` for the page, `process::terminal::web` of the toolbox for the shell.

use http::Method;
use sebring_api::boot::TERMINAL_ROUTE;

use crate::carry::To;
use crate::page::{self, CSS, File, HTML, SCRIPT, Way};
use crate::refusal::Refusal;

pub(crate) const PORT: u16 = 22222;
/// Nothing but what is served here, and the socket. xterm.js sets styles of elements; the icon is
/// part of the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
                      img-src data:; connect-src 'self'; frame-ancestors 'self'; base-uri 'none'";
/// The path of the shell's socket.
const SOCKET: &str = "/ws";

pub(crate) fn way(method: &Method, path: &str) -> Result<Way<'static>, Refusal> {
    if path == SOCKET {
        return Ok(Way::Inside(To::Internal, TERMINAL_ROUTE.into()));
    }
    page::way(method, file(path))
}

macro_rules! asset {
    ($name:literal) => {
        include_bytes!(concat!("../assets/terminal/", $name))
    };
}

fn file(path: &str) -> Option<File> {
    let (content, kind): (&'static [u8], _) = match path {
        "" | "/" => (asset!("index.html"), HTML),
        "/terminal.mjs" => (asset!("terminal.mjs"), SCRIPT),
        "/xterm.mjs" => (asset!("xterm.mjs"), SCRIPT),
        "/addon-fit.mjs" => (asset!("addon-fit.mjs"), SCRIPT),
        "/terminal.css" => (asset!("terminal.css"), CSS),
        "/xterm.css" => (asset!("xterm.css"), CSS),
        _ => return None,
    };
    Some(File {
        content,
        kind,
        policy: POLICY,
    })
}
