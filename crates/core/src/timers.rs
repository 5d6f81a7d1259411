//! The waits after which a sandbox changes by itself.
//!
//! All anchors are stored facts (last activity, an instant to be destroyed at), so the instants at
//! which something is due can be computed anew after any restart.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::lifecycle::Shown;

/// Ten years: an interval above this is a mistake of units.
pub const MINUTES_MAX: u32 = 5_256_000;
/// Thirty days, as published in `/config`.
pub const AUTO_ARCHIVE_MINUTES_MAX: u32 = 43_200;
pub const AUTO_STOP_MINUTES_DEFAULT: u32 = 15;
pub const AUTO_ARCHIVE_MINUTES_DEFAULT: u32 = 10_080;

/// The intervals of one sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Idle minutes until it is stopped; `None` never.
    pub auto_stop_minutes: Option<u32>,
    /// Stopped minutes until it is archived. Kept and shown; archiving itself is not built yet.
    pub auto_archive_minutes: u32,
    pub auto_delete: AutoDelete,
    /// When it is destroyed whatever it does.
    pub destroy_at: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoDelete {
    Never,
    /// Stopping it deletes it.
    Ephemeral,
    AfterMinutes(u32),
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            auto_stop_minutes: Some(AUTO_STOP_MINUTES_DEFAULT),
            auto_archive_minutes: AUTO_ARCHIVE_MINUTES_DEFAULT,
            auto_delete: AutoDelete::Never,
            destroy_at: None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{field} {asked}: minimum 0; {field} is in minutes, 0 turns it off")]
    Negative { field: &'static str, asked: i64 },
    #[error("{field} {asked}: maximum {MINUTES_MAX}; {field} is in minutes")]
    TooLong { field: &'static str, asked: i64 },
}

fn minutes(field: &'static str, asked: i64) -> Result<u32, Error> {
    match u32::try_from(asked) {
        Ok(minutes) if minutes <= MINUTES_MAX => Ok(minutes),
        Ok(_) => Err(Error::TooLong { field, asked }),
        Err(_) if asked < 0 => Err(Error::Negative { field, asked }),
        Err(_) => Err(Error::TooLong { field, asked }),
    }
}

/// Zero turns it off.
pub fn parse_auto_stop(asked: i64) -> Result<Option<u32>, Error> {
    Ok(Some(minutes("autoStopInterval", asked)?).filter(|minutes| *minutes > 0))
}

/// Zero means the longest wait there is.
pub fn parse_auto_archive(asked: i64) -> Result<u32, Error> {
    Ok(match minutes("autoArchiveInterval", asked)? {
        0 => AUTO_ARCHIVE_MINUTES_MAX,
        given => given.min(AUTO_ARCHIVE_MINUTES_MAX),
    })
}

/// Negative turns it off, zero makes the sandbox ephemeral.
pub fn parse_auto_delete(asked: i64) -> Result<AutoDelete, Error> {
    Ok(match asked {
        i64::MIN..=-1 => AutoDelete::Never,
        0 => AutoDelete::Ephemeral,
        1.. => AutoDelete::AfterMinutes(minutes("autoDeleteInterval", asked)?),
    })
}

/// Counts from now; zero turns it off.
pub fn parse_ttl(asked: i64, now: Timestamp) -> Result<Option<Timestamp>, Error> {
    Ok(match minutes("ttlMinutes", asked)? {
        0 => None,
        given => Some(now.after(of_minutes(given))),
    })
}

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Due {
    Stop,
    Delete,
}

/// The next thing that the clock will ask of a sandbox in this state, and when.
#[must_use]
pub fn next_due(timers: &Timers, shown: Shown, last_active: Timestamp) -> Option<(Timestamp, Due)> {
    let by_state = match shown {
        Shown::Started => timers
            .auto_stop_minutes
            .map(|minutes| (last_active.after(of_minutes(minutes)), Due::Stop)),
        Shown::Stopped => match timers.auto_delete {
            AutoDelete::Never => None,
            AutoDelete::Ephemeral => Some((last_active, Due::Delete)),
            AutoDelete::AfterMinutes(minutes) => {
                Some((last_active.after(of_minutes(minutes)), Due::Delete))
            }
        },
        Shown::Creating
        | Shown::BuildingSnapshot
        | Shown::Starting
        | Shown::Resizing
        | Shown::Stopping
        | Shown::Error => None,
        Shown::Destroying | Shown::Destroyed => return None,
    };
    let by_ttl = timers.destroy_at.map(|at| (at, Due::Delete));
    by_state.into_iter().chain(by_ttl).min()
}

fn of_minutes(minutes: u32) -> Duration {
    Duration::from_secs(u64::from(minutes) * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::from_unix_ms(1_000_000);

    #[test]
    fn intervals_read_as_the_contract_says() {
        assert_eq!(parse_auto_stop(0), Ok(None));
        assert_eq!(parse_auto_archive(0), Ok(AUTO_ARCHIVE_MINUTES_MAX));
        assert_eq!(parse_auto_archive(99_999), Ok(AUTO_ARCHIVE_MINUTES_MAX));
        assert_eq!(parse_auto_delete(-1), Ok(AutoDelete::Never));
        assert_eq!(parse_auto_delete(0), Ok(AutoDelete::Ephemeral));
        assert_eq!(parse_ttl(0, T0), Ok(None));
        assert_eq!(
            parse_auto_stop(-1).unwrap_err().to_string(),
            "autoStopInterval -1: minimum 0; autoStopInterval is in minutes, 0 turns it off"
        );
        assert!(parse_ttl(i64::MAX, T0).is_err());
    }

    #[test]
    fn only_a_started_sandbox_is_auto_stopped_and_only_a_stopped_one_auto_deleted() {
        let timers = Timers {
            auto_delete: AutoDelete::AfterMinutes(5),
            ..Timers::default()
        };
        for shown in Shown::ALL {
            let due = next_due(&timers, shown, T0).map(|(_, due)| due);
            let expected = match shown {
                Shown::Started => Some(Due::Stop),
                Shown::Stopped => Some(Due::Delete),
                _ => None,
            };
            assert_eq!(due, expected, "{shown:?}");
        }
    }

    #[test]
    fn a_time_to_live_counts_in_every_state_that_is_not_being_deleted() {
        let timers = Timers {
            auto_stop_minutes: None,
            destroy_at: Some(T0),
            ..Timers::default()
        };
        for shown in Shown::ALL {
            let expected = match shown {
                Shown::Destroying | Shown::Destroyed => None,
                _ => Some((T0, Due::Delete)),
            };
            assert_eq!(next_due(&timers, shown, T0), expected, "{shown:?}");
        }
    }

    #[test]
    fn the_earlier_of_two_timers_is_next() {
        let timers = Timers {
            auto_stop_minutes: Some(1),
            destroy_at: Some(T0.after(Duration::from_secs(30))),
            ..Timers::default()
        };
        let due = next_due(&timers, Shown::Started, T0);
        assert_eq!(due, Some((T0.after(Duration::from_secs(30)), Due::Delete)));
    }
}
