//! Routes that read who one is: user, organization, members.

use http::Method;
use sebring_api::public;
use sebring_core::id::OrganizationId;
use sebring_store::organizations::{Organization, User, all, user, users_of};

use super::call::Call;
use super::error::ApiError;
use super::reply::Reply;
use super::table::{Access, Answer, Route};
use crate::app::App;
use crate::sandboxes::create::REGION;

pub(super) fn routes() -> Vec<Route> {
    let any = Access::AnyKey;
    vec![
        Route::new(
            Method::GET,
            "/users/me",
            "getAuthenticatedUser",
            any,
            Answer::Json(200, "User"),
            me,
        ),
        Route::new(
            Method::GET,
            "/organizations",
            "listOrganizations",
            any,
            Answer::List("Organization"),
            list,
        ),
        Route::new(
            Method::GET,
            "/organizations/{organizationId}",
            "getOrganization",
            any,
            Answer::Json(200, "Organization"),
            get_one,
        ),
        Route::new(
            Method::GET,
            "/organizations/{organizationId}/users",
            "listOrganizationMembers",
            any,
            Answer::List("OrganizationUser"),
            members,
        ),
    ]
}

async fn me(app: App, call: Call) -> Result<Reply, ApiError> {
    let id = call.principal()?.user_id.clone();
    let found = app.store.read(move |db| user(db, &id)).await?;
    let found = found.ok_or_else(|| ApiError::not_found("User not found"))?;
    Reply::json(&public::User {
        id: found.id,
        name: found.name,
        email: found.email,
        public_keys: Vec::new(),
        created_at: found.created_at.to_string(),
    })
}

/// A key belongs to one organization, so that is all there is to list.
async fn list(app: App, call: Call) -> Result<Reply, ApiError> {
    let own = call.principal()?.organization;
    let mut found = app.store.read(all).await?;
    found.retain(|organization| organization.id == own);
    let found: Vec<_> = found.iter().map(|one| view(&app, one)).collect();
    Reply::json(&found)
}

async fn get_one(app: App, call: Call) -> Result<Reply, ApiError> {
    let own = named(&call)?;
    let found = app.store.read(all).await?;
    match found.iter().find(|organization| organization.id == own) {
        Some(organization) => Reply::json(&view(&app, organization)),
        None => Err(unknown(&call)),
    }
}

async fn members(app: App, call: Call) -> Result<Reply, ApiError> {
    let own = named(&call)?;
    let found = app.store.read(move |db| users_of(db, own)).await?;
    let found: Vec<_> = found.iter().map(member).collect();
    Reply::json(&found)
}

/// The organization in the path, when it is the caller's.
fn named(call: &Call) -> Result<OrganizationId, ApiError> {
    let own = call.principal()?.organization;
    let asked = call.parameter("organizationId").parse();
    let is_own = asked.is_ok_and(|asked: OrganizationId| asked == own);
    is_own.then_some(own).ok_or_else(|| unknown(call))
}

fn unknown(call: &Call) -> ApiError {
    let id = call.parameter("organizationId");
    ApiError::not_found(format!("Organization with ID {id} not found"))
}

fn member(user: &User) -> public::OrganizationUser {
    public::OrganizationUser {
        user_id: user.id.clone(),
        organization_id: user.organization.to_string(),
        name: user.name.clone(),
        email: user.email.clone(),
        role: "owner".into(),
        assigned_roles: Vec::new(),
        created_at: user.created_at.to_string(),
        updated_at: user.created_at.to_string(),
    }
}

fn view(app: &App, organization: &Organization) -> public::Organization {
    let limits = &app.config.limits;
    public::Organization {
        id: organization.id.to_string(),
        name: organization.name.clone(),
        created_by: organization.created_by.clone(),
        personal: true,
        created_at: organization.created_at.to_string(),
        updated_at: organization.created_at.to_string(),
        suspended: false,
        suspended_at: None,
        suspension_reason: None,
        suspended_until: None,
        suspension_cleanup_grace_period_hours: 0,
        max_cpu_per_sandbox: limits.cpus_max,
        max_memory_per_sandbox: limits.memory_gib_max,
        max_disk_per_sandbox: limits.disk_gib_max,
        secret_quota: 0,
        max_secrets_per_sandbox: 0,
        snapshot_deactivation_timeout_minutes: 0,
        default_queue_timeout: None,
        sandbox_limited_network_egress: false,
        preview_warning_enabled: false,
        sso_enabled: false,
        scim_enabled: false,
        default_region_id: REGION.into(),
        authenticated_rate_limit: None,
        sandbox_create_rate_limit: None,
        sandbox_lifecycle_rate_limit: None,
        authenticated_rate_limit_ttl_seconds: None,
        sandbox_create_rate_limit_ttl_seconds: None,
        sandbox_lifecycle_rate_limit_ttl_seconds: None,
        experimental_config: None,
        otel_config: None,
    }
}
