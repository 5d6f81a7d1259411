//! What a context's process and the toolbox say to each other: frames of a kind, the number of the cell they
//! are about, and fields of text.
//!
//! A process runs whatever the sandbox's user likes, so what it says is hostile: every length is
//! checked before anything is kept. Next: `inside.py` for the other side.

use bytes::{Buf as _, BytesMut};

/// Raised when a program that runs already would be misunderstood.
pub(super) const VERSION: u32 = 1;
/// Kind, number, length of the fields.
const HEAD_BYTES: usize = 1 + 4 + 4;
/// All fields of one frame; published clients refuse messages of more than 4 MiB.
const BODY_BYTES_MAX: usize = 3 << 20;
/// A value has a handful of representations, each two fields.
const FIELDS_MAX: usize = 64;

/// What the toolbox tells a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The program that looks into charts.
    Charts,
    /// A cell: whether it may ask for input, its code, then names and values of variables.
    Execute,
    /// A line of input, or no field for the end of it.
    Input,
}

/// What a process tells about a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Report {
    /// From here on an interrupt reaches the cell, and nothing else.
    Begun,
    Done,
    Error {
        name: String,
        value: String,
        traceback: String,
    },
    /// The value of the last expression: media type and data of each of its forms.
    Result(Vec<(String, String)>),
    /// The same for what the cell chose to display.
    Display(Vec<(String, String)>),
    /// A chart that was shown, as JSON text that nobody has checked.
    Chart(String),
    /// The cell waits for input.
    Ask(String),
}

/// A report and the number of its cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) number: u32,
    pub(super) report: Report,
}

/// What no process of ours would send.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    #[error("a frame of {0} bytes: maximum {BODY_BYTES_MAX}")]
    TooLong(usize),
    #[error("a frame of unknown kind {0}")]
    Kind(u8),
    #[error("a frame whose fields do not fill it, or are more than {FIELDS_MAX}")]
    Fields,
}

/// The bytes of an order.
pub(super) fn encode(order: Order, number: u32, fields: &[&str]) -> Vec<u8> {
    let kind = match order {
        Order::Charts => b'P',
        Order::Execute => b'X',
        Order::Input => b'I',
    };
    let length: usize = fields.iter().map(|field| 4 + field.len()).sum();
    let mut bytes = Vec::with_capacity(HEAD_BYTES + length);
    bytes.push(kind);
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.extend_from_slice(&length_bytes(length));
    for field in fields {
        bytes.extend_from_slice(&length_bytes(field.len()));
        bytes.extend_from_slice(field.as_bytes());
    }
    bytes
}

/// Requests are bounded far below what 32 bits can count.
pub(super) fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes()
}

/// Cuts a stream of bytes into frames.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Where the next bytes go.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// What came of a frame that is not whole yet.
    pub(super) fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// The next whole frame. After an error the stream means nothing any more.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Error> {
        let Some((head, rest)) = self.buffer.split_at_checked(HEAD_BYTES) else {
            return Ok(None);
        };
        let number = u32::from_le_bytes([head[1], head[2], head[3], head[4]]);
        let length = u32::from_le_bytes([head[5], head[6], head[7], head[8]]) as usize;
        if length > BODY_BYTES_MAX {
            return Err(Error::TooLong(length));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let report = report(head[0], fields(body)?)?;
        self.buffer.advance(HEAD_BYTES + length);
        if self.buffer.is_empty() {
            // What one large frame needed is not held for ever.
            self.buffer = BytesMut::new();
        }
        Ok(Some(Frame { number, report }))
    }
}

fn fields(mut body: &[u8]) -> Result<Vec<String>, Error> {
    let mut fields = Vec::new();
    while !body.is_empty() {
        let (length, rest) = body.split_first_chunk::<4>().ok_or(Error::Fields)?;
        let length = u32::from_le_bytes(*length) as usize;
        let (field, rest) = rest.split_at_checked(length).ok_or(Error::Fields)?;
        if fields.len() == FIELDS_MAX {
            return Err(Error::Fields);
        }
        fields.push(String::from_utf8_lossy(field).into_owned());
        body = rest;
    }
    Ok(fields)
}

fn report(kind: u8, fields: Vec<String>) -> Result<Report, Error> {
    match kind {
        b'B' => exactly::<0>(fields).map(|[]| Report::Begun),
        b'D' => exactly::<0>(fields).map(|[]| Report::Done),
        b'E' => exactly(fields).map(|[name, value, traceback]| Report::Error {
            name,
            value,
            traceback,
        }),
        b'R' => pairs(fields).map(Report::Result),
        b'S' => pairs(fields).map(Report::Display),
        b'C' => exactly(fields).map(|[chart]| Report::Chart(chart)),
        b'A' => exactly(fields).map(|[prompt]| Report::Ask(prompt)),
        other => Err(Error::Kind(other)),
    }
}

fn exactly<const COUNT: usize>(fields: Vec<String>) -> Result<[String; COUNT], Error> {
    fields.try_into().map_err(|_| Error::Fields)
}

fn pairs(fields: Vec<String>) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::with_capacity(fields.len() / 2);
    let mut fields = fields.into_iter();
    while let Some(name) = fields.next() {
        pairs.push((name, fields.next().ok_or(Error::Fields)?));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, number: u32, fields: &[&str]) -> Vec<u8> {
        let mut bytes = encode(Order::Execute, number, fields);
        bytes[0] = kind;
        bytes
    }

    /// All that comes out of a stream that arrives in pieces.
    fn decode(bytes: &[u8], piece: usize) -> Result<Vec<Frame>, Error> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for piece in bytes.chunks(piece.max(1)) {
            decoder.buffer().extend_from_slice(piece);
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn a_frame_with_too_few_or_too_many_fields_is_refused() {
        for (kind, count) in [
            (b'B', 1),
            (b'D', 1),
            (b'E', 2),
            (b'E', 4),
            (b'R', 3),
            (b'C', 0),
            (b'A', 2),
        ] {
            let bytes = frame(kind, 1, &vec!["x"; count]);
            assert_eq!(decode(&bytes, 7), Err(Error::Fields), "{}", kind as char);
        }
        let many = frame(b'S', 1, &vec!["x"; FIELDS_MAX + 2]);
        assert_eq!(decode(&many, 100), Err(Error::Fields));
        assert_eq!(decode(&frame(b'?', 1, &[]), 9), Err(Error::Kind(b'?')));
    }

    #[test]
    fn an_announced_length_above_the_limit_is_refused_before_its_bytes_come() {
        let mut bytes = frame(b'C', 1, &[]);
        bytes[5..9].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&bytes, 9), Err(Error::TooLong(u32::MAX as usize)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_frames_or_an_error_and_never_kept_beyond_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..2000),
            piece in 1_usize..64,
        ) {
            let _either = decode(&bytes, piece);
        }

        #[test]
        fn almost_right_bytes_do_no_harm_either(
            at in 0_usize..60,
            value in any::<u8>(),
            piece in 1_usize..64,
        ) {
            let mut bytes = frame(b'E', 7, &["Name", "value", "trace\nback"]);
            bytes.extend(frame(b'R', 7, &["text/plain", "2"]));
            let at = at % bytes.len();
            bytes[at] = value;
            let _either = decode(&bytes, piece);
        }

        #[test]
        fn frames_come_out_as_they_went_in_however_they_are_cut(
            texts in proptest::collection::vec(("\\PC{0,40}", "\\PC{0,40}", any::<u32>()), 0..12),
            piece in 1_usize..64,
        ) {
            let mut bytes = Vec::new();
            let mut expected = Vec::new();
            for (name, value, number) in texts {
                bytes.extend(frame(b'E', number, &[&name, &value, ""]));
                bytes.extend(frame(b'S', number, &[&name, &value]));
                let traceback = String::new();
                expected.push(Frame { number, report: Report::Error {
                    name: name.clone(), value: value.clone(), traceback } });
                expected.push(Frame { number, report: Report::Display(vec![(name, value)]) });
            }
            prop_assert_eq!(decode(&bytes, piece), Ok(expected));
        }
    }
}
