//! Which sandboxes have open requests, so that a long one keeps its sandbox awake.
//!
//! Must not: hold a timer per request; one task visits all open ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use sebring_core::id::SandboxId;
use sebring_tasks::Tasks;
use tokio::time::{Instant, MissedTickBehavior};

use crate::directory::Directory;

/// How often open requests count as activity: clients are promised that a request or WebSocket
/// keeps a sandbox awake at the shortest auto-stop of one minute.
const REFRESH_EVERY: Duration = Duration::from_secs(50);

type Open = Arc<Mutex<HashMap<SandboxId, usize>>>;

/// Counts open requests per sandbox. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity {
    open: Open,
}

/// One open request; ends its part when dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    open: Open,
    sandbox: SandboxId,
}

impl Activity {
    pub(crate) fn begin(&self, sandbox: SandboxId) -> OpenRequest {
        *self.open.lock().entry(sandbox).or_insert(0) += 1;
        OpenRequest {
            open: Arc::clone(&self.open),
            sandbox,
        }
    }

    /// Touches every sandbox with an open request, again and again until `tasks` stop.
    pub(crate) fn spawn_refresh(&self, directory: Arc<dyn Directory>, tasks: &Tasks) {
        let (open, stop) = (Arc::clone(&self.open), tasks.stop_token());
        tasks.spawn("edge activity", async move {
            let mut tick = tokio::time::interval_at(Instant::now() + REFRESH_EVERY, REFRESH_EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            // Both branches are safe to drop: neither holds anything.
            while stop.run_until_cancelled(tick.tick()).await.is_some() {
                let sandboxes: Vec<SandboxId> = open.lock().keys().copied().collect();
                for sandbox in sandboxes {
                    directory.touch(sandbox);
                }
            }
        });
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Some(count) = open.get_mut(&self.sandbox) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.sandbox);
            }
        }
    }
}
