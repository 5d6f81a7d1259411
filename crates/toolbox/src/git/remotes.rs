//! Remotes: `GET` and `POST /git/remotes`.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::address::Address;
use super::names::{Location, RemoteName};
use super::remote::{Direction, Remote};
use super::{Error, Git, attend, refusal, repository};
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

#[derive(Debug, Serialize)]
pub(crate) struct ListResponse {
    remotes: Vec<RemoteEntry>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct RemoteEntry {
    pub(super) name: String,
    url: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AddRequest {
    path: Location,
    name: RemoteName,
    url: String,
    #[serde(default)]
    fetch: Option<bool>,
    #[serde(default)]
    overwrite: Option<bool>,
}

pub(crate) async fn list(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Json<ListResponse>, Failure> {
    let path = repository(&toolbox, &query)?;
    let remotes = attend(&toolbox, |git| async move { of(&git, &path).await }).await?;
    Ok(Json(ListResponse { remotes }))
}

async fn of(git: &Git, path: &Path) -> Result<Vec<RemoteEntry>, Error> {
    // Outside of a repository `config` would answer for the user.
    git.at(path, ["rev-parse", "--git-dir"]).output().await?;
    let args = ["config", "--null", "--get-regexp", r"^remote\..*\.url$"];
    let ended = git.at(path, args).run().await?;
    match ended.code {
        0 => Ok(read(&ended.stdout)),
        // Nothing matches.
        1 => Ok(Vec::new()),
        _ => Err(refusal::of("config", &ended)),
    }
}

/// Entries are `remote.<name>.url<newline><address><NUL>`. A remote may have several addresses;
/// the first is the one that is fetched from.
pub(super) fn read(bytes: &[u8]) -> Vec<RemoteEntry> {
    let mut remotes: Vec<RemoteEntry> = Vec::new();
    for entry in bytes.split(|byte| *byte == 0) {
        let entry = String::from_utf8_lossy(entry);
        let named = entry.split_once('\n').and_then(|(key, url)| {
            let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
            Some((name.to_owned(), url.to_owned()))
        });
        if let Some((name, url)) = named
            && !remotes.iter().any(|remote| remote.name == name)
        {
            remotes.push(RemoteEntry { name, url });
        }
    }
    remotes
}

pub(crate) async fn add(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<AddRequest>,
) -> Result<StatusCode, Failure> {
    let path = toolbox.resolve(request.path.as_str());
    let (address, login) =
        Address::parse(&request.url).map_err(|error| Failure::bad_request(error.to_string()))?;
    attend(&toolbox, |git| async move {
        let name = request.name.as_str();
        let exists = of(&git, &path).await?.iter().any(|r| r.name == name);
        let overwrite = request.overwrite.unwrap_or_default() && exists;
        let verb = if overwrite { "set-url" } else { "add" };
        let call = git.at(&path, ["remote", verb, "--"]);
        call.arg(name).arg(address.as_str()).output().await?;
        if request.fetch.unwrap_or_default() {
            let name = Some(&request.name);
            let remote = Remote::find(&git, &path, name, Direction::Fetch, login).await?;
            let call = git.at(&path, ["fetch", "--quiet", "--"]).arg(&remote.name);
            remote.with_access(call).output().await?;
        }
        Ok(())
    })
    .await?;
    Ok(StatusCode::CREATED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_address_of_each_remote_is_listed() {
        let bytes = b"remote.origin.url\nhttps://a/b\0remote.origin.url\nhttps://c\0\
                      remote.with.dots.url\n../x\0";
        let entry = |name: &str, url: &str| RemoteEntry {
            name: name.to_owned(),
            url: url.to_owned(),
        };
        assert_eq!(
            read(bytes),
            [entry("origin", "https://a/b"), entry("with.dots", "../x")]
        );
    }
}
