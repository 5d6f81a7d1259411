//! How tasks are brought to rest, so that what they hold can be written down.
//!
//! Everything in the toolbox changes on one thread. A task that keeps no state between two awaits
//! but what others can see is at rest whenever another one runs. Those that own more (the shell of
//! a session, an interpreter) lay it down in a [`Berth`] when a pause begins and take it up again
//! when it is over; work that must not be cut holds the pause off with a [`Hold`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

#[derive(Debug, Default)]
pub(crate) struct Pause {
    asked: watch::Sender<bool>,
    held: Arc<AtomicUsize>,
}

/// The toolbox is not replaced while this lives.
#[derive(Debug)]
pub(crate) struct Hold(Arc<AtomicUsize>);

/// A pause, until dropped.
#[derive(Debug)]
pub(super) struct Paused<'a>(&'a Pause);

impl Pause {
    pub(super) fn begin(&self) -> Paused<'_> {
        self.asked.send_replace(true);
        Paused(self)
    }

    /// Resolves when tasks are asked to rest. Safe to drop.
    pub(crate) async fn begun(&self) {
        self.becomes(true).await;
    }

    async fn over(&self) {
        self.becomes(false).await;
    }

    async fn becomes(&self, wanted: bool) {
        let mut asked = self.asked.subscribe();
        // The sender lives in `self`.
        let _reached = asked.wait_for(|asked| *asked == wanted).await;
    }

    pub(crate) fn hold(&self) -> Hold {
        self.held.fetch_add(1, Ordering::Relaxed);
        Hold(Arc::clone(&self.held))
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.asked.send_replace(false);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where a task lays down what it owns.
#[derive(Debug)]
pub(crate) struct Berth<T>(Mutex<Option<T>>);

impl<T> Default for Berth<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Berth<T> {
    /// Rests until the pause is over. Not to be dropped: what rests would be lost.
    pub(crate) async fn rest(&self, thing: T, pause: &Pause) -> T {
        *self.lock() = Some(thing);
        pause.over().await;
        let taken = self.lock().take();
        taken.expect("only its own task takes what it has laid down")
    }

    /// What rests here.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_lays_down_what_it_owns_and_takes_it_up_again() {
        let (pause, berth) = (Arc::new(Pause::default()), Arc::new(Berth::default()));
        let paused = pause.begin();
        let resting = async {
            pause.begun().await;
            berth.rest(String::from("mine"), &pause).await
        };
        let watching = async {
            tokio::task::yield_now().await;
            assert_eq!(berth.lock().as_deref(), Some("mine"));
            drop(paused);
        };
        let (mine, ()) = tokio::join!(resting, watching);
        assert_eq!(mine, "mine");
        assert!(berth.lock().is_none());
    }

    #[test]
    fn a_pause_is_held_off_as_long_as_anybody_wants() {
        let pause = Pause::default();
        let (one, other) = (pause.hold(), pause.hold());
        drop(one);
        assert!(pause.is_held());
        drop(other);
        assert!(!pause.is_held());
    }
}
