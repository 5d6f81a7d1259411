//! User and password for one operation, handed to git so that nothing keeps them.
//!
//! They are in no argument, variable, file or configuration: git's standard input is a memory file
//! that holds them, and the credential helper that git is given, a few lines of shell, reads it
//! through `/proc`. Git and all its children share a session, whose number is git's, so the helper
//! finds that descriptor wherever it is called from. Rejected: environment variables, which hooks
//! and everything else that git runs inherit.
//!
//! The helper is configured for the origin of the remote only, so a redirect to somebody else's
//! host learns nothing, and it is the only one, so no other helper stores what it hands out.
//! Must not: be printed. Next: `call` for how it reaches git.

use std::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Deserializer};

use super::names::{self, Line};

/// What stands in place of a secret.
const STARS: &str = "***";
/// Some servers take any user with a token, but none takes nobody.
const ANY_USER: &str = "git";
/// With this as password the user name is the token.
const TOKEN_IS_USER: &str = "x-oauth-basic";

/// Answers `get` with standard input of the session's first process; nothing is ever stored.
/// Fields of `stat` after the name: state, parent, group, session.
const HELPER: &str = r#"!f() { test "$1" = get || return 0; read -r s < /proc/$$/stat; set -- ${s##*) }; while IFS= read -r l; do printf '%s\n' "$l"; done < "/proc/$4/fd/0"; }; f"#;

/// A text that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STARS)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        names::one_line(&text).map_err(serde::de::Error::custom)?;
        Ok(Self(text))
    }
}

impl Secret {
    /// Without what git's protocol for credentials has no place for.
    pub(super) fn from_text(text: &str) -> Self {
        Self(text.replace(['\n', '\r', '\0'], ""))
    }
}

/// Who to be at a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Login {
    user: String,
    password: Secret,
}

impl Login {
    pub(crate) fn new(user: &str, password: Secret) -> Self {
        let user = user.replace(['\n', '\r', '\0'], "");
        Self { user, password }
    }

    /// From the fields of a request, of which either may be absent.
    pub(crate) fn given(user: Option<Line>, password: Option<Secret>) -> Option<Self> {
        let password = password.filter(|password| !password.0.is_empty());
        if user.is_none() && password.is_none() {
            return None;
        }
        let user = user.map_or_else(|| ANY_USER.to_owned(), |user| user.as_str().to_owned());
        Some(Self {
            user,
            password: password.unwrap_or_else(|| Secret(String::new())),
        })
    }

    /// As `git credential` reads it.
    pub(crate) fn lines(&self) -> Vec<u8> {
        format!("username={}\npassword={}\n", self.user, self.password.0).into_bytes()
    }

    /// Settings that make git ask for this login at `origins`, and nobody else.
    pub(crate) fn settings(origins: &[String]) -> Vec<String> {
        // An empty value forgets the helpers before it.
        let mut settings = vec!["credential.helper=".to_owned()];
        for origin in origins {
            settings.push(format!("credential.{origin}.helper="));
            settings.push(format!("credential.{origin}.helper={HELPER}"));
        }
        settings
    }

    /// The text without this login.
    pub(crate) fn scrub(&self, text: &str) -> String {
        let password = self.password.0.as_str();
        let token_is_user = password.is_empty() || password == TOKEN_IS_USER;
        let user = token_is_user.then_some(self.user.as_str());
        let mut text = text.to_owned();
        for secret in [Some(password), user].into_iter().flatten() {
            if secret.is_empty() {
                continue;
            }
            text = text.replace(secret, STARS);
            let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
            text = text.replace(&encoded, STARS);
        }
        text
    }
}

/// The text without logins in addresses, whoever wrote them there.
pub(super) fn scrub_addresses(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '\'' | '"' | '?' | '#'))
            .unwrap_or(after.len());
        let authority = &after[..end];
        match authority.rsplit_once('@') {
            Some((_, host)) => {
                clean.push_str(STARS);
                clean.push('@');
                clean.push_str(host);
            }
            None => clean.push_str(authority),
        }
        rest = &after[end..];
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str, password: &str) -> Login {
        Login::new(user, Secret(password.to_owned()))
    }

    #[test]
    fn a_login_is_never_shown() {
        let login = login("me", "p@ss/word");
        assert!(!format!("{login:?}").contains("p@ss"));
        assert_eq!(
            login.scrub("me: p@ss/word, p%40ss%2Fword, other"),
            "me: ***, ***, other"
        );
    }

    #[test]
    fn a_token_in_place_of_the_user_is_a_secret_too() {
        assert_eq!(login("ghp_1", "").scrub("ghp_1 x"), "*** x");
        assert_eq!(login("ghp_1", TOKEN_IS_USER).scrub("ghp_1 x"), "*** x");
        assert_eq!(login("me", "secret").scrub("me x"), "me x");
    }

    #[test]
    fn logins_in_addresses_are_scrubbed() {
        assert_eq!(
            scrub_addresses("'https://me:pw@host/x' and http://tok@h ssh://h/a@b"),
            "'https://***@host/x' and http://***@h ssh://h/a@b"
        );
    }

    #[test]
    fn line_breaks_cannot_add_fields() {
        let lines = login("a\nhost=evil", "b").lines();
        assert_eq!(lines, b"username=ahost=evil\npassword=b\n");
        assert!(serde_json::from_str::<Secret>("\"a\\nb\"").is_err());
        let from_address = Secret::from_text("a\nb");
        assert_eq!(from_address, Secret("ab".to_owned()));
    }

    #[test]
    fn either_part_of_a_login_may_be_missing() {
        assert_eq!(Login::given(None, None), None);
        assert_eq!(Login::given(None, Some(Secret(String::new()))), None);
        let token = Login::given(None, Some(Secret("t".to_owned()))).unwrap();
        assert_eq!(token.lines(), b"username=git\npassword=t\n");
    }
}
