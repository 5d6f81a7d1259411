//! The accessibility tree: what programs say is on the screen, and asking them to act on it.
//!
//! ```text
//! X root window ── property AT_SPI_BUS ──▶ address of the message bus
//! bus ── registry ──▶ applications ──▶ windows ──▶ … nodes
//! ```
//!
//! Must not: believe sizes or depths that programs tell: walks have a budget, a depth and a
//! deadline. Next: `bus` for one node, `walk` for many, `routes` for what is served.

mod bus;
pub(crate) mod routes;
mod states;
mod walk;

use std::time::Duration;

/// What one request may take in all.
const TIME_MAX: Duration = Duration::from_secs(20);
/// For one program's answer; one that hangs is left out.
const ANSWER_MAX: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("accessibility is not available: {0}")]
    Unavailable(String),
    #[error("no accessible node {0:?}; it may have been closed, so ask for the tree again")]
    NodeNotFound(String),
    #[error("{0}")]
    NoRoot(String),
    #[error("{0}")]
    NotSupported(String),
    #[error("{0}")]
    Scope(String),
    #[error("{0}")]
    Invalid(String),
    #[error("the accessibility bus failed: {0}")]
    Bus(String),
    #[error("accessibility: no answer within {} s", TIME_MAX.as_secs())]
    Late,
}
