//! `POST /git/push`: one branch to one remote, never by force.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::call::Ended;
use super::login::{Login, Secret};
use super::names::{Branch, Line, Location, RemoteName, given};
use super::remote::{Direction, Remote, branch_or_current};
use super::{Error, Git, Reason, attend, refusal};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

#[derive(Debug, Deserialize)]
pub(crate) struct PushRequest {
    path: Location,
    #[serde(default, deserialize_with = "given")]
    username: Option<Line>,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default, deserialize_with = "given")]
    remote: Option<RemoteName>,
    #[serde(default, deserialize_with = "given")]
    branch: Option<Branch>,
    #[serde(default)]
    set_upstream: Option<bool>,
}

pub(crate) async fn push(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<PushRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    attend(
        &toolbox,
        |git| async move { run(&git, &path, request).await },
    )
    .await?;
    Ok(StatusCode::OK)
}

async fn run(git: &Git, path: &Path, request: PushRequest) -> Result<(), Error> {
    let login = Login::given(request.username, request.password);
    let name = request.remote.as_ref();
    let remote = Remote::find(git, path, name, Direction::Push, login).await?;
    let branch = branch_or_current(git, path, request.branch.as_ref()).await?;
    remote.track(git, path, &branch).await?;
    let call = git
        .at(path, ["push", "--porcelain"])
        .arg_if(request.set_upstream.unwrap_or_default(), "--set-upstream")
        .arg("--")
        .arg(&remote.name)
        .arg(format!("refs/heads/{branch}:refs/heads/{branch}"));
    let ended = remote.with_access(call).run().await?;
    if ended.code == 0 {
        return Ok(());
    }
    Err(rejected(&ended).unwrap_or_else(|| refusal::of("push", &ended)))
}

/// `!<tab>from:to<tab>[rejected] (why)`: the lines of `--porcelain` are made for programs.
pub(super) fn rejected(ended: &Ended) -> Option<Error> {
    let stdout = String::from_utf8_lossy(&ended.stdout);
    let line = stdout.lines().find(|line| line.starts_with("!\t"))?;
    let summary = line.splitn(3, '\t').nth(2)?;
    let reason = if summary.starts_with("[rejected]") {
        Reason::PushRejected
    } else if summary.starts_with("[remote rejected]") {
        Reason::RemoteRejected
    } else {
        return None;
    };
    let words = refusal::said(&ended.stderr);
    Some(Error::refused(reason, format!("{summary}\n{words}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(stdout: &str) -> Option<Reason> {
        let ended = Ended {
            code: 1,
            stdout: stdout.as_bytes().to_vec(),
            stderr: String::new(),
        };
        match rejected(&ended)? {
            Error::Refused { reason, .. } => Some(reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_rejected_a_push_is_told_apart() {
        let head = "To https://x/y\n";
        let ours = "!\trefs/heads/a:refs/heads/a\t[rejected] (fetch first)\nDone\n";
        let theirs = "!\trefs/heads/a:refs/heads/a\t[remote rejected] (hook declined)\n";
        assert_eq!(reason(&format!("{head}{ours}")), Some(Reason::PushRejected));
        assert_eq!(
            reason(&format!("{head}{theirs}")),
            Some(Reason::RemoteRejected)
        );
        assert_eq!(reason(head), None);
    }
}
