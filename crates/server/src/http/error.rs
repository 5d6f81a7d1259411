//! The one place where errors get their HTTP status and code.
//!
//! Blame is split: the caller's mistake is 4xx, ours is 5xx, "not now" is 409 or 503 with what to
//! wait for. Internal detail goes to the log, never to the body.

use http::StatusCode;
use sebring_core::lifecycle::{FailureCode, Refusal};
use sebring_store::Error as StoreError;
use sebring_tasks::chain;
use tracing::error;

use crate::sandboxes::Error;

/// A refusal or failure, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    /// Stable, for programs.
    pub(super) code: &'static str,
    /// For people.
    pub(super) message: String,
}

const UNEXPECTED: &str = "An unexpected error occurred.";

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn invalid(message: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "Invalid credentials",
        )
    }

    pub(super) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", "Access denied")
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", message)
    }

    pub(super) fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", message)
    }

    pub(super) fn not_yet(what: &str) -> Self {
        let message = format!("{what} is not available yet");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "NOT_AVAILABLE", message)
    }

    pub(super) fn too_large() -> Self {
        let limit = super::call::BODY_BYTES_MAX;
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BODY_TOO_LARGE",
            format!("the body is larger than {limit} bytes"),
        )
    }

    /// Logged here, once; the caller learns only that it was not their mistake.
    pub(super) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        error!(error = %chain(cause), "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", UNEXPECTED)
    }

    pub(super) fn panicked() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", UNEXPECTED)
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::NotFound(_) => Self::new(StatusCode::NOT_FOUND, "SANDBOX_NOT_FOUND", message),
            Error::Refused(refusal) => refused(refusal, message),
            Error::Invalid(_) => Self::invalid(message),
            Error::NameTaken(_) => Self::new(StatusCode::CONFLICT, "NAME_TAKEN", message),
            Error::NotAvailable(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "NOT_AVAILABLE", message)
            }
            Error::UnknownRegion => Self::new(StatusCode::NOT_FOUND, "REGION_NOT_FOUND", message),
            Error::UnknownSnapshot(_) => {
                Self::new(StatusCode::BAD_REQUEST, "SNAPSHOT_NOT_FOUND", message)
            }
            Error::NoRunner => Self::new(StatusCode::SERVICE_UNAVAILABLE, "NO_RUNNER", message),
            Error::Overloaded(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "OVERLOADED", message)
            }
            Error::FailedToStart(failure) => failed_to_start(failure.code, message),
            Error::ResizeRefused(_) => Self::new(StatusCode::BAD_REQUEST, "DOES_NOT_FIT", message),
            Error::Store(error) => error.into(),
        }
    }
}

fn refused(refusal: Refusal, message: String) -> ApiError {
    match refusal {
        Refusal::Changing => {
            ApiError::new(StatusCode::CONFLICT, "STATE_CHANGE_IN_PROGRESS", message)
        }
        Refusal::Deleting => ApiError::new(StatusCode::CONFLICT, "SANDBOX_DELETED", message),
        Refusal::NotStoppable | Refusal::Errored | Refusal::NotErrored => {
            ApiError::new(StatusCode::BAD_REQUEST, "INVALID_STATE", message)
        }
    }
}

fn failed_to_start(code: FailureCode, message: String) -> ApiError {
    let (status, code) = match code {
        FailureCode::SnapshotMissing => (StatusCode::BAD_REQUEST, "SNAPSHOT_MISSING"),
        FailureCode::DoesNotFit => (StatusCode::BAD_REQUEST, "DOES_NOT_FIT"),
        FailureCode::Lost => (StatusCode::CONFLICT, "LOST"),
        FailureCode::DiskFull => (StatusCode::INSUFFICIENT_STORAGE, "DISK_FULL"),
        FailureCode::OutOfProcesses => (StatusCode::SERVICE_UNAVAILABLE, "OUT_OF_PROCESSES"),
        FailureCode::OutOfAddresses => (StatusCode::SERVICE_UNAVAILABLE, "OUT_OF_ADDRESSES"),
        FailureCode::Timeout => (StatusCode::GATEWAY_TIMEOUT, "TIMEOUT"),
        FailureCode::HostError => (StatusCode::INTERNAL_SERVER_ERROR, "HOST_ERROR"),
    };
    ApiError::new(status, code, message)
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "DATABASE_FULL",
                "the server's database disk is full; nothing was changed. Free space and try again",
            ),
            StoreError::Overloaded => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "OVERLOADED",
                "too many requests wait for the database; try again in a few seconds",
            ),
            StoreError::Closed => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "STOPPING",
                "the server is stopping; try again in a few seconds",
            ),
            // Uniqueness that no handler has given a name to.
            StoreError::NameTaken => Self::conflict(error.to_string()),
            StoreError::Panicked
            | StoreError::Newer { .. }
            | StoreError::Corrupt { .. }
            | StoreError::File { .. }
            | StoreError::Sync(_)
            | StoreError::Sql(_) => Self::internal(&error),
        }
    }
}
