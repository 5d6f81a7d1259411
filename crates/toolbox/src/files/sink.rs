//! Carries a request body to the disk: received on the main thread, written on another, with a
//! short queue between so that both work at once and memory stays constant.

use std::path::PathBuf;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Error;
use super::store::Writer;

/// Pieces on their way; each at most what the connection's buffer holds (some 400 KiB).
const QUEUED_PIECES_MAX: usize = 8;

enum Piece {
    Data(Bytes),
    Commit,
}

/// A file that is being received. Dropping it unfinished leaves nothing behind.
#[derive(Debug)]
pub(super) struct Sink {
    pieces: mpsc::Sender<Piece>,
    written: JoinHandle<Result<u64, Error>>,
}

impl Sink {
    pub(super) fn open(path: PathBuf, directory_mode: u32) -> Self {
        let (pieces, received) = mpsc::channel(QUEUED_PIECES_MAX);
        let written =
            tokio::task::spawn_blocking(move || write_all(&path, directory_mode, received));
        Self { pieces, written }
    }

    /// Passes a piece on; false when the writer has failed and no more is of use.
    pub(super) async fn write(&self, bytes: Bytes) -> bool {
        self.pieces.send(Piece::Data(bytes)).await.is_ok()
    }

    /// Completes the file and says how large it is.
    pub(super) async fn finish(self) -> Result<u64, Error> {
        // A failed writer has closed the queue; its error comes from the join below.
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
    path: &std::path::Path,
    directory_mode: u32,
    mut pieces: mpsc::Receiver<Piece>,
) -> Result<u64, Error> {
    let mut writer = Writer::open(path, directory_mode)?;
    let mut size = 0;
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Data(bytes) => {
                writer.write(&bytes)?;
                size += bytes.len() as u64;
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
