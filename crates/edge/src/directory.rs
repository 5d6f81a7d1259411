//! What the edge asks of the control plane. Every answer is expected within microseconds, from
//! memory; the edge keeps no copy, so a revoked key or a stopped sandbox takes effect at once.
//!
//! Must not: name a type of the control plane; the program's composition root writes the glue.

use std::fmt;
use std::path::PathBuf;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use sebring_core::id::{OrganizationId, SandboxId};
use thiserror::Error;

/// The control plane could not answer (its store is down); the request is refused, never let in.
#[derive(Debug, Error)]
#[error("the control plane cannot answer: {reason}")]
pub struct Unavailable {
    /// For the log; callers are not told.
    pub reason: String,
}

/// Some events were lost because the subscriber was too slow; what it knows may be stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed;

/// Facts and events the edge needs. Sandboxes of other organizations, and destroyed ones, are
/// `None`, not an error.
pub trait Directory: Send + Sync + 'static {
    /// Whose key `token` is.
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Option<Principal>, Unavailable>>;

    /// Where a sandbox is. With an organization, `reference` is an id or a name within it; without
    /// one only an id is accepted, for names are not unique.
    fn sandbox<'a>(
        &'a self,
        organization: Option<OrganizationId>,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<SandboxRoute>, Unavailable>>;

    /// What a signed preview token opens; `None` when it is unknown, expired or revoked.
    fn preview_token<'a>(
        &'a self,
        token: &'a str,
    ) -> BoxFuture<'a, Result<Option<PreviewGrant>, Unavailable>>;

    /// Notes activity; the control plane throttles writing it down.
    fn touch(&self, sandbox: SandboxId);

    /// Events of one organization from now on. Bounded: a subscriber that lags gets [`Missed`].
    fn subscribe(&self, organization: OrganizationId) -> BoxStream<'static, Result<Event, Missed>>;
}

/// Whoever is calling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub organization: OrganizationId,
    pub user: String,
}

/// What a signed preview token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PreviewGrant {
    pub sandbox: SandboxId,
    pub port: u16,
}

/// Everything needed to let a request into a sandbox and carry it there.
#[derive(Clone, Debug)]
pub struct SandboxRoute {
    pub id: SandboxId,
    pub organization: OrganizationId,
    /// Shown state as clients see it: `started`, `stopped`…
    pub state: String,
    /// The toolbox's unix socket; `None` while the sandbox does not run.
    pub toolbox_socket: Option<PathBuf>,
    /// Whether previews need no credential.
    pub public: bool,
    /// The preview token that clients send instead of a key.
    pub auth_token: Secret<String>,
    /// Key of signed file URLs, used as its UTF-8 text.
    pub signing_key: Secret<String>,
}

/// One event for the clients of one organization.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// `sandbox.created`, `sandbox.state.updated`…
    pub name: String,
    pub payload: serde_json::Value,
}

/// A value that must not be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
