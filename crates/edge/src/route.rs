//! Where a request goes: decided by its host first, then by its path, before anything is asked of
//! anyone.
//!
//! Must not: look anything up or judge credentials.
//! Next: `service` sends each [`Destination`] to its module.

use http::uri::Authority;
use http::{HeaderMap, Uri, header};

/// Of the host label's second half; ids have 36, signed tokens 16, names up to a DNS label's 63.
const LABEL_MAX: usize = 63;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination<'r> {
    /// A port inside a sandbox; `label` is an id, a signed token or a name.
    Preview { port: u16, label: String },
    /// The toolbox of `sandbox`, an id or a name, still percent-encoded.
    Toolbox {
        sandbox: &'r str,
        /// What was cut off the path: redirects must be put back under it.
        prefix: &'r str,
        /// The path as the toolbox shall see it: begins with `/`, or is empty.
        path: &'r str,
    },
    /// Socket.IO.
    Events,
    /// Everything else is the control plane's.
    Api,
}

/// `api_path` without a trailing slash; `domain` lower case.
pub(crate) fn destination<'r>(
    api_path: &str,
    domain: &str,
    uri: &'r Uri,
    headers: &HeaderMap,
) -> Destination<'r> {
    if let Some((port, label)) = preview_host(domain, uri, headers) {
        return Destination::Preview { port, label };
    }
    let path = uri.path();
    if path.starts_with("/toolbox/") {
        return toolbox(path, 0, "");
    }
    match path.strip_prefix(api_path) {
        Some(rest) if is_segment(rest, "/socket.io") => Destination::Events,
        // Clients of early 2025 reach the toolbox through the API's own path.
        Some(rest) if rest.starts_with("/toolbox/") => toolbox(path, api_path.len(), "/toolbox"),
        Some(_) | None => Destination::Api,
    }
}

/// Whether `path` is `segment` or lies under it.
fn is_segment(path: &str, segment: &str) -> bool {
    path.strip_prefix(segment)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Splits `…/toolbox/{sandbox}{after}/rest`, where `start` bytes come before `/toolbox/`.
fn toolbox<'r>(path: &'r str, start: usize, after: &str) -> Destination<'r> {
    let id_at = start + "/toolbox/".len();
    let id_end = path[id_at..]
        .find('/')
        .map_or(path.len(), |slash| id_at + slash);
    let (sandbox, rest) = (&path[id_at..id_end], &path[id_end..]);
    if sandbox.is_empty() || !is_segment(rest, after) {
        return Destination::Api;
    }
    let prefix_end = id_end + after.len();
    Destination::Toolbox {
        sandbox,
        prefix: &path[..prefix_end],
        path: &path[prefix_end..],
    }
}

/// Reads `{port}-{label}.{domain}` from the request's host.
fn preview_host(domain: &str, uri: &Uri, headers: &HeaderMap) -> Option<(u16, String)> {
    let host = match uri.authority() {
        Some(authority) => authority.host().to_owned(),
        None => {
            let value = headers.get(header::HOST)?.as_bytes();
            Authority::try_from(value).ok()?.host().to_owned()
        }
    };
    let host = host.to_ascii_lowercase();
    let first = host
        .trim_end_matches('.')
        .strip_suffix(domain)?
        .strip_suffix('.')?;
    let (port, label) = first.split_once('-')?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if label.is_empty() || label.len() > LABEL_MAX || !label.bytes().all(is_plain) {
        return None;
    }
    if !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let port = port.parse().ok().filter(|&port| port != 0)?;
    Some((port, label.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(host: &str, path: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        let uri: Uri = path.parse().unwrap();
        match destination("/api", "localhost", &uri, &headers) {
            Destination::Preview { port, label } => format!("preview {port} {label}"),
            Destination::Toolbox {
                sandbox,
                prefix,
                path,
            } => format!("toolbox {sandbox} {prefix} {path}"),
            Destination::Events => "events".into(),
            Destination::Api => "api".into(),
        }
    }

    #[test]
    fn a_preview_is_known_by_its_host_whatever_its_path() {
        assert_eq!(
            of("3000-ab-c.localhost:8080", "/api/x"),
            "preview 3000 ab-c"
        );
        assert_eq!(of("3000-AB.LOCALHOST", "/toolbox/x/y"), "preview 3000 ab");
        assert_eq!(of("3000-ab.localhost.", "/"), "preview 3000 ab");
    }

    #[test]
    fn a_host_that_is_no_preview_is_judged_by_its_path() {
        for host in [
            "localhost:1",
            "0-a.localhost",
            "65536-a.localhost",
            "+80-a.localhost",
            "80-.localhost",
            "80-a.b.localhost",
            "80-a.localhost.evil.example",
            "80-a.notlocalhost",
            "[::1]:80",
        ] {
            assert_eq!(of(host, "/api/sandbox"), "api", "{host}");
        }
    }

    #[test]
    fn a_toolbox_path_is_cut_without_decoding() {
        assert_eq!(
            of("h", "/toolbox/id/a%2Fb"),
            "toolbox id /toolbox/id /a%2Fb"
        );
        assert_eq!(of("h", "/toolbox/id"), "toolbox id /toolbox/id ");
        assert_eq!(
            of("h", "/api/toolbox/id/toolbox/x"),
            "toolbox id /api/toolbox/id/toolbox /x"
        );
        assert_eq!(of("h", "/api/toolbox/id/other"), "api");
        assert_eq!(of("h", "/toolbox//x"), "api");
    }

    #[test]
    fn events_live_under_the_api_path() {
        assert_eq!(of("h", "/api/socket.io/?EIO=4"), "events");
        assert_eq!(of("h", "/api/socket.iox"), "api");
        assert_eq!(of("h", "/socket.io/"), "api");
    }
}
