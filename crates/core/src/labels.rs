//! Labels: small key-value pairs by which owners find their sandboxes.

use std::collections::BTreeMap;

/// Enough for any scheme seen in the published clients, small enough to index.
pub const LABELS_MAX: usize = 64;
pub const KEY_BYTES_MAX: usize = 255;
pub const VALUE_BYTES_MAX: usize = 1024;

/// A bounded set of labels. Keys and values are kept exactly as given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(BTreeMap<String, String>);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("labels: {count} given; at most {LABELS_MAX} labels")]
    TooMany { count: usize },
    #[error("labels: a key is empty; a key has 1 to {KEY_BYTES_MAX} bytes")]
    EmptyKey,
    #[error("labels: key of {bytes} bytes; at most {KEY_BYTES_MAX} bytes")]
    KeyTooLong { bytes: usize },
    #[error("labels: value of {key:?} has {bytes} bytes; at most {VALUE_BYTES_MAX} bytes")]
    ValueTooLong { key: String, bytes: usize },
}

impl Labels {
    pub fn parse(map: BTreeMap<String, String>) -> Result<Self, Error> {
        if map.len() > LABELS_MAX {
            return Err(Error::TooMany { count: map.len() });
        }
        for (key, value) in &map {
            if key.is_empty() {
                return Err(Error::EmptyKey);
            }
            if key.len() > KEY_BYTES_MAX {
                return Err(Error::KeyTooLong { bytes: key.len() });
            }
            if value.len() > VALUE_BYTES_MAX {
                return Err(Error::ValueTooLong {
                    key: key.clone(),
                    bytes: value.len(),
                });
            }
        }
        Ok(Self(map))
    }

    #[must_use]
    pub const fn as_map(&self) -> &BTreeMap<String, String> {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_kept_exactly_and_bounded() {
        let map = BTreeMap::from([("code-toolbox-language".into(), " Python ".into())]);
        assert_eq!(Labels::parse(map.clone()).unwrap().as_map(), &map);
        let many = (0..=LABELS_MAX).map(|i| (i.to_string(), String::new()));
        assert!(Labels::parse(many.collect()).is_err());
        let long = BTreeMap::from([("k".into(), "v".repeat(VALUE_BYTES_MAX + 1))]);
        assert!(Labels::parse(long).is_err());
    }
}
