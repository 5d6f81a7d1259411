//! Target: what a runner says, which may be an older or a newer one than expected.

use sebring_api::runner::{Host, Inventory, Observation, SnapshotFacts, Spare, UsageSample};
use sebring_testkit::corpus;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::convert;
use super::lines::Unread;

/// Lines are the same however they arrive, and what is understood is understood again.
pub fn runner_answers(input: &[u8]) {
    let (longest, bytes) = corpus::choice(input);
    let lines = lines(&[bytes]);
    assert_eq!(self::lines(&corpus::pieces(bytes, longest)), lines);
    for line in &lines {
        if let Some(observation) = again::<Observation>(line) {
            let _report = convert::report(&observation);
        }
        again::<Inventory>(line);
        again::<Vec<Spare>>(line);
        again::<Vec<SnapshotFacts>>(line);
        again::<Vec<UsageSample>>(line);
        again::<Host>(line);
    }
}

fn lines(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let mut unread = Unread::default();
    let mut lines = Vec::new();
    for piece in pieces {
        unread.hear(piece);
        while let Ok(Some(line)) = unread.next() {
            assert!(!line.contains(&b'\n'));
            lines.push(line.to_vec());
        }
    }
    lines
}

fn again<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(line: &[u8]) -> Option<T> {
    let found: T = serde_json::from_slice(line).ok()?;
    let text = serde_json::to_vec(&found).expect("plain data");
    let read: T = serde_json::from_slice(&text).expect("our own form");
    assert_eq!(read, found);
    Some(found)
}
