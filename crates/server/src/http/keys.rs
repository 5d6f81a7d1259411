//! Routes of API keys. The value of a key is in one answer only: that of its creation.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::{Method, StatusCode};
use sebring_api::public::{ApiKeyCreated, ApiKeyListed, CreateApiKey};
use sebring_core::clock::Timestamp;
use sebring_core::name::Name;
use sebring_core::permission::Permission;
use sebring_store::Error as StoreError;
use sebring_store::keys::ApiKey;

use super::call::Call;
use super::error::ApiError;
use super::query::invalid;
use super::reply::Reply;
use super::table::{Access, Answer, Route};
use crate::app::App;
use crate::auth::{self, NewKey, Principal};

/// Keys of one organization.
const KEYS_MAX: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    const MANAGE: Access = Access::Permission(Permission::ManageApiKeys);
    const ONE: &str = "/api-keys/{name}";
    let listed = Answer::Json(200, "ApiKeyListed");
    let gone = Answer::Empty(204);
    vec![
        Route::new(
            Method::GET,
            "/api-keys",
            "listApiKeys",
            MANAGE,
            Answer::List("ApiKeyListed"),
            list,
        ),
        Route::new(
            Method::POST,
            "/api-keys",
            "createApiKey",
            MANAGE,
            Answer::Json(201, "ApiKeyCreated"),
            create,
        )
        .takes("CreateApiKey"),
        Route::new(
            Method::GET,
            "/api-keys/current",
            "getCurrentApiKey",
            Access::AnyKey,
            listed,
            current,
        ),
        Route::new(Method::GET, ONE, "getApiKey", MANAGE, listed, get_one),
        Route::new(
            Method::DELETE,
            ONE,
            "deleteApiKey",
            MANAGE,
            gone,
            delete_own,
        ),
        Route::new(
            Method::DELETE,
            "/api-keys/{name}/{keyName}",
            "deleteApiKeyForUser",
            MANAGE,
            gone,
            delete_of_user,
        ),
    ]
}

async fn list(app: App, call: Call) -> Result<Reply, ApiError> {
    let organization = call.principal()?.organization;
    let keys = app.directory.keys.of(organization);
    let keys: Vec<_> = keys.iter().map(|key| view(&app, key)).collect();
    Reply::json(&keys)
}

async fn current(app: App, call: Call) -> Result<Reply, ApiError> {
    Reply::json(&view(&app, &call.principal()?.key))
}

async fn get_one(app: App, call: Call) -> Result<Reply, ApiError> {
    let principal = call.principal()?;
    let key = find(&app, principal, &principal.user_id, call.parameter("name"))?;
    Reply::json(&view(&app, &key))
}

async fn create(app: App, mut call: Call) -> Result<Reply, ApiError> {
    let body: CreateApiKey = call.json().await?;
    let principal = call.principal()?;
    let name = Name::parse(&body.name).map_err(|error| ApiError::invalid(error.to_string()))?;
    let permissions = parse_permissions(principal, &body.permissions)?;
    let expires_at = match &body.expires_at {
        None => None,
        Some(text) => Some(parse_expiry(text, app.now())?),
    };
    if app.directory.keys.of(principal.organization).len() >= KEYS_MAX {
        return Err(ApiError::conflict(format!("at most {KEYS_MAX} API keys")));
    }
    let value = auth::mint();
    let new = NewKey {
        organization: principal.organization,
        user_id: principal.user_id.clone(),
        name: name.to_string(),
        permissions,
        expires_at,
    };
    let record = new.record(&value, app.now());
    let answer = ApiKeyCreated {
        name: record.name.clone(),
        value: value.expose().clone(),
        created_at: record.created_at.to_string(),
        permissions: texts(&record.permissions),
        expires_at: record.expires_at.map(|at| at.to_string()),
    };
    let write = app.store.write(|tx| tx.insert_key(record)).await;
    let committed = write.map_err(|error| match error {
        StoreError::NameTaken => {
            ApiError::conflict(format!("API key with name {name} already exists"))
        }
        other => other.into(),
    })?;
    app.store.durable(committed.at).await?;
    Reply::created(&answer)
}

/// Nobody gives away what they do not have.
fn parse_permissions(
    principal: &Principal,
    asked: &[String],
) -> Result<BTreeSet<Permission>, ApiError> {
    let mut permissions = BTreeSet::new();
    for text in asked {
        let parsed = text.parse::<Permission>();
        let permission = parsed.map_err(|error| ApiError::invalid(error.to_string()))?;
        if !principal.may(permission) {
            let message = format!("permissions: your key does not have {permission}");
            return Err(ApiError::new(StatusCode::FORBIDDEN, "FORBIDDEN", message));
        }
        permissions.insert(permission);
    }
    Ok(permissions)
}

fn parse_expiry(text: &str, now: Timestamp) -> Result<Timestamp, ApiError> {
    match text.parse::<Timestamp>() {
        Ok(at) if at > now => Ok(at),
        Ok(_) => Err(invalid("expiresAt", text, "must be in the future")),
        Err(_) => Err(invalid("expiresAt", text, "expected an ISO-8601 instant")),
    }
}

async fn delete_own(app: App, call: Call) -> Result<Reply, ApiError> {
    let principal = call.principal()?;
    let key = find(&app, principal, &principal.user_id, call.parameter("name"))?;
    delete(app, key).await
}

async fn delete_of_user(app: App, call: Call) -> Result<Reply, ApiError> {
    let (user, name) = (call.parameter("name"), call.parameter("keyName"));
    let key = find(&app, call.principal()?, user, name)?;
    delete(app, key).await
}

async fn delete(app: App, key: Arc<ApiKey>) -> Result<Reply, ApiError> {
    let write = app
        .store
        .write::<_, StoreError>(move |tx| tx.remove_key(key.hash));
    app.store.durable(write.await?.at).await?;
    Ok(Reply::empty(StatusCode::NO_CONTENT))
}

fn find(app: &App, principal: &Principal, user: &str, name: &str) -> Result<Arc<ApiKey>, ApiError> {
    let mut keys = app.directory.keys.of(principal.organization).into_iter();
    let found = keys.find(|key| key.user_id == user && key.name == name);
    found.ok_or_else(|| ApiError::not_found(format!("API key with name {name} not found")))
}

fn view(app: &App, key: &ApiKey) -> ApiKeyListed {
    let last_used = app.directory.keys.last_used(key);
    ApiKeyListed {
        name: key.name.clone(),
        value: key.masked.clone(),
        created_at: key.created_at.to_string(),
        permissions: texts(&key.permissions),
        last_used_at: last_used.map(|at| at.to_string()),
        expires_at: key.expires_at.map(|at| at.to_string()),
        user_id: key.user_id.clone(),
        organization_id: key.organization.to_string(),
    }
}

fn texts(permissions: &BTreeSet<Permission>) -> Vec<String> {
    permissions.iter().map(ToString::to_string).collect()
}
