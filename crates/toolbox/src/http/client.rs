//! What a request tells of the client that sent it.
//!
//! Must not: give one client more than another; answers differ only where a client could not read
//! the usual one.

use http::HeaderMap;

/// What Go SDKs call themselves since 0.159, and before.
const GO_SDK: [&str; 2] = ["sdk-go", "go-sdk"];

/// Go SDKs before 0.188 refuse answers with fields they do not know.
pub(crate) fn is_strict(headers: &HeaderMap) -> bool {
    let Some(version) = text(headers, "x-daytona-sdk-version") else {
        return false;
    };
    let version = version.trim_start_matches('v');
    let mut numbers = version.splitn(3, '.').map(str::parse::<u32>);
    let major_minor = (numbers.next(), numbers.next());
    // 0.0.0 is a build of theirs without a version.
    let old = matches!(major_minor, (Some(Ok(0)), Some(Ok(1..188))));
    old && is_go_sdk(headers)
}

pub(crate) fn is_go_sdk(headers: &HeaderMap) -> bool {
    text(headers, "x-daytona-source").is_some_and(|source| GO_SDK.contains(&source))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_go_clients_are_strict() {
        let headers = |source: &str, version: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-daytona-source", source.parse().unwrap());
            headers.insert("x-daytona-sdk-version", version.parse().unwrap());
            headers
        };
        assert!(is_strict(&headers("sdk-go", "0.187.3")));
        assert!(is_strict(&headers("sdk-go", "v0.100.0-rc1")));
        assert!(is_strict(&headers("go-sdk", "v0.148.0")));
        for (source, version) in [
            ("sdk-go", "0.188.0"),
            ("sdk-go", "0.0.0"),
            ("sdk-go", "v0.0.0-dev"),
            ("sdk-go", "dev"),
            ("sdk-go", "1.2.3"),
            ("sdk-python", "0.115.2"),
        ] {
            assert!(!is_strict(&headers(source, version)), "{source} {version}");
        }
        assert!(!is_strict(&HeaderMap::new()));
    }
}
