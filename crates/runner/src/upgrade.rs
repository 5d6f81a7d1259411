//! Sandboxes of an earlier runner get the toolbox of this one, without ending anything in them.
//!
//! Which program is a sandbox's first process, the kernel says: nothing that the toolbox says of
//! itself is believed. The new program is mounted where the old one was, where only the runner can
//! mount; then the toolbox is asked to execute what is there. A toolbox that does not has its old
//! program put back. It is asked again when it was busy, and otherwise by the next runner.
//!
//! Must not: end a sandbox for the sake of an upgrade, or keep one from being stopped or deleted.
//! Next: `crate::sandbox::tell` for what is said; `upgrade` in the toolbox is the other end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use sebring_api::boot::{TOOLBOX_PATH, Upgraded};
use sebring_core::id::SandboxId;
use sebring_sys::mount::{self, Former};
use sebring_tasks::chain;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::disk::FileId;
use crate::runner::Shared;
use crate::sandbox::{bring_up, tell};

/// Upgraded at the same time. More would all be slow, and a new program that breaks something
/// breaks it in fewer sandboxes before somebody looks.
const AT_ONCE: usize = 4;
/// Until a busy one is asked again, the first time and at most.
const RETRY_FIRST: Duration = Duration::from_secs(15);
const RETRY_MAX: Duration = Duration::from_secs(600);

const REASON_CHARACTERS_MAX: usize = 300;

/// All upgrades of one runner.
#[derive(Clone, Debug)]
pub(crate) struct Upgrades {
    permits: Arc<Semaphore>,
}

/// A sandbox that was found running.
#[derive(Debug)]
pub(crate) struct Candidate {
    id: SandboxId,
    pid: i32,
    process: OwnedFd,
}

#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("look at the program of the first process")]
    Program(#[source] io::Error),
    #[error("show the new program in the sandbox")]
    Mount(#[source] io::Error),
    #[error("ask the toolbox")]
    Ask(#[source] io::Error),
    #[error("the toolbox refuses: {0}")]
    Refused(String),
    #[error("the toolbox says that it has, and has not")]
    Untrue,
}

/// How one attempt went.
#[derive(Debug)]
enum Outcome {
    Upgraded,
    Busy(String),
    /// The sandbox ended meanwhile, which others see to.
    Ended,
}

impl Upgrades {
    pub(crate) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Begins to upgrade a sandbox, unless it has this runner's toolbox.
    pub(crate) fn begin(&self, shared: &Arc<Shared>, id: SandboxId, pid: i32, process: OwnedFd) {
        let candidate = Candidate { id, pid, process };
        let is_current = candidate.program().ok() == FileId::of(&shared.toolbox).ok();
        if is_current {
            return;
        }
        let (permits, own) = (Arc::clone(&self.permits), Arc::clone(shared));
        shared.tasks.spawn("upgrade", async move {
            // Both may be dropped: the toolbox gives up when nobody listens, and the next runner
            // sees what has become of it.
            tokio::select! {
                () = own.tasks.stopped() => {}
                () = candidate.upgrade(&own, &permits) => {}
            }
        });
    }
}

impl Candidate {
    /// Until it is done, or cannot be.
    async fn upgrade(&self, shared: &Arc<Shared>, permits: &Semaphore) {
        let mut pause = RETRY_FIRST;
        loop {
            let permit = permits.acquire().await;
            let outcome = self.attempt(shared).await;
            drop(permit);
            match outcome {
                Ok(Outcome::Upgraded) => {
                    info!(sandbox_id = %self.id, "toolbox upgraded");
                    return;
                }
                Ok(Outcome::Ended) => return,
                Ok(Outcome::Busy(reason)) => {
                    info!(sandbox_id = %self.id, reason, "toolbox not upgraded yet");
                }
                Err(error) => {
                    let error = chain(&error);
                    warn!(sandbox_id = %self.id, error, "toolbox not upgraded; it stays as it was");
                    return;
                }
            }
            sleep(pause).await;
            pause = (2 * pause).min(RETRY_MAX);
        }
    }

    async fn attempt(&self, shared: &Arc<Shared>) -> Result<Outcome, Error> {
        if self.has_ended() {
            return Ok(Outcome::Ended);
        }
        let old = self.program().map_err(Error::Program)?;
        let old = shared.pool.toolbox_that_is(old);
        let shown = self.show(&shared.toolbox).await;
        let former = shown.map_err(Error::Mount)?;
        let socket = bring_up::socket_path(shared, self.id);
        let told = tell::upgrade(&socket).await;
        if self.has_ended() {
            return Ok(Outcome::Ended);
        }
        let new = FileId::of(&shared.toolbox).map_err(Error::Program)?;
        if self.program().map_err(Error::Program)? == new {
            return Ok(Outcome::Upgraded);
        }
        // What is shown and what runs must speak the same language: `sudo` is both.
        let restored = match (former, old) {
            (Former::Covered, _) => self.uncover().await,
            (Former::Gone, Some(old)) => self.show(&old).await.map(drop),
            (Former::Gone, None) => Ok(()),
        };
        restored.map_err(Error::Mount)?;
        match told {
            Ok(Upgraded::Busy { reason }) => Ok(Outcome::Busy(short(&reason))),
            Ok(Upgraded::Refused { reason }) => Err(Error::Refused(short(&reason))),
            Ok(Upgraded::Done) => Err(Error::Untrue),
            Err(error) => Err(Error::Ask(error)),
        }
    }

    /// Puts a program where the sandbox sees its toolbox.
    async fn show(&self, program: &Path) -> io::Result<Former> {
        let (program, process) = (program.to_owned(), self.process.try_clone()?);
        let shown = tokio::task::spawn_blocking(move || show(&program, &process));
        shown.await.map_err(io::Error::other)?
    }

    async fn uncover(&self) -> io::Result<()> {
        let process = self.process.try_clone()?;
        let uncover = move || mount::seen_by(process.as_fd(), || mount::uncover(place()));
        let uncovered = tokio::task::spawn_blocking(uncover);
        uncovered.await.map_err(io::Error::other)?
    }

    /// The file that its first process executes, as the kernel knows it.
    fn program(&self) -> io::Result<FileId> {
        FileId::of(&PathBuf::from(format!("/proc/{}/exe", self.pid)))
    }

    /// As long as it has not, its number is its own.
    fn has_ended(&self) -> bool {
        let at_once = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut poll = [PollFd::new(&self.process, PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&at_once)).is_ok_and(|ready| ready > 0)
    }
}

fn show(program: &Path, process: &OwnedFd) -> io::Result<Former> {
    let program = mount::copy_executable(program)?;
    mount::seen_by(process.as_fd(), || mount::replace(program.as_fd(), place()))
}

fn place() -> &'static Path {
    Path::new(TOOLBOX_PATH)
}

/// A sandbox may say anything, and the log is ours.
fn short(said: &str) -> String {
    said.chars().take(REASON_CHARACTERS_MAX).collect()
}
