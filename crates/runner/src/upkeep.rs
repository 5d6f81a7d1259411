//! What the runner does by itself, beside reaching goals.
//!
//! Must not: change what a sandbox is.

use std::sync::Arc;
use std::time::Duration;

use tracing::warn;

use crate::disk::{reserve, showing};
use crate::history::{self, SAMPLE_EVERY};
use crate::runner::Shared;

/// How old the disk use may be that a sandbox shows. The kernel itself counts only when it writes.
const DISK_USE_EVERY: Duration = Duration::from_secs(5);

/// Starts it all; it ends with the runner's tasks.
pub(crate) fn start(shared: &Arc<Shared>) {
    let own = Arc::clone(shared);
    shared
        .tasks
        .spawn("trash", async move { empty_trash(own).await });
    let own = Arc::clone(shared);
    shared
        .tasks
        .spawn("disk use", async move { show_disk_use(own).await });
    let own = Arc::clone(shared);
    shared
        .tasks
        .spawn("host disk", async move { keep_reserve(own).await });
    let own = Arc::clone(shared);
    shared
        .tasks
        .spawn("history", async move { keep_history(own).await });
}

/// Tells sandboxes how full their disks are.
async fn show_disk_use(shared: Arc<Shared>) {
    loop {
        // Both only wait.
        tokio::select! {
            () = shared.tasks.stopped() => return,
            () = tokio::time::sleep(DISK_USE_EVERY) => {}
        }
        let worker = Arc::clone(&shared);
        let refresh = move || showing::refresh(&worker.pool, &worker.running());
        if let Err(error) = tokio::task::spawn_blocking(refresh).await {
            warn!(error = %error, "measuring disks panicked");
        }
    }
}

/// Keeps the host's disk from being filled.
async fn keep_reserve(shared: Arc<Shared>) {
    loop {
        let worker = Arc::clone(&shared);
        match tokio::task::spawn_blocking(move || reserve::keep(&worker.pool)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => warn!(error = %error, "cannot look after the host's disk"),
            Err(error) => warn!(error = %error, "looking after the host's disk panicked"),
        }
        // Both only wait.
        tokio::select! {
            () = shared.tasks.stopped() => return,
            () = tokio::time::sleep(reserve::LOOK_EVERY) => {}
        }
    }
}

/// Keeps samples of what sandboxes use.
async fn keep_history(shared: Arc<Shared>) {
    loop {
        // Both only wait.
        tokio::select! {
            () = shared.tasks.stopped() => return,
            () = tokio::time::sleep(SAMPLE_EVERY) => {}
        }
        let worker = Arc::clone(&shared);
        if let Err(error) = tokio::task::spawn_blocking(move || history::record(&worker)).await {
            warn!(error = %error, "sampling panicked");
        }
    }
}

/// Deletes discarded disks whenever there are any, one batch at a time.
async fn empty_trash(shared: Arc<Shared>) {
    loop {
        let worker = Arc::clone(&shared);
        if let Err(error) = tokio::task::spawn_blocking(move || worker.pool.empty_trash()).await {
            warn!(error = %error, "emptying the trash panicked");
        }
        // Both only wait.
        tokio::select! {
            () = shared.tasks.stopped() => return,
            () = shared.trash.notified() => {}
        }
    }
}
