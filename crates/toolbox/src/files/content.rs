//! How file content leaves: read on another thread into a few buffers that go round, so memory is
//! constant and neither side waits for the other longer than it must.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use rustix::fs::OFlags;
use tokio::sync::mpsc;

use super::Error;

/// Large enough that system calls and wake-ups are rare, small enough to stay in a cache.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks read ahead of the client.
const CHUNKS_AHEAD: usize = 4;
/// Files that do not know their size (below /proc) are read at once up to this.
const UNSIZED_BYTES_MAX: u64 = 4 << 20;

/// A file that can be sent.
#[derive(Debug)]
pub(crate) struct Readable {
    pub(crate) file: File,
    pub(crate) size: u64,
    /// The whole content, where the size was only known after reading.
    pub(crate) whole: Option<Vec<u8>>,
}

/// Opens a regular file. Anything else has no content to send.
pub(crate) fn open(path: &Path) -> Result<Readable, Error> {
    // Without waiting: opening a pipe would otherwise last until somebody writes to it.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let mut file = opened.map_err(Error::at(path))?;
    let facts = file.metadata().map_err(Error::at(path))?;
    if !facts.is_file() {
        let reason = if facts.is_dir() {
            "it is a directory"
        } else {
            "it is not a regular file"
        };
        return Err(Error::InvalidPath {
            path: path.to_owned(),
            reason,
        });
    }
    if facts.len() > 0 {
        return Ok(Readable {
            file,
            size: facts.len(),
            whole: None,
        });
    }
    let mut whole = Vec::new();
    let read = (&mut file).take(UNSIZED_BYTES_MAX).read_to_end(&mut whole);
    read.map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(Readable {
        file,
        size: whole.len() as u64,
        whole: Some(whole),
    })
}

/// Where chunks are put in; blocks the calling thread while the client is slow.
#[derive(Debug)]
pub(super) struct Feed {
    chunks: mpsc::Sender<io::Result<Bytes>>,
    spare: Spare,
}

type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

/// The client is gone.
#[derive(Debug)]
pub(super) struct Gone;

/// A body and where its content is put in.
pub(super) fn body() -> (Feed, Body) {
    let (chunks, mut received) = mpsc::channel(CHUNKS_AHEAD);
    let body = Body::from_stream(stream::poll_fn(move |context| received.poll_recv(context)));
    (
        Feed {
            chunks,
            spare: Spare::default(),
        },
        body,
    )
}

impl Feed {
    pub(super) fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        self.chunks.blocking_send(Ok(bytes)).map_err(|_| Gone)
    }

    /// Sends `size` bytes of `file` from where it stands.
    ///
    /// When they cannot be had the body breaks off: the only way left to say that it is not all.
    pub(super) fn send_file(&self, file: &mut File, size: u64) -> Result<(), Gone> {
        let mut left = size;
        while left > 0 {
            let mut chunk = self.chunk();
            let want = usize::try_from(left)
                .unwrap_or(CHUNK_BYTES)
                .min(CHUNK_BYTES);
            match fill(file, &mut chunk.bytes[..want]) {
                Ok(length) if length > 0 => {
                    chunk.length = length;
                    left -= length as u64;
                    self.send(Bytes::from_owner(chunk))?;
                }
                Ok(_) => return self.break_off(io::ErrorKind::UnexpectedEof.into()),
                Err(error) => return self.break_off(error),
            }
        }
        Ok(())
    }

    fn break_off(&self, error: io::Error) -> Result<(), Gone> {
        let _gone = self.chunks.blocking_send(Err(error));
        Err(Gone)
    }

    fn chunk(&self) -> Chunk {
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Chunk {
            bytes: spare.unwrap_or_else(|| vec![0; CHUNK_BYTES]),
            length: 0,
            spare: Arc::clone(&self.spare),
        }
    }
}

/// A body for those who write. Unless [`FeedWriter::end`] is called it breaks off.
#[derive(Debug)]
pub(super) struct FeedWriter {
    feed: Feed,
    chunk: Option<Chunk>,
    ended: bool,
}

impl FeedWriter {
    pub(super) const fn new(feed: Feed) -> Self {
        Self {
            feed,
            chunk: None,
            ended: false,
        }
    }

    /// That was all.
    pub(super) fn end(mut self) {
        self.ended = self.pass_on().is_ok();
    }

    fn pass_on(&mut self) -> io::Result<()> {
        let Some(chunk) = self.chunk.take() else {
            return Ok(());
        };
        let sent = self.feed.send(Bytes::from_owner(chunk));
        sent.map_err(|Gone| io::ErrorKind::BrokenPipe.into())
    }
}

impl io::Write for FeedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = self.chunk.get_or_insert_with(|| self.feed.chunk());
        let length = bytes.len().min(CHUNK_BYTES - chunk.length);
        chunk.bytes[chunk.length..chunk.length + length].copy_from_slice(&bytes[..length]);
        chunk.length += length;
        if chunk.length == CHUNK_BYTES {
            self.pass_on()?;
        }
        Ok(length)
    }

    /// Whole chunks are better than early ones.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for FeedWriter {
    fn drop(&mut self) {
        if !self.ended {
            let _gone = self.feed.break_off(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A piece of a file in a buffer that is used again once the piece was sent.
#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    length: usize,
    spare: Spare,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.spare
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(bytes);
    }
}
