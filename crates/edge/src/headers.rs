//! Which headers cross the edge, in both directions.
//!
//! Must not: rename, reorder or rewrite what belongs to the two ends.

use std::net::IpAddr;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::{cookie, query};

pub(crate) const PREVIEW_TOKEN: HeaderName = HeaderName::from_static("x-daytona-preview-token");
pub(crate) const SKIP_ACTIVITY: HeaderName =
    HeaderName::from_static("x-daytona-skip-last-activity-update");
pub(crate) const DISABLE_CORS: HeaderName = HeaderName::from_static("x-daytona-disable-cors");
pub(crate) const AUTH_KEY_PARAMETER: &str = "DAYTONA_SANDBOX_AUTH_KEY";

const SKIP_WARNING: HeaderName = HeaderName::from_static("x-daytona-skip-preview-warning");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Headers about one hop only (RFC 9110 §7.6.1). `Expect` is among them: the edge answers it.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::EXPECT,
];

/// The protocol a request wants to switch to, when it says so on both headers.
pub(crate) fn wanted_upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let is_asked = connection_options(headers).any(|name| name.eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| is_asked).cloned()
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
}

/// Takes out what concerns one hop only. An upgrade's two headers are put back by the caller.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = connection_options(headers)
            .filter_map(|name| name.parse().ok())
            .collect();
        for name in named {
            // A client must not have us drop what decides about framing or host.
            if name != header::HOST && name != header::CONTENT_LENGTH {
                headers.remove(name);
            }
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(header::UPGRADE);
}

/// Says again that the connection shall switch to `protocol`.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol);
}

/// Takes out what is meant for the edge and would be a secret inside a sandbox, except
/// `Authorization`, whose owner only the caller knows.
pub(crate) fn strip_ours(headers: &mut HeaderMap) {
    for name in [PREVIEW_TOKEN, SKIP_ACTIVITY, DISABLE_CORS, SKIP_WARNING] {
        headers.remove(name);
    }
    cookie::strip(headers);
    cut_referer(headers);
}

/// A browser tells a page's address, token and all, with everything that the page loads.
fn cut_referer(headers: &mut HeaderMap) {
    let referer = headers.get(header::REFERER).and_then(|v| v.to_str().ok());
    let Some((page, asked)) = referer.and_then(|text| text.split_once('?')) else {
        return;
    };
    let cut = match query::without(asked, AUTH_KEY_PARAMETER) {
        Some(kept) => HeaderValue::try_from(format!("{page}?{kept}")),
        None => HeaderValue::try_from(page),
    };
    if let Ok(cut) = cut {
        headers.insert(header::REFERER, cut);
    }
}

/// Tells a program behind a preview how it was called. A proxy in front of us is believed about
/// the scheme and has its list of addresses extended.
pub(crate) fn set_forwarded(headers: &mut HeaderMap, peer: IpAddr, scheme: &'static str) {
    let chain = match headers.get(FORWARDED_FOR).and_then(|v| v.to_str().ok()) {
        Some(earlier) => format!("{earlier}, {peer}"),
        None => peer.to_string(),
    };
    if let Ok(chain) = HeaderValue::try_from(chain) {
        headers.insert(FORWARDED_FOR, chain);
    }
    if !headers.contains_key(FORWARDED_HOST)
        && let Some(host) = headers.get(header::HOST).cloned()
    {
        headers.insert(FORWARDED_HOST, host);
    }
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
    }
}

/// The token of `Authorization: Bearer …`.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether a person's browser asks for a page, rather than a program for data.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_named_by_connection_are_taken_out_but_never_the_host() {
        let mut headers = HeaderMap::new();
        headers.insert("connection", "close, X-Secret, host".parse().unwrap());
        headers.insert("x-secret", "1".parse().unwrap());
        headers.insert("host", "h".parse().unwrap());
        headers.insert("te", "trailers".parse().unwrap());
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["host"], "h");
    }

    #[test]
    fn a_token_in_the_address_of_a_page_stays_outside() {
        let cut = |referer: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("referer", referer.parse().unwrap());
            strip_ours(&mut headers);
            headers["referer"].to_str().unwrap().to_owned()
        };
        assert_eq!(cut("http://h/p?DAYTONA_SANDBOX_AUTH_KEY=t"), "http://h/p");
        assert_eq!(
            cut("http://h/?a=1&DAYTONA%5fSANDBOX_AUTH_KEY=t&b"),
            "http://h/?a=1&b"
        );
        for whole in ["http://h/p", "http://h/p?a=%41+b", "http://h/?"] {
            assert_eq!(cut(whole), whole);
        }
    }

    #[test]
    fn an_upgrade_needs_both_headers() {
        let mut headers = HeaderMap::new();
        headers.insert("upgrade", "websocket".parse().unwrap());
        assert_eq!(wanted_upgrade(&headers), None);
        headers.insert("connection", "keep-alive, Upgrade".parse().unwrap());
        assert_eq!(wanted_upgrade(&headers).unwrap(), "websocket");
    }
}
