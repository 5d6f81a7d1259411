//! `{port}-{sandbox}.{domain}`: whatever listens on a port inside a sandbox.
//!
//! Must not: change what the program sends, except for a cookie of ours and sharing headers.
//! Next: `access` for who may, `carry` for how.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Request, header};
use hyper::body::Incoming;
use sebring_api::boot::TERMINAL_ROUTE;

use crate::access;
use crate::carry::{Errand, To, path_and_query};
use crate::headers::{self, AUTH_KEY_PARAMETER};
use crate::query;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::service::Inner;
use crate::terminal;

/// The toolbox listens on its unix socket only; its well-known port leads there.
const TOOLBOX_PORT: u16 = 2280;

pub(crate) async fn serve(
    inner: &Arc<Inner>,
    request: Request<Incoming>,
    (port, label): (u16, &str),
    peer: IpAddr,
) -> Result<Reply, Refusal> {
    let (mut parts, body) = request.into_parts();
    let directory = inner.directory.as_ref();
    let admitted = access::preview(directory, &parts, port, label, inner.jar()).await?;

    let query = parts
        .uri
        .query()
        .and_then(|query| query::without(query, AUTH_KEY_PARAMETER));
    let (to, path) = match port {
        TOOLBOX_PORT => (To::Toolbox, parts.uri.path()),
        terminal::PORT if parts.uri.path() == terminal::SOCKET => (To::Terminal, TERMINAL_ROUTE),
        terminal::PORT => {
            let file = terminal::file(&parts.method, parts.uri.path())?;
            return Ok(with_cookie(file, admitted.set_cookie));
        }
        port => (To::Port(port), parts.uri.path()),
    };
    let path_and_query = path_and_query(path, query.as_deref())?;
    if admitted.bearer_is_ours {
        parts.headers.remove(header::AUTHORIZATION);
    }
    headers::set_forwarded(&mut parts.headers, peer, inner.scheme());
    let errand = Errand {
        parts,
        body,
        path_and_query,
        to,
    };
    let reply = inner.carry(&admitted.route, errand).await?;
    Ok(with_cookie(reply, admitted.set_cookie))
}

fn with_cookie(mut reply: Reply, cookie: Option<HeaderValue>) -> Reply {
    if let Some(cookie) = cookie {
        reply.headers_mut().append(header::SET_COOKIE, cookie);
    }
    reply
}
