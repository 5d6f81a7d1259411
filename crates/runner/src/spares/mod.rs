//! Sandboxes brought up ahead of need, so that a create finds one that only lacks its owner.
//!
//! ```text
//!            fill                  a goal for its id, fits
//!  (nothing) ─────▶ Ready ──────────────────────────────────▶ a sandbox like any other
//!     ▲               │ no room, unused, died, does not fit
//!     └── Leaving ◀───┘
//!            └──▶ Stuck   its first process does not end
//! ```
//!
//! A spare has an id that the runner made up, is no sandbox to anybody, and cannot be reached. The
//! server hears of it, gives the id to a new sandbox, and sends that its goal as always; the task
//! of that sandbox finds the spare here. Whoever takes one out of the map owns it, so each is
//! claimed at most once. A mark in the records (`Records::mark_spare`) tells the next runner that
//! the disk is worth nothing.
//!
//! Must not: appear in an inventory, count against anyone, or take what a sandbox needs.
//! Next: `plan` decides, `keep` does; `crate::sandbox` claims.

pub(crate) mod keep;
mod plan;

use std::time::Duration;

use parking_lot::Mutex;
use sebring_api::runner::{Shape, Spare};
use sebring_core::id::SandboxId;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::sandbox::Live;
use crate::snapshots::Snapshot;
use plan::{Demand, Moment, Next, Room};

/// More would only hold memory: nobody creates so many sandboxes at once and then waits.
pub const SPARES_MAX: usize = 64;
/// After an attempt that failed, before the next one.
const RETRY_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Spares {
    state: Mutex<State>,
    /// Told when there may be something to do.
    wake: Notify,
    announced: watch::Sender<Vec<Spare>>,
}

#[derive(Debug)]
struct State {
    demand: Demand,
    /// Oldest first.
    entries: Vec<(SandboxId, Entry)>,
    busy: usize,
    busy_until: Option<Instant>,
    retry_at: Option<Instant>,
}

#[derive(Debug)]
enum Entry {
    Ready(Box<Ready>),
    /// Being taken down under its id, which must not be used meanwhile.
    Leaving,
    /// Killed, and still there. Whoever wants its id has to try to end it again.
    Stuck(Box<Live>),
}

/// What there is of the id that somebody wants.
#[derive(Debug)]
pub(crate) enum Taken {
    Ready(Box<Ready>),
    /// Cannot be used, only ended.
    Stuck(Box<Live>),
}

/// A spare that can be claimed.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) shape: Shape,
    /// What it was started from.
    pub(crate) snapshot: Snapshot,
    pub(crate) live: Live,
}

impl Spares {
    pub(crate) fn new(spares_max: usize) -> Self {
        let state = State {
            demand: Demand::new(spares_max.min(SPARES_MAX)),
            entries: Vec::new(),
            busy: 0,
            busy_until: None,
            retry_at: None,
        };
        Self {
            state: Mutex::new(state),
            wake: Notify::new(),
            announced: watch::Sender::default(),
        }
    }

    /// All that can be claimed, now and after every change.
    pub(crate) fn announced(&self) -> watch::Receiver<Vec<Spare>> {
        self.announced.subscribe()
    }

    /// Somebody wants a new sandbox like this.
    pub(crate) fn note_request(&self, shape: Shape) {
        self.state.lock().demand.note(shape, Instant::now());
    }

    /// As long as the guard lives, no spare is begun.
    pub(crate) fn hold_off(&self) -> HoldOff<'_> {
        self.state.lock().busy += 1;
        HoldOff(self)
    }

    /// The spare `id`, which is then the caller's to use or to end. One that is being ended is
    /// waited for, so that its id is free afterwards.
    pub(crate) async fn take(&self, id: SandboxId) -> Option<Taken> {
        // Before the first look, so that no end is missed. An end has a deadline of its own.
        let mut changes = self.announced();
        loop {
            {
                let mut state = self.state.lock();
                let place = state.entries.iter().position(|(other, _)| *other == id)?;
                if !matches!(state.entries[place].1, Entry::Leaving) {
                    let (_, entry) = state.entries.remove(place);
                    self.announce(&state);
                    return match entry {
                        Entry::Ready(ready) => Some(Taken::Ready(ready)),
                        Entry::Stuck(live) => Some(Taken::Stuck(live)),
                        Entry::Leaving => None,
                    };
                }
            }
            changes.changed().await.ok()?;
        }
    }

    /// As [`Spares::take`], but the id stays in use until [`Spares::gone`].
    fn dismiss(&self, id: SandboxId) -> Option<Box<Ready>> {
        let mut state = self.state.lock();
        let (_, entry) = state.entries.iter_mut().find(|(other, _)| *other == id)?;
        if !matches!(entry, Entry::Ready(_)) {
            return None;
        }
        let before = std::mem::replace(entry, Entry::Leaving);
        self.announce(&state);
        match before {
            Entry::Ready(ready) => Some(ready),
            Entry::Leaving | Entry::Stuck(_) => None,
        }
    }

    /// It was to end and does not.
    fn keep_stuck(&self, id: SandboxId, live: Box<Live>) {
        let mut state = self.state.lock();
        state.entries.retain(|(other, _)| *other != id);
        state.entries.push((id, Entry::Stuck(live)));
        self.announce(&state);
    }

    /// Whether ending them frees, or has just freed, what a sandbox may need.
    fn hold_something(&self) -> bool {
        let state = self.state.lock();
        let frees = |entry: &Entry| matches!(entry, Entry::Ready(_) | Entry::Leaving);
        state.entries.iter().any(|(_, entry)| frees(entry))
    }

    /// Resolves when none is being ended.
    async fn have_left(&self) {
        // Before the first look, so that no end is missed.
        let mut changes = self.announced();
        while self.state.lock().is_any_leaving() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn gone(&self, id: SandboxId) {
        let mut state = self.state.lock();
        state.entries.retain(|(other, _)| *other != id);
        self.announce(&state);
    }

    fn add(&self, id: SandboxId, ready: Ready) {
        let mut state = self.state.lock();
        state.entries.push((id, Entry::Ready(Box::new(ready))));
        state.retry_at = None;
        self.announce(&state);
    }

    fn back_off(&self) {
        self.state.lock().retry_at = Some(Instant::now() + RETRY_WAIT);
    }

    fn ids(&self) -> Vec<SandboxId> {
        let state = self.state.lock();
        state.ready().map(|(id, _)| id).collect()
    }

    fn next(&self, room: impl Fn() -> Room) -> Next {
        // Of a copy: looking at the host takes long enough for a goal to wait for the lock.
        let (demand, present, moment) = self.state.lock().copy();
        plan::decide(&demand, &present, moment, room)
    }

    /// Under the lock, so that what is said last is what is.
    fn announce(&self, state: &State) {
        let spares = state.ready().map(|(id, ready)| Spare {
            id,
            shape: ready.shape.clone(),
        });
        self.announced.send_replace(spares.collect());
    }
}

impl State {
    fn copy(&self) -> (Demand, Vec<(SandboxId, Shape)>, Moment) {
        let present = self.ready().map(|(id, ready)| (id, ready.shape.clone()));
        let moment = Moment {
            now: Instant::now(),
            busy: self.busy > 0,
            busy_until: self.busy_until,
            retry_at: self.retry_at,
        };
        (self.demand.clone(), present.collect(), moment)
    }

    fn ready(&self) -> impl Iterator<Item = (SandboxId, &Ready)> {
        self.entries.iter().filter_map(|(id, entry)| match entry {
            Entry::Ready(ready) => Some((*id, &**ready)),
            Entry::Leaving | Entry::Stuck(_) => None,
        })
    }

    fn is_any_leaving(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(_, entry)| matches!(entry, Entry::Leaving))
    }
}

/// See [`Spares::hold_off`].
#[derive(Debug)]
pub(crate) struct HoldOff<'a>(&'a Spares);

impl Drop for HoldOff<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.busy -= 1;
        if state.busy == 0 {
            state.busy_until = Some(Instant::now());
            self.0.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn room_that_somebody_else_is_making_counts_and_is_waited_for() {
        let spares = Spares::new(1);
        let id = SandboxId::random();
        spares.state.lock().entries.push((id, Entry::Leaving));
        assert!(spares.hold_something());
        let mut left = Box::pin(spares.have_left());
        assert_eq!(left.as_mut().now_or_never(), None);
        spares.gone(id);
        left.await;
        assert!(!spares.hold_something());
    }
}
