//! One of the two outputs of a process, read as text.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::PipeFlags;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use super::text::Text;
use crate::upgrade::{Packer, Unpacker, state};

/// Read at once: what a pipe holds by default. As text in JSON it is well below what published
/// clients accept in one message, however it must be escaped.
const READ_BYTES: usize = 64 << 10;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) output: Output,
    pipe: Receiver,
    buffer: Vec<u8>,
    text: Text,
    ended: bool,
}

impl Stream {
    /// The reading end, and the writing end for the process.
    pub(super) fn open(output: Output) -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let stream = Self {
            output,
            pipe: Receiver::from_owned_fd_unchecked(reader)?,
            buffer: Vec::new(),
            text: Text::default(),
            ended: false,
        };
        Ok((stream, writer))
    }

    pub(super) fn save(&self, packer: &mut Packer) -> state::PythonOutput {
        state::PythonOutput {
            pipe: packer.fd(&self.pipe),
            ended: self.ended,
            partial: packer.bytes(self.text.partial()),
        }
    }

    pub(super) fn take_up(
        output: Output,
        saved: &state::PythonOutput,
        unpacker: &mut Unpacker,
    ) -> io::Result<Self> {
        Ok(Self {
            output,
            pipe: Receiver::from_owned_fd_unchecked(unpacker.fd(saved.pipe)?)?,
            buffer: Vec::new(),
            text: Text::with(unpacker.bytes(saved.partial)?),
            ended: saved.ended,
        })
    }

    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// The next piece of text, possibly empty. Not to be called once it has ended.
    ///
    /// Safe to drop at any await: nothing is read and then forgotten.
    pub(super) async fn read(&mut self) -> String {
        self.buffer.clear();
        self.buffer.reserve(READ_BYTES);
        match self.pipe.read_buf(&mut self.buffer).await {
            Ok(1..) => self.text.push(&self.buffer),
            Ok(0) | Err(_) => {
                self.ended = true;
                self.text.finish()
            }
        }
    }

    /// What is in the pipe now. Asks the kernel, because the event loop may not know yet.
    pub(super) fn drain(&mut self) -> String {
        let mut text = String::new();
        let mut read = 0;
        self.buffer.resize(READ_BYTES, 0);
        // Bounded, since something in the background may write faster than this reads.
        while !self.ended && read < READ_BYTES {
            match rustix::io::read(&self.pipe, &mut *self.buffer) {
                Ok(0) => self.ended = true,
                Ok(length) => {
                    text.push_str(&self.text.push(&self.buffer[..length]));
                    read += length;
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => break,
            }
        }
        // Not needed until the next cell.
        self.buffer = Vec::new();
        text
    }

    /// The end of a cell is the end of every character.
    pub(super) fn finish(&mut self) -> String {
        self.text.finish()
    }
}
