//! All live sandboxes, keys and preview tokens in memory, as of the last commit.
//!
//! The store's writer applies every commit here before its callers hear of it, so a reader that
//! was told of a write always sees it. Lookups take microseconds and never wait for the database.
//!
//! Must not: be changed by anything but commits, last activity and bring-up notes excepted, which
//! are not in commits.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sebring_api::runner::Phase;
use sebring_core::clock::Timestamp;
use sebring_core::id::{OrganizationId, SandboxId};
use sebring_core::lifecycle::{Intent, Observed};
use sebring_core::name::Name;
use sebring_core::sandbox::Sandbox;
use sebring_store::Change;
use sebring_store::previews::PreviewToken;
use tokio::sync::watch;

use crate::auth::Keys;

#[derive(Debug, Default)]
pub(crate) struct Directory {
    sandboxes: RwLock<Sandboxes>,
    pub(crate) keys: Keys,
    previews: RwLock<HashMap<String, PreviewToken>>,
    waiters: Mutex<HashMap<SandboxId, watch::Sender<()>>>,
    notes: Mutex<HashMap<SandboxId, Note>>,
}

#[derive(Debug, Default)]
struct Sandboxes {
    by_id: HashMap<SandboxId, Arc<Sandbox>>,
    /// Only those that are not to be deleted: a deleted sandbox's name is free.
    by_name: HashMap<(OrganizationId, Name), SandboxId>,
}

/// What a waiting handler would like to know beyond the stored facts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Note {
    pub(crate) phases: Vec<Phase>,
    /// Why the host refused the last resize.
    pub(crate) refusal: Option<String>,
}

impl Directory {
    pub(crate) fn load(&self, sandboxes: Vec<Sandbox>, previews: Vec<PreviewToken>) {
        let mut all = self.sandboxes.write();
        for sandbox in sandboxes {
            all.put(Arc::new(sandbox));
        }
        let tokens = previews.into_iter().map(|one| (one.token.clone(), one));
        self.previews.write().extend(tokens);
    }

    /// Called by the store's writer, in commit order.
    pub(crate) fn apply(&self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Sandbox { after, .. } => self.apply_sandbox(after),
                Change::KeyAdded(key) => self.keys.add(Arc::clone(key)),
                Change::KeyRemoved(hash) => self.keys.remove(*hash),
                Change::PreviewTokenAdded(token) => {
                    let mut previews = self.previews.write();
                    previews.insert(token.token.clone(), token.clone());
                }
                Change::PreviewTokenRemoved(token) => {
                    self.previews.write().remove(token);
                }
            }
        }
    }

    fn apply_sandbox(&self, after: &Arc<Sandbox>) {
        let is_gone = matches!(after.life.observed, Observed::Gone);
        {
            let mut all = self.sandboxes.write();
            if is_gone {
                all.remove(after);
            } else {
                all.put(Arc::clone(after));
            }
        }
        if is_gone {
            let mut previews = self.previews.write();
            previews.retain(|_, token| token.sandbox != after.id);
            self.notes.lock().remove(&after.id);
        }
        if let Some(waiters) = self.waiters.lock().get(&after.id) {
            waiters.send_replace(());
        }
    }

    pub(crate) fn sandbox(&self, id: SandboxId) -> Option<Arc<Sandbox>> {
        self.sandboxes.read().by_id.get(&id).cloned()
    }

    /// By id first, then by name, always within the organization.
    pub(crate) fn find(&self, organization: OrganizationId, text: &str) -> Option<Arc<Sandbox>> {
        let all = self.sandboxes.read();
        let by_id = text.parse().ok().and_then(|id| all.by_id.get(&id));
        let by_id = by_id.filter(|sandbox| sandbox.organization == organization);
        let by_name = || {
            let name = Name::parse(text).ok()?;
            let id = all.by_name.get(&(organization, name))?;
            all.by_id.get(id)
        };
        by_id.or_else(by_name).cloned()
    }

    /// Notes activity at `now`; false when the last was less than `throttle` ago.
    pub(crate) fn touch(&self, id: SandboxId, now: Timestamp, throttle: Duration) -> bool {
        let is_recent = |sandbox: &Arc<Sandbox>| sandbox.last_active_at.after(throttle) > now;
        if self.sandbox(id).is_none_or(|sandbox| is_recent(&sandbox)) {
            return false;
        }
        let mut all = self.sandboxes.write();
        let Some(sandbox) = all.by_id.get_mut(&id).filter(|one| !is_recent(one)) else {
            return false;
        };
        Arc::make_mut(sandbox).last_active_at = now;
        true
    }

    pub(crate) fn all(&self) -> Vec<Arc<Sandbox>> {
        self.sandboxes.read().by_id.values().cloned().collect()
    }

    pub(crate) fn preview(&self, token: &str, now: Timestamp) -> Option<PreviewToken> {
        let previews = self.previews.read();
        let found = previews.get(token)?;
        (found.expires_at > now).then(|| found.clone())
    }

    pub(crate) fn preview_count(&self) -> usize {
        self.previews.read().len()
    }

    pub(crate) fn expired_previews(&self, now: Timestamp) -> Vec<String> {
        let previews = self.previews.read();
        let expired = previews.values().filter(|token| token.expires_at <= now);
        expired.map(|token| token.token.clone()).collect()
    }

    /// Hears of every commit that touches the sandbox, from now on.
    pub(crate) fn watch(&self, id: SandboxId) -> Watch<'_> {
        let mut waiters = self.waiters.lock();
        let changed = waiters
            .entry(id)
            .or_insert_with(|| watch::channel(()).0)
            .subscribe();
        Watch {
            directory: self,
            id,
            changed,
        }
    }

    /// Kept only while someone waits to read it.
    pub(crate) fn note(&self, id: SandboxId, write: impl FnOnce(&mut Note)) {
        if self.waiters.lock().contains_key(&id) {
            write(self.notes.lock().entry(id).or_default());
        }
    }

    pub(crate) fn take_note(&self, id: SandboxId) -> Note {
        self.notes.lock().remove(&id).unwrap_or_default()
    }
}

impl Sandboxes {
    fn put(&mut self, mut sandbox: Arc<Sandbox>) {
        // The row may be older than activity that is not written down yet.
        let active = self
            .by_id
            .get(&sandbox.id)
            .map(|known| known.last_active_at);
        if let Some(active) = active.filter(|active| *active > sandbox.last_active_at) {
            Arc::make_mut(&mut sandbox).last_active_at = active;
        }
        let name = (sandbox.organization, sandbox.name.clone());
        match sandbox.life.intent {
            Intent::Running(_) | Intent::Stopped(_) => {
                self.by_name.insert(name, sandbox.id);
            }
            Intent::Deleted => self.free_name(&name, sandbox.id),
        }
        self.by_id.insert(sandbox.id, sandbox);
    }

    fn remove(&mut self, sandbox: &Sandbox) {
        self.by_id.remove(&sandbox.id);
        self.free_name(&(sandbox.organization, sandbox.name.clone()), sandbox.id);
    }

    /// The name may belong to a newer sandbox by now.
    fn free_name(&mut self, name: &(OrganizationId, Name), id: SandboxId) {
        if self.by_name.get(name) == Some(&id) {
            self.by_name.remove(name);
        }
    }
}

/// A place to wait for a sandbox to change. Dropping the last one forgets its notes.
#[derive(Debug)]
pub(crate) struct Watch<'a> {
    directory: &'a Directory,
    id: SandboxId,
    changed: watch::Receiver<()>,
}

impl Watch<'_> {
    /// Resolves at once when something changed since the last call.
    pub(crate) async fn changed(&mut self) {
        // The sender lives in the map for as long as this watch does.
        self.changed.changed().await.ok();
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut waiters = self.directory.waiters.lock();
        let last = waiters
            .get(&self.id)
            .is_some_and(|sender| sender.receiver_count() <= 1);
        if last {
            waiters.remove(&self.id);
            self.directory.notes.lock().remove(&self.id);
        }
    }
}

/// The toolbox's socket of a sandbox that can be reached now.
pub(crate) fn toolbox_socket(sandbox: &Sandbox) -> Option<PathBuf> {
    match &sandbox.life.observed {
        Observed::Running { toolbox_socket, .. } => Some(PathBuf::from(toolbox_socket)),
        Observed::Unseen
        | Observed::Building
        | Observed::Stopped(_)
        | Observed::Failed(_)
        | Observed::Gone => None,
    }
}
