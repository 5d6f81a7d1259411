//! What callers name, checked so that git can only take it for what it is.
//!
//! Nothing here may start with `-`, which git would read as an option, and a branch may hold none
//! of the characters that mean more in a refspec.
//! Must not: ask whether a thing exists; git knows. Next: `address` for where repositories are.

use serde::{Deserialize, Deserializer};

/// Longer names cannot be files, which is what git keeps them in.
const NAME_BYTES_MAX: usize = 4096;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    #[error("must not be empty")]
    Empty,
    #[error("is {0} bytes long: the maximum is {NAME_BYTES_MAX}")]
    Long(usize),
    #[error("{0:?} must not start with '-'")]
    Option(String),
    #[error("{0:?} must not contain control characters")]
    Control(String),
    #[error("{0:?} is not a valid branch name")]
    Branch(String),
    #[error("{0:?} is not a commit: 4 to 64 hexadecimal digits")]
    Commit(String),
    #[error("{0:?} is not a configuration key: section.name")]
    Key(String),
    #[error("must not contain line breaks or NUL bytes")]
    Lines,
}

/// A checked text with a meaning of its own.
macro_rules! name {
    ($(#[$about:meta])* $name:ident, $check:expr) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub(crate) struct $name(String);

        impl TryFrom<String> for $name {
            type Error = Error;

            fn try_from(text: String) -> Result<Self, Error> {
                let check: fn(&str) -> Result<(), Error> = $check;
                check(&text).map(|()| Self(text))
            }
        }

        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A branch, without `refs/heads/`.
    Branch,
    branch
);
name!(
    /// Whatever names a commit: a branch, a tag, a hash, `HEAD~1`.
    Revision,
    word
);
name!(
    /// A commit's hash or the beginning of one.
    Commit,
    commit
);
name!(
    /// A configured remote.
    RemoteName,
    word
);
name!(
    /// Where a repository is or shall be in the sandbox.
    Location,
    |text| match text.len() {
        0 => Err(Error::Empty),
        1..=NAME_BYTES_MAX => one_line(text),
        length => Err(Error::Long(length)),
    }
);
name!(
    /// One line of text that is not empty: who somebody is.
    Line,
    |text| if text.trim().is_empty() {
        Err(Error::Empty)
    } else {
        one_line(text)
    }
);
name!(
    /// `section.name` or `section.subsection.name`.
    Key,
    key
);

fn word(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(Error::Long(text.len()));
    }
    if text.starts_with('-') {
        return Err(Error::Option(text.to_owned()));
    }
    if text.contains(char::is_control) {
        return Err(Error::Control(text.to_owned()));
    }
    Ok(())
}

/// The rules of `git check-ref-format`.
fn branch(text: &str) -> Result<(), Error> {
    word(text)?;
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    let bad = text.contains([' ', '~', '^', ':', '?', '*', '[', '\\'])
        || text.contains("..")
        || text.contains("@{")
        || text.ends_with('.')
        || text == "@"
        || text == "HEAD"
        || text.split('/').any(bad_part);
    if bad {
        return Err(Error::Branch(text.to_owned()));
    }
    Ok(())
}

fn commit(text: &str) -> Result<(), Error> {
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if hexadecimal && (4..=64).contains(&text.len()) {
        Ok(())
    } else {
        Err(Error::Commit(text.to_owned()))
    }
}

fn key(text: &str) -> Result<(), Error> {
    word(text)?;
    let starts = |part: &str| part.starts_with(|c: char| c.is_ascii_alphabetic());
    let named = text
        .split_once('.')
        .zip(text.rsplit_once('.'))
        .is_some_and(|((section, _), (_, name))| !section.is_empty() && starts(name));
    if named && starts(text) {
        Ok(())
    } else {
        Err(Error::Key(text.to_owned()))
    }
}

/// What `git credential` reads and C strings hold: no line breaks, no NUL.
pub(super) fn one_line(text: &str) -> Result<(), Error> {
    if text.contains(['\n', '\r', '\0']) {
        return Err(Error::Lines);
    }
    Ok(())
}

/// An optional field: absent, null and empty are the same, since clients send all three.
pub(super) fn given<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String>,
    T::Error: std::fmt::Display,
{
    let text = Option::<String>::deserialize(from)?;
    text.filter(|text| !text.is_empty())
        .map(T::try_from)
        .transpose()
        .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_git_could_read_as_an_option_is_a_name() {
        for text in ["-x", "--upload-pack=touch /tmp/x", "-"] {
            assert!(Branch::try_from(text.to_owned()).is_err(), "{text}");
            assert!(Revision::try_from(text.to_owned()).is_err(), "{text}");
            assert!(RemoteName::try_from(text.to_owned()).is_err(), "{text}");
            assert!(Key::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_branch_cannot_be_a_refspec() {
        for good in ["main", "feature/one", "ünï", "v1.2", "a@b", "x.y"] {
            assert!(Branch::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in [
            "", "a:b", "+a b", "a*", "a..b", "a/", "/a", "a//b", ".a", "a/.b", "a.lock", "a.", "@",
            "a@{1}", "a\nb", "a b", "HEAD", "a\\b",
        ] {
            assert!(Branch::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_has_a_section_and_a_name() {
        for good in [
            "user.name",
            "credential.https://x.y.helper",
            "branch.a b.merge",
        ] {
            assert!(Key::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in ["user", "user.", ".name", "user.1x", "", "a.b\n[c]d"] {
            assert!(Key::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_commit_is_hexadecimal() {
        assert!(Commit::try_from("abc1".to_owned()).is_ok());
        for bad in ["abc", "main", "HEAD~1", "", &"a".repeat(65)] {
            assert!(Commit::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
