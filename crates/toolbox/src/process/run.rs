//! One command from start to end: its merged output, its exit, its deadline.
//!
//! The future may be dropped at any await; then the whole process tree is ended.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::unix::pipe::Receiver;
use tokio::time::Instant;

use super::output::{self, Kept, Output};
use super::shell::Invocation;
use super::{
    Child, Error, Exit, KILLED_CODE, KILLED_WAIT, Launch, Place, Processes, RunAs, STRAGGLER_GRACE,
};
use crate::environment::Variables;
use crate::toolbox::Toolbox;

/// Pipes of background processes that are read into nothing at one time.
const DISCARDS_MAX: usize = 512;

static DISCARDS: AtomicUsize = AtomicUsize::new(0);

/// A command to run to its end.
#[derive(Debug)]
pub(crate) struct Command<'a> {
    pub(crate) invocation: Invocation,
    pub(crate) env: &'a Variables,
    pub(crate) cwd: &'a Path,
    pub(crate) timeout: Option<Duration>,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) output: Kept,
    pub(crate) ending: Ending,
    /// The kernel has killed it for memory.
    pub(crate) out_of_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Exited(Exit),
    TimedOut,
}

/// Runs the command. [`Error`] means that it never ran.
pub(crate) async fn run(toolbox: &Toolbox, command: Command<'_>) -> Result<Outcome, Error> {
    let timeout = command.timeout;
    let oom_kills = toolbox.memory.oom_kills();
    let (mut child, mut output) = start(&toolbox.processes, command)?;
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let ending = follow(&mut child, &mut output, deadline).await;
    drain(&mut output).await;
    drop(child);
    let (kept, pipe) = output.finish();
    if let Some(pipe) = pipe {
        discard(toolbox, pipe);
    }
    // Somebody else may have been meant by the kill that was counted; that both happen at once
    // for different reasons is rare, and then memory is short all the same.
    let was_killed = matches!(ending, Ending::Exited(exit) if exit.code() == KILLED_CODE);
    Ok(Outcome {
        output: kept,
        ending,
        out_of_memory: was_killed && toolbox.memory.oom_kills() > oom_kills,
    })
}

fn start(processes: &Arc<Processes>, command: Command<'_>) -> Result<(Child, Output), Error> {
    let (output, writer) = output::pipe().map_err(Error::Start)?;
    let child = processes.start(Launch {
        programs: vec![command.invocation.program],
        argv: command.invocation.argv,
        env: command.env,
        cwd: command.cwd,
        stdin: OwnedFd::from(command.invocation.stdin),
        stdout: writer,
        stderr: None,
        run_as: RunAs::User,
        place: Place::OwnTree,
        terminal: false,
    })?;
    Ok((child, output))
}

async fn follow(child: &mut Child, output: &mut Output, deadline: Option<Instant>) -> Ending {
    loop {
        tokio::select! {
            // Exit and deadline before output, or a flood would hide them. Each branch may be
            // dropped: a oneshot and a timer keep their state, `read` keeps what it read.
            biased;
            exit = &mut child.exit => {
                child.release();
                return Ending::Exited(exit.unwrap_or(Exit::Code(-1)));
            }
            () = passed(deadline) => {
                child.kill_tree();
                let _exit = tokio::time::timeout(KILLED_WAIT, &mut child.exit).await;
                return Ending::TimedOut;
            }
            () = output.read(), if !output.ended() => {}
        }
    }
}

async fn passed(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn drain(output: &mut Output) {
    let rest = async {
        while !output.ended() {
            output.read().await;
        }
    };
    // Passing the deadline is the normal end when a background process keeps the pipe.
    let _late = tokio::time::timeout(STRAGGLER_GRACE, rest).await;
}

/// Keeps reading what a background process writes to output that nobody awaits any more: closing
/// the pipe would kill it by SIGPIPE at its next line.
pub(super) fn discard(toolbox: &Toolbox, pipe: Receiver) {
    if DISCARDS.fetch_add(1, Ordering::Relaxed) >= DISCARDS_MAX {
        DISCARDS.fetch_sub(1, Ordering::Relaxed);
        return;
    }
    let pipe = toolbox.processes.discards.add(pipe);
    toolbox.tasks.spawn("discard output", async move {
        while pipe.readable().await.is_ok() && more(pipe.try_read(&mut [0; 4096])) {
            // A flood must not keep others from their turn.
            tokio::task::yield_now().await;
        }
        drop(pipe);
        DISCARDS.fetch_sub(1, Ordering::Relaxed);
    });
}

fn more(read: io::Result<usize>) -> bool {
    match read {
        Ok(length) => length > 0,
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        ),
    }
}

impl Error {
    /// What the answer says when a command could not be started.
    pub(crate) fn to_text(&self) -> String {
        use std::error::Error as _;
        let reason = self
            .source()
            .map(|source| match source.downcast_ref::<io::Error>() {
                Some(error) => plain(error),
                None => source.to_string(),
            });
        match reason {
            Some(reason) => format!("{self}: {reason}"),
            None => self.to_string(),
        }
    }
}

/// The kernel's words without Rust's `(os error 2)`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
