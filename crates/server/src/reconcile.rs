//! One owned task per changing sandbox, which does what `lifecycle::decide` says until it rests.
//!
//! A commit wakes the task of its sandbox; so do the clock and a runner that comes back. The task
//! acts on the newest committed record only: when a newer generation is committed while a command
//! is under way, the answer to the old one is no longer waited for.
//!
//! Must not: hold state of its own that a restart would lose; killing this process at any line and
//! starting again leads to the same end.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sebring_api::runner::{Command, Goal as WireGoal, Observation, ObservedState};
use sebring_core::clock::Timestamp;
use sebring_core::id::SandboxId;
use sebring_core::lifecycle::{self, Goal, Record, Step, absorb, decide};
use sebring_core::sandbox::Sandbox;
use sebring_store::{Error as StoreError, Tx};
use tokio::sync::{Notify, Semaphore, mpsc};
use tracing::{debug, error, info, warn};

use crate::app::App;
use crate::runner;

/// Commands under way at the runner at once. More only queue there.
const COMMANDS_MAX: usize = 64;
/// Changing sandboxes above which new ones are refused: what a host clears in about a minute.
pub(crate) const BUSY_MAX: usize = 4_096;
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Reconciler {
    owners: Mutex<HashMap<SandboxId, Arc<Owner>>>,
    commands: Semaphore,
}

#[derive(Debug, Default)]
struct Owner {
    wake: Notify,
    /// Whether to ask the runner if the sandbox is still there.
    verify: AtomicBool,
}

impl Reconciler {
    pub(crate) fn new() -> Self {
        Self {
            owners: Mutex::default(),
            commands: Semaphore::new(COMMANDS_MAX),
        }
    }

    pub(crate) fn busy(&self) -> usize {
        self.owners.lock().len()
    }

    /// Ends the ownership unless there is something to do. Commits reach the directory before
    /// they wake anyone, so what is missed here wakes a new owner.
    fn retire(&self, app: &App, id: SandboxId, owner: &Owner) -> bool {
        let mut owners = self.owners.lock();
        let rests = !owner.verify.load(Ordering::Acquire)
            && app
                .directory
                .sandbox(id)
                .is_none_or(|sandbox| decide(&sandbox.life, app.now()) == Step::Rest);
        if rests {
            owners.remove(&id);
        }
        rests
    }
}

/// Wakes the owner of every committed change, until the server stops.
pub(crate) async fn dispatch(app: App, mut committed: mpsc::UnboundedReceiver<SandboxId>) {
    loop {
        // Nothing is lost at the end: unfinished work is found again at the next start.
        let id = tokio::select! {
            biased;
            () = app.tasks.stopped() => return,
            id = committed.recv() => id,
        };
        match id {
            Some(id) => attend(&app, id),
            None => return,
        }
    }
}

/// Makes sure that someone does what is to be done about this sandbox.
pub(crate) fn attend(app: &App, id: SandboxId) {
    own_or_wake(app, id, false);
}

/// Makes sure that the runner is asked whether it still has this sandbox.
pub(crate) fn verify(app: &App, id: SandboxId) {
    own_or_wake(app, id, true);
}

fn own_or_wake(app: &App, id: SandboxId, verify: bool) {
    let mut owners = app.reconciler.owners.lock();
    if let Some(owner) = owners.get(&id) {
        owner.verify.fetch_or(verify, Ordering::AcqRel);
        owner.wake.notify_one();
        return;
    }
    let idle = app
        .directory
        .sandbox(id)
        .is_none_or(|sandbox| decide(&sandbox.life, app.now()) == Step::Rest);
    if idle && !verify {
        return;
    }
    let owner = Arc::new(Owner::default());
    owner.verify.store(verify, Ordering::Release);
    owners.insert(id, Arc::clone(&owner));
    drop(owners);
    let leave = Leave {
        app: app.clone(),
        id,
        owner: Arc::clone(&owner),
    };
    let task = own(app.clone(), id, owner);
    app.tasks.spawn("sandbox owner", async move {
        task.await;
        drop(leave);
    });
}

/// Even a panic in an owner must not leave its sandbox without one for ever.
struct Leave {
    app: App,
    id: SandboxId,
    owner: Arc<Owner>,
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut owners = self.app.reconciler.owners.lock();
        // One that retired by itself may have a successor already.
        if owners
            .get(&self.id)
            .is_some_and(|owner| Arc::ptr_eq(owner, &self.owner))
        {
            owners.remove(&self.id);
        }
    }
}

async fn own(app: App, id: SandboxId, owner: Arc<Owner>) {
    let mut wait = RETRY_MIN;
    loop {
        let outcome = tokio::select! {
            biased;
            () = app.tasks.stopped() => return,
            outcome = act(&app, id, &owner) => outcome,
        };
        match outcome {
            Ok(Acted::Rests) => {
                if app.reconciler.retire(&app, id, &owner) {
                    return;
                }
            }
            Ok(Acted::Progressed) => wait = RETRY_MIN,
            Ok(Acted::TryAgain) => wait = pause(&app, &owner, wait).await,
            Err(failure) => {
                let error = sebring_tasks::chain(&*failure);
                debug!(sandbox_id = %id, %error, "step not done yet");
                wait = pause(&app, &owner, wait).await;
            }
        }
    }
}

enum Acted {
    Rests,
    Progressed,
    /// The runner answered, yet the same step is to be done again.
    TryAgain,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn act(app: &App, id: SandboxId, owner: &Owner) -> Result<Acted, Failure> {
    if owner.verify.swap(false, Ordering::AcqRel) {
        let verified = ask_and_record(app, id).await;
        return match verified {
            Ok(()) => Ok(Acted::Progressed),
            Err(failure) => {
                owner.verify.store(true, Ordering::Release);
                Err(failure)
            }
        };
    }
    let Some(sandbox) = app.directory.sandbox(id) else {
        return Ok(Acted::Rests);
    };
    match decide(&sandbox.life, app.now()) {
        Step::Rest => Ok(Acted::Rests),
        Step::Follow | Step::RevertResize { .. } | Step::GiveUp => {
            let now = app.now();
            app.store
                .write(move |tx| settle_stored(tx, id, now))
                .await?;
            Ok(Acted::Progressed)
        }
        Step::Ensure(goal) => ensure(app, &sandbox, goal, owner).await,
    }
}

async fn ask_and_record(app: &App, id: SandboxId) -> Result<(), Failure> {
    let observation = app.runner.observation(id).await?;
    Ok(record(app, &observation).await?)
}

async fn ensure(app: &App, sandbox: &Sandbox, goal: Goal, owner: &Owner) -> Result<Acted, Failure> {
    let command = runner::command(sandbox, goal);
    let answer = async {
        let permit = app.reconciler.commands.acquire().await;
        let answer = app.runner.command(sandbox.id, &command).await;
        drop(permit);
        answer
    };
    // A dropped command may still be carried out; the newer generation overrules it, and what it
    // leaves of a deleted sandbox is found as an orphan.
    let observation = tokio::select! {
        answer = answer => answer?,
        () = overtaken(app, sandbox, owner) => return Ok(Acted::Progressed),
    };
    debug!(sandbox_id = %sandbox.id, generation = %command.generation, "runner answered");
    record(app, &observation).await?;
    let now_stored = app.directory.sandbox(sandbox.id);
    let again = now_stored.is_some_and(|now_stored| {
        now_stored.life.generation == sandbox.life.generation
            && decide(&now_stored.life, app.now()) == Step::Ensure(goal)
    });
    Ok(if again {
        Acted::TryAgain
    } else {
        Acted::Progressed
    })
}

/// Resolves when a newer intent than `sandbox`'s is committed, or its deadline passes.
async fn overtaken(app: &App, sandbox: &Sandbox, owner: &Owner) {
    loop {
        owner.wake.notified().await;
        let newer = app.directory.sandbox(sandbox.id).is_none_or(|stored| {
            stored.life.generation != sandbox.life.generation
                || decide(&stored.life, app.now()) == Step::GiveUp
        });
        if newer {
            return;
        }
    }
}

/// Waits before the next attempt; less when there is news or the runner comes back.
async fn pause(app: &App, owner: &Owner, wait: Duration) -> Duration {
    let mut link = app.runner.link();
    link.mark_unchanged();
    tokio::select! {
        biased;
        () = app.tasks.stopped() => {}
        () = owner.wake.notified() => {}
        _ = link.changed() => {}
        () = tokio::time::sleep(wait) => {}
    }
    (wait * 2).min(RETRY_MAX)
}

/// Records an observation, and whatever follows from it without anyone's help.
pub(crate) async fn record(app: &App, observation: &Observation) -> Result<(), StoreError> {
    let (id, now) = (observation.id, app.now());
    let report = runner::report(observation);
    app.directory.note(id, |note| {
        if !observation.phases.is_empty() {
            note.phases.clone_from(&observation.phases);
        }
        if let ObservedState::Failed { message, .. } = &observation.state {
            note.refusal = Some(message.clone());
        }
    });
    let write = app.store.write::<_, StoreError>(move |tx| {
        let Some(before) = tx.sandbox(id)? else {
            return Ok(());
        };
        let life = absorb(&before.life, &report);
        let after = settled(moved(&before, life, now), now);
        tx.update_sandbox(before, after)?;
        Ok(())
    });
    write.await?;
    Ok(())
}

fn settle_stored(tx: &mut Tx<'_>, id: SandboxId, now: Timestamp) -> Result<(), StoreError> {
    if let Some(before) = tx.sandbox(id)? {
        let after = settled(before.clone(), now);
        tx.update_sandbox(before, after)?;
    }
    Ok(())
}

/// Takes the steps that need no runner, in the same transaction as what led to them.
fn settled(mut sandbox: Sandbox, now: Timestamp) -> Sandbox {
    loop {
        let life = match decide(&sandbox.life, now) {
            Step::Rest | Step::Ensure(_) => return sandbox,
            Step::Follow => {
                info!(sandbox_id = %sandbox.id, "sandbox ended by itself");
                lifecycle::follow(&sandbox.life, sandbox.is_ephemeral())
            }
            Step::RevertResize { to } => {
                sandbox.resources = to;
                lifecycle::revert(&sandbox.life)
            }
            Step::GiveUp => {
                error!(sandbox_id = %sandbox.id, "sandbox given up: its deadline passed");
                lifecycle::give_up(&sandbox.life)
            }
        };
        sandbox = moved(&sandbox, life, now);
    }
}

/// The sandbox with another life. A change that people see counts as activity.
pub(crate) fn moved(sandbox: &Sandbox, life: Record, now: Timestamp) -> Sandbox {
    let shown = sandbox.shown();
    let mut after = Sandbox {
        life,
        ..sandbox.clone()
    };
    if after.shown() != shown {
        after.updated_at = now;
        after.last_active_at = after.last_active_at.max(now);
    }
    after
}

/// Tells the runner to delete what no organization owns: the rest of a create or delete that was
/// cut off. Not retried here; the next inventory shows it again.
pub(crate) fn delete_orphan(app: &App, observation: &Observation) {
    if observation.state == ObservedState::Absent {
        return;
    }
    let (app, id) = (app.clone(), observation.id);
    let command = Command {
        generation: observation.generation.next(),
        goal: WireGoal::Deleted,
    };
    let tasks = app.tasks.clone();
    tasks.spawn("orphan delete", async move {
        let permit = app.reconciler.commands.acquire().await;
        warn!(sandbox_id = %id, "deleting a sandbox that nobody owns");
        tokio::select! {
            biased;
            // Stopping the server leaves it to the next start.
            () = app.tasks.stopped() => {}
            answer = app.runner.command(id, &command) => if let Err(failure) = answer {
                warn!(sandbox_id = %id, error = %sebring_tasks::chain(&failure), "orphan not deleted");
            }
        }
        drop(permit);
    });
}
