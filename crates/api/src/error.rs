//! The error envelope that every published client understands, the same from every part of ours.
//!
//! Must not: choose statuses; each HTTP surface maps its own errors in one place.

use serde::{Deserialize, Serialize};

/// Which part answered. Clients pick an exception class by (`source`, `code`) first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Source {
    #[serde(rename = "DAYTONA_API")]
    Api,
    #[serde(rename = "DAYTONA_DAEMON")]
    Toolbox,
    #[serde(rename = "DAYTONA_PROXY")]
    Edge,
}

/// Body of every error response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorBody {
    /// Equal to the HTTP status: the Go client trusts this number over the status line.
    pub status_code: u16,
    /// The HTTP reason phrase, always a string: the CLI prints `error: message`.
    pub error: String,
    /// What went wrong and what to do, for people.
    pub message: String,
    /// Stable machine code such as `FILE_NOT_FOUND`.
    pub code: String,
    pub source: Source,
    /// RFC 3339, UTC.
    pub timestamp: String,
    pub path: String,
    pub method: String,
}
