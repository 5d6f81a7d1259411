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
    unread: BytesMut,
}

impl Lines {
    pub(super) fn of(stream: Incoming) -> Self {
        Self {
            stream,
            unread: BytesMut::new(),
        }
    }

    /// The next line that is not blank. An error is the end, and every end is an error.
    pub(super) async fn next(&mut self) -> Result<Bytes, Error> {
        loop {
            while let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line = self.unread.split_to(end);
                self.unread.advance(1);
                if !line.iter().all(u8::is_ascii_whitespace) {
                    return Ok(line.freeze());
                }
            }
            if self.unread.len() > LINE_BYTES_MAX {
                return Err(Error::BrokenOff("a line of the runner is too long".into()));
            }
            match self.stream.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.unread.extend_from_slice(&data);
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
