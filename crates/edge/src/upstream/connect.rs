//! Beginning a connection: to a toolbox's unix socket, or through it to a port inside.
//!
//! Must not: wait without a deadline.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sebring_api::boot::TCP_UPGRADE;
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::stream::SandboxStream;
use super::{Error, Link, Target, Upload};

/// A full accept queue means a busy toolbox, or one that is just starting.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);
const CONNECT_PAUSE_FIRST: Duration = Duration::from_millis(1);
const CONNECT_PAUSE_MAX: Duration = Duration::from_millis(50);
/// The toolbox only has to connect to its own loopback.
const OPEN_PORT_TIME_MAX: Duration = Duration::from_secs(10);
/// A refusal is a small JSON document.
const REFUSAL_SIZE_MAX: usize = 64 * 1024;

/// What the toolbox said when it would not open a port.
#[derive(Debug)]
pub(crate) struct Refused {
    status: StatusCode,
    body: Bytes,
}

impl Refused {
    /// Whether the toolbox tried the port and found nobody, rather than failed itself.
    pub(crate) fn is_about_the_port(&self) -> bool {
        self.status == StatusCode::BAD_GATEWAY
    }

    /// The ports that do listen, as far as the toolbox says.
    pub(crate) fn listening_ports(&self) -> Vec<u16> {
        #[derive(Default, serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default)]
            listening_ports: Vec<u16>,
        }
        // It comes from inside a sandbox, so it may be anything; then nothing is listed.
        let answer: Answer = serde_json::from_slice(&self.body).unwrap_or_default();
        answer.listening_ports
    }
}

pub(super) async fn open(target: &Target) -> Result<Link, Error> {
    let stream = connect(&target.socket).await.map_err(Error::Connect)?;
    let stream = SandboxStream::new(stream);
    let link = Link::begin(stream).await.map_err(Error::Exchange)?;
    match target.port {
        None => Ok(link),
        Some(port) => timeout(OPEN_PORT_TIME_MAX, open_port(link, port))
            .await
            .map_err(|_| Error::Connect(io::ErrorKind::TimedOut.into()))?,
    }
}

async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let deadline = Instant::now() + CONNECT_TIME_MAX;
    let mut pause = CONNECT_PAUSE_FIRST;
    loop {
        match UnixStream::connect(socket).await {
            // The kernel has no way to wait for room in a unix socket's queue without blocking.
            Err(full) if full.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                sleep(pause).await;
                pause = (pause * 2).min(CONNECT_PAUSE_MAX);
            }
            outcome => return outcome,
        }
    }
}

/// Turns a connection to the toolbox into one to `port` inside the sandbox.
async fn open_port(mut link: Link, port: u16) -> Result<Link, Error> {
    let response = link
        .exchange(port_request(port))
        .await
        .map_err(|failure| Error::Exchange(failure.into_error()))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::Refused(refusal(link, response).await));
    }
    let switched = hyper::upgrade::on(response);
    // The connection's end is what completes the switch; an error in it shows there too.
    let (upgraded, _) = tokio::join!(switched, link.finish());
    let parts = upgraded
        .map_err(Error::Exchange)?
        .downcast::<TokioIo<SandboxStream>>()
        .expect("the link was made from this type of stream");
    if !parts.read_buf.is_empty() {
        return Err(Error::NotHttp);
    }
    Link::begin(parts.io.into_inner())
        .await
        .map_err(Error::Exchange)
}

fn port_request(port: u16) -> Request<Upload> {
    let mut request = Request::new(Upload::Nothing);
    *request.method_mut() = Method::POST;
    *request.uri_mut() =
        Uri::try_from(format!("/_sebring/tcp/{port}")).expect("a number is valid in a path");
    let headers = request.headers_mut();
    headers.insert(header::HOST, HeaderValue::from_static("toolbox"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(TCP_UPGRADE));
    request
}

async fn refusal(link: Link, response: Response<Incoming>) -> Refused {
    let status = response.status();
    let body = Limited::new(response.into_body(), REFUSAL_SIZE_MAX).collect();
    let body = match select(pin!(body), pin!(link.finish())).await {
        Either::Left((body, _)) => body,
        Either::Right((_, body)) => body.await,
    };
    Refused {
        status,
        body: body
            .map(http_body_util::Collected::to_bytes)
            .unwrap_or_default(),
    }
}
