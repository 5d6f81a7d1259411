//! Every reason the edge has for not carrying a request, and its one mapping to HTTP.
//!
//! Must not: say more to a caller than the caller may know; details go to the log.

use http::StatusCode;
use thiserror::Error;

use crate::directory::Unavailable;
use crate::upstream;

#[derive(Debug, Error)]
pub(crate) enum Refusal {
    #[error("no credentials: send `Authorization: Bearer <API key>`")]
    NoCredentials,
    #[error("Invalid credentials")]
    BadCredentials,
    #[error(
        "this preview is private, or its link has expired: ask for a new signed link \
         (create_signed_preview_url of an SDK), or give the sandbox's preview token, in a \
         browser by adding ?DAYTONA_SANDBOX_AUTH_KEY=TOKEN to the address, elsewhere in the \
         header x-daytona-preview-token"
    )]
    PrivatePreview,
    #[error("Sandbox with ID or name {reference} not found")]
    NoSuchSandbox { reference: String },
    #[error(
        "the sandbox is {state}. Is the Sandbox started? Start it with POST {api_path}/sandbox/{id}/start"
    )]
    NotRunning {
        state: String,
        id: String,
        api_path: String,
    },
    #[error("the sandbox is {state}: wait until its state is `started` and try again")]
    Changing { state: String },
    #[error("nothing listens on port {port} of the sandbox; {}", listing(.listening))]
    PortClosed { port: u16, listening: Vec<u16> },
    #[error("what listens on port {port} of the sandbox does not speak HTTP")]
    NotHttp { port: u16 },
    #[error("the sandbox's toolbox cannot be reached; if this lasts, stop and start the sandbox")]
    Unreachable,
    #[error("the sandbox closed the connection before it answered")]
    Broken,
    #[error("no such route")]
    NoSuchRoute,
    #[error("the request target or a header cannot be forwarded: {what}")]
    Malformed { what: &'static str },
    #[error("the request's body broke off, or its chunks are not framed as HTTP/1.1 frames them")]
    BrokenUpload,
    #[error("the control plane cannot answer right now; try again")]
    Unavailable(#[from] Unavailable),
}

fn listing(ports: &[u16]) -> String {
    if ports.is_empty() {
        return "no port is being listened on".into();
    }
    let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("ports listened on: {}", ports.join(", "))
}

impl Refusal {
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::NoCredentials | Self::BadCredentials | Self::PrivatePreview => {
                StatusCode::UNAUTHORIZED
            }
            Self::NoSuchSandbox { .. } | Self::NoSuchRoute => StatusCode::NOT_FOUND,
            // The published clients expect 400, not 409, for a sandbox that does not run.
            Self::NotRunning { .. } | Self::Malformed { .. } | Self::BrokenUpload => {
                StatusCode::BAD_REQUEST
            }
            Self::Changing { .. } => StatusCode::CONFLICT,
            Self::PortClosed { .. } | Self::NotHttp { .. } | Self::Unreachable | Self::Broken => {
                StatusCode::BAD_GATEWAY
            }
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(crate) const fn is_passing(&self) -> bool {
        match self {
            Self::Changing { .. } | Self::Unavailable(_) => true,
            Self::NoCredentials
            | Self::BadCredentials
            | Self::PrivatePreview
            | Self::NoSuchSandbox { .. }
            | Self::NoSuchRoute
            | Self::NotRunning { .. }
            | Self::PortClosed { .. }
            | Self::NotHttp { .. }
            | Self::Unreachable
            | Self::Broken
            | Self::Malformed { .. }
            | Self::BrokenUpload => false,
        }
    }

    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::NoCredentials | Self::BadCredentials | Self::PrivatePreview => "UNAUTHORIZED",
            Self::NoSuchSandbox { .. } => "SANDBOX_NOT_FOUND",
            Self::NoSuchRoute => "NOT_FOUND",
            Self::NotRunning { .. } => "SANDBOX_NOT_STARTED",
            Self::Changing { .. } => "SANDBOX_STATE_CHANGING",
            Self::Malformed { .. } | Self::BrokenUpload => "BAD_REQUEST",
            Self::PortClosed { .. } => "PORT_NOT_LISTENING",
            Self::NotHttp { .. } => "PORT_NOT_HTTP",
            Self::Unreachable | Self::Broken => "SANDBOX_UNREACHABLE",
            Self::Unavailable(_) => "SERVICE_UNAVAILABLE",
        }
    }

    /// What a failed exchange means to the caller who asked for `port` (or for the toolbox).
    pub(crate) fn from_upstream(failure: &upstream::Error, port: Option<u16>) -> Self {
        match (failure, port) {
            (upstream::Error::Refused(refused), Some(port)) if refused.is_about_the_port() => {
                Self::PortClosed {
                    port,
                    listening: refused.listening_ports(),
                }
            }
            (upstream::Error::NotHttp, Some(port)) => Self::NotHttp { port },
            (upstream::Error::Exchange(error), Some(port)) if error.is_parse() => {
                Self::NotHttp { port }
            }
            // The only part of an exchange that is not the sandbox's is the body we pass on.
            (upstream::Error::Exchange(error), _) if error.is_user() => Self::BrokenUpload,
            (upstream::Error::Exchange(_), _) => Self::Broken,
            (
                upstream::Error::Connect(_)
                | upstream::Error::Refused(_)
                | upstream::Error::NotHttp,
                _,
            ) => Self::Unreachable,
        }
    }
}
