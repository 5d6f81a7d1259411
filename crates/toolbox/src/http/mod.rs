//! The toolbox API: routes, connections, and the shape of bodies and errors.
//!
//! Must not: do the work; each handler lives with its subject.
//! Next: `routes` for what is served.

pub(crate) mod body;
pub(crate) mod client;
pub(crate) mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod number;
pub(crate) mod query;
pub(crate) mod reply;
mod routes;
pub(crate) mod websocket;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tower::Service as _;

use crate::toolbox::Toolbox;

/// Content type of every JSON body.
pub(crate) const JSON: &str = "application/json; charset=utf-8";
/// Connections at one time; more wait in the listener's queue.
const CONNECTIONS_MAX: usize = 4096;
/// After a failed accept (no descriptors left) the next try waits this long.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

/// Accepts and serves until dropped.
pub(crate) async fn serve(listener: UnixListener, toolbox: Arc<Toolbox>) {
    let router = routes::router(Arc::clone(&toolbox));
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                toolbox.tasks.spawn("connection", async move {
                    connection(stream, router).await;
                    drop(slot);
                });
            }
            Err(_) => tokio::time::sleep(ACCEPT_RETRY).await,
        }
    }
}

/// One connection. A client that leaves takes its unfinished request with it.
async fn connection(stream: UnixStream, router: Router) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        async move {
            let method = request.method().clone();
            let path = request.uri().path().to_owned();
            let response = match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            Ok::<_, Infallible>(error::finish(response, &method, &path))
        }
    });
    // A connection that breaks is the client's affair.
    let _broken = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
}
