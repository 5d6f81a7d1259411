//! Owned, named tasks: nothing runs in the background without a name, an owner, and an end that
//! someone awaits.
//!
//! Must not: decide what to run. A panic inside a task is logged with its name and contained.
//! Next: `failure` for how their errors are logged.
#![forbid(unsafe_code)]

mod failure;

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

pub use failure::chain;

/// A set of tasks that are stopped and awaited together. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Resolves once [`Tasks::shutdown`] was called; long-running tasks select on it.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// The token behind [`Tasks::stopped`], for code that hands it on.
    #[must_use]
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `task` to its end, whoever asked for it: dropping the returned handle does not stop it.
    #[expect(clippy::disallowed_methods, reason = "the one place that may spawn")]
    pub fn spawn<F>(&self, name: &'static str, task: F) -> JoinHandle<Option<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let inner = self.tracker.track_future(task);
        tokio::spawn(async move {
            match tokio::spawn(inner).await {
                Ok(output) => Some(output),
                Err(failure) if failure.is_panic() => {
                    error!(task = name, error = %failure, "task panicked");
                    None
                }
                Err(_) => None,
            }
        })
    }

    /// Asks every task to stop and waits until all have ended.
    pub async fn shutdown(&self) {
        self.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_one_task_is_contained() {
        let tasks = Tasks::new();
        let bad = tasks.spawn("bad", async { panic!("on purpose") });
        let good = tasks.spawn("good", async { 7 });
        assert!(bad.await.unwrap().is_none());
        assert_eq!(good.await.unwrap(), Some(7));
    }

    #[tokio::test]
    async fn shutdown_waits_for_every_task() {
        let tasks = Tasks::new();
        let (ended, seen) = tokio::sync::oneshot::channel();
        let inner = tasks.clone();
        tasks.spawn("waits", async move {
            inner.stopped().await;
            ended.send(()).unwrap();
        });
        tasks.shutdown().await;
        seen.await.unwrap();
    }
}
