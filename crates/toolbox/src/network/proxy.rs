//! `/proxy/{port}/{path}`: HTTP and upgraded connections to a server inside the sandbox.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::{connect, port, tcp};
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

/// Concern one connection only and are not passed on.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    UPGRADE,
];

pub(crate) async fn proxy(
    State(toolbox): State<Arc<Toolbox>>,
    Path(parameters): Path<Vec<(String, String)>>,
    mut request: Request,
) -> Result<Response, Failure> {
    let port_text = parameters.first().map_or("", |(_, port)| port.as_str());
    let port = port(port_text)?;
    let target = target(request.uri(), port_text);
    let target = target.ok_or_else(|| Failure::bad_request("path: cannot be passed on"))?;
    let stream = connect(port).await?;
    let (mut sender, connection) = http1::Builder::new()
        .preserve_header_case(true)
        .handshake::<_, Body>(TokioIo::new(stream))
        .await
        .map_err(|error| bad_gateway(port, &error))?;
    toolbox.tasks.spawn("proxied connection", async move {
        // How it ended is seen by whoever reads the response.
        let _ended = connection.with_upgrades().await;
    });
    let upgrade = request.headers().get(UPGRADE).cloned();
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    *request.uri_mut() = target;
    strip(request.headers_mut(), upgrade.as_ref());
    if !request.headers().contains_key(HOST) {
        let host = HeaderValue::from_str(&format!("localhost:{port}"));
        request
            .headers_mut()
            .insert(HOST, host.map_err(|error| bad_gateway(port, &error))?);
    }
    let mut response = sender
        .send_request(request)
        .await
        .map_err(|error| bad_gateway(port, &error))?;
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let upgrade = response
        .headers()
        .get(UPGRADE)
        .cloned()
        .filter(|_| switched);
    if let (true, Some(client)) = (switched, client) {
        let server = hyper::upgrade::on(&mut response);
        toolbox.tasks.spawn("upgraded connection", async move {
            if let (Ok(client), Ok(server)) = (client.await, server.await) {
                tcp::join(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
            }
        });
    }
    strip(response.headers_mut(), upgrade.as_ref());
    Ok(response.map(Body::new))
}

/// What follows the port, byte for byte as it was sent.
pub(super) fn target(uri: &Uri, port: &str) -> Option<Uri> {
    let all = uri.path_and_query()?.as_str();
    let rest = all.strip_prefix("/proxy/")?.strip_prefix(port)?;
    if rest.starts_with('/') {
        rest.parse().ok()
    } else {
        format!("/{rest}").parse().ok()
    }
}

/// Removes what concerns one connection; an upgrade is said again for the next.
fn strip(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
}

fn bad_gateway(port: u16, error: &dyn std::error::Error) -> Failure {
    let message = format!(
        "port {port} inside the sandbox: {}",
        sebring_tasks::chain(error)
    );
    Failure::new(StatusCode::BAD_GATEWAY, "BAD_GATEWAY", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_path_is_passed_on_as_it_was_sent() {
        let target = |text: &str| target(&text.parse().unwrap(), "3000").unwrap().to_string();
        assert_eq!(
            target("/proxy/3000/a%2Fb/?x=1+2&y=%20"),
            "/a%2Fb/?x=1+2&y=%20"
        );
        assert_eq!(target("/proxy/3000"), "/");
        assert_eq!(target("/proxy/3000/"), "/");
        assert_eq!(target("/proxy/3000?x=1"), "/?x=1");
    }
}
