//! One task per sandbox: it alone changes the sandbox, towards the newest goal.
//!
//! ```text
//!               Running goal                    exits by itself
//!   Absent ───────────────────▶ Running ◀────────────────────┐
//!     ▲  ▲                      │   │ ▲   Running goal       │
//!     │  │          Deleted     │   │ └──────────────────┐   ▼
//!     │  └──────────────────────┘   └───────────────▶ Stopped
//!     └──────────────────────────────────────────────────┘
//!                        Deleted
//! ```
//!
//! Goals are levels: a newer one replaces an older one that was not reached yet, and cuts a
//! graceful stop short when it wants more. A goal that failed leaves the sandbox as it was before
//! (`Failed` is what is said about it, not a state of it).
//!
//! Must not: choose goals; the server does. Next: `bring_up`, `tear_down`, and `crate::adopt` for
//! how a task begins after a restart.

pub(crate) mod bring_up;
mod door;
pub(crate) use door::let_group_in;
mod failure;
mod processors;
pub(crate) mod records;
mod resize;
mod spare;
pub(crate) use spare::{bring_up_spare, end_unowned};
pub(crate) mod tear_down;
pub(crate) mod tell;
mod waiting;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use sebring_api::runner::{
    Command, FailureCode, Goal, Observation, ObservedState, Phase, SandboxSpec, Shape, StopMode,
    StopReason,
};
use sebring_core::id::{Generation, SandboxId};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::cgroups::Group;
use crate::history;
use crate::network::Slot;
use crate::runner::Shared;
use crate::spares::keep;
use bring_up::{Owned, Phases, Started, bring_up};
pub(crate) use failure::Failure;
use records::{Meta, Running};
use waiting::Awaited;

/// The toolbox gives processes two seconds after SIGTERM; then it is killed.
const GRACE: Duration = Duration::from_secs(3);

/// How a sandbox is.
#[derive(Debug)]
pub(crate) enum Life {
    Absent,
    Stopped { why: StopReason },
    Running(Box<Live>),
}

/// A running sandbox.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) process: AsyncFd<OwnedFd>,
    pub(crate) pid: i32,
    pub(crate) start_time: u64,
    pub(crate) slot: Slot,
    pub(crate) group: Group,
    pub(crate) spec: SandboxSpec,
    /// Kills for memory that had happened when we started to look.
    pub(crate) oom_kills: u64,
}

/// The task's view of its sandbox.
#[derive(Debug)]
pub(crate) struct Actor {
    pub(crate) id: SandboxId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) life: Life,
    /// Newest generation that was reached or failed.
    pub(crate) generation: Generation,
    pub(crate) failure: Option<(FailureCode, String)>,
    pub(crate) phases: Vec<Phase>,
}

/// The ends by which others reach the task.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) goal: watch::Receiver<Option<Command>>,
    pub(crate) seen: watch::Sender<Observation>,
}

impl Actor {
    /// Runs until the sandbox is gone for good. Ends early only when the runner stops, leaving the
    /// sandbox as it is.
    pub(crate) async fn run(mut self, mut ends: Ends) {
        let stop = self.shared.tasks.stop_token();
        loop {
            let newest = ends.goal.borrow_and_update().clone();
            if let Some(command) = newest.filter(|command| command.generation > self.generation) {
                self.reach(command, &mut ends).await;
                if matches!(self.life, Life::Absent) && self.shared.retire(&self, &ends) {
                    return;
                }
                // A goal that was left for the next runner would be taken up again at once.
                if stop.is_cancelled() {
                    return;
                }
                continue;
            }
            // Every branch only waits, so any may be dropped. Goals go first: what ended can
            // still be looked at afterwards.
            tokio::select! {
                biased;
                () = self.shared.tasks.stopped() => return,
                changed = ends.goal.changed() => if changed.is_err() { return },
                () = ended(&self.life) => self.absorb_end(&ends).await,
            }
        }
    }

    pub(crate) fn observation(&self) -> Observation {
        let state = match (&self.failure, &self.life) {
            (Some((code, message)), _) => ObservedState::Failed {
                code: *code,
                message: message.clone(),
            },
            (None, Life::Absent) => ObservedState::Absent,
            (None, Life::Stopped { why }) => ObservedState::Stopped { why: *why },
            (None, Life::Running(_)) => ObservedState::Running {
                toolbox_socket: bring_up::socket_path(&self.shared, self.id)
                    .display()
                    .to_string(),
                unenforced: self.shared.unenforced.clone(),
            },
        };
        Observation {
            id: self.id,
            generation: self.generation,
            incarnation: self.shared.incarnation,
            state,
            phases: self.phases.clone(),
        }
    }

    fn publish(&self, ends: &Ends) {
        self.say(ends, self.observation());
    }

    fn say(&self, ends: &Ends, observation: Observation) {
        ends.seen.send_replace(observation.clone());
        // Nobody may be listening just now; the inventory tells whoever comes later.
        drop(self.shared.observations.send(observation));
    }

    async fn reach(&mut self, command: Command, ends: &mut Ends) {
        let generation = command.generation;
        self.phases.clear();
        let shared = Arc::clone(&self.shared);
        // A build takes minutes, in which spares are as useful as ever.
        let snapshot = self.await_snapshot(&command, ends).await;
        let held_off = shared.spares.hold_off();
        let outcome = match (snapshot, command.goal) {
            (Awaited::Overtaken, _) => return,
            (Awaited::Failed(failure), _) => Err(failure),
            (Awaited::Usable, Goal::Running { spec }) => {
                self.ensure_running(generation, spec).await
            }
            (Awaited::Usable, Goal::Stopped { spec, stop }) => {
                self.ensure_stopped(generation, spec, stop, ends).await
            }
            (Awaited::Usable, Goal::Deleted) => {
                self.delete(generation, ends).await;
                return;
            }
        };
        drop(held_off);
        self.generation = generation;
        self.failure = outcome.err().map(|failure| {
            let (sandbox_id, message) = (self.id, failure.message());
            warn!(%sandbox_id, %generation, error = message, "goal not reached");
            (failure.code, message)
        });
        self.publish(ends);
    }

    async fn ensure_running(
        &mut self,
        generation: Generation,
        spec: SandboxSpec,
    ) -> Result<(), Failure> {
        match &mut self.life {
            Life::Running(live) => {
                resize::change_live(&self.shared, self.id, live, &spec).await?;
                live.spec = spec;
                self.record(generation)
            }
            Life::Absent => {
                let shape = Shape::of(&spec);
                if !self.claim(generation, &spec).await? {
                    self.start(generation, spec).await?;
                }
                // Not before: a shape that cannot come up would be all that spares are made of.
                if let Some(shape) = shape {
                    self.shared.spares.note_request(shape);
                }
                Ok(())
            }
            Life::Stopped { .. } => self.start(generation, spec).await,
        }
    }

    async fn start(&mut self, generation: Generation, spec: SandboxSpec) -> Result<(), Failure> {
        let mut outcome = self.bring_up(&spec).await;
        if outcome.as_ref().is_err_and(Failure::wants_room) && keep::make_room(&self.shared).await {
            outcome = self.bring_up(&spec).await;
        }
        let live = match outcome {
            Ok(started) => live_of(started, spec),
            Err(failure) => {
                // Whatever it was before, the disk tells what it is now.
                if !self.shared.pool.has_disk(self.id) {
                    self.life = Life::Absent;
                }
                return Err(failure);
            }
        };
        self.life = Life::Running(Box::new(live));
        info!(sandbox_id = %self.id, %generation, "sandbox running");
        self.record(generation)
    }

    async fn bring_up(&mut self, spec: &SandboxSpec) -> Result<Started, Failure> {
        let (shared, id, wanted) = (Arc::clone(&self.shared), self.id, spec.clone());
        let mut phases = Phases::start();
        let permit = self.shared.bring_ups.acquire().await;
        phases.mark("queue");
        let (outcome, phases) = blocking(move || {
            let started = bring_up(&shared, id, &wanted, Owned::Already, &mut phases);
            (started, phases)
        })
        .await?;
        drop(permit);
        self.phases = phases.done();
        outcome
    }

    async fn ensure_stopped(
        &mut self,
        generation: Generation,
        spec: SandboxSpec,
        stop: StopMode,
        ends: &mut Ends,
    ) -> Result<(), Failure> {
        if let Life::Running(live) = &self.life {
            end(live, stop, ends).await;
            self.release().await;
            info!(sandbox_id = %self.id, %generation, "sandbox stopped");
        } else if matches!(self.life, Life::Absent) {
            self.end_spare().await?;
            let (shared, id) = (Arc::clone(&self.shared), self.id);
            let bytes = bring_up::disk_bytes(&spec);
            blocking(move || shared.pool.ensure_disk(id, bytes))
                .await?
                .map_err(failure::in_phase("rootfs"))?;
        } else {
            resize::limit_stopped(&self.shared, self.id, &spec)?;
        }
        self.life = Life::Stopped {
            why: StopReason::Asked,
        };
        let stopped = Some(StopReason::Asked);
        let meta = Meta {
            generation,
            spec,
            stopped,
        };
        self.shared
            .records
            .save_meta(self.id, &meta)
            .map_err(failure::in_phase("record"))
    }

    /// Says that it is gone as soon as nothing runs and nobody can find the disk; the rest of the
    /// way takes the kernel milliseconds and the caller none.
    async fn delete(&mut self, generation: Generation, ends: &mut Ends) {
        let running = match std::mem::replace(&mut self.life, Life::Absent) {
            Life::Running(live) => Some(live),
            Life::Stopped { .. } => None,
            Life::Absent => {
                if let Err(failure) = self.end_spare().await {
                    // Not said to be reached, so that it is tried again, for as long as it takes.
                    warn!(sandbox_id = %self.id, error = failure.message(), "not deleted yet");
                    return;
                }
                None
            }
        };
        let root = running.as_ref().and_then(|live| hold_root(live.pid));
        if let Some(live) = &running {
            end(live, StopMode::Force, ends).await;
        }
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let discarded = blocking(move || {
            tear_down::discard_disk(&shared, id);
            tear_down::forget(&shared, id);
        });
        if let Err(failure) = discarded.await {
            error!(sandbox_id = %id, error = failure.message(), "delete");
        }
        self.generation = generation;
        self.failure = None;
        self.publish(ends);
        info!(sandbox_id = %id, %generation, "sandbox deleted");
        let shared = Arc::clone(&self.shared);
        let rest = blocking(move || {
            match running {
                Some(live) => {
                    tear_down::release(&shared, id, live.slot, &live.group, &live.spec.network);
                }
                None => tear_down::remove_group(&shared.cgroups.group(id)),
            }
            drop(root);
            shared.trash.notify_one();
        });
        if let Err(failure) = rest.await {
            error!(sandbox_id = %id, error = failure.message(), "delete");
        }
    }

    /// The first process has ended without being asked.
    async fn absorb_end(&mut self, ends: &Ends) {
        let Life::Running(live) = &self.life else {
            return;
        };
        let why = if live.group.oom_kills() > live.oom_kills {
            StopReason::OomKilled
        } else {
            StopReason::Exited
        };
        let spec = live.spec.clone();
        warn!(sandbox_id = %self.id, ?why, "the first process of a sandbox ended");
        self.release().await;
        self.life = Life::Stopped { why };
        let meta = Meta {
            generation: self.generation,
            spec,
            stopped: Some(why),
        };
        if let Err(error) = self.shared.records.save_meta(self.id, &meta) {
            warn!(sandbox_id = %self.id, error = %error, "cannot record that a sandbox has ended");
        }
        self.failure = None;
        self.publish(ends);
    }

    /// Gives back what a sandbox that has ended occupied; its disk stays.
    async fn release(&mut self) {
        let before = std::mem::replace(&mut self.life, Life::Absent);
        let Life::Running(live) = before else {
            self.life = before;
            return;
        };
        let (shared, id) = (Arc::clone(&self.shared), self.id);
        let released = blocking(move || {
            tear_down::release(&shared, id, live.slot, &live.group, &live.spec.network);
        });
        if let Err(failure) = released.await {
            error!(sandbox_id = %id, error = failure.message(), "release");
        }
    }

    fn record(&self, generation: Generation) -> Result<(), Failure> {
        let Life::Running(live) = &self.life else {
            return Ok(());
        };
        let running = Running {
            generation,
            spec: live.spec.clone(),
            pid: live.pid,
            start_time: live.start_time,
            slot: live.slot,
            group: live.group.clone(),
        };
        let meta = Meta {
            generation,
            spec: live.spec.clone(),
            stopped: None,
        };
        let records = &self.shared.records;
        let saved = records.save_running(self.id, &running);
        saved
            .and_then(|()| records.save_meta(self.id, &meta))
            .and_then(|()| history::begin(&records.data_dir(self.id)))
            .and_then(|()| records.unmark_spare(self.id))
            .map_err(failure::in_phase("record"))
    }
}

fn live_of(started: Started, spec: SandboxSpec) -> Live {
    let Started {
        pid,
        start_time,
        process,
        slot,
        group,
        snapshot: _,
    } = started;
    let oom_kills = group.oom_kills();
    Live {
        process,
        pid,
        start_time,
        slot,
        group,
        spec,
        oom_kills,
    }
}

/// Makes the kernel tell us when a process ends. Must be called inside the runtime, of which the
/// threads that may block are a part.
#[expect(
    deprecated,
    reason = "its replacement is unsafe; a plain OwnedFd upholds its condition"
)]
pub(crate) fn watch_end(pidfd: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(pidfd)
}

/// Resolves when the first process of a running sandbox has ended; never for others.
async fn ended(life: &Life) {
    match life {
        Life::Running(live) => live.ended().await,
        Life::Absent | Life::Stopped { .. } => std::future::pending().await,
    }
}

impl Live {
    async fn ended(&self) {
        if let Err(error) = self.process.readable().await {
            // Only when the runtime is shutting down.
            warn!(error = %error, "cannot watch a process");
            std::future::pending::<()>().await;
        }
    }

    fn signal(&self, signal: Signal) {
        match rustix::process::pidfd_send_signal(self.process.get_ref(), signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(errno) => warn!(error = %errno, "cannot signal the first process of a sandbox"),
        }
    }
}

/// Ends a running sandbox and waits for it. The death of PID 1 takes every process with it.
async fn end(live: &Live, stop: StopMode, ends: &mut Ends) {
    if stop == StopMode::Graceful {
        live.signal(Signal::TERM);
        let deadline = Instant::now() + GRACE;
        loop {
            // Every branch only waits.
            tokio::select! {
                biased;
                () = live.ended() => return,
                () = sleep_until(deadline) => break,
                changed = ends.goal.changed() => {
                    if changed.is_err() || wants_it_now(ends.goal.borrow().as_ref()) {
                        break;
                    }
                }
            }
        }
    }
    kill(live).await;
}

/// Ends a running sandbox at once.
async fn kill(live: &Live) {
    // The group first: a first process among thousands that fork would take long to get its turn to
    // die, and only then take the others with it.
    if let Err(error) = live.group.kill() {
        warn!(error = %error, "cannot kill the group of a sandbox");
    }
    live.signal(Signal::KILL);
    live.ended().await;
}

/// Whether a newer goal leaves no time for a graceful end.
fn wants_it_now(goal: Option<&Command>) -> bool {
    match goal.map(|command| &command.goal) {
        Some(
            Goal::Deleted
            | Goal::Stopped {
                stop: StopMode::Force,
                ..
            },
        ) => true,
        Some(
            Goal::Running { .. }
            | Goal::Stopped {
                stop: StopMode::Graceful,
                ..
            },
        )
        | None => false,
    }
}

/// Keeps the root filesystem of a process mounted after its end. Unmounting it writes everything
/// to disk first, which nobody wants to wait for when the disk is about to be deleted.
fn hold_root(pid: i32) -> Option<OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty()).ok()
}

/// Runs `work` where it may block. A panic in it is a failure of this goal only.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Failure::new(FailureCode::HostError, "internal", error))
}
