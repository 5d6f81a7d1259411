//! HTTP to the runner's unix socket, with kept-alive connections.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use sebring_api::runner::{
    Command, Host, Inventory, Observation, SnapshotFacts, UsageSample, UsageSpan,
};
use sebring_core::id::SandboxId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::watch;

/// A bring-up that takes longer is asked for again; the runner goes on with the first.
const COMMAND_ANSWER_MAX: Duration = Duration::from_secs(60);
const QUERY_ANSWER_MAX: Duration = Duration::from_secs(10);
/// An inventory of ten thousand sandboxes is about 4 MiB.
const ANSWER_BYTES_MAX: usize = 64 << 20;
const IDLE_CONNECTIONS_MAX: usize = 64;
const IDLE_MAX: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("reach the runner at {path}")]
    Unreachable {
        path: PathBuf,
        source: legacy::Error,
    },
    #[error("the runner did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the runner broke off its answer")]
    BrokenOff(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the runner answered {status}: {body}")]
    Refused { status: StatusCode, body: String },
    #[error("the runner's answer is not understood")]
    NotUnderstood(#[from] serde_json::Error),
}

/// Whether the observation stream is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Down,
    Up,
}

#[derive(Clone, Debug)]
pub(crate) struct Client {
    http: legacy::Client<Connector, Full<Bytes>>,
    path: Arc<Path>,
    link: Arc<watch::Sender<Link>>,
}

impl Client {
    pub(crate) fn new(path: &Path) -> Self {
        let path: Arc<Path> = path.into();
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(Connector(Arc::clone(&path)));
        Self {
            http,
            path,
            link: Arc::new(watch::Sender::new(Link::Down)),
        }
    }

    pub(crate) fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    pub(crate) fn is_up(&self) -> bool {
        *self.link.borrow() == Link::Up
    }

    pub(crate) fn set_link(&self, link: Link) {
        self.link
            .send_if_modified(|now| std::mem::replace(now, link) != link);
    }

    /// Answers once the runner has tried.
    pub(crate) async fn command(
        &self,
        id: SandboxId,
        command: &Command,
    ) -> Result<Observation, Error> {
        let target = format!("/v1/sandboxes/{id}");
        let call = self.call(Method::PUT, &target, Some(command));
        within(COMMAND_ANSWER_MAX, call).await
    }

    pub(crate) async fn observation(&self, id: SandboxId) -> Result<Observation, Error> {
        self.query(&format!("/v1/sandboxes/{id}")).await
    }

    pub(crate) async fn inventory(&self) -> Result<Inventory, Error> {
        self.query("/v1/sandboxes").await
    }

    /// The samples of `span` and the one before, oldest first.
    pub(crate) async fn usage(
        &self,
        id: SandboxId,
        span: UsageSpan,
    ) -> Result<Vec<UsageSample>, Error> {
        let UsageSpan { from_unix, to_unix } = span;
        let query = format!("from_unix={from_unix}&to_unix={to_unix}");
        self.query(&format!("/v1/sandboxes/{id}/usage?{query}"))
            .await
    }

    pub(crate) async fn host(&self) -> Result<Host, Error> {
        self.query("/v1/host").await
    }

    pub(crate) async fn snapshots(&self) -> Result<Vec<SnapshotFacts>, Error> {
        self.query("/v1/snapshots").await
    }

    /// The endless answer whose lines are observations.
    pub(crate) async fn observations(&self) -> Result<Incoming, Error> {
        let sent = self.send(Method::GET, "/v1/observations", None::<&()>);
        Ok(within(QUERY_ANSWER_MAX, sent).await?.into_body())
    }

    /// The endless answer whose lines are lists of all spares.
    pub(crate) async fn spares(&self) -> Result<Incoming, Error> {
        let sent = self.send(Method::GET, "/v1/spares", None::<&()>);
        Ok(within(QUERY_ANSWER_MAX, sent).await?.into_body())
    }

    async fn query<T: DeserializeOwned>(&self, target: &str) -> Result<T, Error> {
        within(
            QUERY_ANSWER_MAX,
            self.call(Method::GET, target, None::<&()>),
        )
        .await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, Error> {
        let response = self.send(method, target, body).await?;
        Ok(serde_json::from_slice(&read(response).await?)?)
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Response<Incoming>, Error> {
        let body = match body {
            Some(body) => Bytes::from(serde_json::to_vec(body)?),
            None => Bytes::new(),
        };
        let uri: Uri = format!("http://runner{target}")
            .parse()
            .expect("ids need no escaping in a path");
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let json = http::HeaderValue::from_static("application/json");
        request
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, json);
        let response = self.http.request(request).await;
        let response = response.map_err(|source| Error::Unreachable {
            path: self.path.to_path_buf(),
            source,
        })?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        let body = String::from_utf8_lossy(&read(response).await?).into_owned();
        Err(Error::Refused { status, body })
    }
}

async fn read(response: Response<Incoming>) -> Result<Bytes, Error> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let collected = body.collect().await.map_err(Error::BrokenOff)?;
    Ok(collected.to_bytes())
}

async fn within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout(limit, call)
        .await
        .unwrap_or(Err(Error::Silent(limit)))
}

/// Connects to the one socket, whatever the URI says.
#[derive(Clone, Debug)]
struct Connector(Arc<Path>);

struct Socket(TokioIo<UnixStream>);

impl tower::Service<Uri> for Connector {
    type Response = Socket;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = Arc::clone(&self.0);
        Box::pin(async move { Ok(Socket(TokioIo::new(UnixStream::connect(path).await?))) })
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl hyper::rt::Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
