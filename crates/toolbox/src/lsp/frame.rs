//! Messages as language servers frame them: a head with the length, an empty line, JSON.
//!
//! What a server writes is hostile: heads and bodies are bounded, and whatever is no frame ends
//! the conversation. Must not: understand the JSON. Next: `message`.

use bytes::BytesMut;
use memchr::memmem;

/// A head has one or two short lines.
const HEAD_BYTES_MAX: usize = 4 << 10;
/// Completions of a large project are a megabyte or two.
const BODY_BYTES_MAX: usize = 8 << 20;
const HEAD_END: &[u8] = b"\r\n\r\n";

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("it wrote something that is no message to its standard output: {0:?}")]
    Head(String),
    #[error("it wrote a message of {0} bytes, more than {BODY_BYTES_MAX}")]
    TooLarge(u64),
}

/// Finds messages in what arrives.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
    /// Of the message whose head was read.
    body_bytes: Option<usize>,
}

impl Decoder {
    /// Where new bytes are appended.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next complete body.
    pub(super) fn next(&mut self) -> Result<Option<BytesMut>, Error> {
        if self.body_bytes.is_none() {
            self.body_bytes = self.head()?;
        }
        let complete = self.body_bytes.filter(|size| self.buffer.len() >= *size);
        let Some(size) = complete else {
            return Ok(None);
        };
        self.body_bytes = None;
        Ok(Some(self.buffer.split_to(size)))
    }

    fn head(&mut self) -> Result<Option<usize>, Error> {
        let looked_at = &self.buffer[..self.buffer.len().min(HEAD_BYTES_MAX)];
        let Some(end) = memmem::find(looked_at, HEAD_END) else {
            let too_long = looked_at.len() == HEAD_BYTES_MAX;
            return if too_long {
                Err(not_a_head(looked_at))
            } else {
                Ok(None)
            };
        };
        let head = self.buffer.split_to(end + HEAD_END.len());
        let size = length(&head[..end]).ok_or_else(|| not_a_head(&head))?;
        match usize::try_from(size) {
            Ok(size) if size <= BODY_BYTES_MAX => Ok(Some(size)),
            _ => Err(Error::TooLarge(size)),
        }
    }
}

fn not_a_head(bytes: &[u8]) -> Error {
    let start = &bytes[..bytes.len().min(100)];
    Error::Head(String::from_utf8_lossy(start).into_owned())
}

fn length(head: &[u8]) -> Option<u64> {
    let head = std::str::from_utf8(head).ok()?;
    head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let named = name.trim().eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse().ok()).flatten()
    })
}

/// The head for a body of that many bytes.
pub(super) fn head_for(body_bytes: usize) -> String {
    format!("Content-Length: {body_bytes}\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(pieces: &[&[u8]]) -> Result<Vec<Vec<u8>>, Error> {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.buffer().extend_from_slice(piece);
            while let Some(body) = decoder.next()? {
                found.push(body.to_vec());
            }
        }
        Ok(found)
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        let all = b"Content-Length: 2\r\n\r\n{}content-length:4\r\nContent-Type: x\r\n\r\nnull";
        let bytes: Vec<&[u8]> = all.chunks(1).collect();
        let expected = vec![b"{}".to_vec(), b"null".to_vec()];
        assert_eq!(decode(&[all]).unwrap(), expected);
        assert_eq!(decode(&bytes).unwrap(), expected);
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert!(matches!(decode(&[b"hello\r\n\r\n"]), Err(Error::Head(_))));
        let lines = vec![b'x'; HEAD_BYTES_MAX];
        assert!(matches!(decode(&[&lines]), Err(Error::Head(_))));
        let negative = b"Content-Length: -1\r\n\r\n";
        assert!(matches!(decode(&[negative]), Err(Error::Head(_))));
    }

    #[test]
    fn a_huge_message_is_refused_by_its_head() {
        let head = b"Content-Length: 18446744073709551615\r\n\r\n";
        assert_eq!(decode(&[head]), Err(Error::TooLarge(u64::MAX)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(pieces: Vec<Vec<u8>>) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let _either = decode(&pieces);
        }
    }
}
