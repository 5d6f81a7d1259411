//! Target: the bytes of a client's connection, before hyper reads them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use sebring_testkit::corpus;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framing::Framing;

/// Repair is the same however the bytes arrive, does nothing but encode, and never touches what
/// hyper takes for a body.
pub fn http_framing(input: &[u8]) {
    let (longest, bytes) = corpus::choice(input);
    let whole = repaired(&[bytes]);
    assert_eq!(repaired(&corpus::pieces(bytes, longest)), whole);
    assert_eq!(decoded(&whole), decoded(bytes), "something was lost");
    for piece in bodies(whole) {
        let found = bytes
            .windows(piece.len().max(1))
            .any(|window| window == piece);
        assert!(found || piece.is_empty(), "a body was changed: {piece:?}");
    }
}

fn repaired(pieces: &[&[u8]]) -> Vec<u8> {
    let mut framing = Framing::new();
    let mut out = Vec::new();
    for piece in pieces {
        let mut rest = *piece;
        while let Some(at) = framing.advance(rest) {
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(&super::repair::percent_encoded(rest[at]));
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
    }
    out
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    percent_encoding::percent_decode(bytes).collect()
}

/// Every piece of every body that hyper finds in a connection.
fn bodies(connection: Vec<u8>) -> Vec<Bytes> {
    let found = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&found);
    let service = service_fn(move |request: Request<Incoming>| {
        let heard = Arc::clone(&heard);
        async move {
            let mut body = request.into_body();
            while let Some(Ok(frame)) = body.frame().await {
                if let Ok(data) = frame.into_data() {
                    heard
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(data);
                }
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let stream = TokioIo::new(Recorded(connection, 0));
    let served = hyper::server::conn::http1::Builder::new().serve_connection(stream, service);
    // The stream never waits, so neither does the connection; how it ends does not matter.
    let _ended = served.now_or_never();
    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::take(&mut *found)
}

/// A client that has said everything and hears nothing.
struct Recorded(Vec<u8>, usize);

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let rest = &self.0[self.1..];
        let length = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..length]);
        self.1 += length;
        std::task::Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
