//! `{port}-{sandbox}.{domain}`: whatever listens on a port inside a sandbox.
//!
//! Must not: change what the program sends, except for a cookie of ours and sharing headers.
//! Next: `access` for who may, `carry` for how.

use std::net::IpAddr;
use std::sync::Arc;

use http::{Request, header};
use hyper::body::Incoming;

use crate::access;
use crate::carry::{Errand, path_and_query};
use crate::headers::{self, AUTH_KEY_PARAMETER};
use crate::query;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::service::Inner;

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
    let path_and_query = path_and_query(parts.uri.path(), query.as_deref())?;
    if admitted.bearer_is_ours {
        parts.headers.remove(header::AUTHORIZATION);
    }
    headers::set_forwarded(&mut parts.headers, peer, inner.scheme());
    let errand = Errand {
        parts,
        body,
        path_and_query,
        port: Some(port).filter(|&port| port != TOOLBOX_PORT),
    };
    let mut reply = inner.carry(&admitted.route, errand).await?;
    if let Some(cookie) = admitted.set_cookie {
        reply.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(reply)
}
