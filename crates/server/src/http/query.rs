//! Query strings, as loosely as the published clients write them: repeated keys, `key[]`, floats
//! for whole numbers, offsets without a colon.

use sebring_core::clock::Timestamp;
use sebring_store::list::Bounds;

use super::error::ApiError;

#[derive(Clone, Debug, Default)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn parse(raw: &str) -> Self {
        let pairs = form_urlencoded::parse(raw.as_bytes());
        Self {
            pairs: pairs.into_owned().collect(),
        }
    }

    /// The last value of that name that is not empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let mut values = self.pairs.iter().rev();
        let found = values.find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub(super) fn texts(&self, name: &str) -> Vec<&str> {
        let is_named = |known: &str| known.strip_suffix("[]").unwrap_or(known) == name;
        let named = self.pairs.iter().filter(|(known, _)| is_named(known));
        named
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
            .collect()
    }

    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match whole_number(text) {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(name, text, "expected a whole number")),
        }
    }

    /// A number within bounds, or `default` when it is left out.
    pub(super) fn integer_within(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u32>,
        default: u32,
    ) -> Result<u32, ApiError> {
        let Some(number) = self.integer(name)? else {
            return Ok(default);
        };
        let number = u32::try_from(number)
            .ok()
            .filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let expected = format!("between {} and {}", range.start(), range.end());
            invalid(name, self.text(name).unwrap_or_default(), &expected)
        })
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => Err(invalid(name, other, "expected true or false")),
        }
    }

    pub(super) fn instant(&self, name: &str) -> Result<Option<Timestamp>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        match parse_instant(text) {
            Some(at) => Ok(Some(at)),
            None => Err(invalid(
                name,
                text,
                "expected an ISO-8601 instant with offset",
            )),
        }
    }

    /// A range of whole numbers, neither end of which may be below `least`.
    pub(super) fn bounds(&self, min: &str, max: &str, least: i64) -> Result<Bounds, ApiError> {
        let end = |name: &str| match self.integer(name)? {
            Some(number) if number < least => {
                let expected = format!("expected a whole number of at least {least}");
                Err(invalid(name, &number.to_string(), &expected))
            }
            found => Ok(found),
        };
        Ok(Bounds {
            min: end(min)?,
            max: end(max)?,
        })
    }

    pub(super) fn instants(&self, after: &str, before: &str) -> Result<Bounds, ApiError> {
        Ok(Bounds::of_instants(
            self.instant(after)?,
            self.instant(before)?,
        ))
    }
}

pub(super) fn invalid(name: &str, value: &str, expected: &str) -> ApiError {
    ApiError::invalid(format!("{name} {value:?}: {expected}"))
}

/// `5`, `5.0` and `1e+06` alike.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only floats that are whole and within exact range are taken"
)]
pub(super) fn whole_number(text: &str) -> Option<i64> {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if let Ok(number) = text.parse() {
        return Some(number);
    }
    let float: f64 = text.parse().ok()?;
    (float.fract() == 0.0 && float.abs() <= EXACT_MAX).then_some(float as i64)
}

fn parse_instant(text: &str) -> Option<Timestamp> {
    // A plus that nobody escaped reads as a space.
    let mut text = text.trim().replace(' ', "+");
    let digits = text
        .len()
        .checked_sub(5)
        .filter(|at| text.is_char_boundary(*at));
    let offset = digits.map(|at| &text[at..]).unwrap_or_default();
    let lacks_colon =
        offset.starts_with(['+', '-']) && offset[1..].bytes().all(|byte| byte.is_ascii_digit());
    if lacks_colon && text.contains('T') {
        text.insert(text.len() - 2, ':');
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_as_repeated_keys_with_or_without_brackets() {
        let query = Query::parse("states=a&states[]=b&states%5B%5D=c&other=d&states=");
        assert_eq!(query.texts("states"), vec!["a", "b", "c"]);
    }

    #[test]
    fn whole_numbers_come_as_floats_too() {
        let query = Query::parse("a=1e%2B06&b=5.0&c=5.5&d=x&e=-3");
        assert_eq!(query.integer("a").unwrap(), Some(1_000_000));
        assert_eq!(query.integer("b").unwrap(), Some(5));
        assert!(query.integer("c").is_err());
        assert!(query.integer("d").is_err());
        assert_eq!(query.integer("e").unwrap(), Some(-3));
        assert_eq!(query.integer("f").unwrap(), None);
    }

    #[test]
    fn instants_come_in_the_spelling_of_every_client() {
        let at = Timestamp::from_unix_ms(1_795_240_636_404);
        for text in [
            "2026-11-21T05:57:16.404Z",
            "2026-11-21T05:57:16.404227%2B0000",
            "2026-11-21T05:57:16.404227+0000",
            "2026-11-21T05:57:16.404227000%2B00:00",
            "2026-11-21T06:57:16.404%2B0100",
        ] {
            let query = Query::parse(&format!("at={text}"));
            assert_eq!(query.instant("at").unwrap(), Some(at), "{text}");
        }
        assert!(Query::parse("at=yesterday").instant("at").is_err());
    }
}
