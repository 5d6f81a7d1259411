//! Routes that change what a sandbox is like: labels, visibility, timers, activity.

use futures_util::future::BoxFuture;
use http::{Method, StatusCode};
use sebring_api::public::{LastActivity, ReplaceLabels};

use super::call::Call;
use super::error::ApiError;
use super::reply::Reply;
use super::sandboxes::{SANDBOX, WRITE, named_id, reply};
use super::table::{Access, Answer, Route};
use crate::app::App;
use crate::sandboxes::find_by_id;
use crate::sandboxes::settings::{self, Timer};

pub(super) fn routes() -> Vec<Route> {
    let timer =
        |path, id, handler: Handler| Route::new(Method::POST, path, id, WRITE, SANDBOX, handler);
    vec![
        Route::new(
            Method::PUT,
            "/sandbox/{sandboxIdOrName}/labels",
            "replaceLabels",
            WRITE,
            SANDBOX,
            replace_labels,
        )
        .takes("ReplaceLabels"),
        Route::new(
            Method::POST,
            "/sandbox/{sandboxIdOrName}/public/{isPublic}",
            "updatePublicStatus",
            WRITE,
            SANDBOX,
            set_public,
        ),
        Route::new(
            Method::POST,
            "/sandbox/{sandboxIdOrName}/last-activity",
            "updateLastActivity",
            Access::AnyKey,
            Answer::Empty(201),
            touch,
        )
        .takes("LastActivity"),
        timer(
            "/sandbox/{sandboxIdOrName}/autostop/{interval}",
            "setAutostopInterval",
            |app, call| Box::pin(set_timer(app, call, Timer::AutoStop)),
        ),
        timer(
            "/sandbox/{sandboxIdOrName}/autoarchive/{interval}",
            "setAutoArchiveInterval",
            |app, call| Box::pin(set_timer(app, call, Timer::AutoArchive)),
        ),
        timer(
            "/sandbox/{sandboxIdOrName}/autodelete/{interval}",
            "setAutoDeleteInterval",
            |app, call| Box::pin(set_timer(app, call, Timer::AutoDelete)),
        ),
        timer(
            "/sandbox/{sandboxIdOrName}/autopause/{interval}",
            "setAutoPauseInterval",
            |app, call| Box::pin(set_timer(app, call, Timer::AutoPause)),
        ),
        timer(
            "/sandbox/{sandboxIdOrName}/ttl/{interval}",
            "setTtl",
            |app, call| Box::pin(set_timer(app, call, Timer::TimeToLive)),
        ),
    ]
}

type Handler = fn(App, Call) -> BoxFuture<'static, Result<Reply, ApiError>>;

async fn replace_labels(app: App, mut call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    let body: ReplaceLabels = call.json().await?;
    reply(
        &app,
        &*settings::replace_labels(&app, id, body.labels).await?,
    )
}

async fn set_public(app: App, call: Call) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    let public = match call.parameter("isPublic") {
        "true" => true,
        "false" => false,
        other => {
            return Err(super::query::invalid(
                "public",
                other,
                "expected true or false",
            ));
        }
    };
    reply(&app, &*settings::set_public(&app, id, public).await?)
}

async fn set_timer(app: App, call: Call, timer: Timer) -> Result<Reply, ApiError> {
    let id = named_id(&app, &call)?;
    let minutes = call.integer("interval")?;
    reply(&app, &*settings::set_timer(&app, id, timer, minutes).await?)
}

async fn touch(app: App, mut call: Call) -> Result<Reply, ApiError> {
    let organization = call.principal()?.organization;
    let id = find_by_id(&app, organization, call.parameter("sandboxIdOrName"))?.id;
    let _activity: LastActivity = call.json_or_default().await?;
    settings::touch(&app, id);
    Ok(Reply::empty(StatusCode::CREATED))
}
