//! Carries bytes between pipes and processes: what they write into their logs, input to them.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::pipe::PipeFlags;
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::STRAGGLER_GRACE;
use super::input::Input;
use super::log::Stream;
use super::record::Process;
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

/// A pipe that is read into a log.
#[derive(Debug)]
pub(super) struct Capture {
    pub(super) process: Arc<Process>,
    pub(super) stream: Stream,
    pub(super) pipe: Receiver,
}

/// A pipe into which input is written.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) process: Arc<Process>,
    pub(super) input: Arc<Input>,
    pub(super) pipe: Sender,
    /// Whether the pipe stays open until the process has ended, whatever becomes of its input.
    pub(super) lingers: bool,
}

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
    let capture = toolbox.processes.captures.add(Capture {
        process: Arc::clone(process),
        stream,
        pipe,
    });
    Reader(toolbox.tasks.spawn("capture output", async move {
        while capture.pipe.readable().await.is_ok() && read_some(&capture) {
            // A flood must not keep others from their turn.
            tokio::task::yield_now().await;
        }
    }))
}

/// Whether there may be more.
fn read_some(capture: &Capture) -> bool {
    with_buffer(|buffer| match capture.pipe.try_read(buffer) {
        Ok(0) => false,
        Ok(length) => {
            let log = &capture.process.log;
            log.push(capture.stream, &buffer[..length]);
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
pub(super) fn feed(toolbox: &Toolbox, feed: Feed) {
    let feed = toolbox.processes.feeds.add(feed);
    toolbox.tasks.spawn("feed input", async move {
        tokio::select! {
            // Both may be dropped: input to an ended process is worth nothing.
            () = write_all(&feed) => {}
            _ = feed.process.ended() => {}
        }
        feed.input.close();
        if feed.lingers {
            feed.process.ended().await;
        }
    });
}

async fn write_all(feed: &Feed) {
    while let Some(bytes) = feed.input.next().await {
        if feed.pipe.writable().await.is_err() {
            return;
        }
        match feed.pipe.try_write(&bytes) {
            Ok(length) => feed.input.written(length),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                ) => {}
            // It has closed its input; more of it goes nowhere, as in a shell.
            Err(_) => return,
        }
    }
}
