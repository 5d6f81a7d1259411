//! The git API, done by the image's own `git`, as the sandbox's user.
//!
//! A call is given everything by its caller: names are checked before git sees them (`names`,
//! `address`), logins reach it on no trace (`login`), what it prints is read in the formats that
//! are meant for programs, and what it refuses becomes a typed error (`refusal`).
//! Must not: link a git implementation. One in this process would hold a repository in the memory
//! that the sandbox needs; the executable maps it, and ends.
//! Next: `call` for how git is run, `clone` for the longest of the operations.

mod address;
pub(crate) mod branches;
mod call;
pub(crate) mod clone;
pub(crate) mod commit;
pub(crate) mod config;
pub(crate) mod credentials;
mod environment;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod init;
mod login;
mod memory;
mod names;
mod output;
mod porcelain;
pub(crate) mod pull;
pub(crate) mod push;
mod refusal;
mod remote;
pub(crate) mod remotes;
pub(crate) mod status;

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;

use crate::http::error::Failure;
use crate::http::query::Query;
use crate::toolbox::Toolbox;
pub(crate) use call::Git;
use names::Location;
pub(crate) use refusal::Reason;

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "git is not installed in this sandbox: there is none in {path}; install it, or start from \
         a snapshot that has it"
    )]
    NotInstalled { path: String },
    #[error("{message}")]
    Refused { reason: Reason, message: String },
    #[error("git {what}: not finished after {seconds} s, ended")]
    TimedOut { what: String, seconds: u64 },
    #[error(
        "git {what}: its output is longer than {limit} bytes, the most that is taken in; ask for \
         less (a history takes limit and skip)"
    )]
    TooMuch { what: String, limit: usize },
    #[error("git {what}: out of memory: the sandbox's limit is {limit} bytes")]
    OutOfMemory { what: String, limit: u64 },
    #[error("git {what}: the caller is gone")]
    CallerGone { what: String },
    #[error("git {what}: output that is not understood: {output}")]
    Output { what: &'static str, output: String },
    #[error("the sandbox is stopping")]
    Stopping,
    #[error("run git: {0}")]
    Run(String),
}

impl Error {
    pub(crate) fn refused(reason: Reason, message: impl Into<String>) -> Self {
        Self::Refused {
            reason,
            message: message.into(),
        }
    }
}

/// The repository that a query is about.
fn repository(toolbox: &Toolbox, query: &Query) -> Result<PathBuf, Failure> {
    Ok(toolbox.resolve(location(query.required("path")?)?.as_str()))
}

/// A path in a query, checked as those in bodies are.
fn location(path: &str) -> Result<Location, Failure> {
    Location::try_from(path.to_owned())
        .map_err(|error| Failure::bad_request(format!("query path: {error}")))
}

/// Does `work` to its end or until the caller of the route is gone, whichever is first.
///
/// A request's future is dropped when its client leaves; the work is a task of its own, so that
/// git is asked to end and what it leaves half done is removed.
pub(crate) async fn attend<T, F>(
    toolbox: &Arc<Toolbox>,
    work: impl FnOnce(Git) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Error>> + Send + 'static,
    T: Send + 'static,
{
    let (present, caller) = watch::channel(());
    let git = Git::new(Arc::clone(toolbox), caller);
    let (whole, working) = (toolbox.pause.hold(), work(git));
    let working = async move {
        let done = working.await;
        drop(whole);
        done
    };
    let done = toolbox.tasks.spawn("git", working).await;
    drop(present);
    match done {
        Ok(Some(done)) => done.map_err(Failure::from),
        Ok(None) | Err(_) => Err(Failure::internal("the git operation did not finish")),
    }
}
