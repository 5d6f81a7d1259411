//! Configuration: `GET` and `POST /git/config`, and `POST /git/config/user`.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::names::{Key, Line, Location, given};
use super::{Error, Git, Reason, attend, location, refusal};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// `git config` says so when a key has no value, and when it does not like the key.
const UNSET: i32 = 1;

/// Whose configuration.
#[derive(Debug, Clone)]
enum Scope {
    Global,
    System,
    Local(std::path::PathBuf),
}

#[derive(Debug, Serialize)]
pub(crate) struct ConfigResponse {
    value: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct SetRequest {
    key: Key,
    value: String,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default, deserialize_with = "given")]
    path: Option<Location>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct UserRequest {
    name: Line,
    email: Line,
    #[serde(default)]
    scope: Option<String>,
    #[serde(default, deserialize_with = "given")]
    path: Option<Location>,
}

pub(crate) async fn get(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Json<ConfigResponse>, Failure> {
    let key = Key::try_from(query.required("key")?.to_owned())
        .map_err(|error| Failure::bad_request(format!("query key: {error}")))?;
    let path = query.get("path").map(location).transpose()?;
    let path = path.as_ref().map(Location::as_str);
    let scope = scope(&toolbox, query.get("scope"), path)?;
    let value = attend(&toolbox, |git| async move {
        let call = call(&git, &scope).await?.arg("--null").arg("--get");
        let ended = call.arg(key.as_str()).run().await?;
        match ended.code {
            0 => {
                let text = String::from_utf8_lossy(&ended.stdout).into_owned();
                Ok(Some(text.strip_suffix('\0').unwrap_or(&text).to_owned()))
            }
            UNSET if ended.stderr.is_empty() => Ok(None),
            _ => Err(refusal::of("config", &ended)),
        }
    })
    .await?;
    Ok(Json(ConfigResponse { value }))
}

pub(crate) async fn set(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<SetRequest>,
) -> Result<StatusCode, Failure> {
    let path = request.path.as_ref().map(Location::as_str);
    let scope = scope(&toolbox, request.scope.as_deref(), path)?;
    attend(&toolbox, |git| async move {
        store(&git, &scope, request.key.as_str(), &request.value).await
    })
    .await?;
    Ok(StatusCode::OK)
}

pub(crate) async fn set_user(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<UserRequest>,
) -> Result<StatusCode, Failure> {
    let path = request.path.as_ref().map(Location::as_str);
    let scope = scope(&toolbox, request.scope.as_deref(), path)?;
    attend(&toolbox, |git| async move {
        store(&git, &scope, "user.name", request.name.as_str()).await?;
        store(&git, &scope, "user.email", request.email.as_str()).await
    })
    .await?;
    Ok(StatusCode::OK)
}

/// One value in place of all that the key had.
async fn store(git: &Git, scope: &Scope, key: &str, value: &str) -> Result<(), Error> {
    let call = call(git, scope).await?.arg("--replace-all");
    call.arg(key).arg(value).output().await?;
    Ok(())
}

async fn call(git: &Git, scope: &Scope) -> Result<Call, Error> {
    match scope {
        Scope::Global => Ok(git.anywhere(["config", "--global"])),
        Scope::System => Ok(git.anywhere(["config", "--system"])),
        Scope::Local(path) => {
            // Says what is wrong in the words of every other route.
            git.at(path, ["rev-parse", "--git-dir"]).output().await?;
            Ok(git.at(path, ["config", "--local"]))
        }
    }
}

fn scope(toolbox: &Toolbox, name: Option<&str>, path: Option<&str>) -> Result<Scope, Failure> {
    match name.filter(|name| !name.is_empty()) {
        None | Some("global") => Ok(Scope::Global),
        Some("system") => Ok(Scope::System),
        Some("local") => {
            let path =
                path.ok_or_else(|| Failure::bad_request("path: is required when scope is local"))?;
            Ok(Scope::Local(toolbox.resolve(path)))
        }
        Some(other) => Err(Failure::bad_request(format!(
            "scope {other:?}: accepted are global, local and system"
        ))),
    }
}

impl Git {
    /// Adds a value that the user's configuration does not have yet.
    pub(super) async fn ensure_global(&self, key: &str, value: &str) -> Result<(), Error> {
        let args = ["config", "--global", "--null", "--get-all"];
        let ended = self.anywhere(args).arg(key).run().await?;
        let has = ended
            .stdout
            .split(|byte| *byte == 0)
            .any(|found| found == value.as_bytes());
        if has {
            return Ok(());
        }
        if !matches!(ended.code, 0 | UNSET) {
            return Err(Error::refused(Reason::Other, refusal::said(&ended.stderr)));
        }
        let call = self.anywhere(["config", "--global", "--add"]);
        call.arg(key).arg(value).output().await?;
        Ok(())
    }
}
