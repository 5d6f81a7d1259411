//! `GET /git/history`: the commits of `HEAD`, newest first.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;

use super::index::is_unborn;
use super::{Error, Git, attend, repository};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// Fields end with NUL, and so does each commit: no message can contain one.
const FORMAT: &str = "--format=tformat:%H%x00%an%x00%ae%x00%aI%x00%B";
const FIELDS: usize = 5;

#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CommitInfo {
    hash: String,
    author: String,
    email: String,
    message: String,
    timestamp: String,
}

pub(crate) async fn history(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Json<Vec<CommitInfo>>, Failure> {
    let path = repository(&toolbox, &query)?;
    let limit = number(&query, "limit")?;
    let skip = number(&query, "skip")?;
    let commits = attend(&toolbox, |git| async move {
        if is_unborn(&git, &path).await? {
            return Ok(Vec::new());
        }
        log(&git, &path, limit, skip).await
    })
    .await?;
    Ok(Json(commits))
}

/// Ours, not the contract's: the history of a large repository may exceed what is taken in.
fn number(query: &Query, name: &str) -> Result<Option<u32>, Failure> {
    query
        .get(name)
        .map(|text| {
            text.parse().map_err(|_| {
                Failure::bad_request(format!("query {name} {text:?}: must be a whole number"))
            })
        })
        .transpose()
}

async fn log(
    git: &Git,
    path: &std::path::Path,
    limit: Option<u32>,
    skip: Option<u32>,
) -> Result<Vec<CommitInfo>, Error> {
    let mut call = git.at(path, ["log", "-z", FORMAT, "--no-show-signature"]);
    if let Some(limit) = limit {
        call = call.arg(format!("--max-count={limit}"));
    }
    if let Some(skip) = skip {
        call = call.arg(format!("--skip={skip}"));
    }
    let bytes = call.arg("HEAD").arg("--").output().await?;
    read(&bytes).ok_or_else(|| Error::Output {
        what: "log",
        output: String::from_utf8_lossy(&bytes).chars().take(200).collect(),
    })
}

pub(super) fn read(bytes: &[u8]) -> Option<Vec<CommitInfo>> {
    let Some(bytes) = bytes.strip_suffix(b"\0") else {
        return bytes.is_empty().then(Vec::new);
    };
    let fields: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    fields
        .chunks(FIELDS)
        .map(|commit| match commit {
            [hash, author, email, timestamp, message] => Some(CommitInfo {
                hash: text(hash),
                author: text(author),
                email: text(email),
                timestamp: text(timestamp),
                message: text(message).trim_end().to_owned(),
            }),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_several_lines_and_none_are_read() {
        let bytes = b"h1\0a b\0a@b\x002026-01-01T00:00:00Z\0one\n\ntwo\n\0h2\0c\0\0t\0\0";
        let commits = read(bytes).unwrap();
        assert_eq!(commits[0].message, "one\n\ntwo");
        assert_eq!(
            (commits[1].hash.as_str(), commits[1].message.as_str()),
            ("h2", "")
        );
        assert_eq!(read(b""), Some(Vec::new()));
    }

    #[test]
    fn half_a_commit_is_no_history() {
        assert_eq!(read(b"h1\0a\0"), None);
        assert_eq!(read(b"h1\0a\0b\0c\0d"), None);
    }
}
