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
//! The answer comes as soon as the child exists; how it fares comes over the status pipe. Death
//! closes that pipe as exec does, so a silent end is believed only of a child that is alive after
//! it. The spawner ends when the runner does; sandboxes do not.
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
use crate::stat::Stat;
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

    /// Clones a sandbox. A spawner that does not answer is given up, and the next call starts
    /// another; whether this one has cloned before, only the caller's group for the sandbox tells.
    pub(crate) fn spawn(
        &self,
        request: &Request,
        fds: &Descriptors<'_>,
    ) -> Result<Newborn, SetupError> {
        let mut slot = self.process.lock();
        let process = match slot.take() {
            Some(process) => process,
            None => Process::start(&self.program, &self.introduction)?,
        };
        let newborn = process.ask(request, fds);
        match &newborn {
            Err(SetupError::NoAnswer(error)) => warn!(error = %error, "the spawner is gone"),
            _ => *slot = Some(process),
        }
        newborn
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

    fn ask(&self, request: &Request, fds: &Descriptors<'_>) -> Result<Newborn, SetupError> {
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
        let socket = self.socket.as_fd();
        let (answer, mut received) = wire::send(socket, request, &descriptors)
            .and_then(|()| wire::receive::<Answer>(socket))
            .map_err(SetupError::NoAnswer)?;
        match answer {
            Answer::Cloned { pid } => {
                let pidfd = received
                    .pop()
                    .ok_or_else(|| SetupError::NoAnswer(io::Error::other("no pidfd came")))?;
                Ok(Newborn { pid, pidfd, status })
            }
            Answer::Refused { errno } => Err(io::Error::from_raw_os_error(errno).into()),
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
            return if self.is_alive() {
                Ok(())
            } else {
                Err(SetupError::Died)
            };
        }
        let (errno, step) = report.split_once(' ').unwrap_or(("0", &report));
        let source = io::Error::from_raw_os_error(errno.parse().unwrap_or(0));
        Err(SetupError::Step {
            step: step.to_owned(),
            source,
        })
    }

    /// A dying process closes its pipe well before its end can be waited for.
    fn is_alive(&self) -> bool {
        let doomed = Stat::of(self.pid).is_ok_and(Stat::is_doomed);
        // Looked at last: as long as it has not ended, the number above was its own.
        let mut poll = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let at_once = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let ended = !matches!(rustix::event::poll(&mut poll, Some(&at_once)), Ok(0));
        !doomed && !ended
    }
}

/// Why there is no toolbox.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("set up: {step}")]
    Step { step: String, source: io::Error },
    #[error("the first process died during set-up")]
    Died,
    #[error("the set-up took longer than {} s", SETUP_WAIT.as_secs())]
    Late,
    #[error("the spawner did not answer")]
    NoAnswer(#[source] io::Error),
    #[error(transparent)]
    Host(#[from] io::Error),
}

impl SetupError {
    /// Whether something of ours was killed, which says nothing about the sandbox.
    pub(crate) const fn is_death(&self) -> bool {
        match self {
            Self::Died | Self::NoAnswer(_) => true,
            Self::Step { .. } | Self::Late | Self::Host(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newborn whose set-up is `script`, with the status pipe as its standard output.
    fn newborn(script: &str) -> (Newborn, Child) {
        let (status, theirs) = io::pipe().unwrap();
        let child = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(theirs)
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let pidfd = sebring_sys::userns::pidfd_of(pid).unwrap();
        (Newborn { pid, pidfd, status }, child)
    }

    #[test]
    fn a_death_during_set_up_is_never_taken_for_success() {
        for _ in 0..200 {
            let (mut newborn, mut child) = newborn("exec sleep 1000");
            child.kill().unwrap();
            let outcome = newborn.wait_until_executed();
            assert!(matches!(outcome, Err(SetupError::Died)), "{outcome:?}");
            child.wait().unwrap();
        }
    }

    #[test]
    fn a_pipe_that_closes_while_its_process_lives_is_success() {
        let (mut newborn, mut child) = newborn("exec sleep 1000 >&-");
        newborn.wait_until_executed().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_failed_step_is_named() {
        let (mut newborn, mut child) = newborn("printf '28 setup.root'");
        let error = newborn.wait_until_executed().unwrap_err();
        assert_eq!(error.to_string(), "set up: setup.root");
        assert!(!error.is_death());
        child.wait().unwrap();
    }
}
