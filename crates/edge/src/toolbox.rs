//! `/toolbox/{sandbox}/…`: the toolbox API of one sandbox.
//!
//! Must not: know any route of the toolbox except the two that can be signed.
//! Next: `access` for who may, `carry` for how.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Request, header};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;

use crate::access;
use crate::carry::{Errand, To, path_and_query};
use crate::headers::AUTH_KEY_PARAMETER;
use crate::query;
use crate::refusal::Refusal;
use crate::reply::Reply;
use crate::service::Inner;

/// Where a toolbox request points; see [`crate::route::Destination::Toolbox`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address<'r> {
    pub(crate) sandbox: &'r str,
    pub(crate) prefix: &'r str,
    pub(crate) path: &'r str,
}

pub(crate) async fn serve(
    inner: &Arc<Inner>,
    request: Request<Incoming>,
    address: Address<'_>,
) -> Result<Reply, Refusal> {
    let (mut parts, body) = request.into_parts();
    let reference = percent_decode_str(address.sandbox)
        .decode_utf8()
        .map_err(|_| Refusal::Malformed {
            what: "sandbox name",
        })?;
    let directory = inner.directory.as_ref();
    let route = access::toolbox(directory, &parts, &reference, address.path, inner.jar()).await?;

    let query = parts
        .uri
        .query()
        .and_then(|query| query::without(query, AUTH_KEY_PARAMETER));
    let path_and_query = path_and_query(address.path, query.as_deref())?;
    // The toolbox trusts its socket; nobody's key has any use there.
    parts.headers.remove(header::AUTHORIZATION);
    let host = parts.headers.get(header::HOST).cloned();
    let errand = Errand {
        parts,
        body,
        path_and_query,
        to: To::Toolbox,
    };
    let mut reply = inner.carry(&route, errand).await?;
    put_location_back(reply.headers_mut(), address.prefix, host.as_ref());
    Ok(reply)
}

/// A redirect within the toolbox must stay under the path that the client came by.
fn put_location_back(answer: &mut HeaderMap, prefix: &str, host: Option<&HeaderValue>) {
    let Some(location) = answer.get(header::LOCATION).and_then(|l| l.to_str().ok()) else {
        return;
    };
    let path = match location.split_once("://") {
        None => Some(location).filter(|path| path.starts_with('/') && !path.starts_with("//")),
        Some((_, rest)) => host
            .and_then(|host| host.to_str().ok())
            .and_then(|host| rest.strip_prefix(host))
            .filter(|path| path.starts_with('/')),
    };
    let back = path.and_then(|path| HeaderValue::try_from(format!("{prefix}{path}")).ok());
    if let Some(back) = back {
        answer.insert(header::LOCATION, back);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn location(from_toolbox: &str, expected: &str) {
        let mut answer = HeaderMap::new();
        answer.insert(header::LOCATION, from_toolbox.parse().unwrap());
        let host = HeaderValue::from_static("h:1");
        put_location_back(&mut answer, "/toolbox/id", Some(&host));
        assert_eq!(answer[header::LOCATION], expected);
    }

    #[test]
    fn redirects_stay_under_the_clients_path() {
        location("/files?a=%2F", "/toolbox/id/files?a=%2F");
        location("http://h:1/files", "/toolbox/id/files");
    }

    #[test]
    fn redirects_elsewhere_are_left_alone() {
        location("http://other/files", "http://other/files");
        location("http://h:12/files", "http://h:12/files");
        location("//other/files", "//other/files");
        location("relative", "relative");
    }
}
