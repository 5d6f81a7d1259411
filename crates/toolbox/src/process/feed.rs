//! Carries bytes between pipes and processes: what they write into their logs, input to them.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::pipe::PipeFlags;
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::STRAGGLER_GRACE;
use super::log::Stream;
use super::record::{Input, Process};
use crate::toolbox::Toolbox;

/// Read at once: what a pipe holds by default.
const READ_BYTES: usize = 64 << 10;

thread_local! {
    /// One for all readers: each uses it between two awaits.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Lends the buffer between two awaits.
pub(super) fn with_buffer<R>(read: impl FnOnce(&mut [u8]) -> R) -> R {
    BUFFER.with_borrow_mut(|buffer| read(buffer))
}

/// Reads in the background until the last writer is gone.
#[derive(Debug)]
pub(super) struct Reader(JoinHandle<Option<()>>);

/// A pipe for output: our end, and that of the process.
pub(super) fn output_pipe() -> io::Result<(Receiver, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    Ok((Receiver::from_owned_fd_unchecked(reader)?, writer))
}

/// A pipe for input: our end, and that of the process.
pub(super) fn input_pipe() -> io::Result<(Sender, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&writer, true)?;
    Ok((Sender::from_owned_fd_unchecked(writer)?, reader))
}

/// Puts all that comes through the pipe into the log. What a background process writes after the
/// end is kept as well; closing the pipe would kill it at its next line.
pub(super) fn capture(
    toolbox: &Toolbox,
    process: &Arc<Process>,
    pipe: Receiver,
    stream: Stream,
) -> Reader {
    let process = Arc::clone(process);
    Reader(toolbox.tasks.spawn("capture output", async move {
        while pipe.readable().await.is_ok() && read_some(&pipe, &process, stream) {
            // A flood must not keep others from their turn.
            tokio::task::yield_now().await;
        }
    }))
}

/// Whether there may be more.
fn read_some(pipe: &Receiver, process: &Process, stream: Stream) -> bool {
    with_buffer(|buffer| match pipe.try_read(buffer) {
        Ok(0) => false,
        Ok(length) => {
            process.log.push(stream, &buffer[..length]);
            true
        }
        Err(error) => matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
        ),
    })
}

/// Waits, after a process has ended, for the last it wrote.
pub(super) async fn last_words(readers: Vec<Reader>) {
    let rest = async {
        for reader in readers {
            let _ended = reader.0.await;
        }
    };
    // Being late is normal when a background process keeps the pipe; it goes on being read.
    let _late = timeout(STRAGGLER_GRACE, rest).await;
}

/// Writes input as fast as the process reads it, until it has ended or its input is closed.
pub(super) async fn feed(mut input: mpsc::Receiver<Input>, pipe: &mut Sender, process: &Process) {
    let writing = async {
        while let Some(message) = input.recv().await {
            if pipe.write_all(&message.bytes).await.is_err() {
                // It has closed its input; more of it goes nowhere, as in a shell.
                return;
            }
        }
    };
    tokio::select! {
        // Both may be dropped: input to an ended process is worth nothing.
        () = writing => {}
        _ = process.ended() => {}
    }
}
