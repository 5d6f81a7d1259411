//! WebSockets: accepting them, choosing the subprotocol, keeping them alive and closing them.
//!
//! A socket has two halves that one task polls side by side, so that a client which reads slowly
//! is still heard. A client that answers no ping is not dropped here: many read only when their
//! program asks for more. Whoever vanishes is found by the edge, which holds the connection.
//!
//! Must not: know what is said. Next: the subject that accepts one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{sleep, timeout};

use super::error::Failure;

/// Sockets at one time.
const SOCKETS_MAX: usize = 4096;
/// The largest message a client may send: what a person can paste, and more.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Held by each socket as long as it is open, so small.
const READ_BUFFER_BYTES: usize = 4 << 10;
/// Messages of more than this are written as they come; smaller ones are when flushed.
const WRITE_BUFFER_BYTES: usize = 8 << 10;
/// An idle socket is pinged this often, well within the patience of proxies on the way.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// For the client to answer our close; what it has not read by then may be lost to it.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(5);
/// A close frame has room for this much text.
const REASON_BYTES_MAX: usize = 123;
/// Preferred to everything else a client offers: it wants to be told of a terminal's end in words
/// before the close.
pub(crate) const PTY_EXIT_CONTROL: &str = "X-Daytona-Pty-Exit-Control";
/// Preferred next: its value follows.
const SDK_VERSION: &str = "X-Daytona-SDK-Version~";

static SOCKETS: AtomicUsize = AtomicUsize::new(0);

/// A request for a WebSocket. As `Option<Upgrade>` for routes that also answer without.
#[derive(Debug)]
pub(crate) struct Upgrade {
    request: WebSocketUpgrade,
    offered: Vec<HeaderValue>,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let request = WebSocketUpgrade::from_request_parts(parts, state)
            .await
            .map_err(|rejection| {
                Failure::bad_request(format!("websocket: {}", rejection.body_text()))
            })?;
        Ok(Self {
            request,
            offered: offered(&parts.headers),
        })
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Upgrade {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Failure> {
        let is_asked = parts
            .headers
            .get(header::UPGRADE)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
        if !is_asked {
            return Ok(None);
        }
        <Self as FromRequestParts<S>>::from_request_parts(parts, state)
            .await
            .map(Some)
    }
}

impl Upgrade {
    /// The subprotocols that the client offers.
    pub(crate) fn offered(&self) -> impl Iterator<Item = &str> {
        self.offered.iter().filter_map(|token| token.to_str().ok())
    }

    /// Accepts; `serve` has the socket once the client knows. Whatever must be refused by a status
    /// must be refused before.
    pub(crate) fn accept<F>(
        self,
        serve: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Result<Response, Failure>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let slot = Slot::take()?;
        let mut request = self
            .request
            .max_message_size(MESSAGE_BYTES_MAX)
            .max_frame_size(MESSAGE_BYTES_MAX)
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES);
        // Clients abort when they offered some and none is chosen, or one they did not offer.
        if let Some(chosen) = choose(&self.offered) {
            request.set_selected_protocol(chosen.clone());
        }
        Ok(request.on_upgrade(move |socket| async move {
            let (sender, receiver) = socket.split();
            serve(Socket {
                sender: Sender(sender),
                receiver: Receiver(receiver),
            })
            .await;
            drop(slot);
        }))
    }
}

pub(crate) fn offered(headers: &HeaderMap) -> Vec<HeaderValue> {
    headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|token| HeaderValue::from_bytes(token.trim_ascii()).ok())
        .filter(|token| !token.is_empty())
        .collect()
}

pub(crate) fn choose(offered: &[HeaderValue]) -> Option<&HeaderValue> {
    offered
        .iter()
        .find(|token| token.as_bytes() == PTY_EXIT_CONTROL.as_bytes())
        .or_else(|| {
            offered
                .iter()
                .find(|token| token.as_bytes().starts_with(SDK_VERSION.as_bytes()))
        })
        .or_else(|| offered.first())
}

/// Counts an open socket.
struct Slot;

impl Slot {
    fn take() -> Result<Self, Failure> {
        if SOCKETS.fetch_add(1, Ordering::Relaxed) < SOCKETS_MAX {
            return Ok(Self);
        }
        SOCKETS.fetch_sub(1, Ordering::Relaxed);
        Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "TOO_MANY_SOCKETS",
            format!("websockets: {SOCKETS_MAX} are open, the maximum; close some first"),
        ))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        SOCKETS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open WebSocket. Take it apart to use both halves at once.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

#[derive(Debug)]
pub(crate) struct Sender(SplitSink<WebSocket, Message>);

#[derive(Debug)]
pub(crate) struct Receiver(SplitStream<WebSocket>);

/// What a client said.
#[derive(Debug)]
pub(crate) enum Received {
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl Received {
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Text(text) => text.into(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// The client is gone.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the client has left")]
pub(crate) struct Gone;

impl Sender {
    pub(crate) async fn text(&mut self, text: impl Into<Utf8Bytes>) -> Result<(), Gone> {
        self.send(Message::Text(text.into())).await
    }

    pub(crate) async fn binary(&mut self, bytes: impl Into<Bytes>) -> Result<(), Gone> {
        self.send(Message::Binary(bytes.into())).await
    }

    /// Pings for as long as it is awaited; poll it while there is nothing to send.
    pub(crate) async fn keep_alive(&mut self) -> Gone {
        loop {
            sleep(PING_INTERVAL).await;
            if let Err(gone) = self.send(Message::Ping(Bytes::new())).await {
                return gone;
            }
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        self.0.send(message).await.map_err(|_| Gone)
    }
}

impl Receiver {
    /// The next message; `None` once the client has closed or is gone. Pings are answered here, so
    /// this must be polled while the socket is in use. Safe to drop at any await.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        loop {
            match self.0.next().await? {
                Ok(Message::Text(text)) => return Some(Received::Text(text)),
                Ok(Message::Binary(bytes)) => return Some(Received::Binary(bytes)),
                // Answered by the library; after a close nothing more comes.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Close(_)) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Socket {
    /// Closes after all that was sent, and waits a little for the client to have read it.
    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let frame = CloseFrame {
            code,
            reason: reason.into(),
        };
        let closing = async {
            if self.sender.send(Message::Close(Some(frame))).await.is_ok() {
                while self.receiver.next().await.is_some() {}
            }
        };
        // A client that does not answer keeps nothing from ending.
        let _late = timeout(CLOSE_TIME_MAX, closing).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(offer: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in offer {
            headers.append(header::SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
        }
        choose(&offered(&headers)).map(|token| token.to_str().unwrap().to_owned())
    }

    #[test]
    fn exactly_one_offered_subprotocol_is_chosen_and_none_when_none_was_offered() {
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&["a, b"]).unwrap(), "a");
        let version = "X-Daytona-SDK-Version~0.2";
        assert_eq!(chosen(&[&format!("a,{version}")]).unwrap(), version);
        assert_eq!(
            chosen(&[version, PTY_EXIT_CONTROL]).unwrap(),
            PTY_EXIT_CONTROL
        );
        assert_eq!(chosen(&[", ,x"]).unwrap(), "x");
    }
}
