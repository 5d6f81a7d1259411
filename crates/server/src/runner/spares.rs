//! The spares that the runner has announced, and which of them were given to new sandboxes.
//!
//! A spare is a hint: a sandbox gets its id, and the runner does the rest when it is told of that
//! sandbox. One that is gone by then costs nothing but the time it would have saved.
//!
//! Must not: give one out twice. Two sandboxes cannot have one id.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use parking_lot::Mutex;
use sebring_api::runner::{Shape, Spare};
use sebring_core::id::SandboxId;
use sebring_tasks::chain;
use tokio::time::Instant;
use tracing::debug;

use super::client::{Error, Link};
use super::lines::Lines;
use crate::app::App;

/// Between attempts to listen to a runner that is there; one that is not is waited for.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// A sandbox that one was given to is in the directory long before.
const GIVEN_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    announced: Vec<Spare>,
    /// Of those that were announced last, with when. What was given out stays announced for a
    /// moment, and a runner that was away for a moment announces it again.
    given: HashMap<SandboxId, Instant>,
}

impl Spares {
    /// The runner's newest word. An id that it no longer mentions never comes back.
    fn hear(&self, announced: Vec<Spare>) {
        let mut state = self.0.lock();
        let known: HashSet<_> = announced.iter().map(|spare| spare.id).collect();
        state.given.retain(|id, _| known.contains(id));
        state.announced = announced;
    }

    /// The runner cannot be heard. What it has is as it was, for all we know.
    fn lose(&self) {
        self.0.lock().announced.clear();
    }

    /// The id of a spare that nobody else gets. `is_known` tells ids that are sandboxes already:
    /// given out by a server that was here before. One that was given out long ago and is none
    /// was given to a caller who left before there was a sandbox.
    pub(crate) fn take(
        &self,
        shape: &Shape,
        now: Instant,
        is_known: impl Fn(SandboxId) -> bool,
    ) -> Option<SandboxId> {
        let mut state = self.0.lock();
        let is_given = |id| {
            let given = state.given.get(&id);
            given.is_some_and(|at| now.saturating_duration_since(*at) < GIVEN_MAX)
        };
        let is_free =
            |spare: &&Spare| spare.shape == *shape && !is_given(spare.id) && !is_known(spare.id);
        let id = state.announced.iter().find(is_free)?.id;
        state.given.insert(id, now);
        Some(id)
    }

    /// Those that can still be given out.
    pub(crate) fn count(&self) -> usize {
        let state = self.0.lock();
        let is_free = |spare: &&Spare| !state.given.contains_key(&spare.id);
        state.announced.iter().filter(is_free).count()
    }

    /// No sandbox was made of it.
    pub(crate) fn give_back(&self, id: SandboxId) {
        self.0.lock().given.remove(&id);
    }
}

/// Listens to the runner until the server stops.
pub(crate) async fn follow(app: App) {
    let mut link = app.runner.link();
    loop {
        // All only wait, and the first list of a new stream has everything.
        tokio::select! {
            biased;
            () = app.tasks.stopped() => return,
            up = link.wait_for(|link| *link == Link::Up) => if up.is_err() { return },
        }
        tokio::select! {
            biased;
            () = app.tasks.stopped() => return,
            ended = listen(&app) => debug!(error = %chain(&ended), "spares not heard of"),
        }
        app.spares.lose();
        tokio::select! {
            biased;
            () = app.tasks.stopped() => return,
            () = tokio::time::sleep(RETRY_WAIT) => {}
        }
    }
}

async fn listen(app: &App) -> Error {
    let mut lines = match app.runner.spares().await {
        Ok(stream) => Lines::of(stream),
        Err(error) => return error,
    };
    loop {
        let announced = match lines.next().await {
            Ok(line) => serde_json::from_slice(&line),
            Err(error) => return error,
        };
        match announced {
            Ok(announced) => app.spares.hear(announced),
            Err(error) => return Error::NotUnderstood(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use sebring_api::runner::ResourceSpec;

    use super::*;

    fn shape(snapshot: &str) -> Shape {
        let resources = ResourceSpec {
            cpus: 1,
            memory_gib: 1,
            disk_gib: 3,
        };
        Shape {
            snapshot: snapshot.into(),
            resources,
        }
    }

    fn announced(count: usize) -> Vec<Spare> {
        let spare = |_| Spare {
            id: SandboxId::random(),
            shape: shape("a"),
        };
        (0..count).map(spare).collect()
    }

    #[test]
    fn each_is_given_out_once_however_often_it_is_announced() {
        let spares = Spares::default();
        let two = announced(2);
        let now = Instant::now();
        spares.hear(two.clone());
        let first = spares.take(&shape("a"), now, |_| false).unwrap();
        spares.hear(two);
        let second = spares.take(&shape("a"), now, |_| false).unwrap();
        assert_ne!(first, second);
        assert_eq!(spares.take(&shape("a"), now, |_| false), None);
        spares.give_back(first);
        assert_eq!(spares.take(&shape("a"), now, |_| false), Some(first));
    }

    #[test]
    fn a_runner_that_was_away_for_a_moment_has_none_given_out_again() {
        let spares = Spares::default();
        let (two, now) = (announced(2), Instant::now());
        spares.hear(two.clone());
        let first = spares.take(&shape("a"), now, |_| false);
        spares.lose();
        assert_eq!(spares.count(), 0);
        assert_eq!(spares.take(&shape("a"), now, |_| false), None);
        spares.hear(two);
        assert_eq!(spares.count(), 1);
        assert_ne!(spares.take(&shape("a"), now, |_| false), first);
        assert_eq!(spares.take(&shape("a"), now, |_| false), None);
    }

    #[test]
    fn one_that_became_no_sandbox_is_given_out_again_after_a_while() {
        let spares = Spares::default();
        let now = Instant::now();
        spares.hear(announced(1));
        let given = spares.take(&shape("a"), now, |_| false);
        let later = now + GIVEN_MAX;
        assert_eq!(spares.take(&shape("a"), later, |_| true), None);
        assert_eq!(spares.take(&shape("a"), later, |_| false), given);
        assert_eq!(spares.take(&shape("a"), later, |_| false), None);
    }

    #[test]
    fn another_shape_or_a_sandbox_that_exists_gets_none() {
        let spares = Spares::default();
        spares.hear(announced(1));
        let now = Instant::now();
        assert_eq!(spares.take(&shape("b"), now, |_| false), None);
        assert_eq!(spares.take(&shape("a"), now, |_| true), None);
        assert!(spares.take(&shape("a"), now, |_| false).is_some());
    }

    #[test]
    fn what_the_runner_no_longer_has_is_forgotten() {
        let spares = Spares::default();
        spares.hear(announced(1));
        let now = Instant::now();
        assert!(spares.take(&shape("a"), now, |_| false).is_some());
        spares.hear(Vec::new());
        assert_eq!(spares.take(&shape("a"), now, |_| false), None);
        assert!(spares.0.lock().given.is_empty());
    }
}
