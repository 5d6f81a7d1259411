//! Snapshots on the wire. Memory is `mem` here and `memory` in sandboxes: the contract's choice.

use serde::{Deserialize, Serialize};

use super::sandbox::{BuildInfo, SandboxClass};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum SnapshotState {
    Building,
    Pending,
    Pulling,
    Snapshotting,
    Active,
    Inactive,
    Error,
    BuildFailed,
    Removing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Snapshot {
    pub id: String,
    pub organization_id: Option<String>,
    /// Whether every organization may use it.
    pub general: bool,
    pub name: String,
    pub image_name: Option<String>,
    pub state: SnapshotState,
    /// GiB on disk.
    pub size: Option<f64>,
    pub entrypoint: Option<Vec<String>>,
    pub cpu: u32,
    pub gpu: u32,
    pub gpu_type: Option<String>,
    pub mem: u32,
    pub disk: u32,
    pub error_reason: Option<String>,
    pub build_info: Option<BuildInfo>,
    pub region_ids: Vec<String>,
    pub initial_runner_id: Option<String>,
    pub r#ref: Option<String>,
    pub sandbox_class: SandboxClass,
    pub source_sandbox_id: Option<String>,
    pub created_at: String,
    pub updated_at: String,
    pub last_used_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PaginatedSnapshots {
    pub items: Vec<Snapshot>,
    pub total: u64,
    pub page: u32,
    pub total_pages: u64,
}
