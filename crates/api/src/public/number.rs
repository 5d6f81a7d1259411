//! Whole numbers in request bodies, however a client spells them.

use std::fmt;

use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// Reads `2` and `2.0` alike, refuses `2.5`, and reads `null` as absent.
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    deserializer.deserialize_any(Whole)
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = Option<i64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Some(value))
    }

    /// Beyond `i64` nothing is in range anyway; what range that is, the server says.
    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float beyond i64 saturates, and is refused as out of range"
    )]
    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        if value.fract() == 0.0 {
            Ok(Some(value as i64))
        } else {
            Err(E::invalid_type(Unexpected::Float(value), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::public::ResizeSandbox;

    fn cpu(json: &str) -> Result<Option<i64>, serde_json::Error> {
        serde_json::from_str::<ResizeSandbox>(json).map(|resize| resize.cpu)
    }

    #[test]
    fn whole_numbers_are_read_in_every_spelling() {
        assert_eq!(cpu(r#"{"cpu":2}"#).unwrap(), Some(2));
        assert_eq!(cpu(r#"{"cpu":2.0}"#).unwrap(), Some(2));
        assert_eq!(cpu(r#"{"cpu":-1}"#).unwrap(), Some(-1));
        assert_eq!(cpu(r#"{"cpu":null}"#).unwrap(), None);
        assert_eq!(cpu("{}").unwrap(), None);
        assert_eq!(cpu(r#"{"cpu":1e300}"#).unwrap(), Some(i64::MAX));
    }

    #[test]
    fn fractions_and_texts_are_refused() {
        assert!(cpu(r#"{"cpu":2.5}"#).is_err());
        assert!(cpu(r#"{"cpu":"2"}"#).is_err());
        assert!(cpu(r#"{"cpu":true}"#).is_err());
    }
}
