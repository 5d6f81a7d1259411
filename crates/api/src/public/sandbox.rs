//! Sandboxes on the wire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::number::whole;

/// All states that clients know. Sebring shows those that a sandbox of it can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SandboxState {
    Creating,
    Restoring,
    Destroyed,
    Destroying,
    Started,
    Stopped,
    Starting,
    Stopping,
    Error,
    BuildFailed,
    PendingBuild,
    BuildingSnapshot,
    Unknown,
    PullingSnapshot,
    Archived,
    Archiving,
    Resizing,
    Snapshotting,
    Forking,
    Pausing,
    Paused,
    Resuming,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SandboxDesiredState {
    Destroyed,
    Started,
    Stopped,
    Resized,
    Archived,
    Paused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SandboxClass {
    Container,
    LinuxVm,
    Windows,
}

/// A volume in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SandboxVolume {
    pub volume_id: String,
    pub mount_path: String,
    pub subpath: Option<String>,
}

/// One sandbox, in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Sandbox {
    #[serde(flatten)]
    pub item: SandboxListItem,
    pub env: BTreeMap<String, String>,
    pub kvm: bool,
    pub volumes: Vec<SandboxVolume>,
    /// Always null: images are not built yet.
    pub build_info: Option<BuildInfo>,
    pub backup_created_at: Option<String>,
    pub linked_sandbox_id: Option<String>,
    /// Always null: not available yet.
    pub outbound_proxy_url: Option<String>,
    /// Always null: not available yet.
    pub otel_endpoint_override: Option<String>,
}

/// How an image is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BuildInfo {
    pub dockerfile_content: Option<String>,
    pub context_hashes: Option<Vec<String>>,
    pub created_at: String,
    pub updated_at: String,
    pub snapshot_ref: String,
}

/// One sandbox, as listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the wire's, each with a meaning of its own"
)]
pub struct SandboxListItem {
    pub id: String,
    pub organization_id: String,
    pub name: String,
    pub user: String,
    /// Region id.
    pub target: String,
    pub snapshot: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub public: bool,
    pub network_block_all: bool,
    /// Comma-separated IPv4 networks.
    pub network_allow_list: Option<String>,
    pub domain_allow_list: Option<String>,
    /// Cores.
    pub cpu: u32,
    pub gpu: u32,
    pub gpu_type: Option<String>,
    /// GiB.
    pub memory: u32,
    /// GiB.
    pub disk: u32,
    pub state: SandboxState,
    pub desired_state: SandboxDesiredState,
    /// What went wrong, led by a code such as `oom_killed`.
    pub error_reason: Option<String>,
    pub recoverable: bool,
    pub backup_state: Option<String>,
    /// Minutes; 0 is off.
    pub auto_stop_interval: u32,
    /// Minutes; 0 is off.
    pub auto_pause_interval: u32,
    /// Minutes.
    pub auto_archive_interval: u32,
    /// Minutes; negative is off, 0 deletes on stop.
    pub auto_delete_interval: i64,
    pub auto_destroy_at: Option<String>,
    pub queue_timeout: Option<u32>,
    pub queue_timed_out_at: Option<String>,
    pub spot: bool,
    pub spot_evicted_at: Option<String>,
    pub warm_pool_id: Option<String>,
    pub sandbox_class: SandboxClass,
    pub daemon_version: Option<String>,
    pub runner_id: Option<String>,
    pub toolbox_proxy_url: String,
    /// Limits that the host cannot enforce; empty when all hold. Ours, not the contract's.
    pub unenforced_limits: Vec<String>,
    pub created_at: String,
    pub updated_at: String,
    pub last_activity_at: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ListSandboxes {
    pub items: Vec<SandboxListItem>,
    /// Null on the last page.
    pub next_cursor: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaginatedSandboxes {
    pub items: Vec<Sandbox>,
    pub total: u64,
    pub page: u32,
    pub total_pages: u64,
}

/// What a caller asks for; everything may be left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateSandbox {
    pub name: Option<String>,
    /// Id or name; the default snapshot when left out.
    pub snapshot: Option<String>,
    pub user: Option<String>,
    pub env: Option<BTreeMap<String, String>>,
    pub labels: Option<BTreeMap<String, String>>,
    pub public: Option<bool>,
    pub network_block_all: Option<bool>,
    /// At most ten comma-separated IPv4 networks with prefix.
    pub network_allow_list: Option<String>,
    pub domain_allow_list: Option<String>,
    pub outbound_proxy_url: Option<String>,
    pub otel_endpoint_override: Option<String>,
    /// Region id or name.
    pub target: Option<String>,
    #[serde(deserialize_with = "whole")]
    pub cpu: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub gpu: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub memory: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub disk: Option<i64>,
    /// One type or a list of types.
    pub gpu_type: Option<serde_json::Value>,
    pub kvm: Option<bool>,
    pub spot: Option<bool>,
    #[serde(deserialize_with = "whole")]
    pub auto_stop_interval: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub auto_pause_interval: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub auto_archive_interval: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub auto_delete_interval: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub ttl_minutes: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub queue_timeout: Option<i64>,
    pub volumes: Option<Vec<serde_json::Value>>,
    pub build_info: Option<serde_json::Value>,
    pub linked_sandbox: Option<String>,
    pub secrets: Option<Vec<serde_json::Value>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ResizeSandbox {
    #[serde(deserialize_with = "whole")]
    pub cpu: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub memory: Option<i64>,
    #[serde(deserialize_with = "whole")]
    pub disk: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReplaceLabels {
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SandboxLabels {
    pub labels: BTreeMap<String, String>,
}

/// At least one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NetworkSettings {
    pub network_block_all: Option<bool>,
    pub network_allow_list: Option<String>,
    pub domain_allow_list: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LastActivity {
    pub activity_type: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateSnapshotFromSandbox {
    pub name: String,
    #[serde(default)]
    pub include_memory: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PortPreviewUrl {
    pub sandbox_id: String,
    pub url: String,
    pub token: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SignedPortPreviewUrl {
    pub sandbox_id: String,
    pub port: u16,
    pub token: String,
    pub url: String,
}
