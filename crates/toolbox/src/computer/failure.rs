//! How failures of computer use look to clients.

use http::StatusCode;

use super::{access, display, kit, layout};
use crate::http::error::Failure;

/// The desktop is not there yet, and the caller can change that.
pub(crate) fn not_running() -> Failure {
    Failure::new(
        StatusCode::CONFLICT,
        "DESKTOP_NOT_RUNNING",
        "the desktop is not running; start it with POST /computeruse/start",
    )
}

impl From<kit::Missing> for Failure {
    fn from(missing: kit::Missing) -> Self {
        let solution = "create the sandbox from the snapshot `desktop`, or install the missing \
                        programs in this one";
        let message = format!("{missing}; {solution}");
        let details = format!("not found on PATH: {}", missing.0.join(", "));
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "COMPUTER_USE_UNAVAILABLE",
            message,
        )
        .with("details", details)
        .with("solution", solution)
    }
}

impl From<layout::Error> for Failure {
    fn from(error: layout::Error) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<display::Error> for Failure {
    fn from(error: display::Error) -> Self {
        match error {
            display::Error::Absent => not_running(),
            display::Error::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "DESKTOP_BUSY",
                "other input is under way; try again when it has ended",
            ),
            display::Error::Late | display::Error::Broken(_) | display::Error::Refused(_) => {
                Self::internal(error.to_string())
            }
            display::Error::Invalid(message) => Self::bad_request(message),
        }
    }
}

impl From<access::Error> for Failure {
    fn from(error: access::Error) -> Self {
        use access::Error;
        let (status, code) = match &error {
            Error::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "A11Y_UNAVAILABLE"),
            Error::NodeNotFound(_) => (StatusCode::NOT_FOUND, "A11Y_NODE_NOT_FOUND"),
            Error::NoRoot(_) => (StatusCode::NOT_FOUND, "A11Y_NO_ACCESSIBLE_ROOT"),
            Error::NotSupported(_) => (StatusCode::BAD_REQUEST, "A11Y_ACTION_NOT_SUPPORTED"),
            Error::Scope(_) => (StatusCode::BAD_REQUEST, "A11Y_INVALID_SCOPE"),
            Error::Invalid(_) => (StatusCode::BAD_REQUEST, "A11Y_INVALID_REQUEST"),
            Error::Bus(_) | Error::Late => (StatusCode::INTERNAL_SERVER_ERROR, "A11Y_INTERNAL"),
        };
        Self::new(status, code, error.to_string())
    }
}
