//! Branches: `GET`, `POST` and `DELETE /git/branches`, and `POST /git/checkout`.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::names::{Branch, Location, Revision};
use super::{Error, Git, Reason, attend, repository};
use crate::http::body::JsonBody;
use crate::http::client::is_strict;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

const HEADS: &str = "refs/heads/";

#[derive(Debug, Serialize)]
pub(crate) struct ListResponse {
    branches: Vec<String>,
    /// Empty when `HEAD` is detached; absent for clients that do not know it.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct BranchRequest {
    path: Location,
    name: Branch,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CheckoutRequest {
    path: Location,
    branch: Revision,
}

pub(crate) async fn list(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Json<ListResponse>, Failure> {
    let path = repository(&toolbox, &query)?;
    let (branches, current) = attend(&toolbox, |git| async move {
        let args = ["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads"];
        let names = git.at(&path, args).output().await?;
        let current = current(&git, &path).await?;
        Ok((names, current))
    })
    .await?;
    let text = String::from_utf8_lossy(&branches);
    Ok(Json(ListResponse {
        branches: text.lines().map(str::to_owned).collect(),
        current: (!is_strict(&headers)).then(|| current.unwrap_or_default()),
    }))
}

/// The branch that `HEAD` is on, whether or not it has a commit; none when it is detached.
pub(super) async fn current(git: &Git, repository: &Path) -> Result<Option<String>, Error> {
    let args = ["symbolic-ref", "--quiet", "HEAD"];
    let ended = git.at(repository, args).run().await?;
    match ended.code {
        0 => {
            let name = String::from_utf8_lossy(&ended.stdout).trim_end().to_owned();
            Ok(name.strip_prefix(HEADS).map(str::to_owned))
        }
        1 => Ok(None),
        _ => Err(super::refusal::of("symbolic-ref", &ended)),
    }
}

/// Makes the branch and goes to it, as clients expect; changes come along.
pub(crate) async fn create(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<BranchRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    attend(&toolbox, |git| async move {
        git.at(&path, ["checkout", "--quiet", "-b"])
            .arg(request.name.as_str())
            .arg("--")
            .output()
            .await
    })
    .await?;
    Ok(StatusCode::CREATED)
}

/// Whether or not it was merged. The branch that is checked out cannot go.
pub(crate) async fn delete(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<BranchRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    attend(&toolbox, |git| async move {
        let name = request.name.as_str();
        let full = format!("{HEADS}{name}");
        let exists = git.at(&path, ["show-ref", "--verify", "--quiet"]).arg(full);
        if !exists.answer().await? {
            let message = format!("branch {name:?} does not exist");
            return Err(Error::refused(Reason::BranchNotFound, message));
        }
        let call = git.at(&path, ["branch", "--quiet", "-D", "--"]);
        call.arg(name).output().await
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A branch, else any other revision, which detaches `HEAD`. Changes that are not in the way come
/// along; others are a refusal.
pub(crate) async fn checkout(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<CheckoutRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    attend(&toolbox, |git| async move {
        git.at(&path, ["checkout", "--quiet"])
            .arg(request.branch.as_str())
            .arg("--")
            .output()
            .await
    })
    .await?;
    Ok(StatusCode::OK)
}
