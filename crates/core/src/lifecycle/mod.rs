//! What is wanted of a sandbox, what is known of it, and what therefore happens next.
//!
//! ```text
//!  caller ── ask_* ──▶ Intent ─┐                       ┌─▶ shown_state   (for people)
//!                              ├─ Record ── decide ────┤
//!  runner ── absorb ─▶ Observed┘   ▲                   └─▶ Step          (for the reconciler)
//!                                  └── follow, revert, give_up ◀┘
//! ```
//!
//! [`Intent`] is written by requests (and by timers, which are requests of the clock), [`Observed`]
//! by reports of the runner. Nothing else is stored: the shown state is computed. Every change of
//! intent takes the next generation, and a report counts for the intent only when it carries that
//! generation, so a late answer to an old wish can never be taken for the answer to a new one.
//!
//! Delete is accepted in every state, and [`decide()`] answers `Ensure(Deleted)` until the sandbox
//! is gone: there is no state from which it does not finish.
//!
//! Must not: log, wait, spawn, or read a clock. Next: `ask` for what callers may ask, `report` for
//! what a runner's word changes, `sebring_server::reconcile` for the loop that carries steps out.

mod ask;
mod decide;
mod report;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use ask::{
    AfterRecovery, Refusal, ask_delete, ask_recover, ask_resize, ask_settings, ask_start, ask_stop,
    created,
};
pub use decide::{Goal, Shown, Step, decide, shown_state};
pub use report::{Report, Reported, absorb, follow, give_up, revert};

use crate::clock::Timestamp;
use crate::id::Generation;
use crate::resources::Resources;

/// How long a bring-up may take before it is called failed. Far above any honest bring-up, so that
/// that only a runner that is gone or stuck meets it; the runner's late success still counts. Where
/// a snapshot is built first, it counts from the latest end of that build.
pub const BRING_UP_MAX: Duration = Duration::from_secs(300);

/// All that is stored about the life of one sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub intent: Intent,
    /// Counts intents; the newest one has this number.
    pub generation: Generation,
    pub observed: Observed,
    /// The generation that `observed` answers.
    pub observed_generation: Generation,
    /// When to give up on reaching the present intent; `None` means never.
    pub deadline: Option<Timestamp>,
}

impl Record {
    /// Whether the runner has answered the newest intent, with success or failure.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.observed_generation >= self.generation
    }
}

/// What is wanted, and which wish led to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    Running(WhyRunning),
    Stopped(WhyStopped),
    Deleted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyRunning {
    Created,
    Started,
    /// Live resize; `from` is what to return to when the host refuses.
    Resized {
        from: Resources,
    },
    /// The network policy changed, or a refused resize is being taken back.
    Adjusted,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyStopped {
    Asked(StopMode),
    /// The sandbox ended by itself and the intent followed.
    Ended,
    /// Resize of a stopped sandbox; `from` is what to return to when the host refuses.
    Resized {
        from: Resources,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    Graceful,
    Force,
}

/// The last word of a runner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observed {
    /// No runner has said anything yet.
    Unseen,
    /// The runner makes its snapshot first, which has a deadline of its own.
    Building,
    Running {
        toolbox_socket: String,
        /// Limits that the host could not enforce.
        unenforced: Vec<String>,
    },
    Stopped(StopReason),
    Failed(Failure),
    /// Deleted and confirmed. Final.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    Asked,
    Exited,
    OomKilled,
    HostLost,
}

impl StopReason {
    /// Why a sandbox that nobody stopped is not running, led by a code for programs.
    #[must_use]
    pub fn explain(self) -> Option<&'static str> {
        match self {
            Self::Asked => None,
            Self::Exited => Some("exited: the sandbox's first process ended by itself"),
            Self::OomKilled => {
                Some("oom_killed: the sandbox used up its memory and the kernel ended it")
            }
            Self::HostLost => Some("host_lost: the host restarted while the sandbox ran"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: FailureCode,
    pub message: String,
}

impl Failure {
    /// For people, led by the code: `disk_full: …`.
    #[must_use]
    pub fn explain(&self) -> String {
        format!("{}: {}", self.code.as_str(), self.message)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureCode {
    SnapshotMissing,
    DiskFull,
    OutOfProcesses,
    OutOfAddresses,
    DoesNotFit,
    HostError,
    /// The deadline passed without an answer.
    Timeout,
    /// The runner has nothing of a sandbox that it once had.
    Lost,
}

impl FailureCode {
    pub const ALL: [Self; 8] = [
        Self::SnapshotMissing,
        Self::DiskFull,
        Self::OutOfProcesses,
        Self::OutOfAddresses,
        Self::DoesNotFit,
        Self::HostError,
        Self::Timeout,
        Self::Lost,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SnapshotMissing => "snapshot_missing",
            Self::DiskFull => "disk_full",
            Self::OutOfProcesses => "out_of_processes",
            Self::OutOfAddresses => "out_of_addresses",
            Self::DoesNotFit => "does_not_fit",
            Self::HostError => "host_error",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
        }
    }

    /// Whether trying again can help without losing anything of the owner's.
    #[must_use]
    pub const fn is_recoverable(self) -> bool {
        match self {
            Self::DiskFull
            | Self::OutOfProcesses
            | Self::OutOfAddresses
            | Self::DoesNotFit
            | Self::HostError
            | Self::Timeout => true,
            Self::SnapshotMissing | Self::Lost => false,
        }
    }
}
