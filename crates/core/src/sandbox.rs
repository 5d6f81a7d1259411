//! One isolated environment, as its owner and the store know it.
//!
//! Must not: know how it is written to a database or to the wire.
//! Next: `lifecycle` for the part of it that moves.

use std::collections::BTreeMap;

use crate::clock::Timestamp;
use crate::id::{OrganizationId, SandboxId};
use crate::labels::Labels;
use crate::lifecycle::{self, Shown};
use crate::name::Name;
use crate::network;
use crate::resources::Resources;
use crate::secret::Secret;
use crate::timers::{AutoDelete, Due, Timers, next_due};

/// Bounds on the environment of a sandbox: what one exec call can carry with room to spare.
pub const ENV_VARS_MAX: usize = 512;
pub const ENV_BYTES_MAX: usize = 128 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    pub id: SandboxId,
    pub organization: OrganizationId,
    pub name: Name,
    /// The snapshot as its owner named it.
    pub snapshot: String,
    /// The same snapshot as the runner knows it; differs when the owner used an alias.
    pub template: String,
    pub user: Option<String>,
    pub env: BTreeMap<String, String>,
    pub labels: Labels,
    pub public: bool,
    pub region: String,
    pub resources: Resources,
    pub network: network::Policy,
    pub timers: Timers,
    /// Opens previews and the toolbox of this sandbox; new at each cold start.
    pub auth_token: Secret<String>,
    /// Signs file URLs; survives stop and start.
    pub signing_key: Secret<String>,
    pub life: lifecycle::Record,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub last_active_at: Timestamp,
}

impl Sandbox {
    #[must_use]
    pub fn shown(&self) -> Shown {
        lifecycle::shown_state(&self.life)
    }

    #[must_use]
    pub fn is_ephemeral(&self) -> bool {
        self.timers.auto_delete == AutoDelete::Ephemeral
    }

    /// The next thing that the clock will ask of it.
    #[must_use]
    pub fn next_due(&self) -> Option<(Timestamp, Due)> {
        next_due(&self.timers, self.shown(), self.last_active_at)
    }

    /// What went wrong, led by a code, when something did.
    #[must_use]
    pub fn error_reason(&self) -> Option<String> {
        match (&self.life.observed, self.shown()) {
            (lifecycle::Observed::Failed(failure), Shown::Error) => Some(failure.explain()),
            (lifecycle::Observed::Stopped(reason), Shown::Stopped) => {
                reason.explain().map(str::to_owned)
            }
            (_, _) => None,
        }
    }

    #[must_use]
    pub fn is_recoverable(&self) -> bool {
        match (&self.life.observed, self.shown()) {
            (lifecycle::Observed::Failed(failure), Shown::Error) => failure.code.is_recoverable(),
            (_, _) => false,
        }
    }
}
