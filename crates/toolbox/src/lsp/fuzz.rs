//! Target: what language servers say.

use sebring_testkit::corpus;

use super::frame::{Decoder, Error, head_for};
use super::message::{self, Incoming};

/// Messages are the same however they arrive and survive being framed again; whatever a server
/// asks is answered with its own id.
pub fn lsp(input: &[u8]) {
    let (longest, bytes) = corpus::choice(input);
    let whole = decode(&[bytes]);
    let cut = decode(&corpus::pieces(bytes, longest));
    assert_eq!(cut.0, whole.0);
    assert_eq!(cut.1.is_some(), whole.1.is_some());
    let framed = |body: &Vec<u8>| [head_for(body.len()).as_bytes(), body].concat();
    let again: Vec<u8> = whole.0.iter().flat_map(framed).collect();
    assert_eq!(decode(&[&again]), (whole.0.clone(), None));
    for body in whole.0 {
        if let Ok(Incoming::Question(answer)) = message::read(&body) {
            assert_eq!(answer["jsonrpc"], "2.0");
            assert!(answer.get("id").is_some());
            assert_ne!(
                answer.get("result").is_some(),
                answer.get("error").is_some()
            );
        }
    }
}

fn decode(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Option<Error>) {
    let mut decoder = Decoder::default();
    let mut bodies = Vec::new();
    for piece in pieces {
        decoder.buffer().extend_from_slice(piece);
        loop {
            match decoder.next() {
                Ok(Some(body)) => bodies.push(body.to_vec()),
                Ok(None) => break,
                Err(error) => return (bodies, Some(error)),
            }
        }
    }
    (bodies, None)
}
