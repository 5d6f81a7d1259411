//! The TCP listener: accepts, bounds and ends client connections.
//!
//! Must not: look into requests; that is `service`'s.
//! Next: `repair` for what happens to bytes before hyper sees them.

mod framing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod repair;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use sebring_tasks::Tasks;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, info, warn};

use crate::service::{Inner, Service};
use repair::RepairedStream;

/// How long a kept connection may wait for its next request. Longer than clients keep theirs, so
/// that they close first and no request crosses our closing on the wire.
const IDLE_TIME_MAX: Duration = Duration::from_secs(300);
/// Requests in flight when the edge is asked to stop.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// Largest request head; a PTY's environment travels in one header of a few KiB.
const HEAD_SIZE_MAX: usize = 128 * 1024;
/// Also the largest single read of an upload. Beyond this a read costs cache, not calls.
const READ_BUFFER_MAX: usize = 512 * 1024;
/// After `accept` failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Finds clients that vanished without a word while a WebSocket or an answer was open.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);

const TOO_MANY: &str = r#"{"statusCode":503,"error":"Service Unavailable","message":"too many connections: try again, and keep fewer open","code":"TOO_MANY_CONNECTIONS","source":"DAYTONA_PROXY"}"#;

pub(crate) async fn serve(service: Service, listener: TcpListener, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(service.config.connections_max));
    let inner = service.start(&tasks);
    let stop = tasks.stop_token();
    if let Ok(address) = listener.local_addr() {
        info!(%address, "edge listening");
    }
    // Safe to drop while accepting: a connection not yet returned stays in the kernel's queue.
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => begin(&inner, stream, peer, place),
                Err(_) => turn_away(&stream),
            },
            Err(error) if is_about_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    inner.events.close().await;
}

fn begin(inner: &Arc<Inner>, stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit) {
    if let Err(error) = set_options(&stream) {
        debug!(%error, "socket options not set");
    }
    let inner = Arc::clone(inner);
    let tasks = inner.tasks.clone();
    tasks.spawn("edge connection", async move {
        converse(inner, stream, peer).await;
        drop(place);
    });
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_AFTER)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
    Ok(())
}

/// Serves one connection until it ends, or until it has drained after a stop.
async fn converse(inner: Arc<Inner>, stream: TcpStream, peer: SocketAddr) {
    let stop = inner.tasks.stop_token();
    let service = service_fn(move |request| Arc::clone(&inner).answer(request, peer));
    let stream = TokioIo::new(RepairedStream::new(stream, BytesMut::new()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIME_MAX)
        .max_header_size(HEAD_SIZE_MAX)
        .max_buf_size(READ_BUFFER_MAX)
        .serve_connection(stream, service)
        .with_upgrades();
    let mut connection = Box::pin(connection);
    let ended = tokio::select! {
        // The connection first: one that has ended needs no draining. Both are safe to drop.
        biased;
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let drained = tokio::time::timeout(DRAIN_TIME_MAX, connection).await;
            drained.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended early");
    }
}

/// An explicit answer, as far as the socket takes it at once.
fn turn_away(stream: &TcpStream) {
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         retry-after: 1\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{TOO_MANY}",
        TOO_MANY.len()
    );
    if stream.try_write(answer.as_bytes()).is_err() {
        debug!("client turned away without an answer");
    }
}

/// Errors that the peer caused before its connection was accepted.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
