//! `POST /git/pull`: fetches one branch and moves the current one forward to it.
//!
//! Fetch and merge are two steps, so that their refusals are told apart and no configuration turns
//! the second into a rebase. A merge that is no fast-forward would need somebody to resolve it.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::login::{Login, Secret};
use super::names::{Branch, Line, Location, RemoteName, given};
use super::remote::{Direction, Remote, branch_or_current};
use super::{Error, Git, attend, branches};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

#[derive(Debug, Deserialize)]
pub(crate) struct PullRequest {
    path: Location,
    #[serde(default, deserialize_with = "given")]
    username: Option<Line>,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default, deserialize_with = "given")]
    remote: Option<RemoteName>,
    #[serde(default, deserialize_with = "given")]
    branch: Option<Branch>,
}

/// What the current branch is configured to follow.
#[derive(Debug)]
struct Upstream {
    remote: RemoteName,
    branch: Branch,
}

pub(crate) async fn pull(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<PullRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    attend(
        &toolbox,
        |git| async move { run(&git, &path, request).await },
    )
    .await?;
    Ok(StatusCode::OK)
}

async fn run(git: &Git, path: &Path, request: PullRequest) -> Result<(), Error> {
    let login = Login::given(request.username, request.password);
    let upstream = upstream(git, path).await?;
    let name = request
        .remote
        .or_else(|| upstream.as_ref().map(|upstream| upstream.remote.clone()));
    let remote = Remote::find(git, path, name.as_ref(), Direction::Fetch, login).await?;
    let followed = upstream.filter(|upstream| upstream.remote.as_str() == remote.name);
    let asked = request
        .branch
        .or_else(|| followed.map(|upstream| upstream.branch));
    let branch = branch_or_current(git, path, asked.as_ref()).await?;
    let call = git
        .at(path, ["fetch", "--quiet", "--"])
        .arg(&remote.name)
        .arg(format!("refs/heads/{branch}"));
    remote.with_access(call).output().await?;
    let args = ["merge", "--quiet", "--ff-only", "FETCH_HEAD"];
    git.at(path, args).output().await?;
    Ok(())
}

async fn upstream(git: &Git, path: &Path) -> Result<Option<Upstream>, Error> {
    let Some(branch) = branches::current(git, path).await? else {
        return Ok(None);
    };
    let of = |name: &str| {
        let key = format!("branch.{branch}.{name}");
        git.at(path, ["config", "--null", "--get"]).arg(key).run()
    };
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.trim_end_matches('\0').to_owned()
    };
    let remote = text(of("remote").await?.stdout);
    let merge = text(of("merge").await?.stdout);
    let branch = merge.strip_prefix("refs/heads/").map(str::to_owned);
    // A branch that follows one of this repository has `.` for a remote, which is none.
    Ok(branch
        .and_then(|branch| Branch::try_from(branch).ok())
        .zip(RemoteName::try_from(remote).ok())
        .filter(|(_, remote)| remote.as_str() != ".")
        .map(|(branch, remote)| Upstream { remote, branch }))
}
