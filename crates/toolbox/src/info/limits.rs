//! `PUT /_sebring/limits`: the runner says that the sandbox's share has changed.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use sebring_api::boot::LimitsChange;

use crate::http::body::JsonBody;
use crate::toolbox::Toolbox;

pub(crate) async fn change(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(change): JsonBody<LimitsChange>,
) -> StatusCode {
    toolbox.limits.set(change.limits);
    toolbox.cpu_files.rewrite(&change);
    toolbox
        .meminfo
        .refresh_now(&toolbox.memory, change.limits.memory_bytes);
    StatusCode::NO_CONTENT
}
