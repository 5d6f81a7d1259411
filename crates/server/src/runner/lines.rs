//! An endless answer of the runner, line by line.

use bytes::{Buf, Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::client::Error;

/// An observation is a few hundred bytes, a list of spares some thousand; a failure's message is
/// bounded by the runner.
const LINE_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Lines {
    stream: Incoming,
    unread: Unread,
}

/// What has arrived and was not read.
#[derive(Debug, Default)]
pub(super) struct Unread {
    bytes: BytesMut,
    /// So many of them have no end of a line.
    searched: usize,
}

impl Unread {
    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line that is not blank.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let is_end = |byte: &u8| *byte == b'\n';
        while let Some(length) = self.bytes[self.searched..].iter().position(is_end) {
            let line = self.bytes.split_to(self.searched + length);
            self.bytes.advance(1);
            self.searched = 0;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line.freeze()));
            }
        }
        self.searched = self.bytes.len();
        if self.searched > LINE_BYTES_MAX {
            return Err(Error::BrokenOff("a line of the runner is too long".into()));
        }
        Ok(None)
    }
}

impl Lines {
    pub(super) fn of(stream: Incoming) -> Self {
        Self {
            stream,
            unread: Unread::default(),
        }
    }

    /// The next line that is not blank. An error is the end, and every end is an error.
    pub(super) async fn next(&mut self) -> Result<Bytes, Error> {
        loop {
            if let Some(line) = self.unread.next()? {
                return Ok(line);
            }
            match self.stream.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.unread.hear(&data);
                    }
                }
                Some(Err(error)) => return Err(Error::BrokenOff(error.into())),
                None => {
                    return Err(Error::BrokenOff("the runner ended the stream".into()));
                }
            }
        }
    }
}
