//! Where time comes from. Decisions take `Timestamp` values; only the edges of the system ask a clock.
//!
//! Must not: read the system clock; `SystemClock` lives with the effects, `ManualClock` in testkit.

use std::fmt;
use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Text that is no instant.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Form(#[from] time::error::Parse),
    /// An offset can lead out of the years that have four digits, and no client reads others.
    #[error("its year is not within 0000 and 9999 in UTC")]
    Year,
}

/// An instant of UTC wall time with millisecond resolution, as stored and as sent to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    unix_ms: i64,
}

impl Timestamp {
    #[must_use]
    pub const fn from_unix_ms(unix_ms: i64) -> Self {
        Self { unix_ms }
    }

    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.unix_ms
    }

    /// This instant plus `duration`, saturating at the end of representable time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self {
            unix_ms: self.unix_ms.saturating_add(ms),
        }
    }

    /// How long until `later`; zero when it has passed.
    #[must_use]
    pub fn until(self, later: Self) -> Duration {
        Duration::from_millis(u64::try_from(later.unix_ms - self.unix_ms).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// ISO-8601, UTC, always three decimals and `Z`: the one form all published clients parse.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.unix_ms) * 1_000_000;
        let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).map_err(|_| fmt::Error)?;
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second(),
            at.millisecond()
        )
    }
}

impl std::str::FromStr for Timestamp {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at = OffsetDateTime::parse(text, &Rfc3339)?;
        let year = at
            .checked_to_offset(UtcOffset::UTC)
            .map(OffsetDateTime::year);
        if !year.is_some_and(|year| (0..=9999).contains(&year)) {
            return Err(Error::Year);
        }
        let ms = at.unix_timestamp_nanos() / 1_000_000;
        Ok(Self {
            unix_ms: i64::try_from(ms).expect("RFC 3339 years fit in i64 milliseconds"),
        })
    }
}

/// The only source of the present.
pub trait Clock: Send + Sync + fmt::Debug {
    fn now(&self) -> Timestamp;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_prints_milliseconds_and_reads_back() {
        let at = Timestamp::from_unix_ms(1_795_250_000_007);
        assert_eq!(at.to_string().len(), "2026-11-21T08:53:20.007Z".len());
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
    }

    #[test]
    fn an_instant_that_cannot_be_printed_is_none() {
        for text in ["9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00+23:59"] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
        let last = "9999-12-31T23:59:59.999Z";
        assert_eq!(last.parse::<Timestamp>().unwrap().to_string(), last);
    }

    #[test]
    fn until_a_past_instant_is_zero() {
        let now = Timestamp::from_unix_ms(10);
        assert_eq!(now.until(Timestamp::from_unix_ms(3)), Duration::ZERO);
    }
}
