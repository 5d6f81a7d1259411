//! What a client is told, by the age of its SDK.
//!
//! Three forms of a log have been on the wire: plain text; text in which each run is marked; JSON
//! with both streams apart.

use http::HeaderMap;

use crate::http::client::{Version, is_strict};
use crate::process::text::Joined;

const SPLIT_OUTPUT: &str = "x-daytona-split-output";
/// The first that splits marked text itself.
const MARKED_FROM: Version = Version::new(0, 27);
/// The first that is given the streams apart.
const SPLIT_FROM: Version = Version::new(0, 167);
/// The first whose sessions begin in the working directory.
const WORK_DIR_FROM: Version = Version::new(0, 103);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Marked,
    Split,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) form: Form,
    /// Asked for marks where the form has none.
    wants_marks: bool,
    /// Its sessions begin in the home directory.
    pub(super) starts_at_home: bool,
    /// Fails on fields it does not know.
    pub(super) is_strict: bool,
}

impl Client {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let version = Version::of(headers);
        let wants_marks = text(SPLIT_OUTPUT).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        let form = match version {
            Some(version) if version >= SPLIT_FROM => Form::Split,
            Some(version) if version >= MARKED_FROM => Form::Marked,
            Some(_) | None if wants_marks => Form::Marked,
            Some(_) | None => Form::Plain,
        };
        Self {
            form,
            wants_marks,
            starts_at_home: version.is_some_and(|version| version < WORK_DIR_FROM),
            is_strict: is_strict(headers),
        }
    }

    /// How its `output` is put together where both streams are given apart as well.
    pub(super) const fn joined(&self) -> Joined {
        if self.wants_marks {
            Joined::Marked
        } else {
            Joined::Plain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(headers: &[(&'static str, &str)]) -> Client {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()));
        Client::of(&headers.collect::<HeaderMap>())
    }

    #[test]
    fn the_form_follows_the_version() {
        for (version, form) in [
            ("0.26.9", Form::Plain),
            ("0.27.0", Form::Marked),
            ("v0.166.5", Form::Marked),
            ("0.167.0-alpha.1", Form::Split),
            ("0.226.1", Form::Split),
            ("1.0", Form::Split),
            ("0.0.0-dev", Form::Split),
            ("what", Form::Split),
        ] {
            let client = client(&[("x-daytona-sdk-version", version)]);
            assert_eq!(client.form, form, "{version}");
        }
        assert_eq!(client(&[]).form, Form::Plain);
        let marks = ("x-daytona-split-output", "true");
        assert_eq!(client(&[marks]).form, Form::Marked);
    }

    #[test]
    fn sessions_of_the_oldest_clients_begin_at_home() {
        let client = |version| client(&[("x-daytona-sdk-version", version)]);
        assert!(client("0.102.1").starts_at_home);
        assert!(!client("0.103.0").starts_at_home);
    }
}
