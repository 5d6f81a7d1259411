//! `POST /_sebring/upgrade`: the runner asks, and hears what became of it.
//!
//! The request names no program: which one it is, the runner has said by what it mounted. So
//! nobody who reaches this route can have anything else run; it is refused to the sandbox's own
//! processes all the same.
//!
//! Must not: cut a request that may have an effect. Next: `exec`.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper::upgrade::Upgraded as Raw;
use hyper_util::rt::TokioIo;
use sebring_api::boot::{UPGRADE_PROTOCOL, Upgraded};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::exec::{self, Refusal};
use super::parcel::Busy;
use super::save::save;
use crate::http::Peer;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

/// For a moment in which nothing that has an effect is being answered.
const QUIET_WAIT: Duration = Duration::from_secs(8);
/// For every task to rest. What ends just then is not heard before the pause is over.
const REST_WAIT: Duration = Duration::from_millis(100);
/// From the beginning, for another attempt when the last one found something in the way.
const AGAIN_WITHIN: Duration = Duration::from_secs(3);
/// For who is inside once the door is closed; what takes longer is not cut, it is waited for
/// another time.
const LEAVE_WAIT: Duration = Duration::from_secs(6);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(3);
const ANSWER_WAIT: Duration = Duration::from_secs(5);

pub(crate) async fn upgrade(
    State(toolbox): State<Arc<Toolbox>>,
    peer: Option<Extension<Peer>>,
    mut request: Request,
) -> Result<Response, Failure> {
    if !peer.is_some_and(|Extension(peer)| may_ask(peer)) {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "only the host upgrades the toolbox",
        ));
    }
    let asked = request.headers().get(UPGRADE);
    if asked.is_none_or(|value| value.as_bytes() != UPGRADE_PROTOCOL.as_bytes()) {
        let message = format!("header Upgrade: must be {UPGRADE_PROTOCOL}");
        return Err(Failure::bad_request(message));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    let tasks = toolbox.tasks.clone();
    tasks.spawn("upgrade", async move {
        if let Ok(raw) = upgrade.await
            && let Some(stream) = stream(raw)
        {
            attend(&toolbox, &stream).await;
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(UPGRADE_PROTOCOL));
    Ok(response)
}

/// The first process of a sandbox is asked from outside, where no process has a number here.
/// Elsewhere, in tests, by whoever started it.
fn may_ask(peer: Peer) -> bool {
    if rustix::process::getpid().is_init() {
        peer.pid.is_none()
    } else {
        peer.uid == rustix::process::geteuid().as_raw()
    }
}

fn stream(raw: Raw) -> Option<UnixStream> {
    let parts = raw.downcast::<TokioIo<UnixStream>>().ok()?;
    Some(parts.io.into_inner())
}

async fn attend(toolbox: &Toolbox, stream: &UnixStream) {
    let outcome = tokio::select! {
        // Either may be dropped: before the last step, which awaits nothing, nothing has changed.
        biased;
        () = left(stream) => return,
        refusal = attempt(toolbox, stream) => match refusal {
            Refusal::Busy(busy) => Upgraded::Busy {
                reason: busy.to_string(),
            },
            refusal @ (Refusal::Step { .. } | Refusal::Unable(_)) => Upgraded::Refused {
                reason: refusal.to_string(),
            },
        },
    };
    let _unheard = say(stream, &outcome).await;
}

/// Resolves when who asked wants it no more.
async fn left(stream: &UnixStream) {
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // Nothing more is to be said there.
            Ok(_) | Err(_) => return,
        }
    }
}

/// Comes back only when it could not be.
async fn attempt(toolbox: &Toolbox, stream: &UnixStream) -> Refusal {
    let again_until = Instant::now() + AGAIN_WITHIN;
    loop {
        let refusal = attempt_once(toolbox, stream).await;
        let is_busy = matches!(refusal, Refusal::Busy(_));
        if !is_busy || Instant::now() >= again_until {
            return refusal;
        }
        // What rested goes on, and with that what was in the way.
        sleep(LOOK_AGAIN).await;
    }
}

async fn attempt_once(toolbox: &Toolbox, stream: &UnixStream) -> Refusal {
    if !until(QUIET_WAIT, || toolbox.door.is_quiet()).await {
        return Busy("a request is being answered").into();
    }
    let _paused = toolbox.pause.begin();
    let mut last = Busy("something else");
    let at_rest = until(REST_WAIT, || match save(toolbox, stream) {
        Ok(_) => true,
        Err(busy) => {
            last = busy;
            false
        }
    });
    if !at_rest.await {
        return last.into();
    }
    let _closed = toolbox.door.close();
    if !until(LEAVE_WAIT, || toolbox.door.is_done()).await {
        return Busy("a request is being answered").into();
    }
    exec::replace(toolbox, stream)
}

/// Whether it became so within that time.
async fn until(wait: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + wait;
    loop {
        // Gives whoever has just been told a turn.
        tokio::task::yield_now().await;
        if is_so() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        sleep(LOOK_AGAIN).await;
    }
}

/// One line.
pub(super) async fn say(stream: &UnixStream, outcome: &Upgraded) -> io::Result<()> {
    let mut text = serde_json::to_vec(outcome)?;
    text.push(b'\n');
    let writing = async {
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            stream.writable().await?;
            match stream.try_write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    };
    match timeout(ANSWER_WAIT, writing).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
