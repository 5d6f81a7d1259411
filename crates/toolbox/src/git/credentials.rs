//! `POST /git/credentials`: the one route that stores a login, because that is what it is for.
//!
//! Git's own credential store keeps it, in plain text, in a file that only the user can read. Then
//! every git in the sandbox finds it, not only the calls of this API.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;

use super::attend;
use super::login::{Login, Secret};
use super::names::{Line, given};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::toolbox::Toolbox;

const HOST: &str = "github.com";
const PROTOCOL: &str = "https";

#[derive(Debug, Deserialize)]
pub(crate) struct CredentialsRequest {
    username: Line,
    password: Secret,
    #[serde(default, deserialize_with = "given")]
    host: Option<Line>,
    #[serde(default, deserialize_with = "given")]
    protocol: Option<Line>,
}

pub(crate) async fn store(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<CredentialsRequest>,
) -> Result<StatusCode, Failure> {
    let host = request.host.as_ref().map_or(HOST, Line::as_str);
    if host.contains(|c: char| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#')) {
        let message = format!("host {host:?}: a name, or name:port, without scheme and path");
        return Err(Failure::bad_request(message));
    }
    let protocol = request.protocol.as_ref().map_or(PROTOCOL, Line::as_str);
    if !matches!(protocol, "http" | "https") {
        let message = format!("protocol {protocol:?}: accepted are https and http");
        return Err(Failure::bad_request(message));
    }
    let login = Login::given(Some(request.username), Some(request.password.clone()))
        .ok_or_else(|| Failure::bad_request("password: must not be empty"))?;
    let mut entry = format!("protocol={protocol}\nhost={host}\n").into_bytes();
    entry.extend(login.lines());
    attend(&toolbox, |git| async move {
        git.ensure_global("credential.helper", "store").await?;
        let call = git.anywhere(["credential-store", "store"]);
        call.input(entry).output().await
    })
    .await?;
    Ok(StatusCode::OK)
}
