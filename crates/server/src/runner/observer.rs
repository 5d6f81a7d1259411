//! The one task that listens to the runner: it keeps the stream of observations open, compares
//! inventories when it connects, and hands each observation on.
//!
//! Must not: believe that a sandbox is lost because a list lacks it; the owner of that sandbox asks
//! for it by name, so that a list made before a create can do no harm.

use std::collections::HashSet;
use std::time::Duration;

use sebring_api::runner::Observation;
use sebring_core::lifecycle::{Observed, Step, absorb, decide};
use sebring_tasks::chain;
use tracing::{debug, info, warn};

use super::client::{Error, Link};
use super::lines::Lines;
use super::report;
use crate::app::App;
use crate::reconcile;

/// Between attempts to connect: a restarted runner is back within a fraction of a second.
const RETRY_MIN: Duration = Duration::from_millis(20);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Runs until the server stops.
pub(crate) async fn observe(app: App) {
    let mut wait = RETRY_MIN;
    loop {
        // Dropping the stream loses nothing: the next connection begins with the inventory.
        let ended = tokio::select! {
            biased;
            () = app.tasks.stopped() => return,
            ended = follow(&app) => ended,
        };
        if app.runner.is_up() {
            app.runner.set_link(Link::Down);
            warn!(error = %chain(&ended), "runner lost");
            wait = RETRY_MIN;
        } else {
            debug!(error = %chain(&ended), "runner not reachable yet");
        }
        tokio::select! {
            biased;
            () = app.tasks.stopped() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(RETRY_MAX);
    }
}

async fn follow(app: &App) -> Error {
    match app.runner.observations().await {
        Ok(stream) => {
            let compared = compare(app).await;
            if let Err(error) = compared {
                return error;
            }
            info!("runner connected");
            read_lines(app, Lines::of(stream)).await
        }
        Err(error) => error,
    }
}

/// What changed while nobody listened.
async fn compare(app: &App) -> Result<(), Error> {
    app.catalog.refresh(&app.runner).await?;
    let inventory = app.runner.inventory().await?;
    let listed: HashSet<_> = inventory.sandboxes.iter().map(|one| one.id).collect();
    for observation in &inventory.sandboxes {
        hear(app, observation).await;
    }
    app.runner.set_link(Link::Up);
    for sandbox in app.directory.all() {
        let once_there = match sandbox.life.observed {
            Observed::Running { .. } | Observed::Stopped(_) => true,
            Observed::Unseen | Observed::Building | Observed::Failed(_) | Observed::Gone => false,
        };
        if once_there && !listed.contains(&sandbox.id) {
            reconcile::verify(app, sandbox.id);
        } else if decide(&sandbox.life, app.now()) != Step::Rest {
            reconcile::attend(app, sandbox.id);
        }
    }
    Ok(())
}

async fn read_lines(app: &App, mut lines: Lines) -> Error {
    loop {
        let observation = match lines.next().await {
            Ok(line) => serde_json::from_slice(&line),
            Err(error) => return error,
        };
        match observation {
            Ok(observation) => hear(app, &observation).await,
            Err(error) => return Error::NotUnderstood(error),
        }
    }
}

/// Records what is news; a sandbox that nobody owns is deleted.
async fn hear(app: &App, observation: &Observation) {
    let Some(sandbox) = app.directory.sandbox(observation.id) else {
        return reconcile::delete_orphan(app, observation);
    };
    if absorb(&sandbox.life, &report(observation)) == sandbox.life {
        return;
    }
    if let Err(error) = reconcile::record(app, observation).await {
        warn!(sandbox_id = %observation.id, error = %chain(&error), "observation not recorded yet");
        // Its owner asks for it again until it can be recorded.
        reconcile::verify(app, observation.id);
    }
}
