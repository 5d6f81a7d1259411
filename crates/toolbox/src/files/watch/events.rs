//! What a client of a watch gets: `ready`, then a `change` for each, `lost` where some are
//! missing, and `end`. Each carries the cursor to come back with as its id.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde::Serialize;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Client;
use super::history::After;

/// So that neither side takes a quiet connection for a dead one.
const QUIET: Duration = Duration::from_secs(15);
/// Changes in one piece of the body.
const BATCH: usize = 256;

struct Events {
    client: Client,
    news: watch::Receiver<()>,
    next: u64,
    said: VecDeque<String>,
    ended: bool,
}

pub(super) fn stream(client: Client, cursor: Option<&str>) -> Response {
    let history = &client.0.history;
    let news = history.news();
    let known = cursor.and_then(|cursor| history.number(cursor));
    let next = known.unwrap_or_else(|| history.now());
    let mut events = Events {
        news,
        next,
        said: VecDeque::new(),
        ended: false,
        client,
    };
    events.say("ready", &json!({"resumed": known.is_some()}));
    if cursor.is_some() && known.is_none() {
        events.say(
            "lost",
            &json!({"reason": "the cursor is of a watch that has ended"}),
        );
    }
    let body = Body::from_stream(stream::unfold(events, |mut events| async move {
        let bytes = events.next().await?;
        Some((Ok::<_, std::convert::Infallible>(bytes), events))
    }));
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, body).into_response()
}

impl Events {
    /// The next piece; `None` when there will be no more.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.gather();
            if !self.said.is_empty() {
                return Some(self.said.drain(..).collect::<String>().into());
            }
            if self.ended {
                return None;
            }
            match timeout(QUIET, self.news.changed()).await {
                Ok(Ok(())) => {}
                // The watch is broken.
                Ok(Err(_)) => return None,
                Err(_) => return Some(Bytes::from_static(b": nothing yet\n\n")),
            }
        }
    }

    fn gather(&mut self) {
        while self.said.len() < BATCH && !self.ended {
            match self.client.0.history.after(self.next) {
                After::Change(next, change) => {
                    self.next = next;
                    self.say("change", &change);
                }
                After::Lost(next) => {
                    self.next = next;
                    self.say("lost", &json!({"reason": "there were too many changes"}));
                }
                After::Nothing => break,
                After::End => {
                    self.ended = true;
                    self.say("end", &json!({}));
                }
            }
        }
    }

    fn say(&mut self, what: &str, data: &impl Serialize) {
        // Text and numbers always have a form as JSON.
        let data = serde_json::to_string(data).unwrap_or_default();
        let cursor = self.client.0.history.cursor(self.next);
        self.said
            .push_back(format!("id: {cursor}\nevent: {what}\ndata: {data}\n\n"));
    }
}
