//! Everything the toolbox runs: starting, collecting, ending.
//!
//! Processes are started on the one thread that also collects them, so an exit is never missed.
//! Must not: speak HTTP except in `routes`, `attach`, `execute`, `code_run`, and what `session` and
//! `terminal` name.
//! Next: `record` for a process that outlives its caller and `durable` for how one is started, `run`
//! for one command within a request, `tree` for how all of it is ended.

pub(crate) mod attach;
pub(crate) mod charts;
pub(crate) mod code_run;
pub(crate) mod durable;
pub(crate) mod execute;
mod feed;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod handover;
mod input;
pub(crate) mod log;
mod output;
mod reaper;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod routes;
mod run;
pub(crate) mod session;
mod shell;
mod store;
mod table;
pub(crate) mod terminal;
mod text;
mod tree;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use sebring_sys::child::{self, Spawn, Step};
use sebring_sys::creds::Credentials;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::environment::{self, Variables};
pub(crate) use reaper::Exit;
use reaper::Reaper;
use registry::Registry;
use session::Sessions;
use table::Table;
use terminal::Terminals;
use tree::{Group, Groups};

/// Between SIGTERM and SIGKILL when the sandbox stops; it ends early when all are gone.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// After SIGKILL; the kernel needs moments, unless something sits in an uninterruptible wait.
const KILL_GRACE: Duration = Duration::from_secs(1);
/// How long a killed process may take to be gone before somebody is answered without it.
const KILLED_WAIT: Duration = Duration::from_secs(2);
/// How long output may still arrive after a process has ended, while something it left behind
/// holds the pipe or the terminal open. Enough for the last words of a `> >(tee log)`.
const STRAGGLER_GRACE: Duration = Duration::from_millis(50);
/// How a shell reports that a command of it, or it itself, was killed.
const KILLED_CODE: i32 = 128 + 9;

#[derive(Debug)]
pub(crate) struct Processes {
    reaper: Reaper,
    groups: Option<Groups>,
    /// `None` when we are not root and cannot become anybody else.
    user: Option<Credentials>,
    stopping: AtomicBool,
    pub(crate) table: Table,
    pub(crate) sessions: Sessions,
    pub(crate) terminals: Terminals,
    /// What the sandbox was configured to run, once it was started.
    pub(crate) entrypoint: OnceLock<Arc<record::Process>>,
    captures: Registry<feed::Capture>,
    feeds: Registry<feed::Feed>,
    /// Output that nobody wants, read because closing it would kill who writes it.
    discards: Registry<tokio::net::unix::pipe::Receiver>,
    screens: Registry<terminal::Screen>,
}

/// Who a process runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunAs<'a> {
    /// The sandbox's configured user.
    User,
    /// Somebody else, root among them; only for the broker of `sudo`.
    Other(&'a Credentials),
}

/// Where a new process is counted.
#[derive(Debug)]
pub(crate) enum Place {
    /// In a tree of its own.
    OwnTree,
    /// In this cgroup directory, with whoever asked for it.
    Cgroup(Option<OwnedFd>),
}

/// A process to start.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) programs: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: &'a Variables,
    pub(crate) cwd: &'a Path,
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    /// `None` joins standard output.
    pub(crate) stderr: Option<OwnedFd>,
    pub(crate) run_as: RunAs<'a>,
    pub(crate) place: Place,
    /// Standard input is a terminal that becomes the controlling one.
    pub(crate) terminal: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the sandbox is stopping")]
    Stopping,
    #[error("chdir {path}", path = .path.display())]
    Directory {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("execute {program}")]
    Execute {
        program: String,
        #[source]
        source: io::Error,
    },
    #[error("out of processes: the sandbox's limit is reached, or its memory is")]
    Exhausted,
    #[error(transparent)]
    TooMany(#[from] table::Full),
    #[error("start a process")]
    Start(#[source] io::Error),
}

/// A started process and what belongs to it. Dropping it ends the whole tree unless released, or
/// somebody else holds the tree as well.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) pid: Pid,
    pub(crate) exit: oneshot::Receiver<Exit>,
    pub(crate) tree: Arc<Tree>,
}

/// All processes that came from one. Dropping it ends them unless released.
#[derive(Debug)]
pub(crate) struct Tree {
    processes: Arc<Processes>,
    root: Pid,
    group: Option<Group>,
    armed: AtomicBool,
}

impl Processes {
    pub(crate) fn new(cgroup_directory: &Path, user: Option<Credentials>) -> Self {
        Self {
            reaper: Reaper::new(),
            groups: Groups::open(cgroup_directory),
            user,
            stopping: AtomicBool::new(false),
            table: Table::default(),
            sessions: Sessions::default(),
            terminals: Terminals::default(),
            entrypoint: OnceLock::new(),
            captures: Registry::default(),
            feeds: Registry::default(),
            discards: Registry::default(),
            screens: Registry::default(),
        }
    }

    /// Collects ended processes until dropped.
    pub(crate) async fn collect(&self) -> io::Result<()> {
        let mut orphans = self.reaper.orphans();
        let sweep = async {
            while orphans.changed().await.is_ok() {
                if let Some(groups) = &self.groups {
                    groups.sweep();
                }
            }
        };
        tokio::select! {
            ended = self.reaper.run() => ended,
            () = sweep => Ok(()),
        }
    }

    /// Starts a process; must be called on the thread that collects.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "our copies of its descriptors must close"
    )]
    pub(crate) fn start(self: &Arc<Self>, launch: Launch<'_>) -> Result<Child, Error> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(Error::Stopping);
        }
        let group = match launch.place {
            // Without a cgroup the tree is followed by descent instead.
            Place::OwnTree => self.groups.as_ref().and_then(|groups| groups.take().ok()),
            Place::Cgroup(_) => None,
        };
        let place = match &launch.place {
            Place::OwnTree => group.as_ref().map(Group::fd),
            Place::Cgroup(fd) => fd.as_ref().map(AsFd::as_fd),
        };
        let spawned = self.spawn(&launch, place);
        let in_own_group = spawned.as_ref().is_ok_and(|spawned| spawned.in_cgroup);
        let group = match (group, in_own_group) {
            (Some(group), false) => {
                self.give_back(group);
                None
            }
            (group, _) => group,
        };
        let spawned = spawned?;
        Ok(Child {
            pid: spawned.pid,
            exit: self.reaper.watch(spawned.pid),
            tree: Arc::new(Tree {
                processes: Arc::clone(self),
                root: spawned.pid,
                group,
                armed: AtomicBool::new(true),
            }),
        })
    }

    fn spawn(
        &self,
        launch: &Launch<'_>,
        cgroup: Option<std::os::fd::BorrowedFd<'_>>,
    ) -> Result<child::Spawned, Error> {
        let env = environment::block(launch.env);
        let cwd = sebring_sys::fs::c_path(launch.cwd).map_err(|source| Error::Directory {
            path: launch.cwd.to_owned(),
            source,
        })?;
        let credentials = match launch.run_as {
            RunAs::User => self.user.as_ref(),
            RunAs::Other(credentials) => Some(credentials),
        };
        let stdout = launch.stdout.as_fd();
        let spawned = child::spawn(&Spawn {
            programs: &launch.programs,
            argv: &launch.argv,
            env: &env,
            cwd: &cwd,
            stdio: [
                launch.stdin.as_fd(),
                stdout,
                launch.stderr.as_ref().map_or(stdout, AsFd::as_fd),
            ],
            credentials,
            cgroup,
            controlling_terminal: launch.terminal,
            oom_score_adj: Some(c"500"),
        });
        spawned.map_err(|error| match error {
            child::Error::Clone(source) if is_exhaustion(&source) => Error::Exhausted,
            child::Error::Clone(source) => Error::Start(source),
            child::Error::Child {
                step: Step::Directory,
                source,
            } => Error::Directory {
                path: launch.cwd.to_owned(),
                source,
            },
            child::Error::Child {
                step: Step::Execute,
                source,
            } => {
                let program = launch
                    .argv
                    .first()
                    .map(|name| name.to_string_lossy().into_owned());
                Error::Execute {
                    program: program.unwrap_or_default(),
                    source,
                }
            }
            child::Error::Child { source, .. } => Error::Start(source),
        })
    }

    /// Makes it known. What the oldest ended ones were known by is forgotten if there is too much.
    pub(crate) fn remember(&self, process: &Arc<record::Process>) -> Result<(), table::Full> {
        for forgotten in self.table.insert(Arc::clone(process))? {
            self.sessions.forget(&forgotten);
        }
        Ok(())
    }

    /// Makes it unknown, also to the session that it belongs to.
    pub(crate) fn forget(&self, process: &Arc<record::Process>) {
        self.table.remove(process);
        self.sessions.forget(process);
    }

    /// The cgroup of a tree of ours that this process is in.
    pub(crate) fn group_of(&self, pid: i32) -> Option<OwnedFd> {
        self.groups.as_ref()?.of(pid)
    }

    fn give_back(&self, group: Group) {
        if let Some(groups) = &self.groups {
            groups.put_back(group);
        }
    }

    /// Ends everything: asks, waits a little, insists. Nothing starts any more.
    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        signal_all(Signal::TERM);
        // A stopped process acts on SIGTERM only once it continues.
        signal_all(Signal::CONT);
        if tokio::time::timeout(STOP_GRACE, self.reaper.all_gone())
            .await
            .is_ok()
        {
            return;
        }
        signal_all(Signal::KILL);
        let _gone = tokio::time::timeout(KILL_GRACE, self.reaper.all_gone()).await;
    }
}

pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AGAIN | Errno::NOMEM)
    )
}

fn signal_all(signal: Signal) {
    if rustix::process::getpid().is_init() {
        // ESRCH: nobody is left to be told.
        let _nobody = child::signal_everyone(signal);
    } else {
        tree::signal_descendants(signal);
    }
}

impl Child {
    /// Ends the process and all it started.
    pub(crate) fn kill_tree(&self) {
        self.tree.kill();
    }

    /// Lets what the process started live on; call when it has exited by itself.
    pub(crate) fn release(&self) {
        self.tree.release();
    }
}

impl Tree {
    /// Ends all of it at once.
    pub(crate) fn kill(&self) {
        let killed = self
            .group
            .as_ref()
            .is_some_and(|group| group.kill().is_ok());
        if !killed {
            tree::kill_descendants(self.root);
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let signalled = self
            .group
            .as_ref()
            .is_some_and(|group| group.signal(signal).is_ok());
        if !signalled {
            tree::signal_tree(self.root, signal);
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        match &self.group {
            Some(group) => !group.is_inhabited(),
            None => tree::is_gone(self.root),
        }
    }

    /// Lets what is left live on when this is dropped.
    pub(crate) fn release(&self) {
        self.armed.store(false, Ordering::Relaxed);
    }

    /// Asks all of it to end, waits a little, insists.
    pub(crate) async fn end(&self, grace: Duration) {
        self.signal(Signal::TERM);
        // A stopped process acts on SIGTERM only once it continues.
        self.signal(Signal::CONT);
        if timeout(grace, self.gone()).await.is_err() {
            self.kill();
            let _stuck = timeout(KILL_GRACE, self.gone()).await;
        }
    }

    /// Resolves when nothing of it is left. The last to go is collected by us, or by one of them
    /// that goes later.
    async fn gone(&self) {
        let mut collected = self.processes.reaper.collected();
        while !self.is_gone() && collected.changed().await.is_ok() {}
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        if *self.armed.get_mut() {
            self.kill();
        }
        if let Some(group) = self.group.take() {
            self.processes.give_back(group);
        }
    }
}
