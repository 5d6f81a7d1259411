//! The control plane: who may do what with which sandbox, and seeing that it happens.
//!
//! ```text
//!  http ── one transaction ──▶ store ── commit ──▶ directory (memory) ──▶ events, reconciler, timers
//!                                                      ▲                        │
//!                                   handlers wait on it┘      runner ◀── commands│
//!                                                             └── observations ──▶ store
//! ```
//!
//! Handlers never call a runner: they write intent and wait until the directory shows it reached.
//! One owned task per changing sandbox ([`reconcile`]) does what `lifecycle::decide` says.
//!
//! Must not: listen, proxy, or speak to toolboxes (`sebring-edge` does), or speak SQL.
//! Next: `http` for the routes, `sandboxes` for what they do, `handle` for what the edge is given.
#![forbid(unsafe_code)]

mod app;
mod auth;
pub mod bootstrap;
mod config;
mod directory;
mod events;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod handle;
mod http;
mod random;
mod reconcile;
mod runner;
mod sandboxes;
mod snapshots;
mod start;
mod timers;
mod view;

pub use auth::Principal;
pub use config::{Config, PublicUrls, SnapshotAlias};
pub use events::Event;
pub use handle::{Handle, PreviewGrant, Route};
pub use http::target::encode_request_target;
pub use start::{StartError, start};

/// The OpenAPI document of every route, from the same table as the router.
#[must_use]
pub fn openapi_json() -> String {
    http::openapi::document()
}
