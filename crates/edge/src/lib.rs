//! The data plane: everything that arrives on the one TCP listener. API requests go to the
//! control plane's router; toolbox requests, previews and WebSockets go straight to a sandbox's
//! unix socket; events leave by Socket.IO.
//!
//! Must not: know the store or the control plane's types (it asks a [`Directory`]), buffer a body,
//! or let a credential of ours into a sandbox.
//! Next: `route` says where a request goes, `access` who may, `toolbox` and `preview` carry it,
//! `terminal` and `recordings` are pages, `upstream` holds the connections into sandboxes.
#![forbid(unsafe_code)]

mod access;
mod activity;
mod carry;
mod cookie;
mod cors;
mod directory;
mod events;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod listener;
mod page;
mod preview;
mod query;
mod recordings;
mod refusal;
mod reply;
mod route;
mod service;
mod signature;
mod terminal;
mod toolbox;
mod tunnel;
mod upstream;

use std::fmt;
use std::sync::Arc;

use sebring_core::clock::Clock;
use sebring_tasks::Tasks;
use tokio::net::TcpListener;

pub use directory::{
    Directory, Event, Missed, PreviewGrant, Principal, SandboxRoute, Secret, Unavailable,
};

/// What the edge must be told.
#[derive(Debug)]
pub struct Config {
    /// Path under which the control plane's router answers, without a trailing slash: `/api`.
    pub api_path: String,
    /// Previews are `{port}-{sandbox}.{preview_domain}`; any port of the listener.
    pub preview_domain: String,
    /// Whether browsers reach previews by https, so that cookies may say `Secure`.
    pub previews_are_https: bool,
    /// Key of this installation for signing cookies; at least 32 random bytes.
    pub cookie_key: Secret<Vec<u8>>,
    /// Client connections at one time; more are answered 503 and closed.
    pub connections_max: usize,
    pub clock: Arc<dyn Clock>,
}

/// The data plane, ready to serve.
pub struct Edge {
    service: service::Service,
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge").finish_non_exhaustive()
    }
}

impl Edge {
    /// `api_router` receives every request that is neither a preview, a toolbox path nor events;
    /// it sees the full path, `config.api_path` included.
    #[must_use]
    pub fn new(config: Config, directory: Arc<dyn Directory>, api_router: axum::Router) -> Self {
        Self {
            service: service::Service::new(config, directory, api_router),
        }
    }

    /// Serves until `tasks` are asked to stop, then lets requests in flight finish for a bounded
    /// time. Every connection is a task of `tasks`, so `tasks.shutdown()` waits for them.
    pub async fn serve(self, listener: TcpListener, tasks: Tasks) {
        listener::serve(self.service, listener, tasks).await;
    }
}
