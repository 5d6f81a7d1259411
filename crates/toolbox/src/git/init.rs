//! `POST /git/init`: a new repository. One that exists is left as it is.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::attend;
use super::names::{Branch, Location, given};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

#[derive(Debug, Deserialize)]
pub(crate) struct InitRequest {
    path: Location,
    #[serde(default)]
    bare: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    initial_branch: Option<Branch>,
}

pub(crate) async fn init(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<InitRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    attend(&toolbox, |git| async move {
        let mut call = git
            .anywhere(["init", "--quiet"])
            .arg_if(request.bare.unwrap_or_default(), "--bare");
        if let Some(branch) = &request.initial_branch {
            call = call.arg(format!("--initial-branch={}", branch.as_str()));
        }
        call.arg("--").arg(path.to_string_lossy()).output().await
    })
    .await?;
    Ok(StatusCode::CREATED)
}
