//! The protocol of `sebring_api::runner` over HTTP/1.1 on a unix socket.
//!
//! A command outlives the request that brought it: handlers only hand it over and wait.
//!
//! Must not: decide anything.

use std::fs;
use std::io;
use std::path::Path;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path as UrlPath, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sebring_api::runner::{Command, Observation, UsageSpan};
use sebring_core::id::SandboxId;
use sebring_tasks::Tasks;
use serde::Serialize;
use tokio::net::UnixListener;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::runner::Runner;

/// A command holds a specification; environments can be large.
const BODY_BYTES_MAX: usize = 4 << 20;
/// Observations on their way to one listener.
const STREAM_BUFFERED: usize = 64;
const SOCKET_NAME: &str = "runner.sock";

/// Serves until the runner stops; tells `ready` once requests are accepted.
pub(crate) async fn serve(
    runner: Runner,
    run_dir: &Path,
    group: Option<u32>,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let path = run_dir.join(SOCKET_NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    crate::sandbox::let_group_in(run_dir, group, 0o750)?;
    crate::sandbox::let_group_in(&path, group, 0o660)?;
    info!(socket = %path.display(), "runner is ready");
    ready();
    let tasks = runner.shared.tasks.clone();
    axum::serve(listener, router(runner))
        .with_graceful_shutdown(async move { tasks.stopped().await })
        .await
}

/// Takes the socket away; a predecessor that was killed could not. Only while no successor can
/// have made its own: before the runner lets go of its lock.
pub(crate) fn remove_socket(run_dir: &Path) {
    match fs::remove_file(run_dir.join(SOCKET_NAME)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            warn!(error = %error, "cannot remove the runner's socket");
        }
        _ => {}
    }
}

fn router(runner: Runner) -> axum::Router {
    axum::Router::new()
        .route("/v1/sandboxes", get(inventory))
        .route("/v1/sandboxes/{id}", get(observation).put(command))
        .route("/v1/sandboxes/{id}/usage", get(usage))
        .route("/v1/observations", get(observations))
        .route("/v1/spares", get(spares))
        .route("/v1/host", get(host))
        .route("/v1/snapshots", get(snapshots))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(runner)
}

async fn command(
    State(runner): State<Runner>,
    UrlPath(id): UrlPath<SandboxId>,
    body: Bytes,
) -> Response {
    match serde_json::from_slice::<Command>(&body) {
        Ok(command) => Json(runner.command(id, command).await).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, format!("command: {error}")).into_response(),
    }
}

async fn observation(
    State(runner): State<Runner>,
    UrlPath(id): UrlPath<SandboxId>,
) -> Json<Observation> {
    Json(runner.observation(id))
}

async fn usage(
    State(runner): State<Runner>,
    UrlPath(id): UrlPath<SandboxId>,
    Query(span): Query<UsageSpan>,
) -> Response {
    match tokio::task::spawn_blocking(move || runner.usage(id, span)).await {
        Ok(Ok(samples)) => Json(samples).into_response(),
        Ok(Err(error)) => failed(&error),
        Err(panic) => failed(&panic),
    }
}

async fn inventory(State(runner): State<Runner>) -> Response {
    Json(runner.inventory()).into_response()
}

async fn host(State(runner): State<Runner>) -> Response {
    match runner.host() {
        Ok(host) => Json(host).into_response(),
        Err(error) => failed(&error),
    }
}

async fn snapshots(State(runner): State<Runner>) -> Response {
    match runner.snapshots() {
        Ok(list) => Json(list).into_response(),
        Err(error) => failed(&error),
    }
}

/// Subscribes first and lists afterwards, so that no change falls between; one that is in both
/// is the same observation twice.
async fn observations(State(runner): State<Runner>) -> Response {
    let mut changes = runner.observations();
    let present = runner.inventory().sandboxes;
    let (lines, body) = mpsc::channel::<Result<Bytes, io::Error>>(STREAM_BUFFERED);
    let tasks: Tasks = runner.shared.tasks.clone();
    tasks.clone().spawn("observations", async move {
        for observation in present {
            if send(&lines, &observation).await.is_err() {
                return;
            }
        }
        loop {
            // All only wait; a change that was not received stays in the channel.
            let change = tokio::select! {
                () = tasks.stopped() => return,
                () = lines.closed() => return,
                change = changes.recv() => change,
            };
            match change {
                Ok(observation) => {
                    if send(&lines, &observation).await.is_err() {
                        return;
                    }
                }
                // Ending the stream makes the listener start over with the inventory.
                Err(RecvError::Lagged(missed)) => {
                    warn!(missed, "a listener is too slow");
                    return;
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
    streamed(body)
}

/// A list is the whole truth, so whoever is slow may miss some, but never the last.
async fn spares(State(runner): State<Runner>) -> Response {
    let mut changes = runner.spares();
    changes.mark_changed();
    let (lines, body) = mpsc::channel(STREAM_BUFFERED);
    let tasks: Tasks = runner.shared.tasks.clone();
    tasks.clone().spawn("spares told", async move {
        loop {
            // All only wait.
            let changed = tokio::select! {
                () = tasks.stopped() => return,
                () = lines.closed() => return,
                changed = changes.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let present = changes.borrow_and_update().clone();
            if send(&lines, &present).await.is_err() {
                return;
            }
        }
    });
    streamed(body)
}

fn streamed(body: mpsc::Receiver<Result<Bytes, io::Error>>) -> Response {
    let json_lines = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (json_lines, Body::new(Lines(body))).into_response()
}

async fn send(
    lines: &mpsc::Sender<Result<Bytes, io::Error>>,
    news: &impl Serialize,
) -> Result<(), ()> {
    let mut line = serde_json::to_vec(news).map_err(|_| ())?;
    line.push(b'\n');
    lines.send(Ok(line.into())).await.map_err(|_| ())
}

/// A response body fed from a channel.
struct Lines(mpsc::Receiver<Result<Bytes, io::Error>>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, io::Error>>> {
        self.0
            .poll_recv(context)
            .map(|line| line.map(|line| line.map(hyper::body::Frame::data)))
    }
}

fn failed(error: &dyn std::error::Error) -> Response {
    warn!(error = %error, "request failed");
    (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response()
}
