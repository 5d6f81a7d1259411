//! Target: what a session's shell says, which whatever runs in it can say as well.

use sebring_testkit::corpus;

use super::shell::Said;

/// Read at once, besides what is held back.
const READ_BYTES_MAX: usize = 256;
/// A begun answer.
const HELD_BYTES_MAX: usize = 600;

/// The same words and codes come out however they were cut, and little is held back.
pub fn session_answers(input: &[u8]) {
    let (longest, said) = corpus::choice(input);
    let whole = listen(&[said]);
    assert_eq!(listen(&corpus::pieces(said, longest)), whole);
    let words: usize = whole.0.len();
    assert!(words <= said.len(), "words came from nowhere");
}

fn listen(pieces: &[&[u8]]) -> (Vec<u8>, Vec<(usize, i32)>) {
    let mut said = Said::new("token");
    let (mut words, mut codes) = (Vec::new(), Vec::new());
    for piece in pieces {
        said.hear(piece);
        while let Some(code) = said.take(|more| words.extend_from_slice(more)) {
            codes.push((words.len(), code));
        }
        let read_bytes = piece.len().min(READ_BYTES_MAX);
        assert!(
            said.held_bytes() <= HELD_BYTES_MAX + read_bytes,
            "{}",
            said.held_bytes()
        );
    }
    said.rest(|more| words.extend_from_slice(more));
    (words, codes)
}
