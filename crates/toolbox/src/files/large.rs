//! Writing the bulk of a large file past the page cache, in blocks that are used again.
//!
//! Through the cache a gigabyte costs a second of processor time and pushes everything else that
//! the sandbox has cached out of its memory limit; straight to the disk it costs a tenth. Small
//! files stay in the cache, because whoever uploads one mostly reads it next.
//!
//! Must not: be needed. Where the file system refuses, everything goes through the cache.
//! Next: `sink`, which decides what is large.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// What of a file is left to the cache: all of most files. A multiple of [`ALIGNMENT`].
pub(super) const CACHED_BYTES: u64 = 64 << 20;
/// One write. Smaller ones leave the disk idle between them: at 1 MiB it is half as fast.
const BLOCK_BYTES: usize = 2 << 20;
/// Memory and offsets must be multiples of the disk's block; no disk has larger ones.
const ALIGNMENT: usize = 4096;

/// Memory that the disk can take from directly.
pub(super) struct Block {
    memory: Vec<u8>,
    /// Where the first multiple of [`ALIGNMENT`] is.
    start: usize,
    length: usize,
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Block {
    pub(super) fn new() -> Self {
        let memory = vec![0; BLOCK_BYTES + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            start,
            length: 0,
        }
    }

    /// Takes what there is room for and gives the rest back.
    pub(super) fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(BLOCK_BYTES - self.length));
        let end = self.start + self.length;
        self.memory[end..end + taken.len()].copy_from_slice(taken);
        self.length += taken.len();
        rest
    }

    pub(super) const fn is_full(&self) -> bool {
        self.length == BLOCK_BYTES
    }

    pub(super) const fn clear(&mut self) {
        self.length = 0;
    }

    pub(super) fn content(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

/// Writes `block` where `file` stands. Only the last one of a file may be less than full.
pub(super) fn write(file: &mut File, block: &Block) -> io::Result<()> {
    // On a pipe the flag would mean something else.
    let direct = block.is_full() && file.metadata()?.is_file() && set_direct(file, true).is_ok();
    if !direct {
        return file.write_all(block.content());
    }
    let written = write_direct(file, block.content());
    set_direct(file, false)?;
    file.write_all(written?)
}

/// Answers what the file system did not take this way.
fn write_direct<'b>(file: &mut File, mut bytes: &'b [u8]) -> io::Result<&'b [u8]> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(rustix::fs::fcntl_setfl(file, flags)?)
}
