//! An edge on a free port, with an upstream behind it, and a plain client in front.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request as ApiRequest;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sebring_core::clock::{Clock, Timestamp};
use sebring_core::id::SandboxId;
use sebring_edge::{Config, Edge, Secret};
use sebring_tasks::Tasks;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

use crate::directory::{Facts, KEY};
use crate::upstream::{self, Upstream};

/// Nothing in these tests takes longer unless it hangs.
pub(crate) const SOON: Duration = Duration::from_secs(20);

#[derive(Debug)]
struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(1_795_250_000_000)
    }
}

pub(crate) struct World {
    pub(crate) facts: Arc<Facts>,
    pub(crate) upstream: Upstream,
    pub(crate) address: SocketAddr,
    pub(crate) tasks: Tasks,
    /// Started, private, with the upstream's toolbox.
    pub(crate) sandbox: SandboxId,
}

pub(crate) async fn world() -> World {
    world_with(|_| {}).await
}

pub(crate) async fn world_with(change: impl FnOnce(&mut Config)) -> World {
    let tasks = Tasks::new();
    let facts = Arc::new(Facts::new());
    let upstream = upstream::start(&tasks).await;
    let sandbox = facts.add(Some(upstream.socket.clone()));
    let mut config = Config {
        api_path: "/api".into(),
        preview_domain: "localhost".into(),
        previews_are_https: false,
        cookie_key: Secret(vec![7; 32]),
        connections_max: 1000,
        clock: Arc::new(FixedClock),
    };
    change(&mut config);
    let api = Router::new().fallback(|request: ApiRequest| async move {
        format!("api {} {}", request.method(), request.uri())
    });
    let edge = Edge::new(config, facts.clone(), api);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn("edge", edge.serve(listener, tasks.clone()));
    World {
        facts,
        upstream,
        address,
        tasks,
        sandbox,
    }
}

/// An answer read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// One request as a test writes it.
pub(crate) struct Ask {
    request: Request<Full<Bytes>>,
}

impl Ask {
    pub(crate) fn get(target: &str) -> Self {
        Self::new(Method::GET, target)
    }

    pub(crate) fn new(method: Method, target: &str) -> Self {
        let mut request = Request::new(Full::default());
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().unwrap();
        Self { request }.header("host", "edge.test")
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request
            .headers_mut()
            .insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn with_key(self) -> Self {
        self.header("authorization", &format!("Bearer {KEY}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        *self.request.body_mut() = Full::new(body.into());
        self
    }

    pub(crate) fn into_request(self) -> Request<Full<Bytes>> {
        self.request
    }
}

impl World {
    /// Opens a connection and sends requests on it.
    pub(crate) async fn client(&self) -> http1::SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        self.tasks.spawn("client", connection);
        sender
    }

    pub(crate) async fn open(&self, ask: Ask) -> http::Response<Incoming> {
        let mut client = self.client().await;
        let answer = client.send_request(ask.request);
        tokio::time::timeout(SOON, answer).await.unwrap().unwrap()
    }

    pub(crate) async fn ask(&self, ask: Ask) -> Answer {
        let (parts, body) = self.open(ask).await.into_parts();
        let body = tokio::time::timeout(SOON, body.collect()).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.unwrap().to_bytes(),
        }
    }

    /// A path of the sandbox's toolbox.
    pub(crate) fn toolbox(&self, path: &str) -> String {
        format!("/toolbox/{}{path}", self.sandbox)
    }

    /// The host of the upstream program's preview.
    pub(crate) fn preview_host(&self) -> String {
        format!("{}-{}.localhost", self.upstream.port, self.sandbox)
    }
}
