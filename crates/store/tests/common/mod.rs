//! A store in a directory of its own, and sandboxes to put into it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use sebring_core::clock::Timestamp;
use sebring_core::id::{OrganizationId, SandboxId};
use sebring_core::labels::Labels;
use sebring_core::lifecycle;
use sebring_core::name::Name;
use sebring_core::network::Policy;
use sebring_core::resources::Resources;
use sebring_core::sandbox::Sandbox;
use sebring_core::secret::Secret;
use sebring_core::timers::Timers;
use sebring_store::organizations::Organization;
use sebring_store::{Change, Error, Store};

pub(crate) const NOW: Timestamp = Timestamp::from_unix_ms(1_795_000_000_000);

pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) organization: OrganizationId,
    pub(crate) changes: Receiver<Change>,
    pub(crate) directory: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (said, changes) = channel();
        let store = Store::open(
            &directory.path().join("sebring.db"),
            Box::new(move |batch| {
                for change in batch {
                    said.send(change.clone()).ok();
                }
            }),
        )
        .unwrap();
        let organization = add_organization(&store).await;
        Self {
            store,
            organization,
            changes,
            directory,
        }
    }

    pub(crate) async fn insert(&self, sandbox: Sandbox) -> Result<Arc<Sandbox>, Error> {
        let inserted = self.store.write(|tx| tx.insert_sandbox(sandbox)).await?;
        Ok(inserted.value)
    }

    pub(crate) async fn stored(&self, id: SandboxId) -> Option<Sandbox> {
        let found: Result<_, Error> = self.store.write(move |tx| tx.sandbox(id)).await;
        found.unwrap().value
    }
}

pub(crate) async fn add_organization(store: &Store) -> OrganizationId {
    let organization = Organization {
        id: OrganizationId::random(),
        name: "test".into(),
        created_by: "user".into(),
        created_at: NOW,
    };
    let id = organization.id;
    let inserted: Result<_, Error> = store
        .write(move |tx| tx.insert_organization(&organization))
        .await;
    inserted.unwrap();
    id
}

pub(crate) fn sandbox(organization: OrganizationId, name: &str) -> Sandbox {
    Sandbox {
        id: SandboxId::random(),
        organization,
        name: Name::parse(name).unwrap(),
        snapshot: "default".into(),
        template: "default".into(),
        user: None,
        env: BTreeMap::from([("A".into(), "1".into())]),
        labels: Labels::default(),
        public: false,
        region: "us".into(),
        resources: Resources {
            cpus: 1,
            memory_gib: 1,
            disk_gib: 3,
        },
        network: Policy::Open,
        timers: Timers::default(),
        auth_token: Secret::new("token".into()),
        signing_key: Secret::new("key".into()),
        life: lifecycle::created(NOW),
        created_at: NOW,
        updated_at: NOW,
        last_active_at: NOW,
    }
}

pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    let map = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Labels::parse(map.collect()).unwrap()
}
