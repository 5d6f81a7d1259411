//! What the contract knows and this server cannot do yet: each says so, none is ignored. Reads of
//! things that cannot exist yet answer that there are none.

use futures_util::future::BoxFuture;
use http::Method;
use sebring_core::permission::Permission;
use serde_json::json;

use super::call::Call;
use super::error::ApiError;
use super::reply::Reply;
use super::sandboxes::{WRITE, named};
use super::table::{Access, Answer, Route};
use crate::app::App;
use crate::snapshots;

type Handler = fn(App, Call) -> BoxFuture<'static, Result<Reply, ApiError>>;

pub(super) fn routes() -> Vec<Route> {
    [
        sandbox_verbs(),
        sandbox_reads(),
        snapshot_writes(),
        volumes(),
        secrets_and_pools(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

macro_rules! refuse {
    ($what:literal) => {
        |app, call| Box::pin(refuse(app, call, $what))
    };
}

macro_rules! refuse_sandbox {
    ($what:literal) => {
        |app, call| Box::pin(refuse_sandbox(app, call, $what))
    };
}

fn sandbox_verbs() -> Vec<Route> {
    let post = |path, id, handler: Handler| {
        Route::new(Method::POST, path, id, WRITE, Answer::NotYet, handler)
    };
    vec![
        post(
            "/sandbox/{sandboxIdOrName}/pause",
            "pauseSandbox",
            refuse_sandbox!("Pausing is not supported for this sandbox"),
        ),
        post(
            "/sandbox/{sandboxIdOrName}/fork",
            "forkSandbox",
            refuse_sandbox!("Forking is not supported for this sandbox"),
        ),
        post(
            "/sandbox/{sandboxIdOrName}/archive",
            "archiveSandbox",
            refuse_sandbox!("Archiving is not available yet"),
        ),
        post(
            "/sandbox/{sandboxIdOrName}/backup",
            "createBackup",
            refuse_sandbox!("Backup is not available yet"),
        ),
        post(
            "/sandbox/{sandboxIdOrName}/snapshot",
            "createSandboxSnapshot",
            refuse_sandbox!("Making a snapshot of a sandbox is not available yet"),
        ),
        post(
            "/sandbox/{sandboxIdOrName}/ssh-access",
            "createSshAccess",
            refuse_sandbox!("SSH access is not available yet"),
        ),
        Route::new(
            Method::DELETE,
            "/sandbox/{sandboxIdOrName}/ssh-access",
            "revokeSshAccess",
            WRITE,
            Answer::NotYet,
            |app, call| refuse_sandbox(app, call, "SSH access is not available yet"),
        ),
        Route::new(
            Method::PUT,
            "/sandbox/{sandboxIdOrName}/secrets",
            "updateSandboxSecrets",
            WRITE,
            Answer::NotYet,
            |app, call| refuse_sandbox(app, call, "Secrets are not available yet"),
        ),
    ]
}

fn sandbox_reads() -> Vec<Route> {
    let get = |path, id, answer, handler: Handler| {
        Route::new(Method::GET, path, id, Access::AnyKey, answer, handler)
    };
    vec![
        get(
            "/sandbox/{sandboxIdOrName}/forks",
            "getSandboxForks",
            Answer::List("Sandbox"),
            |app, call| Box::pin(no_relatives(app, call)),
        ),
        get(
            "/sandbox/{sandboxIdOrName}/ancestors",
            "getSandboxAncestors",
            Answer::List("Sandbox"),
            |app, call| Box::pin(no_relatives(app, call)),
        ),
        get(
            "/sandbox/{sandboxIdOrName}/parent",
            "getSandboxParent",
            Answer::Json(200, "Sandbox"),
            |app, call| Box::pin(no_parent(app, call)),
        ),
        get(
            "/sandbox/ssh-access/validate",
            "validateSshAccess",
            Answer::NotYet,
            refuse!("SSH access"),
        ),
    ]
}

fn snapshot_writes() -> Vec<Route> {
    const WRITE: Access = Access::Permission(Permission::WriteSnapshots);
    const DELETE: Access = Access::Permission(Permission::DeleteSnapshots);
    let route = |method, path, id, access, handler: Handler| {
        Route::new(method, path, id, access, Answer::NotYet, handler)
    };
    vec![
        route(
            Method::POST,
            "/snapshots",
            "createSnapshot",
            WRITE,
            refuse!("Creating snapshots from images"),
        ),
        route(
            Method::DELETE,
            "/snapshots/{snapshotIdOrName}",
            "removeSnapshot",
            DELETE,
            |app, call| Box::pin(refuse_general(app, call)),
        ),
        route(
            Method::POST,
            "/snapshots/{snapshotIdOrName}/activate",
            "activateSnapshot",
            WRITE,
            refuse!("Activating snapshots"),
        ),
        route(
            Method::POST,
            "/snapshots/{snapshotIdOrName}/deactivate",
            "deactivateSnapshot",
            WRITE,
            refuse!("Deactivating snapshots"),
        ),
    ]
}

fn route(
    method: Method,
    path: &'static str,
    id: &'static str,
    access: Access,
    answer: Answer,
    handler: Handler,
) -> Route {
    Route::new(method, path, id, access, answer, handler)
}

fn volumes() -> Vec<Route> {
    const READ: Access = Access::Permission(Permission::ReadVolumes);
    const WRITE: Access = Access::Permission(Permission::WriteVolumes);
    let none = Answer::Empty(200);
    vec![
        route(
            Method::GET,
            "/volumes",
            "listVolumes",
            READ,
            none,
            |_, _| Box::pin(async { Reply::json(&json!([])) }),
        ),
        route(
            Method::POST,
            "/volumes",
            "createVolume",
            WRITE,
            Answer::NotYet,
            refuse!("Creating volumes"),
        ),
        route(
            Method::GET,
            "/volumes/by-name/{name}",
            "getVolumeByName",
            READ,
            Answer::NotYet,
            |_, call| Box::pin(no_volume(call)),
        ),
        route(
            Method::GET,
            "/object-storage/push-access",
            "getPushAccess",
            Access::AnyKey,
            Answer::NotYet,
            |_, _| Box::pin(no_object_storage()),
        ),
    ]
}

fn secrets_and_pools() -> Vec<Route> {
    const SECRETS: Access = Access::Permission(Permission::ManageSecrets);
    let none = Answer::Empty(200);
    vec![
        route(
            Method::GET,
            "/secret/paginated",
            "listSecrets",
            SECRETS,
            none,
            |_, _| {
                let none = json!({"items": [], "total": 0, "nextCursor": null});
                Box::pin(async move { Reply::json(&none) })
            },
        ),
        route(
            Method::POST,
            "/secret",
            "createSecret",
            SECRETS,
            Answer::NotYet,
            refuse!("Keeping secrets"),
        ),
        route(
            Method::GET,
            "/warm-pools",
            "listWarmPools",
            Access::AnyKey,
            none,
            |_, _| Box::pin(async { Reply::json(&json!([])) }),
        ),
        route(
            Method::POST,
            "/warm-pools",
            "createWarmPool",
            super::sandboxes::WRITE,
            Answer::NotYet,
            refuse!("Configuring warm pools"),
        ),
    ]
}

async fn refuse(_: App, _: Call, what: &'static str) -> Result<Reply, ApiError> {
    Err(ApiError::not_yet(what))
}

/// Unknown sandboxes are unknown before anything else.
async fn refuse_sandbox(app: App, call: Call, message: &'static str) -> Result<Reply, ApiError> {
    named(&app, &call)?;
    let status = http::StatusCode::UNPROCESSABLE_ENTITY;
    Err(ApiError::new(status, "NOT_AVAILABLE", message))
}

async fn refuse_general(app: App, call: Call) -> Result<Reply, ApiError> {
    let reference = call.parameter("snapshotIdOrName");
    match snapshots::find(&app, reference).await {
        Some(_) => Err(ApiError::new(
            http::StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "general snapshots belong to the host and cannot be deleted",
        )),
        None => Err(ApiError::not_found(format!(
            "Snapshot with ID or name {reference} not found"
        ))),
    }
}

async fn no_relatives(app: App, call: Call) -> Result<Reply, ApiError> {
    named(&app, &call)?;
    Reply::json(&json!([]))
}

async fn no_parent(app: App, call: Call) -> Result<Reply, ApiError> {
    let sandbox = named(&app, &call)?;
    let message = format!("Sandbox {} was not forked from another", sandbox.id);
    Err(ApiError::not_found(message))
}

async fn no_object_storage() -> Result<Reply, ApiError> {
    let status = http::StatusCode::SERVICE_UNAVAILABLE;
    let message = "Object storage is not configured";
    Err(ApiError::new(status, "NOT_CONFIGURED", message))
}

async fn no_volume(call: Call) -> Result<Reply, ApiError> {
    let name = call.parameter("name");
    Err(ApiError::not_found(format!(
        "Volume with name {name} not found"
    )))
}
