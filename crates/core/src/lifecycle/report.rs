//! How a runner's word, or the lack of one, changes a record.
//!
//! Must not: change the intent in `absorb`; the intent follows in `follow`, as a step of its own.

use super::ask::next;
use super::{
    BRING_UP_MAX, Failure, FailureCode, Intent, Observed, Record, StopMode, StopReason, WhyRunning,
    WhyStopped,
};
use crate::clock::Timestamp;
use crate::id::Generation;

/// What a runner says about one sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The generation whose goal was reached or failed, or waits for a build.
    pub generation: Generation,
    pub state: Reported,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    Absent,
    /// It has begun, and waits for its snapshot, whose build ends by then one way or the other.
    Building {
        until: Timestamp,
    },
    Running {
        toolbox_socket: String,
        unenforced: Vec<String>,
    },
    Stopped(StopReason),
    Failed(Failure),
}

/// The record after hearing `report`. Hearing the same twice is the same as once, and a report
/// older than what is known changes nothing.
#[must_use]
pub fn absorb(record: &Record, report: &Report) -> Record {
    let observed = match &report.state {
        Reported::Absent => return absorb_absence(record),
        Reported::Building { until } => return absorb_build(record, report.generation, *until),
        Reported::Running {
            toolbox_socket,
            unenforced,
        } => Observed::Running {
            toolbox_socket: toolbox_socket.clone(),
            unenforced: unenforced.clone(),
        },
        Reported::Stopped(reason) => Observed::Stopped(keep_cause(record, *reason)),
        Reported::Failed(failure) => Observed::Failed(failure.clone()),
    };
    let stale = report.generation < record.observed_generation;
    if stale || matches!(record.observed, Observed::Gone) {
        return record.clone();
    }
    Record {
        intent: record.intent.clone(),
        // A runner that is ahead of us (a restored database) ignores our number: go past its own.
        generation: if report.generation > record.generation {
            report.generation.next()
        } else {
            record.generation
        },
        observed,
        observed_generation: report.generation,
        deadline: record.deadline,
    }
}

/// A build answers no intent. It counts for the newest one alone, and gives it as long again as any
/// bring-up has.
fn absorb_build(record: &Record, generation: Generation, until: Timestamp) -> Record {
    let waits = matches!(record.intent, Intent::Running(_))
        && !record.is_answered()
        && generation == record.generation;
    let observed = match record.observed {
        Observed::Unseen | Observed::Building | Observed::Failed(_) => Observed::Building,
        // What is known of a disk is worth more.
        Observed::Running { .. } | Observed::Stopped(_) | Observed::Gone => return record.clone(),
    };
    if !waits {
        return record.clone();
    }
    Record {
        observed,
        deadline: Some(until.after(BRING_UP_MAX)),
        ..record.clone()
    }
}

/// A runner that is told to keep an ended sandbox stopped answers that it was asked to; the reason
/// for which it ended is what its owner wants to know.
fn keep_cause(record: &Record, reported: StopReason) -> StopReason {
    match (&record.intent, &record.observed, reported) {
        (Intent::Stopped(WhyStopped::Ended), Observed::Stopped(cause), StopReason::Asked) => *cause,
        (_, _, reason) => reason,
    }
}

fn absorb_absence(record: &Record) -> Record {
    let observed = match (&record.intent, &record.observed) {
        (Intent::Deleted, _) => Observed::Gone,
        // Not there yet, or already known to have failed.
        (_, Observed::Unseen | Observed::Building | Observed::Failed(_) | Observed::Gone) => {
            return record.clone();
        }
        (_, Observed::Running { .. } | Observed::Stopped(_)) => Observed::Failed(Failure {
            code: FailureCode::Lost,
            message: "its host has nothing of this sandbox any more".into(),
        }),
    };
    Record {
        observed,
        observed_generation: record.generation,
        ..record.clone()
    }
}

/// The intent follows a sandbox that ended by itself: stopped, or deleted when it is ephemeral.
#[must_use]
pub fn follow(record: &Record, ephemeral: bool) -> Record {
    let intent = if ephemeral {
        Intent::Deleted
    } else {
        Intent::Stopped(WhyStopped::Ended)
    };
    next(record, intent)
}

/// Takes a refused resize back; the caller restores the old resources beside it.
#[must_use]
pub fn revert(record: &Record) -> Record {
    let intent = match &record.intent {
        Intent::Running(_) => Intent::Running(WhyRunning::Adjusted),
        Intent::Stopped(_) => Intent::Stopped(WhyStopped::Asked(StopMode::Graceful)),
        Intent::Deleted => Intent::Deleted,
    };
    next(record, intent)
}

/// The bring-up took too long. A late success of the runner still replaces this.
#[must_use]
pub fn give_up(record: &Record) -> Record {
    Record {
        observed: Observed::Failed(Failure {
            code: FailureCode::Timeout,
            message: "the sandbox's host did not bring it up in time".into(),
        }),
        observed_generation: record.generation,
        deadline: None,
        ..record.clone()
    }
}
