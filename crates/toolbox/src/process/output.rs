//! What a command writes, kept within bounds: the beginning and the end.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe::Receiver;

use super::feed;

/// Kept of the beginning of the output.
const HEAD_BYTES_MAX: usize = 8 << 20;
/// Kept of its end. Together they bound what one command can make us hold.
const TAIL_BYTES_MAX: usize = 8 << 20;
/// Read at once: what a pipe holds by default.
const READ_BYTES: usize = 64 << 10;

/// The reading end of what becomes a command's output, and the writing end for the command.
pub(crate) fn pipe() -> io::Result<(Output, OwnedFd)> {
    let (pipe, writer) = feed::output_pipe()?;
    let output = Output {
        pipe,
        buffer: Vec::new(),
        kept: Kept::default(),
        ended: false,
    };
    Ok((output, writer))
}

/// Reads what a command writes.
#[derive(Debug)]
pub(crate) struct Output {
    pipe: Receiver,
    buffer: Vec<u8>,
    kept: Kept,
    ended: bool,
}

impl Output {
    /// Reads some more. Resolves at once when nobody can write any more; see [`Output::ended`].
    ///
    /// Safe to drop at any await: what was read is kept.
    pub(crate) async fn read(&mut self) {
        self.buffer.clear();
        self.buffer.reserve(READ_BYTES);
        match self.pipe.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => self.ended = true,
            Ok(_) => self.kept.push(&self.buffer),
        }
    }

    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// What was kept, and the pipe in case that somebody still writes to it.
    pub(crate) fn finish(self) -> (Kept, Option<Receiver>) {
        (self.kept, (!self.ended).then_some(self.pipe))
    }
}

/// The beginning and the end of a stream of bytes.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    head: Vec<u8>,
    /// The newest bytes after the head; a ring once it is full.
    tail: Vec<u8>,
    /// Where the ring begins.
    start: usize,
    dropped: u64,
}

impl Kept {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let room = HEAD_BYTES_MAX - self.head.len();
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(head);
        let room = TAIL_BYTES_MAX - self.tail.len();
        let (tail, rest) = rest.split_at(room.min(rest.len()));
        self.tail.extend_from_slice(tail);
        self.overwrite(rest);
    }

    fn overwrite(&mut self, mut bytes: &[u8]) {
        self.dropped += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = TAIL_BYTES_MAX - self.start;
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.tail[self.start..self.start + now.len()].copy_from_slice(now);
            self.start = (self.start + now.len()) % TAIL_BYTES_MAX;
            bytes = later;
        }
    }

    /// How many bytes from the middle are missing.
    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// As text; bytes that are no UTF-8 become U+FFFD. A gap says how much is missing.
    pub(crate) fn into_text(mut self) -> String {
        self.tail.rotate_left(self.start);
        if self.dropped > 0 {
            let gap = format!("\n[... {} bytes of output left out ...]\n", self.dropped);
            self.head.extend_from_slice(gap.as_bytes());
        }
        self.head.append(&mut self.tail);
        match String::from_utf8(self.head) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_within_bounds_is_kept_to_the_byte() {
        let mut kept = Kept::default();
        kept.push(b"one\n");
        kept.push(b"two \xff\n");
        assert_eq!(kept.dropped(), 0);
        assert_eq!(kept.into_text(), "one\ntwo \u{fffd}\n");
    }

    #[test]
    fn of_a_flood_the_beginning_and_the_end_are_kept() {
        let mut kept = Kept::default();
        let flood = 3 * (HEAD_BYTES_MAX + TAIL_BYTES_MAX) + 12_345;
        kept.push(b"first");
        for chunk in vec![b'x'; flood].chunks(100_003) {
            kept.push(chunk);
        }
        kept.push(b"last");
        let total = (flood + b"first".len() + b"last".len()) as u64;
        assert_eq!(
            kept.dropped(),
            total - (HEAD_BYTES_MAX + TAIL_BYTES_MAX) as u64
        );
        let dropped = kept.dropped();
        let text = kept.into_text();
        assert!(text.starts_with("firstxx"));
        assert!(text.ends_with("xxlast"));
        assert!(text.contains(&format!("[... {dropped} bytes of output left out ...]")));
    }
}
