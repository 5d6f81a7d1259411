//! Keys, users and organizations on the wire.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateApiKey {
    pub name: String,
    pub permissions: Vec<String>,
    /// RFC 3339; never when left out.
    #[serde(default)]
    pub expires_at: Option<String>,
}

/// The one answer that carries the key itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKeyCreated {
    pub name: String,
    pub value: String,
    pub created_at: String,
    pub permissions: Vec<String>,
    pub expires_at: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApiKeyListed {
    pub name: String,
    /// Masked.
    pub value: String,
    pub created_at: String,
    pub permissions: Vec<String>,
    pub last_used_at: Option<String>,
    pub expires_at: Option<String>,
    pub user_id: String,
    pub organization_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct User {
    pub id: String,
    pub name: String,
    pub email: String,
    /// Always empty: users have no SSH keys of their own.
    pub public_keys: Vec<String>,
    pub created_at: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OrganizationUser {
    pub user_id: String,
    pub organization_id: String,
    pub name: String,
    pub email: String,
    /// `owner` or `member`.
    pub role: String,
    pub assigned_roles: Vec<String>,
    pub created_at: String,
    pub updated_at: String,
}

/// Limits are per sandbox; a null rate limit is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are the wire's, each with a meaning of its own"
)]
pub struct Organization {
    pub id: String,
    pub name: String,
    pub created_by: String,
    pub personal: bool,
    pub created_at: String,
    pub updated_at: String,
    pub suspended: bool,
    pub suspended_at: Option<String>,
    pub suspension_reason: Option<String>,
    pub suspended_until: Option<String>,
    pub suspension_cleanup_grace_period_hours: u32,
    pub max_cpu_per_sandbox: u32,
    pub max_memory_per_sandbox: u32,
    pub max_disk_per_sandbox: u32,
    pub secret_quota: u32,
    pub max_secrets_per_sandbox: u32,
    pub snapshot_deactivation_timeout_minutes: u32,
    pub default_queue_timeout: Option<u32>,
    pub sandbox_limited_network_egress: bool,
    pub preview_warning_enabled: bool,
    pub sso_enabled: bool,
    pub scim_enabled: bool,
    pub default_region_id: String,
    pub authenticated_rate_limit: Option<u32>,
    pub sandbox_create_rate_limit: Option<u32>,
    pub sandbox_lifecycle_rate_limit: Option<u32>,
    pub authenticated_rate_limit_ttl_seconds: Option<u32>,
    pub sandbox_create_rate_limit_ttl_seconds: Option<u32>,
    pub sandbox_lifecycle_rate_limit_ttl_seconds: Option<u32>,
    pub experimental_config: Option<serde_json::Value>,
    pub otel_config: Option<serde_json::Value>,
}
