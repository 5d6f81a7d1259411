//! `{port}-{sandbox}.{domain}`: whatever listens on a port inside a sandbox.
//!
//! Must not: change what the program sends, except for a cookie of ours and sharing headers.
//! Next: `access` for who may, `carry` for how, `page` for the ports that are pages of ours.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderValue, Request, header};
use hyper::body::Incoming;

use crate::access;
use crate::carry::{Errand, To, path_and_query};
use crate::headers::{self, AUTH_KEY_PARAMETER};
use crate::page::{self, Way};
use crate::query;
use crate::recordings;
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
    let (to, path) = match way(port, &parts)? {
        Way::Inside(to, path) => (to, path),
        Way::File(file) => return Ok(with_cookie(page::reply(file), admitted.set_cookie)),
    };
    let path_and_query = path_and_query(&path, query.as_deref())?;
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
    let mut reply = inner.carry(&admitted.route, errand).await?;
    if port == recordings::PORT {
        recordings::guard(&mut reply);
    }
    Ok(with_cookie(reply, admitted.set_cookie))
}

fn way(port: u16, parts: &Parts) -> Result<Way<'_>, Refusal> {
    let (method, path) = (&parts.method, parts.uri.path());
    match port {
        TOOLBOX_PORT => Ok(Way::Inside(To::Toolbox, path.into())),
        terminal::PORT => terminal::way(method, path),
        recordings::PORT => recordings::way(method, path),
        port => Ok(Way::Inside(To::Port(port), path.into())),
    }
}

fn with_cookie(mut reply: Reply, cookie: Option<HeaderValue>) -> Reply {
    if let Some(cookie) = cookie {
        reply.headers_mut().append(header::SET_COOKIE, cookie);
    }
    reply
}
