//! What a process writes, kept within bounds, for any number of readers at their own pace.
//!
//! Every byte has an offset that never changes. The oldest bytes make way for new ones; a reader
//! that is too late for some goes on with the oldest that is left. Each run of bytes is known to be
//! standard output or standard error, in the order of their arrival.
//!
//! Must not: know how bytes are framed for clients. Next: `store` for where they are.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::store::Store;
use crate::upgrade::{Packer, Unpacker, state};

/// Kept of each process: what one request may reasonably return.
pub(crate) const LOG_BYTES_MAX: u64 = 16 << 20;
/// Changes between the two streams that are remembered; more come only from programs that write
/// a few bytes here and a few there without end.
const RUNS_MAX: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stream {
    Output,
    Error,
}

/// Bytes of one stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Offset of the first byte.
    pub(crate) at: u64,
    pub(crate) stream: Stream,
    pub(crate) bytes: Vec<u8>,
}

impl Chunk {
    pub(crate) const fn end(&self) -> u64 {
        self.at + self.bytes.len() as u64
    }
}

/// Offsets of what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) begin: u64,
    pub(crate) end: u64,
}

#[derive(Debug)]
pub(crate) struct Log {
    state: Mutex<State>,
    news: watch::Sender<News>,
}

#[derive(Debug)]
struct State {
    store: Store,
    /// Where each run begins; the last goes on to the end.
    runs: VecDeque<(u64, Stream)>,
}

/// What readers wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct News {
    end: u64,
    finished_at: Option<u64>,
}

impl Log {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            state: Mutex::new(State {
                store: Store::new(bytes_max),
                runs: VecDeque::new(),
            }),
            news: watch::Sender::default(),
        }
    }

    pub(super) fn save(&self, packer: &mut Packer) -> state::Log {
        let state = self.lock();
        let store = &state.store;
        state::Log {
            bytes_max: store.bytes_max(),
            begin: store.begin(),
            end: store.end(),
            place: store.save(packer),
            runs: state.runs.iter().copied().collect(),
            finished_at: self.news.borrow().finished_at,
        }
    }

    /// What cannot be read any more is lost as if it had been overwritten.
    pub(super) fn take_up(saved: &state::Log, unpacker: &mut Unpacker) -> Self {
        let news = News {
            end: saved.end,
            finished_at: saved.finished_at,
        };
        Self {
            state: Mutex::new(State {
                store: Store::take_up(saved, unpacker),
                runs: saved.runs.iter().copied().collect(),
            }),
            news: watch::Sender::new(news),
        }
    }

    pub(crate) fn push(&self, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.push(stream, bytes);
        let end = state.store.end();
        drop(state);
        self.news.send_modify(|news| news.end = end);
    }

    /// The process has ended and all it wrote itself is here. What it left running may write more,
    /// which is kept as well, but nobody waits for it.
    pub(crate) fn finish(&self) {
        let end = self.lock().store.end();
        self.news
            .send_modify(|news| news.finished_at = news.finished_at.or(Some(end)));
    }

    /// Lets go of all bytes so far.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        state.store.forget();
        state.runs.clear();
    }

    pub(crate) fn extent(&self) -> Extent {
        let state = self.lock();
        Extent {
            begin: state.store.begin(),
            end: state.store.end(),
        }
    }

    /// The bytes of one run from `offset`, or from the oldest that is kept, at most `max` of them.
    pub(crate) fn read(&self, offset: u64, max: usize) -> Option<Chunk> {
        self.lock().read(offset, max)
    }

    pub(crate) fn follow(&self, offset: u64) -> Follower<'_> {
        Follower {
            log: self,
            at: offset,
            news: self.news.subscribe(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, stream: Stream, bytes: &[u8]) {
        if self.runs.back().is_none_or(|(_, last)| *last != stream) {
            self.runs.push_back((self.store.end(), stream));
        }
        self.store.push(bytes);
        if self.runs.len() > RUNS_MAX
            && let Some((second, _)) = self.runs.get(1)
        {
            self.store.forget_before(*second);
        }
        let begin = self.store.begin();
        while self.runs.get(1).is_some_and(|(start, _)| *start <= begin) {
            self.runs.pop_front();
        }
    }

    fn read(&self, offset: u64, max: usize) -> Option<Chunk> {
        let at = offset.max(self.store.begin());
        if at >= self.store.end() {
            return None;
        }
        let next = self.runs.partition_point(|(start, _)| *start <= at);
        let (_, stream) = *self.runs.get(next.checked_sub(1)?)?;
        let run_end = self
            .runs
            .get(next)
            .map_or_else(|| self.store.end(), |(start, _)| *start);
        let length = usize::try_from(run_end - at).unwrap_or(max).min(max);
        let bytes = self.store.read(at, length);
        (!bytes.is_empty()).then_some(Chunk { at, stream, bytes })
    }
}

/// Reads a log as it grows, until its process has ended.
#[derive(Debug)]
pub(crate) struct Follower<'a> {
    log: &'a Log,
    at: u64,
    news: watch::Receiver<News>,
}

impl Follower<'_> {
    /// The next bytes; `None` after the last. Safe to drop at any await.
    pub(crate) async fn next(&mut self, max: usize) -> Option<Chunk> {
        loop {
            let news = *self.news.borrow_and_update();
            let stop = news.finished_at.unwrap_or(u64::MAX);
            let left = usize::try_from(stop.saturating_sub(self.at)).unwrap_or(max);
            if left == 0 {
                return None;
            }
            if let Some(chunk) = self.log.read(self.at, max.min(left)) {
                self.at = chunk.end();
                return Some(chunk);
            }
            if news.finished_at.is_some() {
                // What was left for us is no longer kept, and nothing will follow.
                return None;
            }
            // The log outlives us, so the sender does.
            self.news.changed().await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(log: &Log, mut from: u64) -> Vec<(u64, Stream, String)> {
        let mut found: Vec<(u64, Stream, String)> = Vec::new();
        while let Some(chunk) = log.read(from, 1000) {
            from = chunk.end();
            let text = String::from_utf8(chunk.bytes).unwrap();
            match found.last_mut() {
                // A run may come in pieces.
                Some((_, stream, before)) if *stream == chunk.stream => before.push_str(&text),
                _ => found.push((chunk.at, chunk.stream, text)),
            }
        }
        found
    }

    #[test]
    fn runs_of_both_streams_come_back_in_order_with_their_offsets() {
        let log = Log::new(100);
        log.push(Stream::Output, b"one ");
        log.push(Stream::Output, b"two ");
        log.push(Stream::Error, b"bad ");
        log.push(Stream::Output, b"three");
        let expected = [
            (0, Stream::Output, "one two ".to_owned()),
            (8, Stream::Error, "bad ".to_owned()),
            (12, Stream::Output, "three".to_owned()),
        ];
        assert_eq!(all(&log, 0), expected);
        assert_eq!(all(&log, 9)[0], (9, Stream::Error, "ad ".to_owned()));
        assert_eq!(log.read(17, 10), None);
        assert_eq!(log.read(999, 10), None);
    }

    #[test]
    fn the_oldest_make_way_and_offsets_stay_true() {
        let log = Log::new(10);
        log.push(Stream::Output, b"0123456789");
        log.push(Stream::Error, b"abcdef");
        assert_eq!(log.extent(), Extent { begin: 6, end: 16 });
        let expected = [
            (6, Stream::Output, "6789".to_owned()),
            (10, Stream::Error, "abcdef".to_owned()),
        ];
        assert_eq!(all(&log, 0), expected);
        log.push(Stream::Error, b"ghijklmnopqrstu");
        assert_eq!(all(&log, 0), [(21, Stream::Error, "lmnopqrstu".to_owned())]);
    }

    #[test]
    fn a_program_that_changes_streams_without_end_does_not_grow_the_index() {
        let log = Log::new(LOG_BYTES_MAX);
        for _ in 0..RUNS_MAX {
            log.push(Stream::Output, b"o");
            log.push(Stream::Error, b"e");
        }
        assert!(log.lock().runs.len() <= RUNS_MAX);
        let extent = log.extent();
        assert_eq!(extent.end - extent.begin, RUNS_MAX as u64);
        assert_eq!(all(&log, 0).len(), RUNS_MAX);
    }

    #[tokio::test]
    async fn a_follower_gets_what_came_before_and_after_and_then_the_end() {
        let log = Log::new(100);
        log.push(Stream::Output, b"before ");
        let mut follower = log.follow(0);
        assert_eq!(follower.next(100).await.unwrap().bytes, b"before ");
        let later = async {
            log.push(Stream::Error, b"after");
            log.finish();
            log.push(Stream::Output, b" left behind");
        };
        let (chunk, ()) = tokio::join!(follower.next(100), later);
        assert_eq!(chunk.unwrap().bytes, b"after");
        assert_eq!(follower.next(100).await, None);
        assert_eq!(follower.at, 12);
        assert_eq!(log.extent().end, 24);
    }

    #[tokio::test]
    async fn a_follower_of_an_ended_log_that_was_let_go_is_at_its_end() {
        let log = Log::new(100);
        log.push(Stream::Output, b"gone");
        log.finish();
        log.forget();
        let mut follower = log.follow(0);
        let next = tokio::time::timeout(std::time::Duration::from_secs(5), follower.next(100));
        assert_eq!(next.await, Ok(None));
        assert!(log.lock().runs.is_empty());
        log.push(Stream::Error, b"left behind");
        assert_eq!(all(&log, 0), [(4, Stream::Error, "left behind".to_owned())]);
    }
}
