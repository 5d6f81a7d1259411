//! Ports inside the sandbox: which are open, and ways to them for the edge.
//!
//! Only loopback is ever connected to. Must not: resolve names or listen.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod listeners;
pub(crate) mod ports;
pub(crate) mod proxy;
pub(crate) mod relay;
pub(crate) mod tcp;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use tokio::net::TcpStream;

use crate::http::error::Failure;

/// Loopback answers at once or not at all, unless the listener's queue is full.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Connects to a port of this sandbox, IPv4 first.
async fn connect(port: u16) -> Result<TcpStream, Failure> {
    let attempt = async {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Err(_) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await,
            connected => connected,
        }
    };
    let connected = match tokio::time::timeout(CONNECT_TIMEOUT, attempt).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    };
    let stream = connected.map_err(|_| nobody_listens(port))?;
    // Small messages must not wait for more; without it they only arrive later.
    let _slower = stream.set_nodelay(true);
    Ok(stream)
}

fn nobody_listens(port: u16) -> Failure {
    let listening = ports::listening();
    let message = match listening.as_slice() {
        [] => format!("nothing listens on port {port} inside the sandbox, nor on any other"),
        some => {
            format!("nothing listens on port {port} inside the sandbox; listening are {some:?}")
        }
    };
    Failure::new(StatusCode::BAD_GATEWAY, "PORT_NOT_LISTENING", message)
        .with("listeningPorts", json!(listening))
}

/// A port from a path.
fn port(text: &str) -> Result<u16, Failure> {
    text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        Failure::bad_request(format!("port {text:?}: must be a number from 1 to 65535"))
    })
}
