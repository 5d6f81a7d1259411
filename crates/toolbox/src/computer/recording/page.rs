//! `/_sebring/recordings…`: what the page of recordings in a browser asks for, by way of the edge.
//!
//! Must not: be reachable but through the edge, which has admitted the caller and serves the page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use serde::{Deserialize, Serialize};

use super::library::{self, Entry};
use super::routes::{blocking, under_way, unknown};
use super::{Recordings, layout};
use crate::files::download as files_download;
use crate::http::body::JsonBody;
use crate::http::error::Failure;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// As many as the folder is searched for.
const IDS_MAX: usize = library::FILES_MAX;

#[derive(Debug, Deserialize)]
pub(crate) struct DeleteRequest {
    ids: Option<BTreeSet<String>>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Deleted {
    deleted: Vec<String>,
    failed: Vec<String>,
    /// Why, for each that failed.
    reasons: BTreeMap<String, String>,
}

/// Deletes what can be; one that cannot keeps none of the others.
pub(crate) async fn delete(
    State(toolbox): State<Arc<Toolbox>>,
    JsonBody(request): JsonBody<DeleteRequest>,
) -> Result<Json<Deleted>, Failure> {
    let ids = request.ids.unwrap_or_default();
    if ids.is_empty() || ids.len() > IDS_MAX {
        let count = ids.len();
        let text = format!("ids: {count} recordings were named; name 1 to {IDS_MAX}");
        return Err(Failure::bad_request(text));
    }
    let owned = Arc::clone(&toolbox.computer.recordings);
    let folder = layout::recordings(&toolbox.environment.get());
    let deleted = blocking(move || delete_each(&owned, &folder, ids));
    Ok(Json(deleted.await?))
}

fn delete_each(recordings: &Recordings, folder: &FilePath, ids: BTreeSet<String>) -> Deleted {
    let entries = library::list(folder).into_iter();
    let paths: BTreeMap<String, PathBuf> = entries.map(|entry| (entry.id, entry.path)).collect();
    let mut outcome = Deleted::default();
    for id in ids {
        match delete_one(recordings, paths.get(&id), &id) {
            Ok(()) => outcome.deleted.push(id),
            Err(reason) => {
                outcome.failed.push(id.clone());
                outcome.reasons.insert(id, reason);
            }
        }
    }
    outcome
}

fn delete_one(recordings: &Recordings, path: Option<&PathBuf>, id: &str) -> Result<(), String> {
    if recordings.is_under_way(id) {
        return Err(under_way(id).message().to_owned());
    }
    let path = path.ok_or_else(|| unknown(id).message().to_owned())?;
    fs::remove_file(path).map_err(|error| format!("delete {}: {error}", path.display()))
}

/// One film by its file's name, to be played: a browser asks for it range by range.
pub(crate) async fn video(
    State(toolbox): State<Arc<Toolbox>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let folder = layout::recordings(&toolbox.environment.get());
    let entry = blocking(move || named(&folder, &name).ok_or_else(|| unknown(&name))).await??;
    if toolbox.computer.recordings.is_under_way(&entry.id) {
        return Err(under_way(&entry.id));
    }
    let mut response = files_download::answer(entry.path, &headers).await?;
    if response.status().is_success() {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/mp4"));
        // Shown, not saved, unless the page asks for that.
        headers.remove(header::CONTENT_DISPOSITION);
    }
    Ok(response)
}

/// Compared with what is in the folder, so a name leads nowhere else.
fn named(folder: &FilePath, name: &str) -> Option<Entry> {
    let mut entries = library::list(folder).into_iter();
    entries.find(|entry| entry.path.file_name().is_some_and(|found| found == name))
}
