//! Carrying one admitted request into a sandbox and its answer out, be it plain or a switch of
//! protocols. The same for the toolbox and for previews.
//!
//! Must not: judge who asks; read or change bodies.
//! Next: `upstream` for the connection, `tunnel` for what follows a switch.

use std::path::Path;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Request, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use percent_encoding::percent_decode_str;
use sebring_api::boot::INTERNAL_SEGMENT;
use sebring_tasks::{Tasks, chain};
use tracing::debug;

use crate::activity::OpenRequest;
use crate::directory::SandboxRoute;
use crate::headers;
use crate::refusal::Refusal;
use crate::reply::{Reply, ReplyBody};
use crate::service::Inner;
use crate::tunnel;
use crate::upstream::{self, Target, Upgrading, Upload};

/// One admitted request, its headers already free of secrets.
#[derive(Debug)]
pub(crate) struct Errand {
    pub(crate) parts: Parts,
    pub(crate) body: Incoming,
    /// As the sandbox shall see it.
    pub(crate) path_and_query: PathAndQuery,
    pub(crate) to: To,
}

/// The end of the way, in the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// The routes of the toolbox that are everybody's.
    Toolbox,
    /// A route of the toolbox between us and it, which the edge chose itself.
    Internal,
    Port(u16),
}

impl To {
    const fn port(self) -> Option<u16> {
        match self {
            Self::Port(port) => Some(port),
            Self::Toolbox | Self::Internal => None,
        }
    }
}

impl Inner {
    /// Carries `errand` into the sandbox of `route`, which must run.
    pub(crate) async fn carry(
        self: &Arc<Self>,
        route: &SandboxRoute,
        errand: Errand,
    ) -> Result<Reply, Refusal> {
        // Here, because every way to a toolbox leads through here.
        if errand.to == To::Toolbox && is_internal(errand.path_and_query.path()) {
            return Err(Refusal::NoSuchRoute);
        }
        let socket = self.running(route)?;
        let open = self.note_activity(route, &errand.parts);
        let target = Target {
            socket: socket.into(),
            port: errand.to.port(),
        };
        let port = errand.to.port();
        let carried = match headers::wanted_upgrade(&errand.parts.headers) {
            Some(protocol) => self.carry_upgrade(target, errand, protocol, open).await,
            None => self.carry_plain(target, errand, open).await,
        };
        carried.map_err(|failure| {
            debug!(sandbox_id = %route.id, error = %chain(&failure), "request not carried");
            Refusal::from_upstream(&failure, port)
        })
    }

    async fn carry_plain(
        &self,
        target: Target,
        errand: Errand,
        open: Option<OpenRequest>,
    ) -> Result<Reply, upstream::Error> {
        let request = outgoing(errand, &self.tasks);
        let mut response = self.upstreams.send(target, request).await?;
        headers::strip_hop_by_hop(response.headers_mut());
        Ok(response.map(|body| ReplyBody::Sandbox { body, _open: open }))
    }

    async fn carry_upgrade(
        &self,
        target: Target,
        mut errand: Errand,
        protocol: HeaderValue,
        open: Option<OpenRequest>,
    ) -> Result<Reply, upstream::Error> {
        let client = errand.parts.extensions.remove::<OnUpgrade>();
        let mut request = outgoing(errand, &self.tasks);
        headers::set_upgrade(request.headers_mut(), protocol);
        match self.upstreams.send_upgrade(target, request).await? {
            Upgrading::Switching(response, link) => {
                let ends = tunnel::Ends {
                    client,
                    upstream: link,
                    open,
                };
                Ok(tunnel::start(&self.tasks, ends, response))
            }
            Upgrading::Declined(mut response) => {
                headers::strip_hop_by_hop(response.headers_mut());
                Ok(response.map(|body| ReplyBody::Sandbox { body, _open: open }))
            }
        }
    }

    fn note_activity(&self, route: &SandboxRoute, parts: &Parts) -> Option<OpenRequest> {
        if parts.headers.contains_key(headers::SKIP_ACTIVITY) {
            return None;
        }
        self.directory.touch(route.id);
        Some(self.activity.begin(route.id))
    }

    fn running<'r>(&self, route: &'r SandboxRoute) -> Result<&'r Path, Refusal> {
        if let Some(socket) = &route.toolbox_socket {
            return Ok(socket);
        }
        match route.state.as_str() {
            "creating" | "restoring" | "starting" | "resuming" | "pulling_snapshot"
            | "pending_build" | "building_snapshot" | "stopping" | "pausing" | "resizing"
            | "snapshotting" | "forking" | "started" => Err(Refusal::Changing {
                state: route.state.clone(),
            }),
            "destroying" | "destroyed" => Err(Refusal::NoSuchSandbox {
                reference: route.id.to_string(),
            }),
            _ => Err(Refusal::NotRunning {
                state: route.state.clone(),
                id: route.id.to_string(),
                api_path: self.config.api_path.clone(),
            }),
        }
    }
}

/// The request as it goes to the sandbox.
fn outgoing(errand: Errand, tasks: &Tasks) -> Request<Upload> {
    let Errand {
        mut parts,
        body,
        path_and_query,
        to,
    } = errand;
    let was_chunked = parts.headers.contains_key(header::TRANSFER_ENCODING);
    headers::strip_ours(&mut parts.headers);
    headers::strip_hop_by_hop(&mut parts.headers);
    if was_chunked {
        // Said again, because hyper sends no body of unknown length with a GET unless told to;
        // a length beside it was overruled, and must not be believed by the next reader.
        parts.headers.remove(header::CONTENT_LENGTH);
        let chunked = HeaderValue::from_static("chunked");
        parts.headers.insert(header::TRANSFER_ENCODING, chunked);
    }
    if !parts.headers.contains_key(header::HOST) {
        let host = match to {
            To::Port(_) => "localhost",
            To::Toolbox | To::Internal => "toolbox",
        };
        parts
            .headers
            .insert(header::HOST, HeaderValue::from_static(host));
    }
    let mut request = Request::new(Upload::from_client(body, tasks));
    *request.method_mut() = parts.method;
    *request.uri_mut() = Uri::from(path_and_query);
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = parts.headers;
    request
}

/// Joins what stays of a path and a query into what a sandbox sees.
pub(crate) fn path_and_query(path: &str, query: Option<&str>) -> Result<PathAndQuery, Refusal> {
    let path = if path.is_empty() { "/" } else { path };
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    PathAndQuery::try_from(text).map_err(|_| Refusal::Malformed { what: "path" })
}

/// Whether any reading of the path, decoded or with empty segments left out, leads to a route of
/// our own.
fn is_internal(path: &str) -> bool {
    let decoded = percent_decode_str(path).decode_utf8_lossy();
    decoded
        .split(['/', '\\'])
        .find(|segment| !matches!(*segment, "" | "." | ".."))
        .is_some_and(|first| first.eq_ignore_ascii_case(INTERNAL_SEGMENT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_routes_are_known_however_they_are_written() {
        for path in [
            "/_sebring",
            "/_sebring/limits",
            "//_sebring/limits",
            "/./_sebring/tcp/80",
            "/%5fsebring/limits",
            "/_sebring%2Flimits",
            "/%2F_SEBRING/limits",
        ] {
            assert!(is_internal(path), "{path}");
        }
        for path in ["", "/", "/files", "/_sebring2", "/proxy/80/_sebring/limits"] {
            assert!(!is_internal(path), "{path}");
        }
    }
}
