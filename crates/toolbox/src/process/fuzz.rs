//! Target: what processes print, and what the kernel prints about them under names of their own.

use sebring_testkit::corpus;

use super::charts;
use super::log::{Chunk, Stream};
use super::text::Marker;
use super::tree::kin;

const MARKS: [&[u8]; 2] = [&[1, 1, 1], &[2, 2, 2]];

pub fn output(input: &[u8]) {
    let (longest, bytes) = corpus::choice(input);
    marks(bytes, longest);
    let text = String::from_utf8_lossy(bytes);
    let (rest, _) = charts::extract(&text);
    assert!(rest.len() <= text.len());
    let lines = |text: &str| text.lines().filter(|line| !line.is_empty()).count();
    assert!(lines(&rest) <= lines(&text));
}

/// No frame ends with a mark, which some clients would lose, and frames say whose bytes they have.
fn marks(bytes: &[u8], longest: u8) {
    let mut marker = Marker::default();
    let mut sent = [0, 0];
    for piece in corpus::pieces(bytes, longest) {
        let stream = if piece[0] & 4 == 0 {
            Stream::Output
        } else {
            Stream::Error
        };
        sent[usize::from(stream == Stream::Error)] += piece.len();
        let frame = marker.frame(&Chunk {
            at: 0,
            stream,
            bytes: piece.to_vec(),
        });
        assert!(!MARKS.iter().any(|mark| frame.ends_with(mark)), "{frame:?}");
        assert!(frame.len() <= piece.len() + MARKS[0].len());
    }
    assert_eq!(sent[0] + sent[1], bytes.len());
}

/// Whatever a process calls itself, its parent and session stay what they are.
pub fn process_stat(name: &[u8]) {
    let stat = [b"7 (", name, b") S 5 6 4 0 -1 4194304 1"].concat();
    let found = kin(7, &stat).expect("the kernel's own form");
    assert_eq!((found.pid, found.parent, found.session), (7, 5, 4));
    let _no_panic = kin(7, name);
}
