//! How domain values look on the wire.

use sebring_api::public::{self, SandboxClass, SandboxState, sandbox::SandboxDesiredState};
use sebring_core::lifecycle::{Intent, Observed, Shown};
use sebring_core::network::Policy;
use sebring_core::sandbox::Sandbox;
use sebring_core::timers::AutoDelete;

use crate::config::PublicUrls;

/// The user of a sandbox that names none, as clients know it.
pub(crate) const DEFAULT_USER: &str = "daytona";

pub(crate) fn sandbox(sandbox: &Sandbox, urls: &PublicUrls) -> public::Sandbox {
    public::Sandbox {
        item: list_item(sandbox, urls),
        env: sandbox.env.clone(),
        kvm: false,
        volumes: Vec::new(),
        build_info: None,
        backup_created_at: None,
        linked_sandbox_id: None,
        outbound_proxy_url: None,
        otel_endpoint_override: None,
    }
}

pub(crate) fn list_item(sandbox: &Sandbox, urls: &PublicUrls) -> public::SandboxListItem {
    let timers = &sandbox.timers;
    public::SandboxListItem {
        id: sandbox.id.to_string(),
        organization_id: sandbox.organization.to_string(),
        name: sandbox.name.to_string(),
        user: sandbox.user.clone().unwrap_or_else(|| DEFAULT_USER.into()),
        target: sandbox.region.clone(),
        snapshot: Some(sandbox.snapshot.clone()),
        labels: sandbox.labels.as_map().clone(),
        public: sandbox.public,
        network_block_all: sandbox.network == Policy::BlockAll,
        network_allow_list: sandbox.network.allow_list(),
        domain_allow_list: None,
        cpu: sandbox.resources.cpus,
        gpu: 0,
        gpu_type: None,
        memory: sandbox.resources.memory_gib,
        disk: sandbox.resources.disk_gib,
        state: state(sandbox.shown()),
        desired_state: desired_state(sandbox),
        error_reason: sandbox.error_reason(),
        recoverable: sandbox.is_recoverable(),
        backup_state: Some("None".into()),
        auto_stop_interval: timers.auto_stop_minutes.unwrap_or(0),
        auto_pause_interval: 0,
        auto_archive_interval: timers.auto_archive_minutes,
        auto_delete_interval: match timers.auto_delete {
            AutoDelete::Never => -1,
            AutoDelete::Ephemeral => 0,
            AutoDelete::AfterMinutes(minutes) => minutes.into(),
        },
        auto_destroy_at: timers.destroy_at.map(|at| at.to_string()),
        queue_timeout: None,
        queue_timed_out_at: None,
        spot: false,
        spot_evicted_at: None,
        warm_pool_id: None,
        sandbox_class: SandboxClass::Container,
        daemon_version: Some(env!("CARGO_PKG_VERSION").into()),
        runner_id: None,
        toolbox_proxy_url: urls.toolbox.clone(),
        unenforced_limits: match &sandbox.life.observed {
            Observed::Running { unenforced, .. } => unenforced.clone(),
            Observed::Unseen
            | Observed::Building
            | Observed::Stopped(_)
            | Observed::Failed(_)
            | Observed::Gone => Vec::new(),
        },
        created_at: sandbox.created_at.to_string(),
        updated_at: sandbox.updated_at.to_string(),
        last_activity_at: sandbox.last_active_at.to_string(),
    }
}

pub(crate) fn state(shown: Shown) -> SandboxState {
    match shown {
        Shown::Creating => SandboxState::Creating,
        Shown::BuildingSnapshot => SandboxState::BuildingSnapshot,
        Shown::Starting => SandboxState::Starting,
        Shown::Started => SandboxState::Started,
        Shown::Resizing => SandboxState::Resizing,
        Shown::Stopping => SandboxState::Stopping,
        Shown::Stopped => SandboxState::Stopped,
        Shown::Error => SandboxState::Error,
        Shown::Destroying => SandboxState::Destroying,
        Shown::Destroyed => SandboxState::Destroyed,
    }
}

/// The shown states that a wire state means; none for what a sandbox of ours is never in.
pub(crate) fn shown_as(state: SandboxState) -> Option<Shown> {
    Shown::ALL
        .into_iter()
        .find(|shown| self::state(*shown) == state)
}

pub(crate) fn desired_state(sandbox: &Sandbox) -> SandboxDesiredState {
    match sandbox.life.intent {
        Intent::Running(_) => SandboxDesiredState::Started,
        Intent::Stopped(_) => SandboxDesiredState::Stopped,
        Intent::Deleted => SandboxDesiredState::Destroyed,
    }
}
