//! What the control plane is told when it starts. Every limit that an operator may change is here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sebring_core::clock::Clock;
use sebring_core::resources::{Limits, Resources};

#[derive(Clone, Debug)]
pub struct Config {
    /// The SQLite file; its directory must be writable.
    pub database: PathBuf,
    /// Where `admin.key` is kept, mode 0600.
    pub keys_dir: PathBuf,
    /// The runner's unix socket.
    pub runner_socket: PathBuf,
    /// Under which all routes are, such as `/api`; empty for none. No slash at the end.
    pub api_path: String,
    pub urls: PublicUrls,
    /// Snapshot of a sandbox that names none.
    pub default_snapshot: String,
    /// Names that clients may use for snapshots on the runner, with the size of their sandboxes.
    pub aliases: Vec<SnapshotAlias>,
    /// Size of sandboxes from a snapshot that has no alias.
    pub default_resources: Resources,
    /// The most that one sandbox may have.
    pub limits: Limits,
    /// How long `POST /sandbox` and the like wait for the wished state. Below the 30 s after
    /// which the strictest client gives up.
    pub wait_max: Duration,
    pub clock: Arc<dyn Clock>,
}

/// How clients reach what is not the API itself.
#[derive(Clone, Debug)]
pub struct PublicUrls {
    /// Such as `http://127.0.0.1:3986/toolbox`.
    pub toolbox: String,
    /// With `{{PORT}}` and `{{sandboxId}}`, such as `http://{{PORT}}-{{sandboxId}}.localhost:3986`.
    pub preview_template: String,
    /// Empty when there is none.
    pub dashboard: String,
}

/// A name for a snapshot, and how large sandboxes from it are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotAlias {
    pub name: String,
    /// Name on the runner; may be the same.
    pub snapshot: String,
    pub resources: Resources,
}

impl SnapshotAlias {
    /// The three sizes, under our names and under those of the hosted service, and the desktop.
    #[must_use]
    pub fn defaults() -> Vec<Self> {
        let sizes = [("small", 1, 1, 3), ("medium", 2, 4, 8), ("large", 4, 8, 10)];
        let named = |prefix: &'static str| {
            sizes.map(move |(size, cpus, memory_gib, disk_gib)| Self {
                name: format!("{prefix}-{size}"),
                snapshot: format!("sebring-{size}"),
                resources: Resources {
                    cpus,
                    memory_gib,
                    disk_gib,
                },
            })
        };
        let desktop = Self {
            name: "desktop".into(),
            snapshot: "desktop".into(),
            // A browser and a film of it at the same time.
            resources: Resources {
                cpus: 2,
                memory_gib: 4,
                disk_gib: 8,
            },
        };
        named("sebring")
            .into_iter()
            .chain(named("daytona"))
            .chain([desktop])
            .collect()
    }
}

impl PublicUrls {
    pub(crate) fn preview(&self, port: u16, label: &str) -> String {
        self.preview_template
            .replace("{{PORT}}", &port.to_string())
            .replace("{{sandboxId}}", label)
    }
}
