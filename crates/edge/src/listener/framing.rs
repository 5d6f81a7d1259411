//! Where requests begin and end on one client connection, seen byte by byte, so that request
//! targets can be repaired without ever touching a body.
//!
//! ```text
//!   RequestLine ──line──▶ Headers ──blank, no body──▶ RequestLine
//!                            ├── content-length n ──▶ Fixed(n) ───────▶ RequestLine
//!                            ├── chunked ──▶ ChunkSize ⇄ ChunkData ──▶ Trailers ──▶ RequestLine
//!                            └── upgrade, CONNECT, anything odd ──▶ Opaque (to the end)
//! ```
//!
//! Must not: guess. Whatever two parsers could read in two ways makes the rest of the connection
//! opaque: nothing is repaired there any more, and hyper alone judges it.
//! Next: `super::repair` applies it to a stream.

/// Bytes that `http::Uri` refuses (or that are not ASCII) though clients in the field send them
/// raw: the e2e suite sends `?labels={"e2e":"true"}`.
const fn needs_repair(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'`' | 0x80..)
}

/// Longest header line that is remembered when it is split over reads. Only lines that matter for
/// framing are looked at, and those are short; a longer one that matters makes things opaque.
const REMEMBERED_LINE_MAX: usize = 128;

#[derive(Debug)]
enum State {
    RequestLine(LinePart),
    Headers,
    Fixed(u64),
    ChunkSize,
    /// Bytes left including the CRLF after the data.
    ChunkData(u64),
    Trailers,
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LinePart {
    /// Nothing of it was seen; blank lines before it are skipped as hyper does.
    Nothing,
    Method,
    Target,
    Version,
}

/// What the headers of the present request say about its body.
#[derive(Debug, Default)]
struct Body {
    length: Option<u64>,
    chunked: bool,
    odd: bool,
}

/// The position of one connection in its stream of requests.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    body: Body,
    /// The part of the present line that earlier reads brought, cut at [`REMEMBERED_LINE_MAX`].
    line: Vec<u8>,
    line_cut: bool,
}

impl Framing {
    pub(super) const fn new() -> Self {
        Self {
            state: State::RequestLine(LinePart::Nothing),
            body: Body {
                length: None,
                chunked: false,
                odd: false,
            },
            line: Vec::new(),
            line_cut: false,
        }
    }

    /// Whether a request head has begun and is not complete.
    pub(super) const fn inside_head(&self) -> bool {
        match self.state {
            State::RequestLine(LinePart::Nothing)
            | State::Fixed(_)
            | State::ChunkSize
            | State::ChunkData(_)
            | State::Trailers
            | State::Opaque => false,
            State::RequestLine(LinePart::Method | LinePart::Target | LinePart::Version)
            | State::Headers => true,
        }
    }

    /// Moves over `bytes` up to and including the first one that needs repair, and returns where
    /// that is; `None` when all of `bytes` is fine.
    pub(super) fn advance(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            match self.state {
                State::Opaque => return None,
                State::RequestLine(part) => match self.request_line(part, &bytes[at..]) {
                    Found::End(used) => at += used,
                    Found::Repair(offset) => return Some(at + offset),
                },
                State::Fixed(left) => {
                    let (used, left) = take(left, bytes.len() - at);
                    at += used;
                    self.state = if left == 0 {
                        State::RequestLine(LinePart::Nothing)
                    } else {
                        State::Fixed(left)
                    };
                }
                State::ChunkData(left) => {
                    let (used, left) = take(left, bytes.len() - at);
                    at += used;
                    self.state = if left == 0 {
                        State::ChunkSize
                    } else {
                        State::ChunkData(left)
                    };
                }
                State::Headers | State::ChunkSize | State::Trailers => {
                    at += self.line(&bytes[at..]);
                }
            }
        }
        None
    }

    fn request_line(&mut self, mut part: LinePart, bytes: &[u8]) -> Found {
        for (offset, &byte) in bytes.iter().enumerate() {
            match (part, byte) {
                (LinePart::Nothing, b'\r' | b'\n') => {}
                (_, b'\n') => {
                    // CONNECT begins a tunnel; its request line is remembered as an oddity.
                    self.state = State::Headers;
                    return Found::End(offset + 1);
                }
                (LinePart::Nothing, first) => {
                    self.body = Body::default();
                    self.body.odd = first == b'C';
                    part = LinePart::Method;
                }
                (LinePart::Method, b' ') => part = LinePart::Target,
                (LinePart::Target, b' ') => part = LinePart::Version,
                (LinePart::Target, odd) if needs_repair(odd) => {
                    self.state = State::RequestLine(part);
                    return Found::Repair(offset);
                }
                (LinePart::Method | LinePart::Target | LinePart::Version, _) => {}
            }
        }
        self.state = State::RequestLine(part);
        Found::End(bytes.len())
    }

    /// Takes bytes up to the end of the present line, and acts on the line when it is complete.
    fn line(&mut self, bytes: &[u8]) -> usize {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.remember(bytes);
            return bytes.len();
        };
        if self.line.is_empty() {
            self.complete_line(&bytes[..end], false);
        } else {
            self.remember(&bytes[..end]);
            let line = std::mem::take(&mut self.line);
            let cut = std::mem::take(&mut self.line_cut);
            self.complete_line(&line, cut);
            self.line = line;
            self.line.clear();
        }
        end + 1
    }

    fn remember(&mut self, bytes: &[u8]) {
        let room = REMEMBERED_LINE_MAX - self.line.len();
        self.line_cut |= bytes.len() > room;
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn complete_line(&mut self, line: &[u8], cut: bool) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.state {
            State::Headers if line.is_empty() => self.state = self.after_head(),
            State::Headers => self.header(line, cut),
            State::ChunkSize => self.state = after_chunk_size(line, cut),
            State::Trailers if line.is_empty() => {
                self.state = State::RequestLine(LinePart::Nothing);
            }
            State::Trailers
            | State::RequestLine(_)
            | State::Fixed(_)
            | State::ChunkData(_)
            | State::Opaque => {}
        }
    }

    fn header(&mut self, line: &[u8], cut: bool) {
        if matches!(line[0], b' ' | b'\t') {
            // An obsolete folded line may continue a header that matters.
            self.body.odd = true;
            return;
        }
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value)
                .ok()
                .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse().ok());
            self.body.odd |= cut || length.is_none() || self.body.length.is_some();
            self.body.length = length;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.body.odd |= cut || self.body.chunked || !value.eq_ignore_ascii_case(b"chunked");
            self.body.chunked = true;
        } else if name.eq_ignore_ascii_case(b"upgrade") {
            self.body.odd = true;
        }
    }

    const fn after_head(&self) -> State {
        match (&self.body, self.body.length) {
            (Body { odd: true, .. }, _) | (Body { chunked: true, .. }, Some(_)) => State::Opaque,
            (Body { chunked: true, .. }, None) => State::ChunkSize,
            (_, Some(0) | None) => State::RequestLine(LinePart::Nothing),
            (_, Some(length)) => State::Fixed(length),
        }
    }
}

enum Found {
    /// This many bytes were fine.
    End(usize),
    Repair(usize),
}

/// Takes up to `available` of `left`; returns how many and what remains.
fn take(left: u64, available: usize) -> (usize, u64) {
    let used = usize::try_from(left).map_or(available, |left| left.min(available));
    (used, left - used as u64)
}

fn after_chunk_size(line: &[u8], cut: bool) -> State {
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let size = std::str::from_utf8(&line[..digits])
        .ok()
        .and_then(|text| u64::from_str_radix(text, 16).ok());
    let plain = !cut && (digits == line.len() || line[digits] == b';');
    match size {
        Some(0) if plain => State::Trailers,
        Some(size) if plain => size.checked_add(2).map_or(State::Opaque, State::ChunkData),
        Some(_) | None => State::Opaque,
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// What the stream looks like after repair when it arrives in pieces of `step` bytes.
    fn repaired(input: &[u8], step: usize) -> Vec<u8> {
        let mut framing = Framing::new();
        let mut out = Vec::new();
        for piece in input.chunks(step) {
            let mut rest = piece;
            while let Some(at) = framing.advance(rest) {
                out.extend_from_slice(&rest[..at]);
                out.extend_from_slice(format!("%{:02X}", rest[at]).as_bytes());
                rest = &rest[at + 1..];
            }
            out.extend_from_slice(rest);
        }
        out
    }

    #[track_caller]
    fn becomes(input: &str, expected: &str) {
        for step in 1..=input.len() {
            let out = String::from_utf8(repaired(input.as_bytes(), step)).unwrap();
            assert_eq!(out, expected, "in pieces of {step}");
        }
    }

    #[test]
    fn a_raw_quote_in_a_target_is_encoded() {
        becomes(
            "GET /a?l={\"k\":\"v\"} HTTP/1.1\r\nX: \"y\"\r\n\r\n",
            "GET /a?l={%22k%22:%22v%22} HTTP/1.1\r\nX: \"y\"\r\n\r\n",
        );
    }

    #[test]
    fn non_ascii_and_angle_brackets_are_encoded() {
        becomes(
            "GET /é?<`> HTTP/1.1\r\n\r\n",
            "GET /%C3%A9?%3C%60%3E HTTP/1.1\r\n\r\n",
        );
    }

    #[test]
    fn a_body_of_known_length_is_left_alone_and_the_next_request_is_repaired() {
        becomes(
            "POST /\" HTTP/1.1\r\nContent-Length: 8\r\n\r\n{\"a\":\"\"}GET /\" HTTP/1.1\r\n\r\n",
            "POST /%22 HTTP/1.1\r\nContent-Length: 8\r\n\r\n{\"a\":\"\"}GET /%22 HTTP/1.1\r\n\r\n",
        );
    }

    #[test]
    fn a_chunked_body_is_left_alone_and_the_next_request_is_repaired() {
        let head = "PUT / HTTP/1.1\r\ntransfer-encoding: Chunked\r\n\r\n";
        let body = "4;e=\"q\"\r\nGE\"\n\r\n2\r\n\"\"\r\n0\r\nT: \"\r\n\r\n";
        becomes(
            &format!("{head}{body}GET /\" HTTP/1.1\r\n\r\n"),
            &format!("{head}{body}GET /%22 HTTP/1.1\r\n\r\n"),
        );
    }

    #[test]
    fn after_an_upgrade_or_an_odd_length_nothing_is_touched() {
        for odd in [
            "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "PUT / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "PUT / HTTP/1.1\r\nX: a\r\n Content-Length: 4\r\n\r\n",
            "PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4 \r\n",
        ] {
            let stream = format!("{odd}GET /\" HTTP/1.1\r\n\r\n");
            becomes(&stream, &stream);
        }
    }

    #[test]
    fn a_head_is_inside_from_its_first_byte_to_its_blank_line() {
        let mut framing = Framing::new();
        for byte in b"\r\nG" {
            framing.advance(&[*byte]);
        }
        assert!(framing.inside_head());
        framing.advance(b"ET / HTTP/1.1\r\nA: b\r\n");
        assert!(framing.inside_head());
        framing.advance(b"\r\n");
        assert!(!framing.inside_head());
    }

    #[test]
    fn a_long_header_line_split_over_reads_is_skipped() {
        let long = "c".repeat(REMEMBERED_LINE_MAX * 3);
        becomes(
            &format!("GET / HTTP/1.1\r\nCookie: {long}\r\n\r\nGET /\" HTTP/1.1\r\n\r\n"),
            &format!("GET / HTTP/1.1\r\nCookie: {long}\r\n\r\nGET /%22 HTTP/1.1\r\n\r\n"),
        );
    }

    /// One request as sent and as it should become.
    fn request() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
        let target = "/[a-z\"<>`é]{0,8}";
        let bodies = vec(any::<u8>(), 0..40);
        (target, bodies, 0..3, 1..9_usize).prop_map(|(target, body, kind, piece)| {
            let good: String = target
                .bytes()
                .map(|byte| match byte {
                    odd if needs_repair(odd) => format!("%{odd:02X}"),
                    plain => char::from(plain).to_string(),
                })
                .collect();
            let rest = match kind {
                0 => b"X: \"\r\n\r\n".to_vec(),
                1 => {
                    let head = format!("Content-Length: {}\r\n\r\n", body.len());
                    [head.as_bytes(), &body].concat()
                }
                _ => {
                    let mut rest = b"Transfer-Encoding: chunked\r\n\r\n".to_vec();
                    for chunk in body.chunks(piece) {
                        rest.extend(format!("{:x}\r\n", chunk.len()).bytes());
                        rest.extend(chunk);
                        rest.extend(b"\r\n");
                    }
                    rest.extend(b"0\r\n\r\n");
                    rest
                }
            };
            let whole = |target: &str| {
                let line = format!("POST {target} HTTP/1.1\r\n");
                [line.as_bytes(), &rest].concat()
            };
            (whole(&target), whole(&good))
        })
    }

    proptest! {
        #[test]
        fn any_stream_of_requests_in_any_pieces_is_repaired_in_its_targets_only(
            requests in vec(request(), 1..6),
            step in 1..100_usize,
        ) {
            let sent: Vec<u8> = requests.iter().flat_map(|(sent, _)| sent.clone()).collect();
            let expected: Vec<u8> = requests.iter().flat_map(|(_, good)| good.clone()).collect();
            prop_assert_eq!(repaired(&sent, step), expected);
        }

        #[test]
        fn whatever_bytes_come_nothing_but_encoding_happens(
            bytes in vec(any::<u8>(), 0..300),
            step in 1..50_usize,
        ) {
            let out = repaired(&bytes, step);
            prop_assert!(out.len() >= bytes.len());
            prop_assert_eq!(repaired(&bytes, bytes.len().max(1)), out);
        }
    }
}
