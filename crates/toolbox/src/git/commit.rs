//! `POST /git/commit`: what is staged becomes a commit of the author given.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use super::names::{Line, Location};
use super::{Error, Git, Reason, attend, refusal};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

#[derive(Debug, Deserialize)]
pub(crate) struct CommitRequest {
    path: Location,
    message: String,
    author: Line,
    email: Line,
    #[serde(default)]
    allow_empty: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(crate) struct CommitResponse {
    hash: String,
}

pub(crate) async fn commit(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<CommitRequest>,
) -> Result<Json<CommitResponse>, Failure> {
    if request.message.trim().is_empty() {
        return Err(Failure::bad_request("message: must not be empty"));
    }
    let path = toolbox.resolve(request.path.as_str());
    let hash = attend(&toolbox, |git| async move {
        run(&git, &path, &request).await?;
        let hash = git
            .at(&path, ["rev-parse", "--verify", "HEAD"])
            .output()
            .await?;
        Ok(String::from_utf8_lossy(&hash).trim_end().to_owned())
    })
    .await?;
    Ok(Json(CommitResponse { hash }))
}

async fn run(git: &Git, path: &std::path::Path, request: &CommitRequest) -> Result<(), Error> {
    let (author, email) = (request.author.as_str(), request.email.as_str());
    // The message comes by standard input; `whitespace` keeps its lines that start with `#`.
    let ended = git
        .at(path, ["commit", "--quiet", "--file=-"])
        .arg("--cleanup=whitespace")
        .arg_if(request.allow_empty.unwrap_or_default(), "--allow-empty")
        .variable("GIT_AUTHOR_NAME", author)
        .variable("GIT_AUTHOR_EMAIL", email)
        .variable("GIT_COMMITTER_NAME", author)
        .variable("GIT_COMMITTER_EMAIL", email)
        .input(request.message.clone().into_bytes())
        .run()
        .await?;
    if ended.code == 0 {
        return Ok(());
    }
    let error = refusal::of("commit", &ended);
    let known = !matches!(
        error,
        Error::Refused {
            reason: Reason::Other,
            ..
        }
    );
    let staged = git.at(path, ["diff", "--cached", "--quiet"]);
    if known || !staged.answer().await? {
        return Err(error);
    }
    Err(Error::refused(
        Reason::Conflict,
        "nothing to commit: add files first, or set allow_empty",
    ))
}
