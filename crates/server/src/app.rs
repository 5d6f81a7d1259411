//! What every part of the control plane shares. Cheap to clone.

use std::ops::Deref;
use std::sync::Arc;

use sebring_core::clock::Timestamp;
use sebring_store::Store;
use sebring_tasks::Tasks;

use crate::config::Config;
use crate::directory::Directory;
use crate::events::Events;
use crate::reconcile::Reconciler;
use crate::runner::{Client, Spares};
use crate::snapshots::Catalog;
use crate::timers::Timers;

#[derive(Clone, Debug)]
pub(crate) struct App(Arc<Parts>);

#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) directory: Arc<Directory>,
    pub(crate) events: Events,
    pub(crate) runner: Client,
    pub(crate) spares: Spares,
    pub(crate) catalog: Catalog,
    pub(crate) reconciler: Arc<Reconciler>,
    pub(crate) timers: Arc<Timers>,
    pub(crate) tasks: Tasks,
    pub(crate) started_at: Timestamp,
}

impl App {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.config.clock.now()
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
