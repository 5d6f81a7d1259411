//! Carries a request body to the disk: received on the main thread, written on another, with a
//! short queue between so that both work at once and memory stays constant.
//!
//! The first part of a file travels as it was received. What follows is gathered into blocks that
//! go round: the receive buffer is free again at once and is not mapped anew for every read, which
//! would cost more than the gathering.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Error;
use super::large::{Block, CACHED_BYTES};
use super::store::Writer;

/// Pieces on their way; each at most what the connection's buffer holds (some 400 KiB).
const QUEUED_PIECES_MAX: usize = 8;
/// Blocks of one large file: one that fills, one that is written, two between.
const BLOCKS_MAX: usize = 4;

enum Piece {
    Data(Bytes),
    Block(Block),
    Commit,
}

/// A file that is being received. Dropping it unfinished leaves nothing behind.
#[derive(Debug)]
pub(super) struct Sink {
    pieces: mpsc::Sender<Piece>,
    written: JoinHandle<Result<u64, Error>>,
    /// Blocks that were written.
    spare: mpsc::Receiver<Block>,
    blocks: usize,
    filling: Option<Block>,
    received: u64,
}

impl Sink {
    pub(super) fn open(path: PathBuf, directory_mode: u32) -> Self {
        let (pieces, received) = mpsc::channel(QUEUED_PIECES_MAX);
        let (empty, spare) = mpsc::channel(BLOCKS_MAX);
        let written =
            tokio::task::spawn_blocking(move || write_all(&path, directory_mode, received, &empty));
        Self {
            pieces,
            written,
            spare,
            blocks: 0,
            filling: None,
            received: 0,
        }
    }

    /// Passes a piece on; false when the writer has failed and no more is of use.
    pub(super) async fn write(&mut self, mut bytes: Bytes) -> bool {
        let cached = CACHED_BYTES.saturating_sub(self.received);
        self.received += bytes.len() as u64;
        let cached = usize::try_from(cached).map_or(bytes.len(), |cached| cached.min(bytes.len()));
        let first = bytes.split_to(cached);
        if !first.is_empty() && self.pieces.send(Piece::Data(first)).await.is_err() {
            return false;
        }
        self.gather(&bytes).await
    }

    async fn gather(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let Some(mut block) = self.block().await else {
                return false;
            };
            bytes = block.fill(bytes);
            if !block.is_full() {
                self.filling = Some(block);
            } else if self.pieces.send(Piece::Block(block)).await.is_err() {
                return false;
            }
        }
        true
    }

    /// The one that fills, or an empty one; `None` when the writer has failed.
    async fn block(&mut self) -> Option<Block> {
        if let Some(block) = self.filling.take() {
            return Some(block);
        }
        if let Ok(block) = self.spare.try_recv() {
            return Some(block);
        }
        if self.blocks < BLOCKS_MAX {
            self.blocks += 1;
            return Some(Block::new());
        }
        self.spare.recv().await
    }

    /// Completes the file and says how large it is.
    pub(super) async fn finish(mut self) -> Result<u64, Error> {
        // A failed writer has closed the queue; its error comes from the join below.
        if let Some(block) = self.filling.take() {
            let _failed = self.pieces.send(Piece::Block(block)).await;
        }
        let _failed = self.pieces.send(Piece::Commit).await;
        drop(self.pieces);
        match self.written.await {
            Ok(written) => written,
            Err(error) => Err(Error::Other {
                path: PathBuf::new(),
                source: std::io::Error::other(error),
            }),
        }
    }
}

fn write_all(
    path: &Path,
    directory_mode: u32,
    mut pieces: mpsc::Receiver<Piece>,
    empty: &mpsc::Sender<Block>,
) -> Result<u64, Error> {
    let mut writer = Writer::open(path, directory_mode)?;
    let mut size = 0;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Data(bytes) => {
                writer.write(&bytes)?;
                size += bytes.len() as u64;
            }
            Piece::Block(mut block) => {
                writer.write_block(&block)?;
                size += block.content().len() as u64;
                block.clear();
                // There is always room: it holds as many as there are.
                let _returned = empty.try_send(block);
            }
            Piece::Commit => {
                writer.commit()?;
                return Ok(size);
            }
        }
    }
    // The client left before the end: the writer is dropped and with it what was written.
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Longer than what is cached, and neither pieces nor the whole are multiples of a block.
    const LENGTH: usize = (64 << 20) + (5 << 20) + 12_345;
    const PIECE: usize = 300_007;

    async fn store(path: &Path, content: &Bytes) {
        let mut sink = Sink::open(path.to_owned(), 0o755);
        for at in (0..content.len()).step_by(PIECE) {
            let end = content.len().min(at + PIECE);
            assert!(sink.write(content.slice(at..end)).await);
        }
        assert_eq!(sink.finish().await.unwrap(), content.len() as u64);
    }

    #[tokio::test]
    async fn a_large_file_has_every_byte_in_its_place() {
        let name = format!("sebring-sink-{}", super::super::random_hex());
        let content: Vec<u8> = (0..LENGTH).map(|at| (at % 251).to_le_bytes()[0]).collect();
        let content = Bytes::from(content);
        // A disk, and memory, where writing directly may not be known.
        for directory in [std::env::temp_dir(), PathBuf::from("/dev/shm")] {
            let path = directory.join(&name);
            store(&path, &content).await;
            let read = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            assert!(read == content, "in {}", directory.display());
        }
    }

    #[tokio::test]
    async fn a_large_file_that_cannot_be_written_is_an_error_not_a_wait() {
        let mut sink = Sink::open(PathBuf::from("/dev/full"), 0o755);
        let piece = Bytes::from(vec![0; 1 << 20]);
        let mut wanted = true;
        for _ in 0..80 {
            wanted = wanted && sink.write(piece.clone()).await;
        }
        assert!(!wanted);
        sink.finish().await.unwrap_err();
    }
}
