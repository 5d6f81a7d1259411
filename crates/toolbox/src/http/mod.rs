//! The toolbox API: routes, connections, and the shape of bodies and errors.
//!
//! Must not: do the work; each handler lives with its subject.
//! Next: `routes` for what is served.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod door;
pub(crate) mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod number;
pub(crate) mod query;
pub(crate) mod reply;
mod routes;
pub(crate) mod websocket;

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tower::Service as _;

use crate::toolbox::Toolbox;
use door::{Door, Guest};

/// Content type of every JSON body.
pub(crate) const JSON: &str = "application/json; charset=utf-8";
/// Connections at one time; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 4096;
/// After a failed accept (no descriptors left) the next try waits this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Who is at the other end of a connection, as the kernel knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) uid: u32,
    /// `None` for a process that is not in this sandbox.
    pub(crate) pid: Option<i32>,
}

/// Accepts and serves until dropped.
pub(crate) async fn serve(toolbox: Arc<Toolbox>) {
    let router = routes::router(Arc::clone(&toolbox));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let door = &toolbox.door;
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        door.opens().await;
        let accepted = tokio::select! {
            // Both may be dropped: who was not accepted goes on waiting.
            biased;
            () = door.closes() => continue,
            accepted = toolbox.listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let (router, guest) = (router.clone(), door.enter());
                let door = Arc::clone(door);
                toolbox.tasks.spawn("connection", async move {
                    connection(stream, router, guest, &door).await;
                    drop(slot);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
        }
    }
}

/// One connection. A client that leaves takes its unfinished request with it.
async fn connection(stream: UnixStream, router: Router, guest: Guest, door: &Door) {
    let peer = stream.peer_cred().map(|peer| Peer {
        uid: peer.uid(),
        pid: peer.pid().filter(|pid| *pid != 0),
    });
    let peer = peer.ok();
    let guest = Arc::new(guest);
    let asked = Arc::clone(&guest);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let mut router = router.clone();
        let effect = asked.ask(request.method());
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        async move {
            let method = request.method().clone();
            let path = request.uri().path().to_owned();
            let response = match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            drop(effect);
            Ok::<_, Infallible>(error::finish(response, &method, &path))
        }
    });
    let mut serving = pin!(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
    );
    // A connection that breaks is the client's affair.
    tokio::select! {
        biased;
        _broken = serving.as_mut() => {}
        () = door.closes() => {
            serving.as_mut().graceful_shutdown();
            let _broken = serving.await;
        }
    }
}
