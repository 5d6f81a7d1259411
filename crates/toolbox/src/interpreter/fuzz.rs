//! Targets: what a context's process says, and what clients of an execution say.

use sebring_testkit::corpus;

use super::cell::Event;
use super::frames;
use super::protocol::{self, Decoder, Frame, Report};
use super::stream::Output;
use super::text::Text;

/// Fields and what announces them.
const FRAME_BYTES_MAX: usize = (3 << 20) + 9;

/// Frames are the same however they arrive, survive being written again, and reach clients as one
/// JSON object each.
pub fn interpreter(input: &[u8]) {
    let (longest, bytes) = corpus::choice(input);
    let whole = decode(&[bytes]);
    assert_eq!(decode(&corpus::pieces(bytes, longest)), whole);
    let (frames, _) = whole;
    let again: Vec<u8> = frames.iter().flat_map(encode).collect();
    assert_eq!(decode(&[&again]), (frames.clone(), None));
    for frame in frames {
        shown(&Event::Report(frame.report));
    }
    text(bytes, longest);
}

fn decode(pieces: &[&[u8]]) -> (Vec<Frame>, Option<protocol::Error>) {
    let mut decoder = Decoder::default();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(decoder.buffer().len() <= FRAME_BYTES_MAX);
    }
    (frames, None)
}

fn encode(frame: &Frame) -> Vec<u8> {
    let pairs = |forms: &[(String, String)]| -> Vec<String> {
        forms
            .iter()
            .flat_map(|(name, data)| [name.clone(), data.clone()])
            .collect()
    };
    let (kind, fields) = match frame.report.clone() {
        Report::Begun => (b'B', Vec::new()),
        Report::Done => (b'D', Vec::new()),
        Report::Error {
            name,
            value,
            traceback,
        } => (b'E', vec![name, value, traceback]),
        Report::Result(forms) => (b'R', pairs(&forms)),
        Report::Display(forms) => (b'S', pairs(&forms)),
        Report::Chart(chart) => (b'C', vec![chart]),
        Report::Ask(prompt) => (b'A', vec![prompt]),
    };
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    let mut bytes = protocol::encode(protocol::Order::Execute, frame.number, &fields);
    bytes[0] = kind;
    bytes
}

fn shown(event: &Event) {
    let Some(text) = frames::text(event) else {
        return;
    };
    // Deeper nesting than the reader takes is a chart that no client could read either.
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert!(json["type"].is_string(), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

fn text(bytes: &[u8], longest: u8) {
    let mut text = Text::default();
    let pieces = corpus::pieces(bytes, longest);
    let mut all: String = pieces.into_iter().map(|piece| text.push(piece)).collect();
    all.push_str(&text.finish());
    assert_eq!(all, String::from_utf8_lossy(bytes));
    shown(&Event::Output(Output::Stdout, all));
}

/// Messages are understood or passed over; a time limit is one that can be waited for.
pub fn interpreter_client(message: &[u8]) {
    let _either = frames::command(message);
    let Ok(request) = serde_json::from_slice::<frames::Request>(message) else {
        return;
    };
    if let Some(limit) = request.timeout.and_then(|timeout| timeout.limit()) {
        let now = std::time::Instant::now();
        assert!(now.checked_add(limit).is_some(), "{limit:?}");
    }
}
