//! A process as clients know it, from its start to long after its end: what it is, what it wrote,
//! how it ended, and ways to speak to it. Commands of sessions, terminals and the entrypoint are
//! such processes as well.
//!
//! Connections come and go; none owns a process.
//! Must not: start anything. Next: `durable` for how one is started, `table` for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::process::Signal;
use time::OffsetDateTime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::Tree;
use super::log::{LOG_BYTES_MAX, Log};
use super::reaper::Exit;
use crate::clock;

/// Messages of input that wait for a process to read them.
pub(crate) const INPUT_MESSAGES_MAX: usize = 64;
/// Their bytes together: as much as one message of a WebSocket can have.
const INPUT_WAITING_BYTES_MAX: usize = 4 << 20;
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
    /// For bytes of input that wait.
    room: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    pid: Option<i32>,
    input: Option<mpsc::Sender<Input>>,
    tree: Option<Arc<Tree>>,
}

/// What asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// A message on its way to a process.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) bytes: Bytes,
    /// It waits until this is dropped.
    _room: OwnedSemaphorePermit,
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
        Self {
            id,
            kind,
            command,
            started: clock::now(),
            log: Log::new(bytes_max),
            end: watch::Sender::new(None),
            room: Arc::new(Semaphore::new(INPUT_WAITING_BYTES_MAX)),
            state: Mutex::default(),
        }
    }

    /// It runs now, and this is how to end it.
    pub(crate) fn set_tree(&self, pid: i32, tree: Arc<Tree>) {
        let mut state = self.lock();
        state.pid = Some(pid);
        state.tree = Some(tree);
    }

    /// Where input goes from now on; the other end of the channel.
    pub(crate) fn open_input(&self) -> mpsc::Receiver<Input> {
        let (sender, receiver) = mpsc::channel(INPUT_MESSAGES_MAX);
        self.lock().input = Some(sender);
        receiver
    }

    pub(crate) fn close_input(&self) {
        self.lock().input = None;
    }

    /// Hands over input; it is written as fast as the process reads.
    pub(crate) fn write(&self, bytes: Bytes) -> Result<(), InputError> {
        if self.end().is_some() {
            return Err(InputError::Ended);
        }
        let state = self.lock();
        let input = state.input.as_ref().ok_or(InputError::Closed)?;
        let room = Arc::clone(&self.room);
        let room = room.try_acquire_many_owned(room_for(&bytes)?);
        let message = Input {
            bytes,
            _room: room.map_err(|_| InputError::Full)?,
        };
        input.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => InputError::Full,
            mpsc::error::TrySendError::Closed(_) => InputError::Closed,
        })
    }

    /// As `write`, but waits while it does not read.
    pub(crate) async fn write_patiently(&self, bytes: Bytes) -> Result<(), InputError> {
        let input = self.lock().input.clone().ok_or(InputError::Closed)?;
        let sending = async {
            let room = Arc::clone(&self.room);
            let room = room.acquire_many_owned(room_for(&bytes)?).await;
            let message = Input {
                bytes,
                _room: room.map_err(|_| InputError::Closed)?,
            };
            let sent = input.send(message).await;
            sent.map_err(|_| InputError::Closed)
        };
        tokio::select! {
            // Both may be dropped: input to an ended process is worth nothing.
            sent = sending => sent,
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
        let mut state = self.lock();
        state.input = None;
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

/// What a message takes of the room for all that wait; none that would never fit may wait for it.
fn room_for(bytes: &Bytes) -> Result<u32, InputError> {
    if bytes.len() > INPUT_WAITING_BYTES_MAX {
        return Err(InputError::Full);
    }
    u32::try_from(bytes.len()).map_err(|_| InputError::Full)
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
        let mut input = process.open_input();
        let piece = Bytes::from(vec![b'x'; INPUT_WAITING_BYTES_MAX / 2]);
        process.write(piece.clone()).unwrap();
        process.write(piece).unwrap();
        let one = Bytes::from_static(b"x");
        assert_eq!(process.write(one.clone()), Err(InputError::Full));
        let message = input.try_recv().unwrap();
        // Taken, but not written yet.
        assert_eq!(process.write(one.clone()), Err(InputError::Full));
        drop(message);
        process.write(one).unwrap();
    }

    #[tokio::test]
    async fn a_patient_writer_waits_for_room_and_is_told_when_there_will_be_none() {
        let process = process();
        let mut input = process.open_input();
        let all = Bytes::from(vec![b'x'; INPUT_WAITING_BYTES_MAX]);
        process.write(all).unwrap();
        let read = async {
            tokio::task::yield_now().await;
            drop(input.recv().await);
            input.recv().await
        };
        let more = process.write_patiently(Bytes::from_static(b"more"));
        let (written, read) = tokio::join!(more, read);
        assert_eq!((written, &read.unwrap().bytes[..]), (Ok(()), &b"more"[..]));
        drop(input);
        let late = process.write_patiently(Bytes::from_static(b"late"));
        assert_eq!(late.await, Err(InputError::Closed));
    }
}
