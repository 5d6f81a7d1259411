//! `GET /git/status`: the branch, how far it is from its remote, and what changed.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;

use super::porcelain::{self, FileStatus, Head};
use super::{Error, Git, attend, repository};
use crate::http::client::is_strict;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// How a detached `HEAD` is called instead of a branch.
const DETACHED: &str = "HEAD";

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Status {
    current_branch: String,
    file_status: Vec<FileStatus>,
    branch_published: bool,
    ahead: u64,
    behind: u64,
    #[serde(flatten)]
    newer: Option<Newer>,
}

/// What strict clients of old do not know.
#[derive(Debug, Serialize)]
struct Newer {
    detached: bool,
    upstream: String,
}

pub(crate) async fn status(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Json<Status>, Failure> {
    let path = repository(&toolbox, &query)?;
    let mut status = attend(&toolbox, |git| async move { of(&git, &path).await }).await?;
    if is_strict(&headers) {
        status.newer = None;
    }
    Ok(Json(status))
}

async fn of(git: &Git, repository: &Path) -> Result<Status, Error> {
    let args = [
        "status",
        "--porcelain=v2",
        "--branch",
        "-z",
        "--untracked-files=all",
        "--find-renames",
        "--ahead-behind",
    ];
    let bytes = git
        .at(repository, args)
        // Looking must not get in the way of somebody who changes the index.
        .variable("GIT_OPTIONAL_LOCKS", "0")
        .output()
        .await?;
    let status = porcelain::read(&bytes).ok_or_else(|| Error::Output {
        what: "status",
        output: String::from_utf8_lossy(&bytes).chars().take(200).collect(),
    })?;
    let mut distance = status.distance;
    if let (Head::Branch(branch), None, false) = (&status.head, &status.upstream, status.unborn) {
        distance = from_namesake(git, repository, branch).await?;
    }
    let (ahead, behind) = distance.unwrap_or_default();
    Ok(Status {
        branch_published: distance.is_some(),
        ahead,
        behind,
        newer: Some(Newer {
            detached: status.head == Head::Detached,
            upstream: status.upstream.unwrap_or_default(),
        }),
        current_branch: match status.head {
            Head::Detached => DETACHED.to_owned(),
            Head::Branch(name) => name,
        },
        file_status: status.files,
    })
}

/// Distance from the branch of the same name at `origin`: a push without `set_upstream` publishes
/// a branch as well.
async fn from_namesake(
    git: &Git,
    repository: &Path,
    branch: &str,
) -> Result<Option<(u64, u64)>, Error> {
    let range = format!("refs/heads/{branch}...refs/remotes/origin/{branch}");
    let ended = git
        .at(repository, ["rev-list", "--left-right", "--count"])
        .arg(range)
        .arg("--")
        .run()
        .await?;
    // It fails when there is no such branch.
    let text = String::from_utf8_lossy(&ended.stdout);
    let numbers = text.trim_end().split_once('\t');
    let numbers = numbers.and_then(|(ahead, behind)| {
        let ahead = ahead.parse().ok()?;
        Some((ahead, behind.parse().ok()?))
    });
    Ok(numbers.filter(|_| ended.code == 0))
}
