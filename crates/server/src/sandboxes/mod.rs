//! What callers do with sandboxes. Each verb is one transaction and, where the caller expects the
//! result, a wait on the directory with a deadline.
//!
//! Must not: call the runner, or know of HTTP statuses (`http::error` maps [`Error`]).
//! Next: `create`, `act` for the lifecycle verbs, `settings` for the rest, `previews` for links.

pub(crate) mod act;
pub(crate) mod create;
pub(crate) mod previews;
pub(crate) mod settings;
mod wait;

use std::sync::Arc;

use sebring_core::clock::Timestamp;
use sebring_core::id::{OrganizationId, SandboxId};
use sebring_core::lifecycle::{Failure, Intent, Refusal};
use sebring_core::sandbox::Sandbox;
use sebring_core::{labels, name, network, resources, timers};
use sebring_store::{Committed, Error as StoreError};
pub(crate) use wait::Timing;

use crate::app::App;

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("Sandbox with ID or name {0} not found")]
    NotFound(String),
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Names the field, the value and what is accepted.
    #[error("{0}")]
    Invalid(String),
    #[error("Sandbox with name {0} already exists")]
    NameTaken(String),
    /// Known to the contract, not built yet.
    #[error("{0}")]
    NotAvailable(String),
    #[error("Region not found")]
    UnknownRegion,
    #[error("Snapshot {0} not found. Did you add it through the Daytona Dashboard?")]
    UnknownSnapshot(String),
    #[error("No available runners: the host's runner has not connected yet; try again in a moment")]
    NoRunner,
    #[error("too many sandboxes are changing ({0}); try again in a few seconds")]
    Overloaded(usize),
    #[error("Sandbox failed to start: {}", .0.explain())]
    FailedToStart(Failure),
    #[error("the host refused the new size: {0}")]
    ResizeRefused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<name::Error> for Error {
    fn from(error: name::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<labels::Error> for Error {
    fn from(error: labels::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<network::Error> for Error {
    fn from(error: network::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<resources::Error> for Error {
    fn from(error: resources::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

impl From<timers::Error> for Error {
    fn from(error: timers::Error) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// By id or name, within the organization.
pub(crate) fn find(
    app: &App,
    organization: OrganizationId,
    reference: &str,
) -> Result<Arc<Sandbox>, Error> {
    let found = app.directory.find(organization, reference);
    found.ok_or_else(|| Error::NotFound(reference.to_owned()))
}

/// By id only.
pub(crate) fn find_by_id(
    app: &App,
    organization: OrganizationId,
    id: &str,
) -> Result<Arc<Sandbox>, Error> {
    let found = id.parse::<SandboxId>().ok();
    let found = found.and_then(|id| app.directory.sandbox(id));
    found
        .filter(|sandbox| sandbox.organization == organization)
        .ok_or_else(|| Error::NotFound(id.to_owned()))
}

/// One transaction on one sandbox: `edit` sees the stored row and says what becomes of it.
async fn change(
    app: &App,
    id: SandboxId,
    edit: impl FnOnce(&Sandbox, Timestamp) -> Result<Option<Sandbox>, Error> + Send + 'static,
) -> Result<Committed<Arc<Sandbox>>, Error> {
    let now = app.now();
    let write = app.store.write::<_, Error>(move |tx| {
        let before = tx
            .sandbox(id)?
            .ok_or_else(|| Error::NotFound(id.to_string()))?;
        match edit(&before, now)? {
            Some(after) => Ok(tx.update_sandbox(before, after)?),
            None => Ok(Arc::new(before)),
        }
    });
    let committed = write.await?;
    app.store.begin_sync(committed.at);
    Ok(committed)
}

/// A sandbox that is being deleted takes no more settings.
fn refuse_deleted(sandbox: &Sandbox) -> Result<(), Error> {
    match sandbox.life.intent {
        Intent::Running(_) | Intent::Stopped(_) => Ok(()),
        Intent::Deleted => Err(Refusal::Deleting.into()),
    }
}
