//! Logs as text in the forms that clients know.
//!
//! The marked form puts three bytes before each run of a stream; clients split it again.

use super::log::{Chunk, Log, Stream};

/// Read at once from a log.
const READ_BYTES: usize = 256 << 10;
const OUTPUT_MARK: &[u8] = &[1, 1, 1];
const ERROR_MARK: &[u8] = &[2, 2, 2];

/// How both streams are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    Plain,
    Marked,
}

/// What a log holds from an offset on.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// Both streams in the order of their arrival.
    pub(crate) merged: String,
    pub(crate) output: String,
    pub(crate) errors: String,
    /// Where the next bytes will be.
    pub(crate) next: u64,
}

/// While more is written, a character that has only begun is left for the next time.
pub(crate) fn texts(log: &Log, from: u64, joined: Joined, more_comes: bool) -> Texts {
    let (mut merged, mut output, mut errors) = (Vec::new(), Vec::new(), Vec::new());
    let mut marker = Marker::default();
    let mut next = from.min(log.extent().end);
    // The stream of the last run, and where that begins among both.
    let mut last = (Stream::Output, 0);
    each(log, from, |chunk| {
        next = chunk.end();
        if chunk.stream != last.0 {
            last = (chunk.stream, merged.len());
        }
        match joined {
            Joined::Plain => merged.extend_from_slice(&chunk.bytes),
            Joined::Marked => marker.append(&chunk, &mut merged),
        }
        match chunk.stream {
            Stream::Output => output.extend_from_slice(&chunk.bytes),
            Stream::Error => errors.extend_from_slice(&chunk.bytes),
        }
    });
    if more_comes {
        let begun = begun_bytes(&merged[last.1..]);
        let stream = match last.0 {
            Stream::Output => &mut output,
            Stream::Error => &mut errors,
        };
        stream.truncate(stream.len() - begun);
        merged.truncate(merged.len() - begun);
        next -= begun as u64;
    }
    Texts {
        merged: lossy(merged),
        output: lossy(output),
        errors: lossy(errors),
        next,
    }
}

/// Both streams in the order of their arrival.
pub(crate) fn merged(log: &Log, from: u64) -> Vec<u8> {
    let mut all = Vec::new();
    each(log, from, |chunk| all.extend_from_slice(&chunk.bytes));
    all
}

/// Both streams, marked.
pub(crate) fn marked(log: &Log, from: u64) -> Vec<u8> {
    let mut all = Vec::new();
    let mut marker = Marker::default();
    each(log, from, |chunk| marker.append(&chunk, &mut all));
    all
}

/// Bytes that are no UTF-8 become U+FFFD.
pub(crate) fn lossy(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

/// Whether more bytes could make it a character.
pub(crate) fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes)
        .is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}

/// How many bytes at the end are a character that has only begun.
fn begun_bytes(bytes: &[u8]) -> usize {
    let lengths = (1..=3).filter(|length| *length <= bytes.len());
    let mut begun = lengths.filter(|length| is_begun(&bytes[bytes.len() - length..]));
    begun.next().unwrap_or(0)
}

fn each(log: &Log, mut from: u64, mut take: impl FnMut(Chunk)) {
    // What a flood adds meanwhile is not chased.
    let stop = log.extent().end;
    while from < stop {
        let Some(chunk) = log.read(from, READ_BYTES) else {
            return;
        };
        from = chunk.end();
        take(chunk);
    }
}

/// Puts a mark before each run.
#[derive(Debug, Default)]
pub(crate) struct Marker {
    last: Option<Stream>,
}

impl Marker {
    fn append(&mut self, chunk: &Chunk, to: &mut Vec<u8>) {
        if self.last != Some(chunk.stream) {
            to.extend_from_slice(match chunk.stream {
                Stream::Output => OUTPUT_MARK,
                Stream::Error => ERROR_MARK,
            });
            self.last = Some(chunk.stream);
        }
        to.extend_from_slice(&chunk.bytes);
    }

    /// A frame for clients that split as they receive. Some lose a mark that ends a frame, so none
    /// does: our own are followed by what they mark, and bytes of the process that look like one
    /// would be dropped by the client anyway.
    pub(crate) fn frame(&mut self, chunk: &Chunk) -> Vec<u8> {
        let mut frame = Vec::with_capacity(chunk.bytes.len() + OUTPUT_MARK.len());
        self.append(chunk, &mut frame);
        while frame.ends_with(OUTPUT_MARK) || frame.ends_with(ERROR_MARK) {
            frame.truncate(frame.len() - OUTPUT_MARK.len());
            // A mark of ours may have gone with them.
            self.last = None;
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        let log = Log::new(1000);
        log.push(Stream::Output, b"one\ntwo ");
        log.push(Stream::Error, b"\xffbad\n");
        log.push(Stream::Output, b"three");
        log
    }

    #[test]
    fn streams_come_apart_and_together() {
        let texts = texts(&log(), 4, Joined::Plain, false);
        assert_eq!(texts.merged, "two \u{fffd}bad\nthree");
        assert_eq!(texts.output, "two three");
        assert_eq!(texts.errors, "\u{fffd}bad\n");
        assert_eq!(texts.next, 18);
    }

    #[test]
    fn a_character_that_has_only_begun_is_left_until_it_is_whole_or_nothing_follows() {
        let log = Log::new(1000);
        let euro = "€".as_bytes();
        log.push(Stream::Output, b"\xe2");
        log.push(Stream::Error, &[b"a", &euro[..2]].concat());
        let first = texts(&log, 0, Joined::Plain, true);
        assert_eq!((first.errors.as_str(), first.next), ("a", 2));
        assert_eq!(first.merged, "\u{fffd}a");
        let ended = texts(&log, 0, Joined::Plain, false);
        assert_eq!((ended.errors.as_str(), ended.next), ("a\u{fffd}", 4));
        log.push(Stream::Error, &euro[2..]);
        let second = texts(&log, first.next, Joined::Plain, true);
        assert_eq!((second.merged.as_str(), second.next), ("€", 5));
        log.push(Stream::Output, b"\xf0\x9f\x98");
        let third = texts(&log, second.next, Joined::Plain, true);
        assert_eq!((third.merged.as_str(), third.next), ("", 5));
        log.push(Stream::Output, b"x\xff");
        let third = texts(&log, second.next, Joined::Plain, true);
        assert_eq!(
            (third.output.as_str(), third.next),
            ("\u{fffd}x\u{fffd}", 10)
        );
    }

    #[test]
    fn each_run_is_marked_once() {
        let expected = b"\x01\x01\x01one\ntwo \x02\x02\x02\xffbad\n\x01\x01\x01three";
        assert_eq!(marked(&log(), 0), expected);
        let texts = texts(&log(), 0, Joined::Marked, true);
        assert_eq!(texts.merged, lossy(expected.to_vec()));
        assert_eq!(texts.output, "one\ntwo three");
    }

    #[test]
    fn no_frame_ends_with_a_mark() {
        let mut marker = Marker::default();
        let mut frame = |stream, bytes: &[u8]| {
            let bytes = bytes.to_vec();
            marker.frame(&Chunk {
                at: 0,
                stream,
                bytes,
            })
        };
        assert_eq!(frame(Stream::Output, b"a"), b"\x01\x01\x01a");
        assert_eq!(frame(Stream::Output, b"b\x02\x02\x02"), b"b");
        assert_eq!(frame(Stream::Output, b"c"), b"\x01\x01\x01c");
        assert_eq!(frame(Stream::Output, b"\x01\x01\x01"), b"");
        assert_eq!(frame(Stream::Error, b"d"), b"\x02\x02\x02d");
    }
}
