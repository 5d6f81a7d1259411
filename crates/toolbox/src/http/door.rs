//! Who is being served, and how the door is closed for a moment without anybody noticing.
//!
//! While it is closed, whoever comes waits in the socket's queue. Who is inside is answered and
//! then let go; an answer that can be asked for again has a bounded time.
//!
//! Must not: cut anything itself. Next: `crate::upgrade::route`, which closes it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use tokio::sync::watch;
use tokio::time::Instant;

/// From its beginning, for a request that can be repeated without harm.
const REPEATABLE_TIME: Duration = Duration::from_secs(5);
/// Between connecting and asking for something.
const SILENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Door {
    closed: watch::Sender<bool>,
    guests: Mutex<Guests>,
    /// Requests that may have an effect and are being answered.
    effects: AtomicUsize,
}

#[derive(Debug, Default)]
struct Guests {
    next: u64,
    present: HashMap<u64, Arc<Visit>>,
}

/// What a connection is in the middle of, as far as is known.
#[derive(Debug)]
struct Visit {
    has_effect: AtomicBool,
    /// Of its latest request; of itself when there was none yet.
    may_end: Mutex<Instant>,
}

/// A connection that is served.
#[derive(Debug)]
pub(super) struct Guest {
    door: Arc<Door>,
    number: u64,
    visit: Arc<Visit>,
}

/// A request with effects that is being answered.
#[derive(Debug)]
pub(super) struct Effect(Arc<Door>);

/// The door is closed until this is dropped.
#[derive(Debug)]
pub(crate) struct Closed<'a>(&'a Door);

impl Door {
    pub(super) fn enter(self: &Arc<Self>) -> Guest {
        let visit = Arc::new(Visit {
            has_effect: AtomicBool::new(false),
            may_end: Mutex::new(Instant::now() + SILENCE),
        });
        let mut guests = self.guests();
        let number = guests.next;
        guests.next += 1;
        guests.present.insert(number, Arc::clone(&visit));
        drop(guests);
        Guest {
            door: Arc::clone(self),
            number,
            visit,
        }
    }

    pub(crate) fn close(&self) -> Closed<'_> {
        self.closed.send_replace(true);
        Closed(self)
    }

    /// Resolves when it is closed. Safe to drop.
    pub(super) async fn closes(&self) {
        self.becomes(true).await;
    }

    pub(super) async fn opens(&self) {
        self.becomes(false).await;
    }

    async fn becomes(&self, wanted: bool) {
        let mut closed = self.closed.subscribe();
        // The sender lives in `self`.
        let _reached = closed.wait_for(|closed| *closed == wanted).await;
    }

    /// Whether nothing that has an effect is being answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.effects.load(Ordering::Relaxed) == 0
    }

    /// Whether all who are left inside may be cut: what they asked for can be asked for again, and
    /// they have had their time.
    pub(crate) fn is_done(&self) -> bool {
        self.is_done_at(Instant::now())
    }

    fn is_done_at(&self, now: Instant) -> bool {
        let guests = self.guests();
        guests.present.values().all(|visit| {
            let may_end = visit.may_end.lock();
            !visit.has_effect.load(Ordering::Relaxed)
                && *may_end.unwrap_or_else(PoisonError::into_inner) <= now
        })
    }

    fn guests(&self) -> MutexGuard<'_, Guests> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// It asks for something. Keep what this returns until there is an answer.
    pub(super) fn ask(&self, method: &Method) -> Option<Effect> {
        let has_effect = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        self.visit.has_effect.store(has_effect, Ordering::Relaxed);
        let may_end = self.visit.may_end.lock();
        *may_end.unwrap_or_else(PoisonError::into_inner) = Instant::now() + REPEATABLE_TIME;
        has_effect.then(|| {
            self.door.effects.fetch_add(1, Ordering::Relaxed);
            Effect(Arc::clone(&self.door))
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.door.guests().present.remove(&self.number);
    }
}

impl Drop for Effect {
    fn drop(&mut self) {
        self.0.effects.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.0.closed.send_replace(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_repeated_has_a_bounded_time_and_the_rest_all_it_needs() {
        let door = Arc::new(Door::default());
        assert!(door.is_done());
        let (reader, writer) = (door.enter(), door.enter());
        assert!(!door.is_done(), "they may be about to ask");
        assert!(reader.ask(&Method::GET).is_none());
        let effect = writer.ask(&Method::POST);
        assert!(!door.is_quiet());
        let later = Instant::now() + REPEATABLE_TIME;
        assert!(!door.is_done_at(later), "the writer is not done");
        drop((effect, writer));
        assert!(door.is_quiet() && door.is_done_at(later));
        assert!(!door.is_done(), "a request has its time");
    }

    #[tokio::test]
    async fn a_closed_door_opens_again_by_itself() {
        let door = Door::default();
        let closed = door.close();
        door.closes().await;
        drop(closed);
        door.opens().await;
    }
}
