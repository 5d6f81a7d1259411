//! What callers may ask of a sandbox, and when it is refused.
//!
//! Each function takes the old record and returns the new one, `None` when the wish is already
//! fulfilled or under way, or a named refusal.
//! Must not: know of HTTP; `sebring_server::http::error` gives refusals their statuses.

use super::{
    BRING_UP_MAX, Intent, Observed, Record, Shown, StopMode, WhyRunning, WhyStopped, shown_state,
};
use crate::clock::Timestamp;
use crate::id::Generation;
use crate::resources::Resources;

/// Why a wish cannot be granted now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("Sandbox is being deleted")]
    Deleting,
    #[error("Sandbox state change in progress")]
    Changing,
    #[error("Sandbox is not in a stoppable state")]
    NotStoppable,
    #[error("Sandbox is in an errored state; recover, start or delete it")]
    Errored,
    #[error("Sandbox is not in an error state, so there is nothing to recover")]
    NotErrored,
}

/// The record of a sandbox that was just asked for.
#[must_use]
pub fn created(now: Timestamp) -> Record {
    Record {
        intent: Intent::Running(WhyRunning::Created),
        generation: Generation(1),
        observed: Observed::Unseen,
        observed_generation: Generation(0),
        deadline: Some(now.after(BRING_UP_MAX)),
    }
}

pub fn ask_start(record: &Record, now: Timestamp) -> Result<Option<Record>, Refusal> {
    match shown_state(record) {
        Shown::Stopped | Shown::Error => Ok(Some(start(record, now))),
        Shown::Creating | Shown::BuildingSnapshot | Shown::Starting | Shown::Started => Ok(None),
        Shown::Resizing | Shown::Stopping => Err(Refusal::Changing),
        Shown::Destroying | Shown::Destroyed => Err(Refusal::Deleting),
    }
}

/// Accepted while a start is still under way: the newest wish counts.
pub fn ask_stop(record: &Record, mode: StopMode) -> Result<Option<Record>, Refusal> {
    match shown_state(record) {
        Shown::Creating
        | Shown::BuildingSnapshot
        | Shown::Starting
        | Shown::Started
        | Shown::Resizing
        | Shown::Error
        | Shown::Stopping => {
            let asked = Intent::Stopped(WhyStopped::Asked(mode));
            let repeated = record.intent == asked && !record.is_answered();
            Ok((!repeated).then(|| next(record, asked)))
        }
        Shown::Stopped => Err(Refusal::NotStoppable),
        Shown::Destroying | Shown::Destroyed => Err(Refusal::Deleting),
    }
}

/// Never refused, in any state.
#[must_use]
pub fn ask_delete(record: &Record) -> Option<Record> {
    match record.intent {
        Intent::Running(_) | Intent::Stopped(_) => Some(next(record, Intent::Deleted)),
        Intent::Deleted => None,
    }
}

pub fn ask_recover(
    record: &Record,
    then: AfterRecovery,
    now: Timestamp,
) -> Result<Record, Refusal> {
    match shown_state(record) {
        Shown::Error => Ok(match then {
            AfterRecovery::Started => start(record, now),
            AfterRecovery::Stopped => {
                next(record, Intent::Stopped(WhyStopped::Asked(StopMode::Force)))
            }
        }),
        Shown::Creating
        | Shown::BuildingSnapshot
        | Shown::Starting
        | Shown::Stopping
        | Shown::Resizing => Err(Refusal::Changing),
        Shown::Started | Shown::Stopped => Err(Refusal::NotErrored),
        Shown::Destroying | Shown::Destroyed => Err(Refusal::Deleting),
    }
}

/// What a recovered sandbox shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterRecovery {
    Started,
    Stopped,
}

/// The record that makes the runner apply new resources; the caller stores them beside it.
pub fn ask_resize(record: &Record, from: Resources) -> Result<Record, Refusal> {
    match shown_state(record) {
        Shown::Started => Ok(next(record, Intent::Running(WhyRunning::Resized { from }))),
        Shown::Stopped => Ok(next(record, Intent::Stopped(WhyStopped::Resized { from }))),
        Shown::Error => Err(Refusal::Errored),
        Shown::Creating
        | Shown::BuildingSnapshot
        | Shown::Starting
        | Shown::Stopping
        | Shown::Resizing => Err(Refusal::Changing),
        Shown::Destroying | Shown::Destroyed => Err(Refusal::Deleting),
    }
}

/// The record that makes a runner apply a changed network policy, `None` when nothing runs and the
/// next start will apply it.
pub fn ask_settings(record: &Record, now: Timestamp) -> Result<Option<Record>, Refusal> {
    let adjusted = || next(record, Intent::Running(WhyRunning::Adjusted));
    match shown_state(record) {
        Shown::Started => Ok(Some(adjusted())),
        // The bring-up under way may have read the old policy already, so it is told again.
        Shown::Creating | Shown::BuildingSnapshot | Shown::Starting => {
            Ok(Some(match &record.intent {
                Intent::Running(why) => Record {
                    // That of a build may be later.
                    deadline: record.deadline.max(Some(now.after(BRING_UP_MAX))),
                    ..next(record, Intent::Running(why.clone()))
                },
                Intent::Stopped(_) | Intent::Deleted => adjusted(),
            }))
        }
        Shown::Stopped | Shown::Stopping | Shown::Error => Ok(None),
        Shown::Resizing => Err(Refusal::Changing),
        Shown::Destroying | Shown::Destroyed => Err(Refusal::Deleting),
    }
}

fn start(record: &Record, now: Timestamp) -> Record {
    Record {
        deadline: Some(now.after(BRING_UP_MAX)),
        ..next(record, Intent::Running(WhyRunning::Started))
    }
}

pub(super) fn next(record: &Record, intent: Intent) -> Record {
    Record {
        intent,
        generation: record.generation.next(),
        observed: record.observed.clone(),
        observed_generation: record.observed_generation,
        deadline: None,
    }
}
