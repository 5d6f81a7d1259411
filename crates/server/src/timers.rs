//! What the clock asks for: auto-stop, auto-delete, time to live, and giving up.
//!
//! The instants are computed from stored facts and kept in order in memory; each commit replaces
//! the instant of its sandbox. When one is reached, the sandbox is looked at again, because
//! activity since then moves the instant without a commit.
//!
//! Must not: act on anything but intent; the reconciler does the rest.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use sebring_core::clock::Timestamp;
use sebring_core::id::SandboxId;
use sebring_core::lifecycle::{StopMode, ask_delete, ask_stop};
use sebring_core::sandbox::Sandbox;
use sebring_core::timers::Due;
use sebring_store::Error as StoreError;
use tokio::sync::Notify;
use tracing::{info, warn};

use crate::app::App;
use crate::reconcile::{self, moved};

/// The wall clock may jump; this bounds how late a jump is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// How old the stored last activity may be.
const ACTIVITY_WRITE_EVERY: Duration = Duration::from_secs(5);
/// Until something that is due and could not be done is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// Activity within this of the last is not news.
pub(crate) const ACTIVITY_THROTTLE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Timers {
    schedule: Mutex<Schedule>,
    changed: Notify,
    active: Mutex<HashSet<SandboxId>>,
}

#[derive(Debug, Default)]
struct Schedule {
    order: BTreeSet<(Timestamp, SandboxId)>,
    by_id: HashMap<SandboxId, Timestamp>,
}

impl Schedule {
    fn set(&mut self, id: SandboxId, at: Option<Timestamp>) {
        let old = match at {
            Some(at) => self.by_id.insert(id, at),
            None => self.by_id.remove(&id),
        };
        if let Some(old) = old {
            self.order.remove(&(old, id));
        }
        if let Some(at) = at {
            self.order.insert((at, id));
        }
    }
}

impl Timers {
    /// Called with every committed sandbox.
    pub(crate) fn schedule(&self, sandbox: &Sandbox) {
        let at = next_look(sandbox);
        let mut schedule = self.schedule.lock();
        let first = schedule.order.first().copied();
        schedule.set(sandbox.id, at);
        if schedule.order.first() != first.as_ref() {
            self.changed.notify_one();
        }
    }

    /// Looks again at what is due, after the clock was moved.
    pub(crate) fn recheck(&self) {
        self.changed.notify_one();
    }

    /// The last activity of this sandbox is to be written down.
    pub(crate) fn note_activity(&self, id: SandboxId) {
        self.active.lock().insert(id);
    }

    /// Puts a sandbox back that was looked at; not before `earliest`, so that what could not be
    /// done at once is not tried in a tight loop.
    fn look_again(&self, sandbox: &Sandbox, earliest: Timestamp) {
        let at = next_look(sandbox).map(|at| at.max(earliest));
        self.schedule.lock().set(sandbox.id, at);
    }

    fn until_next(&self, now: Timestamp) -> Duration {
        let schedule = self.schedule.lock();
        let next = schedule.order.first();
        next.map_or(SLEEP_MAX, |(at, _)| now.until(*at).min(SLEEP_MAX))
    }

    /// Removes what is due from the schedule; whoever handles it puts it back.
    fn take_due(&self, now: Timestamp) -> Vec<SandboxId> {
        let mut schedule = self.schedule.lock();
        let mut due = Vec::new();
        while let Some((at, id)) = schedule.order.first().copied()
            && at <= now
        {
            schedule.set(id, None);
            due.push(id);
        }
        due
    }
}

fn next_look(sandbox: &Sandbox) -> Option<Timestamp> {
    let due = sandbox.next_due().map(|(at, _)| at);
    let waits = !sandbox.life.is_answered();
    let deadline = sandbox.life.deadline.filter(|_| waits);
    due.into_iter().chain(deadline).min()
}

/// Runs until the server stops.
pub(crate) async fn run(app: App) {
    loop {
        tokio::select! {
            biased;
            () = app.tasks.stopped() => return,
            () = app.timers.changed.notified() => {}
            () = tokio::time::sleep(app.timers.until_next(app.now())) => {}
        }
        for id in app.timers.take_due(app.now()) {
            let Some(sandbox) = app.directory.sandbox(id) else {
                continue;
            };
            if let Err(error) = handle_due(&app, &sandbox).await {
                warn!(sandbox_id = %id, error = %sebring_tasks::chain(&error), "timer not carried out");
            }
            // A commit has put it back with its new instant already; this covers the rest.
            if let Some(sandbox) = app.directory.sandbox(id) {
                app.timers.look_again(&sandbox, app.now().after(RETRY));
            }
        }
    }
}

async fn handle_due(app: &App, sandbox: &Sandbox) -> Result<(), StoreError> {
    let now = app.now();
    if sandbox
        .life
        .deadline
        .is_some_and(|deadline| deadline <= now)
    {
        reconcile::attend(app, sandbox.id);
    }
    let Some((_, due)) = sandbox.next_due().filter(|(at, _)| *at <= now) else {
        return Ok(());
    };
    let (id, last_active_at) = (sandbox.id, sandbox.last_active_at);
    let write = app.store.write::<_, StoreError>(move |tx| {
        let Some(mut before) = tx.sandbox(id)? else {
            return Ok(());
        };
        // Activity that is not written down yet counts.
        before.last_active_at = before.last_active_at.max(last_active_at);
        if before.next_due().is_none_or(|(at, _)| at > now) {
            return Ok(());
        }
        let life = match due {
            Due::Stop if before.is_ephemeral() => ask_delete(&before.life),
            Due::Stop => ask_stop(&before.life, StopMode::Graceful).ok().flatten(),
            Due::Delete => ask_delete(&before.life),
        };
        if let Some(life) = life {
            let after = moved(&before, life, now);
            tx.update_sandbox(before, after)?;
        }
        Ok(())
    });
    write.await?;
    info!(sandbox_id = %id, ?due, "timer reached");
    Ok(())
}

/// Writes down activity and key uses every few seconds, and once more at the end.
pub(crate) async fn write_activity(app: App) {
    loop {
        let stops = tokio::select! {
            biased;
            () = app.tasks.stopped() => true,
            () = tokio::time::sleep(ACTIVITY_WRITE_EVERY) => false,
        };
        if let Err(error) = write_activity_once(&app).await {
            warn!(error = %sebring_tasks::chain(&error), "activity not written down");
        }
        if stops {
            return;
        }
    }
}

async fn write_activity_once(app: &App) -> Result<(), StoreError> {
    let ids = std::mem::take(&mut *app.timers.active.lock());
    let activity: Vec<_> = ids
        .into_iter()
        .filter_map(|id| app.directory.sandbox(id))
        .map(|sandbox| (sandbox.id, sandbox.last_active_at))
        .collect();
    let uses = app.directory.keys.take_uses();
    let expired = app.directory.expired_previews(app.now());
    if activity.is_empty() && uses.is_empty() && expired.is_empty() {
        return Ok(());
    }
    let write = app.store.write(move |tx| {
        sebring_store::sandboxes::record_activity(tx, &activity)?;
        tx.record_key_uses(&uses)?;
        for token in &expired {
            tx.remove_preview_token(token)?;
        }
        Ok::<_, StoreError>(())
    });
    write.await?;
    Ok(())
}
