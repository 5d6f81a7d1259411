//! `GET /port`, `/port/{port}/in-use` and `/sebring/port/{port}/wait`: who listens, as the kernel's
//! tables say. Next: `listeners` for how they are read.

use std::ops::RangeInclusive;
use std::time::Duration;

use axum::extract::Path;
use http::StatusCode;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::listeners::{self, Listener};
use super::port as any_port;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;

/// The contract's window: below are system services, above are ephemeral ports.
const SHOWN: RangeInclusive<u16> = 3000..=9999;
/// The kernel tells nobody when a socket starts to listen, so its tables are read again and again:
/// soon at first, since most servers start soon, then less and less often.
const LOOK_FIRST: Duration = Duration::from_millis(20);
const LOOK_LAST: Duration = Duration::from_millis(250);
const WAIT_SECONDS_DEFAULT: u64 = 60;
const WAIT_SECONDS_MAX: u64 = 600;

#[derive(Debug, Serialize)]
pub(crate) struct Ports {
    ports: Vec<u16>,
    /// All of them, those outside the window too.
    listeners: Vec<Listener>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InUse {
    is_in_use: bool,
}

pub(crate) async fn list() -> Result<Json<Ports>, Failure> {
    let listeners = listeners::all().await?;
    let mut ports: Vec<u16> = listeners.iter().map(|listener| listener.port).collect();
    ports.retain(|port| SHOWN.contains(port));
    ports.dedup();
    Ok(Json(Ports { ports, listeners }))
}

pub(crate) async fn in_use(Path(port): Path<String>) -> Result<Json<InUse>, Failure> {
    let port = port
        .parse()
        .ok()
        .filter(|port| SHOWN.contains(port))
        .ok_or_else(|| {
            Failure::bad_request(format!("port {port:?}: must be a number from 3000 to 9999"))
        })?;
    Ok(Json(InUse {
        is_in_use: listening().contains(&port),
    }))
}

/// Answers once somebody listens on the port.
pub(crate) async fn wait(Path(port): Path<String>, query: Query) -> Result<Json<InUse>, Failure> {
    let port = any_port(&port)?;
    let seconds = wait_seconds(query.get("timeout"))?;
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let listens = async {
        let mut pause = LOOK_FIRST;
        while !listening().contains(&port) {
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LOOK_LAST);
        }
    };
    match timeout_at(deadline, listens).await {
        Ok(()) => Ok(Json(InUse { is_in_use: true })),
        Err(_) => Err(Failure::new(
            StatusCode::REQUEST_TIMEOUT,
            "REQUEST_TIMEOUT",
            format!(
                "nothing listens on port {port} after {seconds} seconds; listening are {:?}",
                listening()
            ),
        )),
    }
}

fn wait_seconds(asked: Option<&str>) -> Result<u64, Failure> {
    let Some(text) = asked else {
        return Ok(WAIT_SECONDS_DEFAULT);
    };
    let accepted = 1..=WAIT_SECONDS_MAX;
    let seconds = text.parse().ok();
    seconds
        .filter(|seconds| accepted.contains(seconds))
        .ok_or_else(|| {
            Failure::bad_request(format!(
                "query timeout {text:?}: must be a number of seconds from 1 to {WAIT_SECONDS_MAX}"
            ))
        })
}

/// Every TCP port that somebody listens on, IPv4 and IPv6.
pub(crate) fn listening() -> Vec<u16> {
    let mut ports: Vec<u16> = listeners::sockets()
        .iter()
        .map(|socket| socket.port)
        .collect();
    ports.dedup();
    ports
}
