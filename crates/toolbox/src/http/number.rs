//! Numbers as clients send them: `10` and `10.0` are the same.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// Longer than any sandbox lives; keeps arithmetic with instants safe.
const SECONDS_MAX: f64 = 4_294_967_295.0;

/// A time limit in seconds; zero is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seconds(f64);

impl Seconds {
    pub(crate) fn limit(self) -> Option<Duration> {
        (self.0 > 0.0).then(|| Duration::from_secs_f64(self.0))
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        if (0.0..=SECONDS_MAX).contains(&seconds) {
            Ok(Self(seconds))
        } else {
            Err(de::Error::custom(format!(
                "{seconds} is not in 0..=4294967295 seconds"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_may_arrive_as_floats() {
        let ten = Some(Duration::from_secs(10));
        assert_eq!(serde_json::from_str::<Seconds>("10").unwrap().limit(), ten);
        assert_eq!(
            serde_json::from_str::<Seconds>("10.0").unwrap().limit(),
            ten
        );
        assert_eq!(serde_json::from_str::<Seconds>("0").unwrap().limit(), None);
        assert!(serde_json::from_str::<Seconds>("-1").is_err());
        assert!(serde_json::from_str::<Seconds>("\"10\"").is_err());
    }
}
