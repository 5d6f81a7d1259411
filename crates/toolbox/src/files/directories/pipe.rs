//! A request body for a thread that reads.
//!
//! A body that breaks off is an error to the reader, never an end.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

/// Pieces on their way; each at most what the connection's buffer holds (some 400 KiB).
const QUEUED_PIECES_MAX: usize = 4;

enum Piece {
    Data(io::Result<Bytes>),
    End,
}

#[derive(Debug)]
pub(super) struct Pump(mpsc::Sender<Piece>);

#[derive(Debug)]
pub(super) struct Reader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

pub(super) fn pipe() -> (Pump, Reader) {
    let (sender, pieces) = mpsc::channel(QUEUED_PIECES_MAX);
    let reader = Reader {
        pieces,
        current: Bytes::new(),
        ended: false,
    };
    (Pump(sender), reader)
}

impl Pump {
    /// Waits while the reader is slow; a reader that has left is no error.
    pub(super) async fn send(&self, piece: io::Result<Bytes>) {
        let _left = self.0.send(Piece::Data(piece)).await;
    }

    /// Says that it was all. Dropping it instead says that it was not.
    pub(super) async fn end(self) {
        let _left = self.0.send(Piece::End).await;
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Data(data)) => self.current = data?,
                Some(Piece::End) => self.ended = true,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
