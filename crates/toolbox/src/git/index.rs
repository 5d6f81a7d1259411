//! What moves files between commit, index and working tree: `POST /git/add`, `/git/reset` and
//! `/git/restore`.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::call::Call;
use super::names::{Location, Revision, given};
use super::{Error, Git, Reason, attend};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

/// Any list of files reaches git on its standard input, so only the body's size bounds it.
const FILES: [&str; 2] = ["--pathspec-from-file=-", "--pathspec-file-nul"];

#[derive(Debug, Deserialize)]
pub(crate) struct AddRequest {
    path: Location,
    files: Vec<Location>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Soft,
    #[default]
    Mixed,
    Hard,
    Merge,
    Keep,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ResetRequest {
    path: Location,
    #[serde(default)]
    mode: Option<Mode>,
    #[serde(default, deserialize_with = "given")]
    target: Option<Revision>,
    #[serde(default)]
    files: Option<Vec<Location>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RestoreRequest {
    path: Location,
    files: Vec<Location>,
    #[serde(default)]
    staged: Option<bool>,
    #[serde(default)]
    worktree: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    source: Option<Revision>,
}

pub(crate) async fn add(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<AddRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    let files = some(&request.files)?;
    attend(&toolbox, |git| async move {
        let call = git.at(&path, ["add"]);
        with_files(call, files).output().await
    })
    .await?;
    Ok(StatusCode::OK)
}

pub(crate) async fn reset(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<ResetRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    let mode = request.mode.unwrap_or_default();
    let files = request.files.filter(|files| !files.is_empty());
    if files.is_some() && mode != Mode::Mixed {
        return Err(Failure::bad_request(
            "mode: only mixed can be limited to files; leave one of mode and files out",
        ));
    }
    attend(&toolbox, |git| async move {
        let call = git.at(&path, ["reset", "--quiet"]);
        let call = match files {
            Some(files) => target(with_files(call, join(&files)), request.target),
            None => target(call.arg(flag(mode)), request.target).arg("--"),
        };
        call.output().await
    })
    .await?;
    Ok(StatusCode::OK)
}

pub(crate) async fn restore(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<RestoreRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    let files = some(&request.files)?;
    let staged = request.staged.unwrap_or_default();
    let worktree = request.worktree.unwrap_or_default() || !staged;
    attend(&toolbox, |git| async move {
        if staged && request.source.is_none() && is_unborn(&git, &path).await? {
            return unstage_all_new(&git, &path, files, worktree).await;
        }
        let mut call = git
            .at(&path, ["restore", "--quiet"])
            .arg_if(staged, "--staged")
            .arg_if(worktree, "--worktree");
        if let Some(source) = &request.source {
            call = call.arg(format!("--source={}", source.as_str()));
        }
        with_files(call, files).output().await.map(drop)
    })
    .await?;
    Ok(StatusCode::OK)
}

/// Before the first commit there is nothing to restore from: what is staged becomes untracked.
async fn unstage_all_new(
    git: &Git,
    repository: &Path,
    files: Vec<u8>,
    worktree: bool,
) -> Result<(), Error> {
    if worktree {
        let message = "there is no commit yet that the working tree could be restored from";
        return Err(Error::refused(Reason::BranchNotFound, message));
    }
    let call = git.at(repository, ["rm", "--cached", "--quiet", "-r"]);
    with_files(call, files).output().await.map(drop)
}

/// Whether `HEAD` names a branch that has no commit.
pub(super) async fn is_unborn(git: &Git, repository: &Path) -> Result<bool, Error> {
    let args = ["rev-parse", "--verify", "--quiet", "HEAD"];
    git.at(repository, args).answer().await.map(|born| !born)
}

fn with_files(call: Call, files: Vec<u8>) -> Call {
    let [from, format] = FILES;
    call.arg(from).arg(format).input(files)
}

fn target(call: Call, revision: Option<Revision>) -> Call {
    match revision {
        Some(revision) => call.arg(revision.as_str()),
        None => call,
    }
}

const fn flag(mode: Mode) -> &'static str {
    match mode {
        Mode::Soft => "--soft",
        Mode::Mixed => "--mixed",
        Mode::Hard => "--hard",
        Mode::Merge => "--merge",
        Mode::Keep => "--keep",
    }
}

/// Nothing named is a mistake: git would take it for nothing or for everything.
fn some(files: &[Location]) -> Result<Vec<u8>, Failure> {
    if files.is_empty() {
        return Err(Failure::bad_request(
            "files: must not be empty; \".\" means all",
        ));
    }
    Ok(join(files))
}

fn join(files: &[Location]) -> Vec<u8> {
    files
        .iter()
        .flat_map(|file| file.as_str().bytes().chain([0]))
        .collect()
}
