//! The spawner: a small single-threaded process that clones sandboxes for the runner, which has
//! threads and may not.
//!
//! ```text
//! runner ── SOCK_SEQPACKET ──▶ spawner ── clone3 ──▶ child: crate::setup ── exec ──▶ toolbox
//!    │   request + descriptors      │                   │
//!    │   ◀── pid + pidfd ───────────┘                   │
//!    └───────────── status pipe: failing step, or nothing and closed by exec ──────┘
//! ```
//!
//! The answer comes as soon as the child exists; how it fares comes over the status pipe. The
//! spawner ends when the runner does; sandboxes do not.
//!
//! Must not: decide anything. Next: `serve` for the other side, `crate::setup` for the child.

pub(crate) mod serve;
pub(crate) mod wire;

use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags};
use tracing::warn;

use crate::config::SpawnerProgram;
use wire::{Answer, Introduction, Request};

/// How long a child may take from clone to exec. Generous: a host with a full disk queue is slow,
/// and a hung mount must still end in an error.
const SETUP_WAIT: Duration = Duration::from_secs(20);

/// The runner's side. Restarts the process when it is gone.
#[derive(Debug)]
pub(crate) struct Spawner {
    program: SpawnerProgram,
    introduction: Introduction,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    socket: OwnedFd,
}

/// Descriptors that the child works with, by role.
#[derive(Debug)]
pub(crate) struct Descriptors<'a> {
    pub(crate) user_namespace: BorrowedFd<'a>,
    pub(crate) network_namespace: BorrowedFd<'a>,
    /// The v2 group that the child is born in.
    pub(crate) cgroup: BorrowedFd<'a>,
    pub(crate) listener: BorrowedFd<'a>,
    pub(crate) config: BorrowedFd<'a>,
    pub(crate) log: BorrowedFd<'a>,
}

/// A sandbox's first process before it has become the toolbox.
#[derive(Debug)]
pub(crate) struct Newborn {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    status: PipeReader,
}

impl Spawner {
    /// `keep` are the host paths whose mounts sandboxes are made from.
    pub(crate) fn start(program: SpawnerProgram, keep: Vec<PathBuf>) -> io::Result<Self> {
        let introduction = Introduction { keep };
        let process = Mutex::new(Some(Process::start(&program, &introduction)?));
        Ok(Self {
            program,
            introduction,
            process,
        })
    }

    /// Clones a sandbox. When the spawner is found dead it is started anew and asked once more;
    /// the caller's group for the sandbox makes a child of the dead one findable.
    pub(crate) fn spawn(&self, request: &Request, fds: &Descriptors<'_>) -> io::Result<Newborn> {
        let mut slot = self.process.lock();
        if let Some(process) = slot.as_ref() {
            match process.ask(request, fds) {
                Err(error) if is_gone(&error) => {
                    warn!(error = %error, "the spawner is gone; starting another");
                    *slot = None;
                }
                other => return other,
            }
        }
        let process = slot.insert(Process::start(&self.program, &self.introduction)?);
        process.ask(request, fds)
    }

    /// Its process id, for tests that kill it.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process
            .lock()
            .as_ref()
            .map(|process| process.child.id())
    }
}

impl Process {
    fn start(program: &SpawnerProgram, introduction: &Introduction) -> io::Result<Self> {
        use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let child = std::process::Command::new(&program.program)
            .args(&program.arguments)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .process_group(0)
            .spawn()?;
        wire::send(ours.as_fd(), introduction, &[])?;
        rustix::net::sockopt::set_socket_timeout(
            &ours,
            rustix::net::sockopt::Timeout::Recv,
            Some(SETUP_WAIT),
        )?;
        Ok(Self {
            child,
            socket: ours,
        })
    }

    fn ask(&self, request: &Request, fds: &Descriptors<'_>) -> io::Result<Newborn> {
        let (status, write_end) = io::pipe()?;
        let descriptors = [
            fds.user_namespace,
            fds.network_namespace,
            fds.cgroup,
            fds.listener,
            fds.config,
            fds.log,
            write_end.as_fd(),
        ];
        wire::send(self.socket.as_fd(), request, &descriptors)?;
        let (answer, mut received) = wire::receive::<Answer>(self.socket.as_fd())?;
        match answer {
            Answer::Cloned { pid } => {
                let pidfd = received
                    .pop()
                    .ok_or_else(|| io::Error::other("no pidfd came"))?;
                Ok(Newborn { pid, pidfd, status })
            }
            Answer::Refused { errno } => Err(io::Error::from_raw_os_error(errno)),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended, or ends when its socket closes; kill makes the wait below short.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Newborn {
    /// Waits until the child has become the toolbox, or says at which step it failed.
    pub(crate) fn wait_until_executed(&mut self) -> Result<(), SetupError> {
        let mut poll = [PollFd::new(&self.status, PollFlags::IN)];
        let deadline = rustix::event::Timespec {
            tv_sec: SETUP_WAIT.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: 0,
        };
        if rustix::event::poll(&mut poll, Some(&deadline)).map_err(io::Error::from)? == 0 {
            return Err(SetupError::Late);
        }
        let mut report = String::new();
        self.status.read_to_string(&mut report)?;
        if report.is_empty() {
            return if self.has_ended() {
                Err(SetupError::Died)
            } else {
                Ok(())
            };
        }
        let (errno, step) = report.split_once(' ').unwrap_or(("0", &report));
        let source = io::Error::from_raw_os_error(errno.parse().unwrap_or(0));
        Err(SetupError::Step {
            step: step.to_owned(),
            source,
        })
    }

    /// The pipe also closes when the child dies without a word.
    fn has_ended(&self) -> bool {
        let mut poll = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let at_once = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        matches!(rustix::event::poll(&mut poll, Some(&at_once)), Ok(1))
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("set up: {step}")]
    Step { step: String, source: io::Error },
    #[error("the first process died during set-up")]
    Died,
    #[error("the set-up took longer than {} s", SETUP_WAIT.as_secs())]
    Late,
    #[error("read the set-up status")]
    Status(#[from] io::Error),
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof
    )
}
