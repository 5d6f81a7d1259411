//! Bringing the control plane up: store, first key, memory, tasks.

use std::sync::Arc;

use sebring_core::lifecycle::{Step, decide};
use sebring_store::{Change, Store};
use sebring_tasks::Tasks;
use tokio::sync::mpsc;
use tracing::info;

use crate::app::{App, Parts};
use crate::bootstrap::{self, bootstrap};
use crate::config::Config;
use crate::directory::Directory;
use crate::events::Events;
use crate::handle::Handle;
use crate::reconcile::{self, Reconciler};
use crate::runner::{self, Client, Spares};
use crate::snapshots::Catalog;
use crate::timers::{self, Timers};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("open the database {}", path.display())]
    Store {
        path: std::path::PathBuf,
        source: sebring_store::Error,
    },
    #[error("make the first key")]
    Bootstrap(#[from] bootstrap::Error),
}

/// Starts the control plane. It is ready when this returns, whether or not the runner is there;
/// it stops when `tasks` does.
pub async fn start(config: Config, tasks: Tasks) -> Result<Handle, StartError> {
    let directory = Arc::new(Directory::default());
    let events = Events::new(config.urls.clone());
    let scheduled = Arc::new(Timers::default());
    // Unbounded, but each entry is one commit, and commits are bounded by the store's queue.
    let (wake, committed) = mpsc::unbounded_channel();
    let listener = {
        let (directory, events) = (Arc::clone(&directory), events.clone());
        let scheduled = Arc::clone(&scheduled);
        Box::new(move |changes: &[Change]| {
            directory.apply(changes);
            for change in changes {
                if let Change::Sandbox { after, .. } = change {
                    scheduled.schedule(after);
                    // Fails only when the server stops.
                    wake.send(after.id).ok();
                }
            }
            events.announce(changes);
        })
    };
    let store_error = |source| StartError::Store {
        path: config.database.clone(),
        source,
    };
    let store = Store::open(&config.database, listener).map_err(store_error)?;
    bootstrap(&store, &config.keys_dir, config.clock.now()).await?;
    load(&store, &directory).await.map_err(store_error)?;
    let app = App::new(Parts {
        runner: Client::new(&config.runner_socket),
        spares: Spares::default(),
        started_at: config.clock.now(),
        config,
        store,
        directory,
        events,
        catalog: Catalog::default(),
        reconciler: Arc::new(Reconciler::new()),
        timers: scheduled,
        tasks,
    });
    spawn_all(&app, committed);
    Ok(Handle::new(app))
}

async fn load(store: &Store, directory: &Directory) -> Result<(), sebring_store::Error> {
    let sandboxes = store.read(sebring_store::sandboxes::all).await?;
    let previews = store.read(sebring_store::previews::all).await?;
    for key in store.read(sebring_store::keys::all).await? {
        directory.keys.add(Arc::new(key));
    }
    info!(sandboxes = sandboxes.len(), "control plane loaded");
    directory.load(sandboxes, previews);
    Ok(())
}

fn spawn_all(app: &App, committed: mpsc::UnboundedReceiver<sebring_core::id::SandboxId>) {
    for sandbox in app.directory.all() {
        app.timers.schedule(&sandbox);
        if decide(&sandbox.life, app.now()) != Step::Rest {
            reconcile::attend(app, sandbox.id);
        }
    }
    let tasks = &app.tasks;
    tasks.spawn("reconciler", reconcile::dispatch(app.clone(), committed));
    tasks.spawn("runner observer", runner::observe(app.clone()));
    tasks.spawn("spares", runner::follow_spares(app.clone()));
    tasks.spawn("timers", timers::run(app.clone()));
    tasks.spawn("activity writer", timers::write_activity(app.clone()));
}
