//! Why a goal could not be reached, for the server and for people.

use std::error::Error as _;
use std::io;

use sebring_api::runner::FailureCode;

/// A phase of bring-up or another step, with its cause.
#[derive(Debug, thiserror::Error)]
#[error("{phase}")]
pub(crate) struct Failure {
    pub(crate) code: FailureCode,
    pub(crate) phase: &'static str,
    #[source]
    pub(crate) source: Box<dyn std::error::Error + Send + Sync>,
}

impl Failure {
    pub(crate) fn new(
        code: FailureCode,
        phase: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            code,
            phase,
            source: source.into(),
        }
    }

    /// Whether it would help to end something else.
    pub(crate) const fn wants_room(&self) -> bool {
        match self.code {
            FailureCode::OutOfProcesses | FailureCode::OutOfAddresses => true,
            FailureCode::SnapshotMissing
            | FailureCode::DiskFull
            | FailureCode::DoesNotFit
            | FailureCode::HostError => false,
        }
    }

    /// The phase and the whole chain of causes, in one line.
    pub(crate) fn message(&self) -> String {
        let mut text = self.phase.to_owned();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// For `map_err`: an I/O error in `phase`, its code following from what the kernel said.
pub(crate) fn in_phase(phase: &'static str) -> impl Fn(io::Error) -> Failure {
    move |source| Failure::new(code_of(&source), phase, source)
}

pub(crate) fn code_of(error: &io::Error) -> FailureCode {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => FailureCode::DiskFull,
        // Of clone: the limit on processes, of the host or of all sandboxes together.
        io::ErrorKind::WouldBlock => FailureCode::OutOfProcesses,
        io::ErrorKind::AddrNotAvailable => FailureCode::OutOfAddresses,
        _ => FailureCode::HostError,
    }
}
