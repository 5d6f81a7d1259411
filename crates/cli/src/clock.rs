//! The wall clock, for the roles that the composition root starts.
//!
//! Must not: be asked by decisions; those take a `Timestamp`.

use std::time::UNIX_EPOCH;

use sebring_core::clock::{Clock, Timestamp};

#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one reader of the system clock"
    )]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}
