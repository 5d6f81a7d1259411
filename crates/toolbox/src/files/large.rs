//! Writing the bulk of a large file past the page cache.
//!
//! Through the cache a gigabyte costs a second of processor time and pushes everything else that
//! the sandbox has cached out of its memory limit; straight to the disk it costs a tenth. Small
//! files stay in the cache, because whoever uploads one mostly reads it next.
//!
//! Must not: be needed. Where the file system refuses, everything goes through the cache.

use std::fs::File;
use std::io::{self, Write as _};

use rustix::fs::OFlags;
use rustix::io::Errno;

/// What of a file is left to the cache: all of most files.
const CACHED_BYTES: u64 = 64 << 20;
/// One write. Smaller ones leave the disk idle between them: at 1 MiB it is half as fast.
const BUFFER_BYTES: usize = 4 << 20;
/// Memory and offsets must be multiples of the disk's block; no disk has larger ones.
const ALIGNMENT: usize = 4096;

/// Writes a file from its start, in order.
#[derive(Debug)]
pub(super) struct LargeFile {
    file: File,
    written: u64,
    direct: Option<Buffer>,
}

impl LargeFile {
    pub(super) const fn new(file: File) -> Self {
        Self {
            file,
            written: 0,
            direct: None,
        }
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let cached = CACHED_BYTES.saturating_sub(self.written);
        let cached = usize::try_from(cached).map_or(bytes.len(), |cached| cached.min(bytes.len()));
        let (first, rest) = bytes.split_at(cached);
        self.file.write_all(first)?;
        self.written += bytes.len() as u64;
        if rest.is_empty() {
            return Ok(());
        }
        if self.direct.is_none() && self.written - rest.len() as u64 == CACHED_BYTES {
            self.direct = go_direct(&self.file).then(Buffer::new);
        }
        match &mut self.direct {
            Some(buffer) => write_direct(&mut self.file, buffer, rest),
            None => self.file.write_all(rest),
        }
    }

    /// Writes what is still in memory; the last bytes are rarely a whole block.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let Some(buffer) = self.direct.take() else {
            return Ok(());
        };
        set_direct(&self.file, false)?;
        self.file.write_all(buffer.content())
    }
}

fn write_direct(file: &mut File, buffer: &mut Buffer, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        bytes = buffer.fill(bytes);
        if buffer.is_full() {
            write_all(file, buffer.content())?;
            buffer.clear();
        }
    }
    Ok(())
}

/// Direct as long as the file system takes it; a part of a block can only go through the cache.
fn write_all(file: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => {
                set_direct(file, false)?;
                return file.write_all(bytes);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// On a pipe the same flag would mean something else.
fn go_direct(file: &File) -> bool {
    file.metadata().is_ok_and(|facts| facts.is_file()) && set_direct(file, true).is_ok()
}

fn set_direct(file: &File, direct: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(file)?;
    flags.set(OFlags::DIRECT, direct);
    Ok(rustix::fs::fcntl_setfl(file, flags)?)
}

/// Memory whose used part begins at a multiple of [`ALIGNMENT`].
#[derive(Debug)]
struct Buffer {
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    fn new() -> Self {
        let memory = vec![0; BUFFER_BYTES + ALIGNMENT];
        let start = memory.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self {
            memory,
            start,
            length: 0,
        }
    }

    /// Takes what there is room for and gives the rest back.
    fn fill<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let (taken, rest) = bytes.split_at(bytes.len().min(BUFFER_BYTES - self.length));
        let end = self.start + self.length;
        self.memory[end..end + taken.len()].copy_from_slice(taken);
        self.length += taken.len();
        rest
    }

    const fn is_full(&self) -> bool {
        self.length == BUFFER_BYTES
    }

    fn content(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }

    const fn clear(&mut self) {
        self.length = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Longer than what is cached, and neither pieces nor the whole are multiples of a block.
    const LENGTH: usize = (64 << 20) + BUFFER_BYTES + 12_345;
    const PIECE: usize = 300_007;

    #[test]
    fn a_large_file_has_every_byte_in_its_place() {
        let directory = std::env::temp_dir();
        let name = format!("sebring-large-{}", super::super::random_hex());
        let path = directory.join(name);
        let content: Vec<u8> = (0..LENGTH).map(|at| (at % 251).to_le_bytes()[0]).collect();
        let mut large = LargeFile::new(File::create_new(&path).unwrap());
        for piece in content.chunks(PIECE) {
            large.write(piece).unwrap();
        }
        large.finish().unwrap();
        let mut read = Vec::new();
        File::open(&path).unwrap().read_to_end(&mut read).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(read == content, "{} of {} bytes", read.len(), LENGTH);
    }

    #[test]
    fn where_direct_writing_is_refused_the_cache_is_used() {
        // Memory file systems differ; a descriptor that ignores the flag is as good as any.
        let name = format!("sebring-large-{}", super::super::random_hex());
        let path = std::path::Path::new("/dev/shm").join(name);
        let Ok(file) = File::create_new(&path) else {
            return;
        };
        let mut large = LargeFile::new(file);
        let piece = vec![7; PIECE];
        let pieces = LENGTH / PIECE;
        for _ in 0..pieces {
            large.write(&piece).unwrap();
        }
        large.finish().unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(length, (pieces * PIECE) as u64);
    }
}
