//! What stands behind the edge in tests: a toolbox on a unix socket, and a program on a TCP port.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use futures_util::{SinkExt, StreamExt, stream};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use sebring_tasks::Tasks;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;

/// Says that a response body that never ends was dropped by the server.
pub(crate) type Dropped = Arc<Semaphore>;

pub(crate) struct Upstream {
    pub(crate) socket: PathBuf,
    pub(crate) port: u16,
    pub(crate) dropped: Dropped,
    _dir: tempfile::TempDir,
}

/// Starts both; they speak the same test routes.
pub(crate) async fn start(tasks: &Tasks) -> Upstream {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("toolbox.sock");
    let dropped = Dropped::new(Semaphore::new(0));
    let router = router(tasks, &dropped);
    let unix = UnixListener::bind(&socket).unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    let stop = tasks.stop_token();
    let toolbox = router.clone();
    tasks.spawn("toolbox", async move {
        stop.run_until_cancelled(axum::serve(unix, toolbox).into_future())
            .await;
    });
    let stop = tasks.stop_token();
    tasks.spawn("program", async move {
        stop.run_until_cancelled(axum::serve(tcp, router).into_future())
            .await;
    });
    Upstream {
        socket,
        port,
        dropped,
        _dir: dir,
    }
}

fn router(tasks: &Tasks, dropped: &Dropped) -> Router {
    let (tunnels, sockets) = (tasks.clone(), tasks.clone());
    let dropped = Arc::clone(dropped);
    Router::new()
        .route(
            "/_sebring/tcp/{port}",
            post(move |Path(port): Path<u16>, request: Request| open_port(tunnels, port, request)),
        )
        .route(
            "/ws",
            get(move |request: Request| web_socket(sockets, request)),
        )
        .route("/redirect", any(|| async { redirect() }))
        .route("/endless", get(move || async move { endless(dropped) }))
        .route("/early", any(|| async { StatusCode::PAYLOAD_TOO_LARGE }))
        .route(
            "/echo",
            any(|request: Request| async { Body::new(request.into_body()) }),
        )
        .route("/broken", any(|| async { broken() }))
        .route(
            "/own-cors",
            any(|| async { [("access-control-allow-origin", "https://own")] }),
        )
        .route("/count", any(count))
        .route("/bytes/{count}", get(bytes))
        .fallback(describe)
}

/// Repeats what arrived, so that a test sees what the edge made of it.
async fn describe(request: Request) -> axum::Json<Value> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    axum::Json(json!({
        "method": parts.method.as_str(),
        "target": parts.uri.path_and_query().unwrap().as_str(),
        "headers": headers_as_json(&parts.headers),
        "body": String::from_utf8_lossy(&body),
    }))
}

fn headers_as_json(headers: &HeaderMap) -> Value {
    let pairs = headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        (name.as_str().to_owned(), Value::from(value))
    });
    Value::Object(pairs.collect())
}

async fn count(body: Body) -> String {
    let mut stream = body.into_data_stream();
    let mut count = 0;
    while let Some(Ok(chunk)) = stream.next().await {
        count += chunk.len();
    }
    count.to_string()
}

async fn bytes(Path(count): Path<usize>) -> Response {
    const CHUNK: usize = 256 * 1024;
    let chunk = Bytes::from(vec![b'x'; CHUNK]);
    let chunks = stream::unfold(count, move |left| {
        let size = left.min(CHUNK);
        let chunk = chunk.slice(..size);
        async move { (size > 0).then(|| (Ok::<_, Infallible>(chunk), left - size)) }
    });
    let body = Body::from_stream(chunks);
    ([(header::CONTENT_LENGTH, count)], body).into_response()
}

fn redirect() -> (StatusCode, [(header::HeaderName, &'static str); 1]) {
    (
        StatusCode::MOVED_PERMANENTLY,
        [(header::LOCATION, "/files?a=%2F")],
    )
}

struct NotifyDrop(Dropped);

impl Drop for NotifyDrop {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

fn endless(dropped: Dropped) -> Body {
    let notify = NotifyDrop(dropped);
    let first = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first\n")) });
    let rest = stream::unfold(notify, |notify| async move {
        std::future::pending::<()>().await;
        Some((Ok(Bytes::new()), notify))
    });
    Body::from_stream(first.chain(rest))
}

/// An answer that breaks off after its first part was sent.
fn broken() -> Body {
    let first = stream::once(async { Ok("some") });
    let rest = stream::once(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        Err(std::io::Error::other("on purpose"))
    });
    Body::from_stream(first.chain(rest))
}

fn switching(protocol: &str) -> axum::http::response::Builder {
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, protocol)
}

async fn open_port(tasks: Tasks, port: u16, mut request: Request) -> Response {
    assert_eq!(request.headers()[header::UPGRADE], "sebring-tcp");
    let Ok(mut program) = TcpStream::connect(("127.0.0.1", port)).await else {
        let body = json!({"code": "PORT_NOT_LISTENING", "listeningPorts": [3000, 8080]});
        return (StatusCode::BAD_GATEWAY, axum::Json(body)).into_response();
    };
    let client = hyper::upgrade::on(&mut request);
    let stop = tasks.stop_token();
    tasks.spawn("tunnel", async move {
        let mut client = TokioIo::new(client.await.unwrap());
        let passing = copy_bidirectional(&mut client, &mut program);
        stop.run_until_cancelled(passing).await
    });
    switching("sebring-tcp").body(Body::empty()).unwrap()
}

/// Echoes messages; `close` makes it close with code 4008.
async fn web_socket(tasks: Tasks, mut request: Request) -> Response {
    let key = request.headers()[header::SEC_WEBSOCKET_KEY].clone();
    let offered = request
        .headers()
        .get(header::SEC_WEBSOCKET_PROTOCOL)
        .cloned();
    let client = hyper::upgrade::on(&mut request);
    let stop = tasks.stop_token();
    tasks.spawn("web socket", async move {
        let client = TokioIo::new(client.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(client, Role::Server, None).await;
        while let Some(Some(Ok(message))) = stop.run_until_cancelled(socket.next()).await {
            if message == Message::text("close") {
                let frame = CloseFrame {
                    code: 4008.into(),
                    reason: "{\"exitCode\":7}".into(),
                };
                socket.close(Some(frame)).await.unwrap();
            } else if message.is_text() || message.is_binary() {
                socket.send(message).await.unwrap();
            }
        }
    });
    let mut response = switching("websocket").header(
        header::SEC_WEBSOCKET_ACCEPT,
        derive_accept_key(key.as_bytes()),
    );
    if let Some(offered) = offered {
        let last = offered
            .to_str()
            .unwrap()
            .rsplit(", ")
            .next()
            .unwrap()
            .to_owned();
        response = response.header(header::SEC_WEBSOCKET_PROTOCOL, last);
    }
    response.body(Body::empty()).unwrap()
}
