//! A WebSocket client on the toolbox's socket.

use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::HandshakeError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket};

use super::Client;

/// Longer than anything a test waits for.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Socket {
    inner: WebSocket<UnixStream>,
    /// The subprotocol that was chosen.
    pub protocol: Option<String>,
}

/// What came.
#[derive(Debug, PartialEq)]
pub enum Frame {
    Text(Value),
    Binary(Vec<u8>),
    Closed(Option<(u16, String)>),
}

impl Client {
    pub fn websocket(&self, target: &str) -> Socket {
        self.websocket_offering(target, &[]).unwrap()
    }

    /// The status when the upgrade is refused.
    pub fn websocket_offering(&self, target: &str, protocols: &[&str]) -> Result<Socket, u16> {
        let offer = protocols.join(", ");
        let headers = [("sec-websocket-protocol", offer.as_str())];
        self.websocket_with(target, &headers[..usize::from(!protocols.is_empty())])
    }

    pub fn websocket_with(
        &self,
        target: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, u16> {
        let mut request = format!("ws://toolbox{target}")
            .into_client_request()
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let stream = self.connect();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        match tokio_tungstenite::tungstenite::client(request, stream) {
            Ok((inner, response)) => {
                let protocol = response.headers().get("sec-websocket-protocol");
                Ok(Socket {
                    inner,
                    protocol: protocol.map(|value| value.to_str().unwrap().to_owned()),
                })
            }
            Err(HandshakeError::Failure(Error::Http(response))) => Err(response.status().as_u16()),
            Err(other) => panic!("{other}"),
        }
    }
}

impl Socket {
    pub fn next(&mut self) -> Frame {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Pings come even when nothing else does.
            assert!(Instant::now() < deadline, "nothing was said");
            match self.inner.read() {
                Ok(Message::Text(text)) => {
                    return Frame::Text(serde_json::from_str(&text).unwrap());
                }
                Ok(Message::Binary(bytes)) => return Frame::Binary(bytes.to_vec()),
                Ok(Message::Close(frame)) => {
                    // Sends our half of the handshake.
                    let _closed = self.inner.flush();
                    return Frame::Closed(
                        frame.map(|f| (CloseCode::into(f.code), f.reason.to_string())),
                    );
                }
                Ok(_) => {}
                // A child of this test has ended meanwhile.
                Err(Error::Io(error)) if error.kind() == ErrorKind::Interrupted => {}
                Err(
                    Error::ConnectionClosed
                    | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake),
                ) => {
                    return Frame::Closed(None);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    pub fn text(&mut self) -> Value {
        match self.next() {
            Frame::Text(value) => value,
            other => panic!("{other:?} instead of text"),
        }
    }

    /// Binary frames until what they hold together satisfies.
    pub fn binary_until(&mut self, mut enough: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let mut all = Vec::new();
        while !enough(&all) {
            match self.next() {
                Frame::Binary(bytes) => all.extend(bytes),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&all)),
            }
        }
        all
    }

    /// Binary frames one by one, and how it was closed.
    pub fn frames(&mut self) -> (Vec<Vec<u8>>, Option<(u16, String)>) {
        let mut frames = Vec::new();
        loop {
            match self.next() {
                Frame::Binary(bytes) => frames.push(bytes),
                Frame::Closed(close) => return (frames, close),
                Frame::Text(text) => panic!("{text}"),
            }
        }
    }

    pub fn send(&mut self, text: &str) {
        self.inner.send(Message::text(text)).unwrap();
    }

    pub fn send_binary(&mut self, bytes: &[u8]) {
        self.inner.send(Message::binary(bytes.to_vec())).unwrap();
    }

    pub fn ping(&mut self) {
        self.inner.send(Message::Ping(vec![7].into())).unwrap();
    }

    /// Whether a pong comes before anything else than binary frames.
    pub fn wait_for_pong(&mut self) {
        loop {
            match self.inner.read().unwrap() {
                Message::Pong(_) => return,
                Message::Binary(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
