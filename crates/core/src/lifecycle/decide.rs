//! The two views of a record: the next step for the reconciler, and the state for people.
//!
//! Neither has a wildcard arm: a new intent or observation does not compile until both views have
//! decided about it.

use super::{Intent, Observed, Record, StopMode, WhyRunning, WhyStopped};
use crate::clock::Timestamp;
use crate::resources::Resources;

/// The next idempotent effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing to do until something changes.
    Rest,
    /// Tell the runner how the sandbox shall be.
    Ensure(Goal),
    /// The sandbox ended by itself: let the intent follow (`super::follow`).
    Follow,
    /// The host refused the new size: return to the old one (`super::revert`).
    RevertResize { to: Resources },
    /// The deadline has passed: record the failure (`super::give_up`).
    GiveUp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    Running,
    Stopped(StopMode),
    Deleted,
}

/// What clients see. The wire knows more names; these are the ones a record can mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shown {
    Creating,
    /// On its way up, once its snapshot is made.
    BuildingSnapshot,
    Starting,
    Started,
    Resizing,
    Stopping,
    Stopped,
    Error,
    Destroying,
    Destroyed,
}

impl Shown {
    pub const ALL: [Self; 10] = [
        Self::Creating,
        Self::BuildingSnapshot,
        Self::Starting,
        Self::Started,
        Self::Resizing,
        Self::Stopping,
        Self::Stopped,
        Self::Error,
        Self::Destroying,
        Self::Destroyed,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::BuildingSnapshot => "building_snapshot",
            Self::Starting => "starting",
            Self::Started => "started",
            Self::Resizing => "resizing",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Error => "error",
            Self::Destroying => "destroying",
            Self::Destroyed => "destroyed",
        }
    }
}

/// What to do next about this sandbox.
#[must_use]
pub fn decide(record: &Record, now: Timestamp) -> Step {
    match &record.intent {
        Intent::Deleted => match record.observed {
            Observed::Gone => Step::Rest,
            Observed::Unseen
            | Observed::Building
            | Observed::Running { .. }
            | Observed::Stopped(_)
            | Observed::Failed(_) => Step::Ensure(Goal::Deleted),
        },
        Intent::Running(why) => decide_running(record, why, now),
        Intent::Stopped(why) => decide_stopped(record, why),
    }
}

fn decide_running(record: &Record, why: &WhyRunning, now: Timestamp) -> Step {
    if matches!(record.observed, Observed::Gone) {
        return Step::Rest;
    }
    if ended_by_itself(record, why) {
        return Step::Follow;
    }
    if !record.is_answered() {
        return match record.deadline {
            Some(deadline) if deadline <= now => Step::GiveUp,
            Some(_) | None => Step::Ensure(Goal::Running),
        };
    }
    match &record.observed {
        Observed::Failed(_) => match why {
            WhyRunning::Resized { from } => Step::RevertResize { to: *from },
            WhyRunning::Created | WhyRunning::Started | WhyRunning::Adjusted => Step::Rest,
        },
        // An answered intent is neither; asking again is harmless.
        Observed::Unseen | Observed::Building => Step::Ensure(Goal::Running),
        Observed::Running { .. } | Observed::Stopped(_) | Observed::Gone => Step::Rest,
    }
}

fn decide_stopped(record: &Record, why: &WhyStopped) -> Step {
    let goal = Goal::Stopped(match why {
        WhyStopped::Asked(mode) => *mode,
        WhyStopped::Ended | WhyStopped::Resized { .. } => StopMode::Graceful,
    });
    match &record.observed {
        Observed::Gone => Step::Rest,
        _ if !record.is_answered() => Step::Ensure(goal),
        Observed::Stopped(_) => Step::Rest,
        Observed::Failed(_) => match why {
            WhyStopped::Resized { from } => Step::RevertResize { to: *from },
            WhyStopped::Asked(_) | WhyStopped::Ended => Step::Rest,
        },
        Observed::Unseen | Observed::Building | Observed::Running { .. } => Step::Ensure(goal),
    }
}

/// Whether a sandbox that shall run has stopped without being asked to. A start that is under way
/// is not ended by what the runner said before it; a live adjustment is.
fn ended_by_itself(record: &Record, why: &WhyRunning) -> bool {
    let adjusts_a_running_one = match why {
        WhyRunning::Resized { .. } | WhyRunning::Adjusted => true,
        WhyRunning::Created | WhyRunning::Started => false,
    };
    match record.observed {
        Observed::Stopped(_) => record.is_answered() || adjusts_a_running_one,
        Observed::Unseen
        | Observed::Building
        | Observed::Running { .. }
        | Observed::Failed(_)
        | Observed::Gone => false,
    }
}

/// The state that people are shown. Computed, never stored.
#[must_use]
pub fn shown_state(record: &Record) -> Shown {
    if matches!(record.observed, Observed::Gone) {
        return Shown::Destroyed;
    }
    match &record.intent {
        Intent::Deleted => Shown::Destroying,
        Intent::Running(why) => shown_running(record, why),
        Intent::Stopped(why) => shown_stopped(record, why),
    }
}

fn shown_running(record: &Record, why: &WhyRunning) -> Shown {
    if ended_by_itself(record, why) {
        return Shown::Stopped;
    }
    let under_way = match why {
        WhyRunning::Created => Shown::Creating,
        WhyRunning::Started => Shown::Starting,
        WhyRunning::Resized { .. } => Shown::Resizing,
        WhyRunning::Adjusted => match record.observed {
            Observed::Running { .. } => Shown::Started,
            Observed::Unseen
            | Observed::Building
            | Observed::Stopped(_)
            | Observed::Failed(_)
            | Observed::Gone => Shown::Starting,
        },
    };
    match record.observed {
        Observed::Building => Shown::BuildingSnapshot,
        _ if !record.is_answered() => under_way,
        Observed::Running { .. } => Shown::Started,
        Observed::Failed(_) => match why {
            // About to be taken back; the sandbox itself is fine.
            WhyRunning::Resized { .. } => Shown::Resizing,
            WhyRunning::Created | WhyRunning::Started | WhyRunning::Adjusted => Shown::Error,
        },
        Observed::Unseen | Observed::Stopped(_) | Observed::Gone => under_way,
    }
}

fn shown_stopped(record: &Record, why: &WhyStopped) -> Shown {
    match &record.observed {
        Observed::Failed(_) if record.is_answered() => match why {
            WhyStopped::Resized { .. } => Shown::Resizing,
            WhyStopped::Asked(_) | WhyStopped::Ended => Shown::Error,
        },
        Observed::Stopped(_) => match why {
            WhyStopped::Resized { .. } if !record.is_answered() => Shown::Resizing,
            // Of before a start that was under way, and may have got far.
            WhyStopped::Asked(_) if !record.is_answered() => Shown::Stopping,
            WhyStopped::Resized { .. } | WhyStopped::Asked(_) | WhyStopped::Ended => Shown::Stopped,
        },
        Observed::Unseen
        | Observed::Building
        | Observed::Running { .. }
        | Observed::Failed(_)
        | Observed::Gone => Shown::Stopping,
    }
}
