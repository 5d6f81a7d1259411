//! What `cargo xtask fuzz` runs of this crate: a function for each parser of what clients send
//! before anybody has admitted them. Those of the listener live beside it.
//!
//! Must not: be built but for tests and for cargo-fuzz. Next: `fuzz/README.md`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use sebring_core::clock::Timestamp;
use sebring_core::id::{OrganizationId, SandboxId};
use sebring_testkit::corpus::{self, Target};

use crate::directory::{SandboxRoute, Secret};
use crate::route::{Destination, destination};
use crate::{cookie, headers, query, signature};

pub use crate::listener::fuzz::http_framing;

/// All of them.
pub const TARGETS: &[Target] =
    sebring_testkit::targets![cookies, http_framing, preview_host, signed_url, url_query];

const NOW: Timestamp = Timestamp::from_unix_ms(1_795_250_000_000);

/// A request goes to one place: a preview by a host that names a port and a plain label, or by a
/// path whose parts are the path. The input is a host, a line break and a target.
pub fn preview_host(input: &[u8]) {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let host = lines.next().unwrap_or_default();
    let Ok(uri) = Uri::try_from(lines.next().unwrap_or(b"/")) else {
        return;
    };
    let mut headers = HeaderMap::new();
    if let Ok(host) = HeaderValue::from_bytes(host) {
        headers.insert(header::HOST, host);
    }
    match destination("/api", "preview.test", &uri, &headers) {
        Destination::Preview { port, label } => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            assert!(
                port != 0 && !label.is_empty() && label.len() <= 63,
                "{label}"
            );
            assert!(
                label.bytes().all(plain) && label == label.to_ascii_lowercase(),
                "{label}"
            );
            let name = HeaderValue::try_from(format!("{port}-{label}.preview.test"));
            let mut again = HeaderMap::new();
            again.insert(header::HOST, name.expect("plain"));
            let root = Uri::from_static("/");
            let found = destination("/api", "preview.test", &root, &again);
            assert_eq!(found, Destination::Preview { port, label });
        }
        Destination::Toolbox {
            sandbox,
            prefix,
            path,
        } => {
            assert_eq!(format!("{prefix}{path}"), uri.path());
            assert!(path.is_empty() || path.starts_with('/'), "{path}");
            assert!(!sandbox.is_empty() && !sandbox.contains('/'), "{sandbox}");
        }
        Destination::Events => assert!(uri.path().starts_with("/api/socket.io")),
        Destination::Api => {}
    }
}

/// What we take out of a query is out of it, the rest is as it was, and whatever the sandbox may
/// take for the value is the one that we have looked at.
pub fn url_query(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let theirs = as_the_toolbox_reads(text, "key");
    match query::only(text, "key") {
        Ok(Some(value)) => assert_eq!(theirs, [value.as_ref()]),
        Ok(None) => assert!(
            theirs.iter().all(|value| value.contains('\u{fffd}')),
            "{theirs:?}"
        ),
        Err(query::Repeated) => assert!(theirs.len() > 1, "{theirs:?}"),
    }
    let rest = query::without(text, "key");
    let rest = rest.as_deref().unwrap_or_default();
    assert!(as_the_toolbox_reads(rest, "key").is_empty(), "{rest}");
    let mut given = text.split('&');
    assert!(rest.is_empty() || rest.split('&').all(|pair| given.any(|other| other == pair)));
}

fn as_the_toolbox_reads(query: &str, name: &str) -> Vec<String> {
    form_urlencoded::parse(query.as_bytes())
        .filter(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
        .collect()
}

/// A signature opens the file that it was made for. The input is a path that is signed, a line
/// break, and what somebody puts before and after the signature that they were given.
pub fn signed_url(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (path, before, after) = (line(), line(), line());
    let expires = 1_795_250_001;
    let message = format!("v1:files:GET:{path}:{expires}");
    let tag = signature::mac(b"k3y", &message).finalize().into_bytes();
    let tag = URL_SAFE_NO_PAD.encode(tag);
    let encoded: String = form_urlencoded::byte_serialize(path.as_bytes()).collect();
    let signed = format!("path={encoded}&expires={expires}&signature=v1_{tag}");
    assert!(signature::is_valid("k3y", &Method::GET, &signed, NOW));
    let query = format!("{before}{signed}{after}");
    for method in [Method::GET, Method::POST] {
        if signature::is_valid("k3y", &method, &query, NOW) {
            assert_eq!(method, Method::GET);
            assert_eq!(as_the_toolbox_reads(&query, "path"), [path]);
        }
    }
    assert!(!signature::is_valid("k3y", &Method::GET, before, NOW));
}

/// A cookie that we did not give out opens nothing, ours are taken out, and others stay. The
/// choice is whether ours is among them.
pub fn cookies(input: &[u8]) {
    let (choice, text) = corpus::choice(input);
    let route = route();
    let mut map = HeaderMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            map.append(header::COOKIE, value);
        }
    }
    assert!(!cookie::is_valid(b"key", "label", &route, &map, NOW));
    if choice & 1 == 1 {
        let issued = cookie::issue(b"key", "label", &route, NOW, true).expect("a plain label");
        let pair = issued
            .to_str()
            .expect("text")
            .split(';')
            .next()
            .unwrap_or_default();
        map.append(header::COOKIE, HeaderValue::try_from(pair).expect("text"));
        assert!(cookie::is_valid(b"key", "label", &route, &map, NOW));
        assert!(!cookie::is_valid(b"other", "label", &route, &map, NOW));
    }
    let others = pairs(&map, |is_ours| !is_ours);
    headers::strip_ours(&mut map);
    assert!(pairs(&map, |is_ours| is_ours).is_empty(), "{map:?}");
    assert_eq!(pairs(&map, |_| true), others);
}

fn pairs(headers: &HeaderMap, wanted: impl Fn(bool) -> bool) -> Vec<Vec<u8>> {
    let values = headers.get_all(header::COOKIE).iter();
    let pairs = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && wanted(pair.starts_with(b"daytona-sandbox-auth-")))
        .map(<[u8]>::to_vec)
        .collect()
}

fn route() -> SandboxRoute {
    let id = "6a1f0bde-0d9c-4f4e-9a53-1d6f7c2b8e01";
    SandboxRoute {
        id: id.parse::<SandboxId>().expect("an id"),
        organization: id.parse::<OrganizationId>().expect("an id"),
        state: "started".into(),
        toolbox_socket: None,
        public: false,
        auth_token: Secret("t".into()),
        signing_key: Secret("k".into()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_kept_input_holds() {
        sebring_testkit::corpus::replay(super::TARGETS);
    }
}
