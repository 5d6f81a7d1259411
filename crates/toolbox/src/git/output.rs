//! What git prints, read from its two pipes within bounds.
//!
//! Must not: merge them; answers are on one, excuses on the other. Next: `call`.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::PipeFlags;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

/// Read at once: what a pipe holds by default.
const READ_BYTES: usize = 64 << 10;

/// Which part of a text that is too long counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// All of it, or it is useless.
    All,
    /// Its end, where git says why it failed.
    End,
}

#[derive(Debug)]
pub(super) struct Output {
    pipe: Receiver,
    bytes: Vec<u8>,
    keep: Keep,
    limit: usize,
    ended: bool,
}

/// The reading end, and the writing end for git.
pub(super) fn pipe(keep: Keep, limit: usize) -> io::Result<(Output, OwnedFd)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&reader, true)?;
    let output = Output {
        pipe: Receiver::from_owned_fd_unchecked(reader)?,
        bytes: Vec::new(),
        keep,
        limit,
        ended: false,
    };
    Ok((output, writer))
}

impl Output {
    /// Reads some more. Safe to drop at any await: what was read is kept.
    pub(super) async fn read(&mut self) {
        self.bytes.reserve(READ_BYTES);
        match self.pipe.read_buf(&mut self.bytes).await {
            Ok(0) | Err(_) => self.ended = true,
            Ok(_) if self.keep == Keep::End && self.bytes.len() > 2 * self.limit => {
                let surplus = self.bytes.len() - self.limit;
                drop(self.bytes.drain(..surplus));
            }
            Ok(_) => {}
        }
    }

    /// Reads to the end.
    pub(super) async fn rest(&mut self) {
        while !self.ended && !self.too_much() {
            self.read().await;
        }
    }

    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    pub(super) fn too_much(&self) -> bool {
        self.keep == Keep::All && self.bytes.len() > self.limit
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
