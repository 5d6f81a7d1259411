//! `POST /git/clone`: one branch of a remote repository, at its end or at one commit of it.
//!
//! A clone is whole or absent: what a refusal or a caller who left would leave half done is
//! removed, unless it was there before.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::address::Address;
use super::call::Call;
use super::login::{Login, Secret};
use super::names::{Branch, Commit, Line, Location, given};
use super::remote::check_login;
use super::{Error, Git, Reason, attend};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

/// The length of a whole hash, by SHA-1 and by SHA-256.
const HASH_DIGITS: [usize; 2] = [40, 64];

#[derive(Debug, Deserialize)]
pub(crate) struct CloneRequest {
    url: String,
    path: Location,
    #[serde(default, deserialize_with = "given")]
    branch: Option<Branch>,
    #[serde(default, deserialize_with = "given")]
    commit_id: Option<Commit>,
    #[serde(default, deserialize_with = "given")]
    username: Option<Line>,
    #[serde(default)]
    password: Option<Secret>,
    #[serde(default)]
    insecure_skip_tls: Option<bool>,
    #[serde(default)]
    depth: Option<std::num::NonZeroU32>,
}

#[derive(Debug)]
struct Plan {
    address: Address,
    login: Option<Login>,
    path: PathBuf,
    branch: Option<Branch>,
    commit: Option<Commit>,
    skip_tls: bool,
    depth: Option<std::num::NonZeroU32>,
}

/// What was at the path before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Nothing,
    EmptyFolder,
    Something,
}

pub(crate) async fn clone(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<CloneRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    let plan = plan(request, path)?;
    attend(&toolbox, |git| async move { run(&git, &plan).await }).await?;
    Ok(StatusCode::OK)
}

fn plan(request: CloneRequest, path: PathBuf) -> Result<Plan, Failure> {
    let (address, written) =
        Address::parse(&request.url).map_err(|error| Failure::bad_request(error.to_string()))?;
    let login = Login::given(request.username, request.password);
    if login.is_some() {
        check_login(&address)?;
    }
    Ok(Plan {
        address,
        login: login.or(written),
        path,
        branch: request.branch,
        commit: request.commit_id,
        skip_tls: request.insecure_skip_tls.unwrap_or_default(),
        depth: request.depth,
    })
}

async fn run(git: &Git, plan: &Plan) -> Result<(), Error> {
    let before = on_disk(&plan.path, before).await;
    let mut cloned = false;
    let done = steps(git, plan, &mut cloned).await;
    // A clone that git refuses removes what it made; one that is cut off may not get to it.
    let refused = matches!(done, Err(Error::Refused { .. }));
    if done.is_err() && (cloned || !refused) {
        on_disk(&plan.path, move |path| remove(path, before)).await;
    }
    done
}

async fn steps(git: &Git, plan: &Plan, cloned: &mut bool) -> Result<(), Error> {
    let mut call = git
        .anywhere(["clone", "--quiet", "--single-branch"])
        .arg_if(plan.commit.is_some(), "--no-checkout")
        // Of a path on the same disk git would take no part.
        .arg_if(plan.depth.is_some(), "--no-local");
    if let Some(branch) = &plan.branch {
        call = call.arg(format!("--branch={}", branch.as_str()));
    }
    if let Some(depth) = plan.depth {
        call = call.arg(format!("--depth={depth}"));
    }
    let call = call.arg("--").arg(plan.address.as_str());
    let call = call.arg(plan.path.to_string_lossy());
    plan.with_access(call).output().await?;
    *cloned = true;
    match &plan.commit {
        Some(commit) => go_to(git, plan, commit).await,
        None => Ok(()),
    }
}

/// Detaches `HEAD` at the commit. One that the branch does not have is asked for by its hash.
async fn go_to(git: &Git, plan: &Plan, commit: &Commit) -> Result<(), Error> {
    let hash = commit.as_str();
    if !has(git, plan, hash).await? {
        if !HASH_DIGITS.contains(&hash.len()) {
            return Err(Error::refused(
                Reason::BranchNotFound,
                format!("commit_id {hash:?}: no such commit in the branch; give the whole hash"),
            ));
        }
        let mut call = git.at(&plan.path, ["fetch", "--quiet"]);
        if let Some(depth) = plan.depth {
            call = call.arg(format!("--depth={depth}"));
        }
        let call = call.arg("--").arg("origin").arg(hash);
        plan.with_access(call).output().await?;
    }
    let call = git.at(&plan.path, ["checkout", "--quiet", "--detach"]);
    call.arg(hash).arg("--").output().await?;
    Ok(())
}

async fn has(git: &Git, plan: &Plan, hash: &str) -> Result<bool, Error> {
    let call = git.at(&plan.path, ["rev-parse", "--verify", "--quiet"]);
    let commit = call.arg(format!("{hash}^{{commit}}")).run().await?;
    Ok(commit.code == 0)
}

impl Plan {
    fn with_access(&self, call: Call) -> Call {
        let call = if self.skip_tls {
            call.setting("http.sslVerify=false")
        } else {
            call
        };
        let login = self.login.as_ref();
        call.remote(login.map(|login| (login, self.address.origins())))
    }
}

/// File work, on a thread that acts as the user.
async fn on_disk<T: Send + 'static + Default>(
    path: &Path,
    work: impl FnOnce(&Path) -> T + Send + 'static,
) -> T {
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    done.unwrap_or_default()
}

impl Default for Before {
    /// Of what could not be looked at nothing is removed.
    fn default() -> Self {
        Self::Something
    }
}

fn before(path: &Path) -> Before {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Before::Nothing,
        Ok(facts) if facts.is_dir() => match fs::read_dir(path).map(|mut entries| entries.next()) {
            Ok(None) => Before::EmptyFolder,
            _ => Before::Something,
        },
        _ => Before::Something,
    }
}

fn remove(path: &Path, before: Before) {
    // What cannot be removed is what the next clone to that path will complain about.
    match before {
        Before::Something => {}
        Before::Nothing => drop(fs::remove_dir_all(path)),
        Before::EmptyFolder => {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                let path = entry.path();
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    drop(fs::remove_dir_all(path));
                } else {
                    drop(fs::remove_file(path));
                }
            }
        }
    }
}
