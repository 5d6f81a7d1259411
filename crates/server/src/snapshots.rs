//! The snapshots that sandboxes may start from: what the runner has, by the names we give it.
//!
//! Must not: be the truth; the runner is. This is its last word, asked for again when it is old or
//! lacks a name.

use std::time::Duration;

use parking_lot::RwLock;
use sebring_api::public::{SandboxClass, Snapshot, SnapshotState};
use sebring_api::runner::{Host, SnapshotFacts, SnapshotStage};
use sebring_core::clock::Timestamp;
use sebring_core::resources::Resources;
use sha2::{Digest, Sha256};
use tracing::debug;
use uuid::Uuid;

use crate::app::App;
use crate::config::Config;
use crate::runner::{self, Client};

/// How long the runner's last word is good for lists.
const FRESH: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Catalog {
    known: RwLock<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    facts: Vec<SnapshotFacts>,
    host: Host,
    asked: tokio::time::Instant,
}

/// A snapshot under the name that a client uses.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) facts: SnapshotFacts,
    pub(crate) resources: Resources,
}

impl Catalog {
    pub(crate) async fn refresh(&self, runner: &Client) -> Result<(), runner::Error> {
        let (facts, host) = (runner.snapshots().await?, runner.host().await?);
        *self.known.write() = Some(Known {
            facts,
            host,
            asked: tokio::time::Instant::now(),
        });
        Ok(())
    }

    /// Everything that sandboxes can start from, aliases first.
    fn named(&self, config: &Config) -> Vec<Named> {
        let known = self.known.read();
        let facts = known.as_ref().map_or(&[][..], |known| &known.facts);
        let find = |name: &str| facts.iter().find(|one| one.name == name).cloned();
        let aliases = config.aliases.iter().filter_map(|alias| {
            Some(Named {
                name: alias.name.clone(),
                facts: find(&alias.snapshot)?,
                resources: alias.resources,
            })
        });
        let plain = facts
            .iter()
            .filter(|one| !config.aliases.iter().any(|alias| alias.name == one.name))
            .map(|one| Named {
                name: one.name.clone(),
                facts: one.clone(),
                resources: config.default_resources,
            });
        aliases.chain(plain).collect()
    }

    fn is_fresh(&self) -> bool {
        let known = self.known.read();
        known
            .as_ref()
            .is_some_and(|known| known.asked.elapsed() < FRESH)
    }

    pub(crate) fn is_known(&self) -> bool {
        self.known.read().is_some()
    }

    /// Limits that the host cannot enforce, for readiness.
    pub(crate) fn unenforced(&self) -> Vec<String> {
        let known = self.known.read();
        known
            .as_ref()
            .map_or_else(Vec::new, |known| known.host.unenforced.clone())
    }
}

/// By id or by name.
pub(crate) async fn find(app: &App, reference: &str) -> Option<Named> {
    let lookup = || {
        let mut named = app.catalog.named(&app.config).into_iter();
        named.find(|one| one.name == reference || one.id().to_string() == reference)
    };
    if let Some(found) = lookup()
        && found.facts.stage == SnapshotStage::Ready
    {
        return Some(found);
    }
    // Absent, or built since.
    refresh(app).await;
    lookup()
}

pub(crate) async fn all(app: &App) -> Vec<Named> {
    if !app.catalog.is_fresh() {
        refresh(app).await;
    }
    app.catalog.named(&app.config)
}

async fn refresh(app: &App) {
    if let Err(error) = app.catalog.refresh(&app.runner).await {
        debug!(error = %sebring_tasks::chain(&error), "snapshots not refreshed");
    }
}

impl Named {
    /// Snapshots of a host have names only; the id that clients want is made from the name.
    pub(crate) fn id(&self) -> Uuid {
        let digest = Sha256::digest(format!("snapshot:{}", self.name));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    pub(crate) fn view(&self, region: &str) -> Snapshot {
        const GIB: f64 = (1_u64 << 30) as f64;
        let created_at = self.facts.created_at.parse::<Timestamp>();
        let created_at = created_at.unwrap_or(Timestamp::from_unix_ms(0)).to_string();
        // Precise to the mebibyte, which is more than anyone reads.
        let mebibytes = u32::try_from(self.facts.size_bytes >> 20).unwrap_or(u32::MAX);
        let (state, error_reason) = match &self.facts.stage {
            SnapshotStage::Ready => (SnapshotState::Active, None),
            SnapshotStage::Unbuilt => (SnapshotState::Pending, None),
            SnapshotStage::Building => (SnapshotState::Building, None),
            SnapshotStage::Failed { reason } => (SnapshotState::BuildFailed, Some(reason.clone())),
        };
        Snapshot {
            id: self.id().to_string(),
            organization_id: None,
            general: true,
            name: self.name.clone(),
            image_name: None,
            state,
            size: Some(f64::from(mebibytes) * f64::from(1 << 20) / GIB),
            entrypoint: Some(self.facts.entrypoint.clone()),
            cpu: self.resources.cpus,
            gpu: 0,
            gpu_type: None,
            mem: self.resources.memory_gib,
            disk: self.resources.disk_gib,
            error_reason,
            build_info: None,
            region_ids: vec![region.to_owned()],
            initial_runner_id: None,
            r#ref: Some(self.facts.name.clone()),
            sandbox_class: SandboxClass::Container,
            source_sandbox_id: None,
            created_at: created_at.clone(),
            updated_at: created_at,
            last_used_at: None,
        }
    }
}
