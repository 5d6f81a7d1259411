//! `POST /_sebring/tcp/{port}`: the connection becomes a raw stream to a port of the sandbox.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderValue, StatusCode};
use hyper_util::rt::TokioIo;
use sebring_api::boot::TCP_UPGRADE;
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional_with_sizes};
use tokio::net::UnixStream;

use super::{connect, port, relay};
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

/// Per direction: large enough for bulk, small enough for thousands of idle streams.
const BUFFER_BYTES: usize = 32 << 10;

pub(crate) async fn stream(
    State(toolbox): State<Arc<Toolbox>>,
    Path(port_text): Path<String>,
    mut request: Request,
) -> Result<Response, Failure> {
    let port = port(&port_text)?;
    let asked = request.headers().get(UPGRADE);
    if !asked.is_some_and(|value| {
        value
            .as_bytes()
            .eq_ignore_ascii_case(TCP_UPGRADE.as_bytes())
    }) {
        return Err(Failure::bad_request(format!(
            "header Upgrade: must be {TCP_UPGRADE}"
        )));
    }
    let upstream = connect(port).await?;
    let upgrade = hyper::upgrade::on(&mut request);
    let tasks = toolbox.tasks.clone();
    tasks.spawn("tcp stream", async move {
        let connection = upgrade.await.ok();
        let parts = connection.and_then(|raw| raw.downcast::<TokioIo<UnixStream>>().ok());
        if let Some(parts) = parts {
            let host = parts.io.into_inner();
            relay::begin(&toolbox, host, upstream, &parts.read_buf);
        }
    });
    let mut response = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(TCP_UPGRADE));
    Ok(response)
}

/// Copies both ways until both are done. That either side breaks off is an ordinary end.
pub(super) async fn join(
    one: &mut (impl AsyncRead + AsyncWrite + Unpin),
    other: &mut (impl AsyncRead + AsyncWrite + Unpin),
) {
    let _broken = copy_bidirectional_with_sizes(one, other, BUFFER_BYTES, BUFFER_BYTES).await;
}
