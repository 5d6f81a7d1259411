//! What a cell comes to, and how a process and all that it remembered may be lost.
//!
//! Must not: decide anything. Next: `cell` for how it comes about, `socket` for what a client hears.

use std::time::Duration;

use crate::process::Exit;

/// How a cell ended.
#[derive(Debug)]
pub(super) enum Ending {
    Completed,
    Interrupted,
    TimedOut {
        limit: Duration,
        state: State,
    },
    /// Nobody is left to be told; how the state was lost, if it was.
    Left(Option<Death>),
    /// The process is gone, and with it all state.
    Died(Death),
    /// The process could not be started.
    NotStarted(String),
    Deleted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Kept,
    Lost,
}

/// Why a process is of no more use.
#[derive(Clone, Debug)]
pub(super) enum Death {
    Exited(Exit),
    /// The kernel has killed it because this much memory, the sandbox's, was used up.
    OutOfMemory {
        limit_bytes: u64,
    },
    /// It did not keep to the protocol, or did not take the cell; why.
    Unusable(String),
    /// In the words of the program that was there before.
    Earlier(String),
}

impl Ending {
    /// How the state was lost, where it was there and is gone.
    pub(super) fn loss(&self) -> Option<Death> {
        match self {
            Self::Died(death) => Some(death.clone()),
            Self::Left(death) => death.clone(),
            Self::TimedOut {
                state: State::Lost, ..
            } => Some(Death::did_not_stop()),
            Self::TimedOut {
                state: State::Kept, ..
            }
            | Self::Completed
            | Self::Interrupted
            | Self::NotStarted(_)
            | Self::Deleted => None,
        }
    }
}

impl Death {
    /// Of a cell that was asked to.
    pub(super) fn did_not_stop() -> Self {
        Self::Unusable("a cell did not stop when it was interrupted".to_owned())
    }
}

impl std::fmt::Display for Death {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(Exit::Code(code)) => write!(to, "it exited with code {code}"),
            Self::Exited(Exit::Signal(signal)) => write!(to, "it was ended by signal {signal}"),
            Self::OutOfMemory { limit_bytes } => write!(
                to,
                "it was killed: out of memory (the sandbox's limit is {} MiB)",
                limit_bytes >> 20
            ),
            Self::Unusable(reason) => write!(to, "it had to be ended: {reason}"),
            Self::Earlier(words) => to.write_str(words),
        }
    }
}
