//! Starts a process that outlives the connection which asked for it.
//!
//! Must not: know shells or routes. Next: `record` for what it becomes.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::feed::{self, Feed, Reader};
use super::log::Stream;
use super::reaper::Exit;
use super::record::{End, Kind, Process, Watch};
use super::{Child, Error, KILLED_CODE, KILLED_WAIT, Launch, Place, RunAs};
use crate::environment::Variables;
use crate::toolbox::Toolbox;

/// A process to start.
#[derive(Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    /// What people are shown.
    pub(crate) command: String,
    pub(crate) programs: Vec<CString>,
    pub(crate) argv: Vec<CString>,
    pub(crate) env: &'a Variables,
    pub(crate) cwd: &'a Path,
    pub(crate) stdin: Stdin,
    pub(crate) output: Output,
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug)]
pub(crate) enum Stdin {
    File(File),
    /// Input can be sent while it runs.
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Both streams through one pipe: their order is exact.
    Merged,
    /// A pipe for each: which is which is known, their order nearly.
    Split,
}

/// Starts it, and watches it to its end.
pub(crate) fn start(toolbox: &Arc<Toolbox>, plan: Plan<'_>) -> Result<Arc<Process>, Error> {
    let (output, stdout) = feed::output_pipe().map_err(Error::Start)?;
    let (errors, stderr) = match plan.output {
        Output::Merged => (None, None),
        Output::Split => {
            let (errors, stderr) = feed::output_pipe().map_err(Error::Start)?;
            (Some(errors), Some(stderr))
        }
    };
    let (input, stdin) = match plan.stdin {
        Stdin::File(file) => (None, OwnedFd::from(file)),
        Stdin::Open => {
            let (input, stdin) = feed::input_pipe().map_err(Error::Start)?;
            (Some(input), stdin)
        }
    };
    let process = Arc::new(Process::new(plan.kind, plan.id, plan.command));
    let oom_kills = toolbox.memory.oom_kills();
    let child = toolbox.processes.start(Launch {
        programs: plan.programs,
        argv: plan.argv,
        env: plan.env,
        cwd: plan.cwd,
        stdin,
        stdout,
        stderr,
        run_as: RunAs::User,
        place: Place::OwnTree,
        terminal: false,
    })?;
    // Ended by dropping the child when there is no room for it.
    toolbox.processes.remember(&process)?;
    process.set_tree(child.pid.as_raw_nonzero().get(), Arc::clone(&child.tree));
    let mut readers = vec![feed::capture(toolbox, &process, output, Stream::Output)];
    readers.extend(errors.map(|pipe| feed::capture(toolbox, &process, pipe, Stream::Error)));
    if let Some(pipe) = input {
        let feed = Feed {
            input: process.open_input(),
            process: Arc::clone(&process),
            pipe,
            lingers: false,
        };
        feed::feed(toolbox, feed);
    }
    let watched = Watch {
        deadline: plan
            .timeout
            .and_then(|limit| Instant::now().checked_add(limit)),
        oom_kills,
    };
    watch(toolbox, &process, child, readers, watched);
    Ok(process)
}

pub(super) fn watch(
    toolbox: &Arc<Toolbox>,
    process: &Arc<Process>,
    mut child: Child,
    readers: Vec<Reader>,
    watched: Watch,
) {
    process.set_watch(watched);
    let (process, toolbox) = (Arc::clone(process), Arc::clone(toolbox));
    let tasks = toolbox.tasks.clone();
    tasks.spawn("process", async move {
        let (exit, timed_out) = ending(&mut child, watched.deadline).await;
        feed::last_words(readers).await;
        process.finish(End {
            out_of_memory: exit.code() == KILLED_CODE
                && !timed_out
                && toolbox.memory.oom_kills() > watched.oom_kills,
            timed_out,
            ..End::now(exit)
        });
    });
}

async fn ending(child: &mut Child, deadline: Option<Instant>) -> (Exit, bool) {
    let passed = async {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // An exit counts even when the time is up as well. Both may be dropped.
        biased;
        exit = &mut child.exit => {
            child.release();
            (exit.unwrap_or(Exit::Code(-1)), false)
        }
        () = passed => {
            child.kill_tree();
            let exit = tokio::time::timeout(KILLED_WAIT, &mut child.exit).await;
            let exit = exit.ok().and_then(Result::ok);
            (exit.unwrap_or(Exit::Signal(9)), true)
        }
    }
}
