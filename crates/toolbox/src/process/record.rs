//! A process as clients know it, from its start to long after its end: what it is, what it wrote,
//! how it ended, and ways to speak to it. Commands of sessions, terminals and the entrypoint are
//! such processes as well.
//!
//! Connections come and go; none owns a process.
//! Must not: start anything. Next: `durable` for how one is started, `table` for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Tree;
use super::input::Input;
use super::log::{LOG_BYTES_MAX, Log};
use super::reaper::Exit;
use crate::clock;

/// Messages of input that wait for a process to read them.
pub(crate) const INPUT_MESSAGES_MAX: usize = 64;
/// Their bytes together: as much as one message of a WebSocket can have.
pub(crate) const INPUT_WAITING_BYTES_MAX: usize = 4 << 20;
/// One piece of input by a request.
pub(crate) const INPUT_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) command: String,
    pub(crate) started: OffsetDateTime,
    pub(crate) log: Log,
    end: watch::Sender<Option<End>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<i32>,
    input: Option<Arc<Input>>,
    tree: Option<Arc<Tree>>,
    watch: Option<Watch>,
}

/// What is watched of a process until it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watch {
    pub(crate) deadline: Option<Instant>,
    /// Kills for memory that had happened when it began.
    pub(crate) oom_kills: u64,
}

/// What asked for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Kind {
    Process,
    /// A command in the session of this id.
    Session(String),
    /// The shell of the terminal of this id.
    Terminal(String),
    Entrypoint,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) exit: Exit,
    /// The kernel has killed it for memory.
    pub(crate) out_of_memory: bool,
    pub(crate) timed_out: bool,
    pub(crate) at: OffsetDateTime,
}

impl End {
    pub(crate) fn now(exit: Exit) -> Self {
        Self {
            exit,
            out_of_memory: false,
            timed_out: false,
            at: clock::now(),
        }
    }
}

/// Why input was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InputError {
    #[error("it has ended")]
    Ended,
    #[error("it was started without input, or its input was closed")]
    Closed,
    #[error(
        "{INPUT_MESSAGES_MAX} messages or {INPUT_WAITING_BYTES_MAX} bytes would wait already; it \
         does not read its input"
    )]
    Full,
    #[error("maximum {INPUT_BYTES_MAX} bytes at once; send it in pieces")]
    TooLong,
}

impl Process {
    pub(crate) fn new(kind: Kind, id: String, command: String) -> Self {
        Self::with_log(kind, id, command, LOG_BYTES_MAX)
    }

    pub(crate) fn with_log(kind: Kind, id: String, command: String, bytes_max: u64) -> Self {
        Self::known(kind, id, command, clock::now(), Log::new(bytes_max), None)
    }

    /// One of which all this is known.
    pub(super) fn known(
        kind: Kind,
        id: String,
        command: String,
        started: OffsetDateTime,
        log: Log,
        end: Option<End>,
    ) -> Self {
        Self {
            id,
            kind,
            command,
            started,
            log,
            end: watch::Sender::new(end),
            state: Mutex::default(),
        }
    }

    /// It runs now, and this is how to end it.
    pub(crate) fn set_tree(&self, pid: i32, tree: Arc<Tree>) {
        let mut state = self.lock();
        state.pid = Some(pid);
        state.tree = Some(tree);
    }

    /// As far as it is known of one that has ended.
    pub(super) fn set_remains(&self, pid: Option<i32>, tree: Option<Arc<Tree>>) {
        let mut state = self.lock();
        state.pid = pid;
        state.tree = tree;
    }

    /// Where input goes from now on; for whoever writes it into a pipe.
    pub(crate) fn open_input(&self) -> Arc<Input> {
        let input = Arc::new(Input::default());
        self.set_input(Arc::clone(&input));
        input
    }

    pub(super) fn set_input(&self, input: Arc<Input>) {
        self.lock().input = Some(input);
    }

    pub(crate) fn close_input(&self) {
        if let Some(input) = self.lock().input.take() {
            input.finish();
        }
    }

    pub(crate) fn input(&self) -> Option<Arc<Input>> {
        self.lock().input.clone()
    }

    pub(super) fn set_watch(&self, watch: Watch) {
        self.lock().watch = Some(watch);
    }

    pub(super) fn watch(&self) -> Option<Watch> {
        self.lock().watch
    }

    /// Hands over input; it is written as fast as the process reads.
    pub(crate) fn write(&self, bytes: Bytes) -> Result<(), InputError> {
        if self.end().is_some() {
            return Err(InputError::Ended);
        }
        self.input().ok_or(InputError::Closed)?.send(bytes)
    }

    /// As `write`, but waits while it does not read.
    pub(crate) async fn write_patiently(&self, bytes: Bytes) -> Result<(), InputError> {
        let input = self.input().ok_or(InputError::Closed)?;
        tokio::select! {
            // Both may be dropped: input to an ended process is worth nothing.
            sent = input.send_patiently(bytes) => sent,
            _ = self.ended() => Err(InputError::Ended),
        }
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.lock().pid
    }

    pub(crate) fn end(&self) -> Option<End> {
        *self.end.borrow()
    }

    /// Resolves once it has ended and all it wrote itself is in the log.
    pub(crate) async fn ended(&self) -> End {
        let mut end = self.end.subscribe();
        loop {
            if let Some(end) = *end.borrow_and_update() {
                return end;
            }
            if end.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Records the end; all it wrote must be in the log.
    pub(crate) fn finish(&self, end: End) {
        self.end.send_if_modified(|now| match now {
            Some(_) => false,
            None => {
                *now = Some(end);
                true
            }
        });
        self.log.finish();
        self.close_input();
        let mut state = self.lock();
        // What it left running can still be ended through it; an empty tree is of no more use, and
        // that of a session goes on with the next command.
        let is_session = matches!(self.kind, Kind::Session(_));
        if is_session || state.tree.as_ref().is_some_and(|tree| tree.is_gone()) {
            state.tree = None;
        }
    }

    /// Signals all of its processes; whether there may have been any.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        let tree = self.tree();
        match &tree {
            Some(tree) if signal == Signal::KILL => tree.kill(),
            Some(tree) => tree.signal(signal),
            None => {}
        }
        tree.is_some()
    }

    pub(crate) fn tree(&self) -> Option<Arc<Tree>> {
        self.lock().tree.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process() -> Process {
        Process::new(Kind::Process, String::new(), String::new())
    }

    #[test]
    fn input_that_waits_is_bounded_by_its_bytes_until_it_is_written() {
        let process = process();
        let input = process.open_input();
        let piece = Bytes::from(vec![b'x'; INPUT_WAITING_BYTES_MAX / 2]);
        process.write(piece.clone()).unwrap();
        process.write(piece).unwrap();
        let one = Bytes::from_static(b"x");
        assert_eq!(process.write(one.clone()), Err(InputError::Full));
        input.written(1);
        process.write(one).unwrap();
    }
}
