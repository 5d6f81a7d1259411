//! What a request tells of the client that sent it.
//!
//! Must not: give one client more than another; answers differ only where a client could not read
//! the usual one.

use http::HeaderMap;

/// What Go SDKs call themselves since 0.159, and before.
const GO_SDK: [&str; 2] = ["sdk-go", "go-sdk"];
/// Go SDKs before refuse answers with fields they do not know.
const LENIENT_FROM: Version = Version::new(0, 188);
/// Lower ones are builds of theirs without a version.
const OLDEST: Version = Version::new(0, 1);

/// The version of a client's SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version([u64; 3]);

impl Version {
    const NEWEST: Self = Self([u64::MAX; 3]);

    pub(crate) const fn new(major: u64, minor: u64) -> Self {
        Self([major, minor, 0])
    }

    /// `None` when the client is no SDK, or does not say.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let said = text(headers, "x-daytona-sdk-version")?;
        (!said.is_empty()).then(|| Self::parse(said))
    }

    /// Whatever cannot be read is somebody's build of something new.
    fn parse(text: &str) -> Self {
        if text.contains("dev") {
            return Self::NEWEST;
        }
        let core = text.trim_start_matches('v');
        let core = core.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = [0; 3];
        for (number, part) in numbers.iter_mut().zip(core.split('.')) {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            match part[..digits].parse() {
                Ok(value) => *number = value,
                Err(_) => return Self::NEWEST,
            }
        }
        Self(numbers)
    }
}

pub(crate) fn is_strict(headers: &HeaderMap) -> bool {
    let is_old = |version| (OLDEST..LENIENT_FROM).contains(&version);
    is_go_sdk(headers) && Version::of(headers).is_some_and(is_old)
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
