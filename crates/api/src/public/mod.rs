//! The public API as the published clients know it: bodies in and out, in camel case.
//!
//! Every key is always present in an answer, with `null` only where the clients allow it: some of
//! them fail on a missing key, others on a null. Amounts are integers, never floats.
//!
//! Must not: validate beyond types; `sebring_server` parses these into domain values.
//! Next: `sandbox`, `snapshot`, `account` (keys, users, organizations) and `service` (the rest).

pub mod account;
mod number;
pub mod sandbox;
pub mod service;
pub mod snapshot;

pub use account::{
    ApiKeyCreated, ApiKeyListed, CreateApiKey, Organization, OrganizationUser, User,
};
pub use sandbox::{
    CreateSandbox, CreateSnapshotFromSandbox, LastActivity, ListSandboxes, NetworkSettings,
    PaginatedSandboxes, PortPreviewUrl, ReplaceLabels, ResizeSandbox, Sandbox, SandboxClass,
    SandboxLabels, SandboxListItem, SandboxState, SandboxVolume, SignedPortPreviewUrl,
};
pub use service::{
    Configuration, Health, MetricDataPoint, MetricSeries, MetricsResponse, Oidc, Readiness, Region,
    ToolboxProxyUrl, Url,
};
pub use snapshot::{PaginatedSnapshots, Snapshot, SnapshotState};
