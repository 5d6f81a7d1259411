//! Connections into sandboxes: one HTTP/1.1 client per unix socket (the toolbox) or per port
//! behind it (previews), kept alive between requests.
//!
//! A connection has no task of its own. Whoever uses it drives it: first the request's future,
//! then the response body, which hands it back here at its end. That saves two wake-ups and a
//! trip between cores per request, and a client that goes away takes its connection with it.
//!
//! Must not: know who is calling or what is asked.
//! Next: `link` for one connection, `body` for how it comes back, `connect` for how it begins,
//! `stream` for the socket under it.

mod body;
mod connect;
mod link;
mod stream;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use http_body::Body as _;
use parking_lot::Mutex;
use sebring_tasks::Tasks;
use thiserror::Error;
use tokio::time::{Instant, MissedTickBehavior};

pub(crate) use body::{Upload, UpstreamBody};
pub(crate) use connect::Refused;
pub(crate) use link::Link;

/// Idle connections kept to one target. More than the clients of one sandbox usually run at once.
const IDLE_PER_TARGET_MAX: usize = 64;
/// Idle connections kept in all: each is a descriptor here and one inside a sandbox.
const IDLE_MAX: usize = 2048;
/// The toolbox keeps connections as long as we do.
const IDLE_TIME_MAX: Duration = Duration::from_secs(30);
/// Programs close theirs after as little as five seconds (node); we must be first, or a request
/// that cannot be repeated may cross their closing.
const IDLE_TIME_MAX_PORT: Duration = Duration::from_secs(4);
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// What a connection leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// The toolbox's unix socket.
    pub(crate) socket: Arc<Path>,
    /// A TCP port inside the sandbox, or the toolbox itself.
    pub(crate) port: Option<u16>,
}

impl Target {
    const fn idle_time_max(&self) -> Duration {
        match self.port {
            None => IDLE_TIME_MAX,
            Some(_) => IDLE_TIME_MAX_PORT,
        }
    }
}

#[derive(Debug, Error)]
pub(crate) enum Error {
    #[error("connect to the sandbox's toolbox")]
    Connect(#[source] std::io::Error),
    #[error("the toolbox refused to open the port")]
    Refused(Refused),
    #[error("exchange with the sandbox")]
    Exchange(#[source] hyper::Error),
    #[error("what listens there speaks first, so it does not speak HTTP")]
    NotHttp,
}

/// All connections into sandboxes.
#[derive(Debug)]
pub(crate) struct Upstreams {
    idle: Mutex<Idle>,
    tasks: Tasks,
}

#[derive(Debug, Default)]
struct Idle {
    links: HashMap<Target, Vec<(Link, Instant)>>,
    count: usize,
}

impl Upstreams {
    pub(crate) fn new(tasks: Tasks) -> Arc<Self> {
        let upstreams = Arc::new(Self {
            idle: Mutex::default(),
            tasks,
        });
        upstreams.spawn_sweep();
        upstreams
    }

    /// Sends `request` on a kept or a new connection. A kept one may have died unseen: then, and
    /// only when nothing of the request can have had an effect, a new one is tried.
    pub(crate) async fn send(
        self: &Arc<Self>,
        target: Target,
        request: Request<Upload>,
    ) -> Result<Response<UpstreamBody>, Error> {
        let mut request = request;
        if let Some(mut link) = self.take(&target) {
            let copy = repeatable(&request);
            match link.exchange(request).await {
                Ok(response) => return Ok(self.lease(target, link, response)),
                Err(failure) => {
                    let unsent = failure.into_unsent();
                    match unsent {
                        Ok(unsent) => request = unsent,
                        Err(error) => request = copy.ok_or(Error::Exchange(error))?,
                    }
                }
            }
        }
        let mut link = connect::open(&target).await?;
        match link.exchange(request).await {
            Ok(response) => Ok(self.lease(target, link, response)),
            Err(failure) => Err(Error::Exchange(failure.into_error())),
        }
    }

    /// Sends a request that asks to switch protocols, on a connection of its own. The connection
    /// comes back with the response, to be driven until it has switched.
    pub(crate) async fn send_upgrade(
        self: &Arc<Self>,
        target: Target,
        request: Request<Upload>,
    ) -> Result<Upgrading, Error> {
        let mut link = connect::open(&target).await?;
        match link.exchange(request).await {
            Ok(response) if response.status() == http::StatusCode::SWITCHING_PROTOCOLS => {
                Ok(Upgrading::Switching(response, link))
            }
            Ok(response) => Ok(Upgrading::Declined(self.lease(target, link, response))),
            Err(failure) => Err(Error::Exchange(failure.into_error())),
        }
    }

    fn lease(
        self: &Arc<Self>,
        target: Target,
        link: Link,
        response: Response<hyper::body::Incoming>,
    ) -> Response<UpstreamBody> {
        response.map(|incoming| UpstreamBody::new(incoming, link, target, Arc::clone(self)))
    }

    fn take(&self, target: &Target) -> Option<Link> {
        loop {
            let (link, since) = {
                let mut idle = self.idle.lock();
                let links = idle.links.get_mut(target)?;
                let kept = links.pop()?;
                if links.is_empty() {
                    idle.links.remove(target);
                }
                idle.count -= 1;
                kept
            };
            if since.elapsed() < target.idle_time_max() && link.is_usable() {
                return Some(link);
            }
        }
    }

    /// Keeps `link` for the next request, if it can take one and there is room.
    fn put_back(&self, target: Target, link: Link) {
        let mut idle = self.idle.lock();
        if idle.count >= IDLE_MAX {
            return;
        }
        let links = idle.links.entry(target).or_default();
        if links.len() < IDLE_PER_TARGET_MAX {
            links.push((link, Instant::now()));
            idle.count += 1;
        }
    }

    fn spawn_sweep(self: &Arc<Self>) {
        let (upstreams, stop) = (Arc::downgrade(self), self.tasks.stop_token());
        self.tasks.spawn("edge upstream sweep", async move {
            let mut tick = tokio::time::interval(SWEEP_EVERY);
            tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stop.run_until_cancelled(tick.tick()).await.is_some() {
                let Some(upstreams) = upstreams.upgrade() else {
                    return;
                };
                upstreams.sweep(Instant::now());
            }
        });
    }

    fn sweep(&self, now: Instant) {
        let mut idle = self.idle.lock();
        let mut closed = 0;
        idle.links.retain(|target, links| {
            let before = links.len();
            links.retain(|(_, since)| now.duration_since(*since) < target.idle_time_max());
            closed += before - links.len();
            !links.is_empty()
        });
        idle.count -= closed;
    }
}

/// What became of a request to switch protocols.
pub(crate) enum Upgrading {
    Switching(Response<hyper::body::Incoming>, Link),
    Declined(Response<UpstreamBody>),
}

/// A second copy of a request that may be sent twice: without a body, by a method without effects
/// or with the same effect twice.
fn repeatable(request: &Request<Upload>) -> Option<Request<Upload>> {
    let is_safe = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    if !is_safe || !request.body().is_end_stream() {
        return None;
    }
    let mut copy = Request::new(Upload::Nothing);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    Some(copy)
}
