//! Where a remote repository is, and the login that people write into it.
//!
//! A login is taken out of an HTTP address at once: what is left may be stored, shown, and given
//! as an argument, which any process can read.
//! Must not: resolve names. Next: `login` for what becomes of user and password.

use std::fmt;

use percent_encoding::percent_decode_str;

use super::login::{Login, Secret};

/// What `git` may speak. Others run programs (`ext`) or mean descriptors (`fd`).
const SCHEMES: [&str; 7] = ["http", "https", "ssh", "git", "file", "git+ssh", "ssh+git"];
/// The same as `GIT_ALLOW_PROTOCOL`, for addresses that the repository has configured.
pub(super) const ALLOWED_PROTOCOLS: &str = "file:git:http:https:ssh";

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    #[error("url: must not be empty")]
    Empty,
    #[error("url: must not start with '-' or contain control characters")]
    Text,
    #[error("url: scheme {0:?} is not served: use https, http, ssh, git or file")]
    Scheme(String),
    #[error("url: {0:?} has no host")]
    Host(String),
}

/// An address without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    text: String,
    /// For HTTP: `https://host:port`, which a login is valid for.
    origins: Vec<String>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Address {
    /// Reads an address as callers write it; one without a scheme is taken as https.
    pub(crate) fn parse(text: &str) -> Result<(Self, Option<Login>), Error> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Error::Empty);
        }
        if text.starts_with('-') || text.contains(char::is_control) {
            return Err(Error::Text);
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            return Self::of_scheme(scheme, rest);
        }
        // `ext::command` and the like.
        if let Some((helper, _)) = text.split_once("::").filter(|_| !text.starts_with('[')) {
            return Err(Error::Scheme(format!("{helper}::")));
        }
        if text.starts_with(['/', '.', '~']) || is_scp_like(text) {
            return Ok((Self::plain(text.to_owned()), None));
        }
        Self::of_scheme("https", text)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Where a login for this address may be sent.
    pub(crate) fn origins(&self) -> &[String] {
        &self.origins
    }

    /// A path in the sandbox itself.
    pub(crate) fn is_local(&self) -> bool {
        self.text.starts_with(['/', '.', '~']) || self.text.starts_with("file://")
    }

    const fn plain(text: String) -> Self {
        Self {
            text,
            origins: Vec::new(),
        }
    }

    fn of_scheme(scheme: &str, rest: &str) -> Result<(Self, Option<Login>), Error> {
        let scheme = scheme.to_ascii_lowercase();
        if !SCHEMES.contains(&scheme.as_str()) {
            return Err(Error::Scheme(scheme));
        }
        if scheme != "http" && scheme != "https" {
            return Ok((Self::plain(format!("{scheme}://{rest}")), None));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (login, host) = match authority.rsplit_once('@') {
            Some((login, host)) => (Some(decode(login)), host),
            None => (None, authority),
        };
        if host.is_empty() {
            return Err(Error::Host(format!("{scheme}://{path}")));
        }
        let mut origins = vec![format!("{scheme}://{host}")];
        // Servers send callers of http on to https; the other way round would disclose the login.
        if scheme == "http" && !host.contains(':') {
            origins.push(format!("https://{host}"));
        }
        let address = Self {
            text: format!("{scheme}://{host}{path}"),
            origins,
        };
        Ok((address, login))
    }
}

fn decode(user_info: &str) -> Login {
    let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
    let text = |part| percent_decode_str(part).decode_utf8_lossy();
    Login::new(&text(user), Secret::from_text(&text(password)))
}

/// `user@host:path`, which git takes for ssh. `host:port/path` without a user is not.
fn is_scp_like(text: &str) -> bool {
    let Some((host, path)) = text.split_once(':') else {
        return false;
    };
    let is_port = path
        .split('/')
        .next()
        .is_some_and(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
    !host.contains('/') && (host.contains('@') || !is_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(address: &str) -> String {
        Address::parse(address).unwrap().0.to_string()
    }

    #[test]
    fn an_address_without_a_scheme_is_https_unless_it_is_a_path_or_ssh() {
        assert_eq!(text("example.org/a/b"), "https://example.org/a/b");
        assert_eq!(text("localhost:8080/a"), "https://localhost:8080/a");
        assert_eq!(text("git@example.org:a/b.git"), "git@example.org:a/b.git");
        assert_eq!(text("example.org:a/b.git"), "example.org:a/b.git");
        assert_eq!(text("/srv/a"), "/srv/a");
        assert_eq!(text("../a"), "../a");
        assert_eq!(text("HTTPS://example.org/a"), "https://example.org/a");
    }

    #[test]
    fn a_login_is_taken_out_of_the_address() {
        let (address, login) = Address::parse("https://me:p%40ss@example.org:8443/a?b@c").unwrap();
        assert_eq!(address.as_str(), "https://example.org:8443/a?b@c");
        assert_eq!(address.origins(), ["https://example.org:8443"]);
        assert_eq!(
            login.unwrap().lines(),
            b"username=me\npassword=p@ss\n".to_vec()
        );
        let (address, login) = Address::parse("https://token@example.org/a").unwrap();
        assert_eq!(address.as_str(), "https://example.org/a");
        assert!(login.is_some());
        let (address, login) = Address::parse("ssh://git@example.org/a").unwrap();
        assert_eq!(address.as_str(), "ssh://git@example.org/a");
        assert!(login.is_none());
    }

    #[test]
    fn a_login_follows_from_http_to_https_and_never_back() {
        let origins = |text| Address::parse(text).unwrap().0.origins().to_vec();
        assert_eq!(
            origins("http://example.org/a"),
            ["http://example.org", "https://example.org"]
        );
        assert_eq!(
            origins("http://example.org:81/a"),
            ["http://example.org:81"]
        );
        assert_eq!(origins("https://example.org/a"), ["https://example.org"]);
    }

    #[test]
    fn what_runs_programs_or_reads_as_an_option_is_refused() {
        for bad in [
            "",
            " ",
            "-u",
            "--upload-pack=x",
            "ext::sh -c id",
            "fd::7",
            "ftp://x/y",
            "ext://x",
            "https:///x",
            "https://u:p@/x",
            "https://x/\ny",
            "a\0b",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }
}
