//! Signed file URLs: `v1_` + base64url(HMAC-SHA256(key, `v1:files:{METHOD}:{path}:{expires}`)).
//!
//! Must not: accept anything but one download and one upload route, nor an ambiguous query.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use sebring_core::clock::Timestamp;
use sha2::Sha256;

use crate::query;

/// Whether a request carries a signature at all, so that a wrong one can be called wrong.
pub(crate) fn is_offered(method: &Method, path: &str, query: Option<&str>) -> bool {
    let signable = (method == Method::GET && path == "/files/download")
        || (method == Method::POST && path == "/files/upload-v2");
    signable && query.is_some_and(|query| !matches!(query::only(query, "signature"), Ok(None)))
}

/// Whether the query's signature opens this very file, now. Only to be asked when
/// [`is_offered`].
pub(crate) fn is_valid(key: &str, method: &Method, query: &str, now: Timestamp) -> bool {
    let (Ok(Some(path)), Ok(Some(expires)), Ok(Some(signature))) = (
        query::only(query, "path"),
        query::only(query, "expires"),
        query::only(query, "signature"),
    ) else {
        return false;
    };
    let Some(signature) = signature
        .strip_prefix("v1_")
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
    else {
        return false;
    };
    let message = format!("v1:files:{method}:{path}:{expires}");
    !key.is_empty()
        && is_current(&expires, now)
        && mac(key.as_bytes(), &message)
            .verify_slice(&signature)
            .is_ok()
}

/// `expires` is in Unix seconds; 0 never passes.
fn is_current(expires: &str, now: Timestamp) -> bool {
    if !expires.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    expires
        .parse::<i64>()
        .is_ok_and(|at| at == 0 || at > now.unix_ms() / 1000)
}

pub(crate) fn mac(key: &[u8], message: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: &str = "v1_XQPtDMOFIVcuApVjX500719ulgy_mYboa3LR4KTfdCU";
    const POST: &str = "v1_Qi0pSjuIbAG1ZH09m4xhWM4LBZEO3EmKtShzLrlE4DI";
    const NOW: Timestamp = Timestamp::from_unix_ms(1_795_250_000_000);

    fn signed(path: &str, expires: i64) -> String {
        let message = format!("v1:files:GET:{path}:{expires}");
        let tag = mac(b"k3y", &message).finalize().into_bytes();
        let tag = URL_SAFE_NO_PAD.encode(tag);
        format!("path={path}&expires={expires}&signature=v1_{tag}")
    }

    #[test]
    fn the_published_clients_signatures_are_accepted() {
        let query = format!("path=%2Fhome%2Fdaytona%2Fa+b%2B%C3%BC.txt&expires=0&signature={GET}");
        assert!(is_valid("k3y", &Method::GET, &query, NOW));
        let query = format!("path=rel/x.bin&expires=0&signature={POST}");
        assert!(is_valid("k3y", &Method::POST, &query, NOW));
    }

    #[test]
    fn another_method_path_or_key_is_refused() {
        let query = format!("path=rel/x.bin&expires=0&signature={POST}");
        assert!(!is_valid("k3y", &Method::GET, &query, NOW));
        assert!(!is_valid("key", &Method::POST, &query, NOW));
        let query = format!("path=rel/y.bin&expires=0&signature={POST}");
        assert!(!is_valid("k3y", &Method::POST, &query, NOW));
    }

    #[test]
    fn an_expired_url_is_refused() {
        assert!(is_valid(
            "k3y",
            &Method::GET,
            &signed("a", 1_795_250_001),
            NOW
        ));
        assert!(!is_valid(
            "k3y",
            &Method::GET,
            &signed("a", 1_795_250_000),
            NOW
        ));
    }

    #[test]
    fn a_second_path_that_the_sandbox_might_read_is_refused() {
        let query = format!("{}&p%61th=/etc/shadow", signed("a", 0));
        assert!(!is_valid("k3y", &Method::GET, &query, NOW));
    }

    #[test]
    fn only_the_two_file_routes_can_be_signed() {
        let query = Some("signature=x");
        assert!(is_offered(&Method::GET, "/files/download", query));
        assert!(is_offered(&Method::POST, "/files/upload-v2", query));
        assert!(!is_offered(&Method::POST, "/files/download", query));
        assert!(!is_offered(&Method::GET, "/files/info", query));
        assert!(!is_offered(&Method::GET, "/files/download", None));
    }
}
