//! The process of a language server and the three pipes to it.
//!
//! Must not: wait for it to read; what it is told queues here. Next: `owner` for what is said.

use std::fmt::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use rustix::pipe::PipeFlags;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::time::timeout;

use super::frame::{self, Decoder};
use super::language::Language;
use crate::process::{Child, Error, Exit, Launch, Place, RunAs, Tree};
use crate::toolbox::Toolbox;

/// Read at once: what a pipe holds by default.
const READ_BYTES: usize = 64 << 10;
/// What waits to be read by the server; more is only queued when there is less than this.
const QUEUED_BYTES_MAX: usize = 8 << 20;
/// Of its standard error, to explain its end.
const LAST_WORDS_BYTES_MAX: usize = 2 << 10;
/// Between the end of its output and its own; longer is a server that only stopped talking.
const EXIT_WAIT: Duration = Duration::from_secs(1);
/// For the kernel to be done with what was killed.
const KILLED_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Peer {
    child: Child,
    has_exited: bool,
    input: Sender,
    queued: BytesMut,
    output: Receiver,
    output_ended: bool,
    decoder: Decoder,
    errors: Receiver,
    errors_ended: bool,
    last_words: Vec<u8>,
}

/// What it does next.
#[derive(Debug)]
pub(super) enum Event {
    Message(BytesMut),
    /// It has read enough to be told more.
    Room,
    /// It is of no more use, and why.
    End(String),
}

impl Peer {
    /// Call on the thread that collects.
    pub(super) fn start(
        toolbox: &Toolbox,
        language: Language,
        project: &Path,
    ) -> Result<Self, Error> {
        toolbox.refresh_stand_ins();
        let env = toolbox.environment.get();
        let (its_input, input) = pipe()?;
        let (output, its_output) = pipe()?;
        let (errors, its_errors) = pipe()?;
        for ours in [&input, &output, &errors] {
            rustix::io::ioctl_fionbio(ours, true).map_err(start)?;
        }
        let child = toolbox.processes.start(Launch {
            programs: language.programs(&env),
            argv: language.argv(),
            env: &env,
            cwd: project,
            stdin: its_input,
            stdout: its_output,
            stderr: Some(its_errors),
            run_as: RunAs::User,
            place: Place::OwnTree,
            terminal: false,
        })?;
        Ok(Self {
            child,
            has_exited: false,
            input: Sender::from_owned_fd_unchecked(input).map_err(Error::Start)?,
            queued: BytesMut::new(),
            output: Receiver::from_owned_fd_unchecked(output).map_err(Error::Start)?,
            output_ended: false,
            decoder: Decoder::default(),
            errors: Receiver::from_owned_fd_unchecked(errors).map_err(Error::Start)?,
            errors_ended: false,
            last_words: Vec::new(),
        })
    }

    pub(super) fn tree(&self) -> Weak<Tree> {
        Arc::downgrade(&self.child.tree)
    }

    /// Queues a message; it leaves while [`Peer::next`] is awaited.
    pub(super) fn tell(&mut self, message: &Value) {
        let body = message.to_string();
        let head = frame::head_for(body.len());
        self.queued.extend_from_slice(head.as_bytes());
        self.queued.extend_from_slice(body.as_bytes());
    }

    /// Whether it keeps up with what it is told.
    pub(super) fn has_room(&self) -> bool {
        self.queued.len() < QUEUED_BYTES_MAX
    }

    /// What it does next. Not to be called after [`Event::End`].
    ///
    /// Safe to drop at any await: reads and writes keep what they did.
    pub(super) async fn next(&mut self) -> Event {
        loop {
            match self.decoder.next() {
                Ok(Some(body)) => return Event::Message(body),
                Ok(None) => {}
                Err(error) => return Event::End(error.to_string()),
            }
            if self.output_ended {
                return self.end().await;
            }
            self.decoder.buffer().reserve(READ_BYTES);
            self.last_words.reserve(READ_BYTES);
            tokio::select! {
                // Each may be dropped: what was read or written is known. What it is told comes
                // before what it says, or a flood of its talk would never be answered.
                biased;
                written = self.input.write(&self.queued), if !self.queued.is_empty() => {
                    let had_room = self.has_room();
                    match written {
                        Ok(length) => self.queued.advance(length),
                        Err(_) => self.output_ended = true,
                    }
                    if !had_room && self.has_room() {
                        return Event::Room;
                    }
                }
                read = self.output.read_buf(self.decoder.buffer()) => {
                    self.output_ended = !matches!(read, Ok(1..));
                }
                read = self.errors.read_buf(&mut self.last_words), if !self.errors_ended => {
                    self.errors_ended = !matches!(read, Ok(1..));
                    keep_end(&mut self.last_words);
                }
            }
        }
    }

    /// How it ended, now that it talks no more.
    async fn end(&mut self) -> Event {
        let exit = timeout(EXIT_WAIT, &mut self.child.exit).await;
        self.has_exited = exit.is_ok();
        let mut reason = match exit {
            Ok(Ok(Exit::Code(code))) => format!("it exited with code {code}"),
            Ok(Ok(Exit::Signal(signal))) => format!("it was ended by signal {signal}"),
            Ok(Err(_)) => "it has ended".to_owned(),
            Err(_) => "it closed its standard input or output".to_owned(),
        };
        let mut rest = vec![0; READ_BYTES];
        if let Ok(length) = rustix::io::read(&self.errors, &mut *rest) {
            self.last_words.extend_from_slice(&rest[..length]);
            keep_end(&mut self.last_words);
        }
        let words = String::from_utf8_lossy(&self.last_words);
        if !words.trim().is_empty() {
            // Writing to text never fails.
            let _written = write!(reason, "; its last words: {}", words.trim());
        }
        Event::End(reason)
    }

    /// Ends the process and all that it started.
    pub(super) async fn kill(mut self) {
        self.child.kill_tree();
        if !self.has_exited {
            // Where this passes, something sits in an uninterruptible wait.
            let _exit = timeout(KILLED_WAIT, &mut self.child.exit).await;
        }
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    rustix::pipe::pipe_with(PipeFlags::CLOEXEC).map_err(start)
}

fn start(error: rustix::io::Errno) -> Error {
    Error::Start(error.into())
}

fn keep_end(words: &mut Vec<u8>) {
    let surplus = words.len().saturating_sub(LAST_WORDS_BYTES_MAX);
    words.drain(..surplus);
}
