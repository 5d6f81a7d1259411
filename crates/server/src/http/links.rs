//! Routes that hand out links and keys: previews, the toolbox, file signatures.

use http::{Method, StatusCode};
use sebring_api::public::ToolboxProxyUrl;

use super::call::Call;
use super::error::ApiError;
use super::reply::Reply;
use super::sandboxes::{named, named_id};
use super::table::{Access, Answer, QueryKind, QueryParameter, Route};
use crate::app::App;
use crate::sandboxes::{previews, settings};

pub(super) fn routes() -> Vec<Route> {
    let get = |path, id, answer, handler: Handler| {
        Route::new(Method::GET, path, id, Access::AnyKey, answer, handler)
    };
    let post = |path, id, answer, handler: Handler| {
        Route::new(Method::POST, path, id, Access::AnyKey, answer, handler)
    };
    vec![
        get(
            "/sandbox/{sandboxIdOrName}/ports/{port}/preview-url",
            "getPortPreviewUrl",
            Answer::Json(200, "PortPreviewUrl"),
            |app, call| Box::pin(preview(app, call)),
        ),
        get(
            "/sandbox/{sandboxIdOrName}/ports/{port}/signed-preview-url",
            "getSignedPortPreviewUrl",
            Answer::Json(200, "SignedPortPreviewUrl"),
            |app, call| Box::pin(signed_preview(app, call)),
        )
        .query(&[EXPIRES]),
        post(
            "/sandbox/{sandboxIdOrName}/ports/{port}/signed-preview-url/{token}/expire",
            "expireSignedPortPreviewUrl",
            Answer::Empty(200),
            |app, call| Box::pin(expire(app, call)),
        ),
        get(
            "/sandbox/{sandboxIdOrName}/toolbox-proxy-url",
            "getToolboxProxyUrl",
            Answer::Json(200, "ToolboxProxyUrl"),
            |app, call| Box::pin(toolbox(app, call)),
        ),
        get(
            "/sandbox/{sandboxIdOrName}/signing-key",
            "getSigningKey",
            Answer::Text,
            |app, call| Box::pin(signing_key(app, call)),
        ),
        post(
            "/sandbox/{sandboxIdOrName}/signing-key/rotate",
            "rotateSigningKey",
            Answer::Text,
            |app, call| Box::pin(rotate(app, call)),
        ),
        get(
            "/sandbox/{sandboxIdOrName}/build-logs-url",
            "getBuildLogsUrl",
            Answer::Json(200, "Url"),
            |app, call| Box::pin(build_logs(app, call)),
        ),
        get(
            "/sandbox/{sandboxIdOrName}/build-logs",
            "getBuildLogs",
            Answer::Text,
            |app, call| Box::pin(build_logs(app, call)),
        ),
    ]
}

type Handler = fn(App, Call) -> futures_util::future::BoxFuture<'static, Result<Reply, ApiError>>;

const EXPIRES: QueryParameter = QueryParameter {
    name: "expiresInSeconds",
    kind: QueryKind::Integer,
    description: "1 to 86400, 60 when left out.",
};

async fn preview(app: App, call: Call) -> Result<Reply, ApiError> {
    let sandbox = named(&app, &call)?;
    Reply::json(&previews::link(&app, &sandbox, call.port()?))
}

async fn signed_preview(app: App, call: Call) -> Result<Reply, ApiError> {
    let sandbox = named(&app, &call)?;
    let seconds = call.query.integer("expiresInSeconds")?;
    let seconds = seconds.unwrap_or(previews::EXPIRY_SECONDS_DEFAULT);
    Reply::json(&previews::sign(&app, &sandbox, call.port()?, seconds).await?)
}

async fn expire(app: App, call: Call) -> Result<Reply, ApiError> {
    let sandbox = named(&app, &call)?;
    previews::expire(&app, &sandbox, call.port()?, call.parameter("token")).await?;
    Ok(Reply::empty(StatusCode::OK))
}

async fn toolbox(app: App, call: Call) -> Result<Reply, ApiError> {
    named(&app, &call)?;
    Reply::json(&ToolboxProxyUrl {
        url: app.config.urls.toolbox.clone(),
    })
}

async fn signing_key(app: App, call: Call) -> Result<Reply, ApiError> {
    let sandbox = named(&app, &call)?;
    Ok(Reply::text(sandbox.signing_key.expose().clone()))
}

async fn rotate(app: App, call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    let sandbox = settings::rotate_signing_key(&app, id).await?;
    Ok(Reply::text(sandbox.signing_key.expose().clone()))
}

/// No sandbox here was built, so none has a log of it.
async fn build_logs(app: App, call: Call) -> Result<Reply, ApiError> {
    let sandbox = named(&app, &call)?;
    let message = format!("Build info for sandbox {} not found", sandbox.id);
    Err(ApiError::not_found(message))
}
