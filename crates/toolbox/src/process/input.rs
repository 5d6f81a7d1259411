//! What a process shall read and has not yet: messages in order, within bounds.
//!
//! The message that is being written stays here until its last byte is, so that what is left can
//! be handed over at any time.
//!
//! Must not: know where it is written to. Next: `feed`.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::{Buf as _, Bytes};
use tokio::sync::Notify;

use super::record::{INPUT_MESSAGES_MAX, INPUT_WAITING_BYTES_MAX, InputError};

#[derive(Debug, Default)]
pub(crate) struct Input {
    queue: Mutex<Queue>,
    /// For whoever writes it into a pipe.
    news: Notify,
    /// For those who wait for room.
    room: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Bytes>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Open,
    /// What is here is still written, but no more comes.
    Finished,
    /// Nobody reads any more.
    Closed,
}

impl Input {
    pub(crate) fn with(messages: Vec<Bytes>) -> Self {
        let input = Self::default();
        input.lock().messages = messages.into();
        input
    }

    pub(crate) fn send(&self, message: Bytes) -> Result<(), InputError> {
        let mut queue = self.lock();
        if queue.phase != Phase::Open {
            return Err(InputError::Closed);
        }
        let bytes: usize = queue.messages.iter().map(Bytes::len).sum();
        if queue.messages.len() >= INPUT_MESSAGES_MAX
            || bytes + message.len() > INPUT_WAITING_BYTES_MAX
        {
            return Err(InputError::Full);
        }
        if !message.is_empty() {
            queue.messages.push_back(message);
            self.news.notify_one();
        }
        Ok(())
    }

    /// As `send`, but waits for room.
    pub(crate) async fn send_patiently(&self, message: Bytes) -> Result<(), InputError> {
        if message.len() > INPUT_WAITING_BYTES_MAX {
            // There will never be room for it.
            return Err(InputError::Full);
        }
        loop {
            let mut room = pin!(self.room.notified());
            // Before asking, so that no room is missed.
            room.as_mut().enable();
            match self.send(message.clone()) {
                Err(InputError::Full) => room.await,
                other => return other,
            }
        }
    }

    pub(crate) fn finish(&self) {
        self.enter(Phase::Finished);
    }

    pub(crate) fn close(&self) {
        self.enter(Phase::Closed);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.lock().phase == Phase::Open
    }

    /// What is to be written next; `None` after the last. One reader at a time. Safe to drop.
    pub(in crate::process) async fn next(&self) -> Option<Bytes> {
        loop {
            {
                let queue = self.lock();
                match (queue.messages.front(), queue.phase) {
                    (_, Phase::Closed) | (None, Phase::Finished) => return None,
                    (Some(message), _) => return Some(message.clone()),
                    (None, Phase::Open) => {}
                }
            }
            self.news.notified().await;
        }
    }

    /// So much of the next message was written.
    pub(in crate::process) fn written(&self, length: usize) {
        let mut queue = self.lock();
        if let Some(message) = queue.messages.front_mut() {
            message.advance(length.min(message.len()));
            if message.is_empty() {
                queue.messages.pop_front();
            }
            self.room.notify_waiters();
        }
    }

    pub(crate) fn waiting(&self) -> Vec<Bytes> {
        self.lock().messages.iter().cloned().collect()
    }

    fn enter(&self, phase: Phase) {
        let mut queue = self.lock();
        queue.phase = queue.phase.max(phase);
        if phase == Phase::Closed {
            queue.messages.clear();
        }
        drop(queue);
        self.news.notify_one();
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_written_in_order_and_what_is_left_of_one_is_known() {
        let input = Input::default();
        input.send(Bytes::from_static(b"first")).unwrap();
        input.send(Bytes::from_static(b"second")).unwrap();
        assert_eq!(input.next().await.unwrap(), "first");
        input.written(3);
        assert_eq!(input.waiting(), ["st", "second"]);
        input.finish();
        assert_eq!(
            input.send(Bytes::from_static(b"x")),
            Err(InputError::Closed)
        );
        input.written(2);
        assert_eq!(input.next().await.unwrap(), "second");
        input.written(6);
        assert_eq!(input.next().await, None);
    }

    #[tokio::test]
    async fn a_patient_writer_gets_the_first_room_and_hears_of_the_end() {
        let input = Input::default();
        for _ in 0..INPUT_MESSAGES_MAX {
            input.send(Bytes::from_static(b"x")).unwrap();
        }
        assert_eq!(input.send(Bytes::from_static(b"y")), Err(InputError::Full));
        let reading = async { input.written(1) };
        let (sent, ()) = tokio::join!(input.send_patiently(Bytes::from_static(b"y")), reading);
        assert_eq!(sent, Ok(()));
        let closing = async { input.close() };
        let (sent, ()) = tokio::join!(input.send_patiently(Bytes::from_static(b"z")), closing);
        assert_eq!(sent, Err(InputError::Closed));
    }
}
