//! The cookie that lets a browser load the rest of a page after its first request carried a
//! credential in the URL: `daytona-sandbox-auth-{id or token}`, one hour.
//!
//! It is bound to the sandbox, to its present auth token (a new token ends old cookies), and to the
//! label it was given out for: a link signed for one port must not grow into the whole sandbox.
//! Must not: be read by, or be sent into, a sandbox.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;
use http::{HeaderMap, HeaderValue, header};
use sebring_core::clock::Timestamp;

use crate::directory::SandboxRoute;
use crate::signature::mac;

/// Every cookie whose name begins so is ours.
const PREFIX: &str = "daytona-sandbox-auth-";
const LIFE_SECONDS: i64 = 3600;

/// A `Set-Cookie` value for the host that was called by `label` (an id or a signed token).
pub(crate) fn issue(
    key: &[u8],
    label: &str,
    route: &SandboxRoute,
    now: Timestamp,
    secure: bool,
) -> Option<HeaderValue> {
    let expires = now.unix_ms() / 1000 + LIFE_SECONDS;
    let tag = mac(key, &message(label, route, expires))
        .finalize()
        .into_bytes();
    let tag = URL_SAFE_NO_PAD.encode(tag);
    let secure = if secure { "; Secure" } else { "" };
    let text = format!(
        "{PREFIX}{label}={expires}.{tag}; Path=/; Max-Age={LIFE_SECONDS}; HttpOnly; SameSite=Lax{secure}"
    );
    HeaderValue::try_from(text).ok()
}

/// Whether the request carries a valid cookie for `label`.
pub(crate) fn is_valid(
    key: &[u8],
    label: &str,
    route: &SandboxRoute,
    headers: &HeaderMap,
    now: Timestamp,
) -> bool {
    pairs(headers).any(|pair| {
        let value = pair
            .strip_prefix(PREFIX.as_bytes())
            .and_then(|rest| rest.strip_prefix(label.as_bytes()))
            .and_then(|rest| rest.strip_prefix(b"="))
            .and_then(|value| std::str::from_utf8(value).ok());
        value.is_some_and(|value| is_genuine(key, label, route, value, now))
    })
}

fn is_genuine(key: &[u8], label: &str, route: &SandboxRoute, value: &str, now: Timestamp) -> bool {
    let Some((expires, tag)) = value.split_once('.') else {
        return false;
    };
    let (Ok(expires), Ok(tag)) = (expires.parse::<i64>(), URL_SAFE_NO_PAD.decode(tag)) else {
        return false;
    };
    expires > now.unix_ms() / 1000
        && mac(key, &message(label, route, expires))
            .verify_slice(&tag)
            .is_ok()
}

fn message(label: &str, route: &SandboxRoute, expires: i64) -> String {
    format!(
        "preview-cookie:v2:{label}:{}:{}:{expires}",
        route.id, route.auth_token.0
    )
}

/// Cookies as bytes: a value of a program's own need not be text, and must not hide ours.
fn pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b';'))
        .map(<[u8]>::trim_ascii)
}

/// Takes our cookies out of a request, leaving the program's own.
pub(crate) fn strip(headers: &mut HeaderMap) {
    if !pairs(headers).any(|pair| pair.starts_with(PREFIX.as_bytes())) {
        return;
    }
    let kept: Vec<&[u8]> = pairs(headers)
        .filter(|pair| !pair.starts_with(PREFIX.as_bytes()))
        .collect();
    let kept = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok();
    headers.remove(header::COOKIE);
    if let Some(kept) = kept.filter(|value| !value.is_empty()) {
        headers.insert(header::COOKIE, kept);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sebring_core::id::{OrganizationId, SandboxId};

    use super::*;
    use crate::directory::Secret;

    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_250_000_000);

    fn route() -> SandboxRoute {
        SandboxRoute {
            id: SandboxId::random(),
            organization: OrganizationId::random(),
            state: "started".into(),
            toolbox_socket: None,
            public: false,
            auth_token: Secret("t".into()),
            signing_key: Secret("k".into()),
        }
    }

    fn sent_back(set_cookie: &HeaderValue) -> HeaderMap {
        let text = set_cookie.to_str().unwrap();
        let pair = text.split(';').next().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, format!("a=1; {pair}; b=2").parse().unwrap());
        headers
    }

    #[test]
    fn an_issued_cookie_is_valid_for_one_hour_only() {
        let route = route();
        let headers = sent_back(&issue(b"key", "l", &route, NOW, false).unwrap());
        let later = |seconds| NOW.after(Duration::from_secs(seconds));
        assert!(is_valid(b"key", "l", &route, &headers, later(3599)));
        assert!(!is_valid(b"key", "l", &route, &headers, later(3600)));
    }

    #[test]
    fn a_cookie_opens_neither_another_sandbox_nor_a_renewed_token_nor_another_key() {
        let one = route();
        let headers = sent_back(&issue(b"key", "l", &one, NOW, false).unwrap());
        assert!(!is_valid(b"key", "l", &route(), &headers, NOW));
        assert!(!is_valid(b"other", "l", &one, &headers, NOW));
        let renewed = SandboxRoute {
            auth_token: Secret("u".into()),
            ..one
        };
        assert!(!is_valid(b"key", "l", &renewed, &headers, NOW));
    }

    #[test]
    fn a_cookie_of_a_signed_link_does_not_open_the_sandbox_by_its_id() {
        let route = route();
        let issued = issue(b"key", "7oseuyhki0lftf4w", &route, NOW, false).unwrap();
        let id = route.id.to_string();
        let renamed = issued.to_str().unwrap().replace("7oseuyhki0lftf4w", &id);
        let headers = sent_back(&HeaderValue::try_from(renamed).unwrap());
        assert!(!is_valid(b"key", &id, &route, &headers, NOW));
    }

    #[test]
    fn our_cookies_are_taken_out_and_others_stay() {
        let mut headers = sent_back(&issue(b"key", "l", &route(), NOW, false).unwrap());
        strip(&mut headers);
        assert_eq!(headers[header::COOKIE], "a=1; b=2");
    }

    #[test]
    fn a_cookie_that_is_not_text_does_not_hide_ours() {
        let mut headers = HeaderMap::new();
        let raw = [b"x=\xff; daytona-sandbox-auth-a=s".as_slice()].concat();
        headers.insert(header::COOKIE, HeaderValue::from_bytes(&raw).unwrap());
        strip(&mut headers);
        assert_eq!(headers[header::COOKIE].as_bytes(), b"x=\xff");
    }
}
