//! Routes of the lifecycle: create, read, list, start, stop, delete, recover, resize.

use http::Method;
use sebring_api::public::ResizeSandbox;
use sebring_core::id::SandboxId;
use sebring_core::lifecycle::{AfterRecovery, StopMode};
use sebring_core::permission::Permission;
use sebring_core::sandbox::Sandbox;

use super::call::Call;
use super::error::ApiError;
use super::list;
use super::reply::Reply;
use super::table::{Access, Answer, QueryKind, QueryParameter, Route};
use crate::app::App;
use crate::sandboxes::{Timing, act, create, find};
use crate::view;

pub(super) const ID: &str = "sandboxIdOrName";
pub(super) const SANDBOX: Answer = Answer::Json(200, "Sandbox");
pub(super) const WRITE: Access = Access::Permission(Permission::WriteSandboxes);

pub(super) fn routes() -> Vec<Route> {
    const DELETE: Access = Access::Permission(Permission::DeleteSandboxes);
    const ONE: &str = "/sandbox/{sandboxIdOrName}";
    let verb =
        |path, id, handler: Verb| Route::new(Method::POST, path, id, WRITE, SANDBOX, handler);
    let mut routes = list::routes();
    routes.extend([
        Route::new(
            Method::POST,
            "/sandbox",
            "createSandbox",
            WRITE,
            SANDBOX,
            create_one,
        )
        .takes("CreateSandbox"),
        Route::new(
            Method::GET,
            ONE,
            "getSandbox",
            Access::AnyKey,
            SANDBOX,
            get_one,
        )
        .query(&[VERBOSE]),
        Route::new(
            Method::DELETE,
            ONE,
            "deleteSandbox",
            DELETE,
            SANDBOX,
            delete_one,
        ),
        verb(
            "/sandbox/{sandboxIdOrName}/start",
            "startSandbox",
            |app, call| Box::pin(start_one(app, call)),
        ),
        verb(
            "/sandbox/{sandboxIdOrName}/stop",
            "stopSandbox",
            |app, call| Box::pin(stop_one(app, call)),
        )
        .query(&[FORCE]),
        verb(
            "/sandbox/{sandboxIdOrName}/recover",
            "recoverSandbox",
            |app, call| Box::pin(recover_one(app, call)),
        )
        .query(&[SKIP_START]),
        verb(
            "/sandbox/{sandboxIdOrName}/resize",
            "resizeSandbox",
            |app, call| Box::pin(resize_one(app, call)),
        )
        .takes("ResizeSandbox"),
    ]);
    routes
}

type Verb = fn(App, Call) -> futures_util::future::BoxFuture<'static, Result<Reply, ApiError>>;

const VERBOSE: QueryParameter = QueryParameter {
    name: "verbose",
    kind: QueryKind::Boolean,
    description: "Accepted and without effect.",
};
const FORCE: QueryParameter = QueryParameter {
    name: "force",
    kind: QueryKind::Boolean,
    description: "Kill at once instead of asking processes to end first.",
};
const SKIP_START: QueryParameter = QueryParameter {
    name: "skipStart",
    kind: QueryKind::Boolean,
    description: "Leave the recovered sandbox stopped.",
};

/// The sandbox that the path names, as the caller may see it.
pub(super) fn named(app: &App, call: &Call) -> Result<std::sync::Arc<Sandbox>, ApiError> {
    let principal = call.principal()?;
    Ok(find(app, principal.organization, call.parameter(ID))?)
}

pub(super) fn named_id(app: &App, call: &Call) -> Result<SandboxId, ApiError> {
    Ok(named(app, call)?.id)
}

pub(super) fn reply(app: &App, sandbox: &Sandbox) -> Result<Reply, ApiError> {
    Reply::json(&view::sandbox(sandbox, &app.config.urls))
}

async fn create_one(app: App, mut call: Call) -> Result<Reply, ApiError> {
    let mut timing = Timing::start();
    let organization = call.principal()?.organization;
    let body = call.json_or_default().await?;
    let sandbox = create::create(&app, organization, body, &mut timing).await?;
    Ok(reply(&app, &sandbox)?.with_timing(timing.header()))
}

async fn get_one(app: App, call: Call) -> Result<Reply, ApiError> {
    reply(&app, &*named(&app, &call)?)
}

async fn delete_one(app: App, call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    reply(&app, &*act::delete(&app, id).await?)
}

async fn start_one(app: App, call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    reply(&app, &*act::start(&app, id).await?)
}

async fn stop_one(app: App, call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    let mode = match call.query.boolean("force")? {
        Some(true) => StopMode::Force,
        Some(false) | None => StopMode::Graceful,
    };
    reply(&app, &*act::stop(&app, id, mode).await?)
}

async fn recover_one(app: App, call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    let then = match call.query.boolean("skipStart")? {
        Some(true) => AfterRecovery::Stopped,
        Some(false) | None => AfterRecovery::Started,
    };
    reply(&app, &*act::recover(&app, id, then).await?)
}

async fn resize_one(app: App, mut call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    let body: ResizeSandbox = call.json_or_default().await?;
    reply(&app, &*act::resize(&app, id, body).await?)
}
