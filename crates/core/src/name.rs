//! Names that people give to things. Shown in dashboards and terminals, so they carry no markup,
//! no links and no control characters.

use std::fmt;

pub const NAME_CHARS_MAX: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("name is empty; it has 1 to {NAME_CHARS_MAX} characters")]
    Empty,
    #[error("name has {chars} characters; at most {NAME_CHARS_MAX}")]
    TooLong { chars: usize },
    #[error("name {name:?} contains a control or invisible character")]
    ControlCharacter { name: String },
    #[error("name {name:?} contains an HTML tag")]
    Markup { name: String },
    #[error("name {name:?} contains a link")]
    Link { name: String },
}

/// The name of a sandbox, an API key or an organization.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    pub fn parse(text: &str) -> Result<Self, Error> {
        let chars = text.chars().count();
        let name = || text.to_owned();
        if text.trim().is_empty() {
            return Err(Error::Empty);
        }
        if chars > NAME_CHARS_MAX {
            return Err(Error::TooLong { chars });
        }
        if text.chars().any(|c| c.is_control() || is_invisible(c)) {
            return Err(Error::ControlCharacter { name: name() });
        }
        if has_tag(text) {
            return Err(Error::Markup { name: name() });
        }
        let lower = text.to_ascii_lowercase();
        if lower.contains("://") || lower.contains("www.") {
            return Err(Error::Link { name: name() });
        }
        Ok(Self(name()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Characters that show nothing or turn the direction of writing: with them two different names
/// look the same.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// `<` directly followed by what may begin a tag, with a `>` somewhere after it.
fn has_tag(text: &str) -> bool {
    text.match_indices('<').any(|(at, _)| {
        let rest = &text[at + 1..];
        rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'))
            && rest.contains('>')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_kept_as_given() {
        for name in [
            "a",
            "my sandbox (2)",
            "a<b",
            "größe-1",
            "a/b:1",
            "x < y > z",
            "👩\u{200d}💻",
        ] {
            assert_eq!(Name::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn markup_links_controls_and_sizes_are_refused() {
        for name in [
            "",
            "  ",
            "<b>x</b>",
            "see http://x",
            "WWW.x.org",
            "a\nb",
            "adm\u{202e}ni",
            "a\u{200b}b",
            &"x".repeat(256),
        ] {
            assert!(Name::parse(name).is_err(), "{name:?}");
        }
    }
}
