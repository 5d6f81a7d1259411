//! `GET /files`: the entries of a directory, some levels deep.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use http::HeaderMap;

use super::info::{FileInfo, describe};
use super::{Error, blocking};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// A listing is held in memory and sent as one array.
const ENTRIES_MAX: usize = 200_000;

pub(crate) async fn list(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Json<Vec<FileInfo>>, Failure> {
    let root = toolbox.resolve(query.get("path").unwrap_or("."));
    let depth = match query.get("depth") {
        None => 1,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|depth| *depth > 0)
            .ok_or_else(|| {
                Failure::bad_request(format!(
                    "query depth {text:?}: must be a number of at least 1"
                ))
            })?,
    };
    blocking(move || {
        let mut found = Vec::new();
        list_into(&mut found, &root, depth)?;
        let fitting = found.into_iter().map(|info| info.fit(&headers));
        Ok::<_, Error>(Json(fitting.collect()))
    })
    .await
}

/// Adds the entries of `directory` by name, each directory followed by its own entries.
fn list_into(found: &mut Vec<FileInfo>, directory: &Path, depth: usize) -> Result<(), Error> {
    let entries = fs::read_dir(directory).map_err(Error::at(directory))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    paths.sort_unstable();
    for path in paths {
        // Dangling links and entries that vanished or may not be looked at are left out.
        let Ok(facts) = fs::metadata(&path) else {
            continue;
        };
        if found.len() == ENTRIES_MAX {
            return Err(Error::TooMany {
                what: "entries",
                limit: ENTRIES_MAX,
            });
        }
        found.push(describe(&path, &facts));
        let is_link = fs::symlink_metadata(&path).is_ok_and(|facts| facts.is_symlink());
        if depth > 1 && facts.is_dir() && !is_link {
            match list_into(found, &path, depth - 1) {
                // A directory below that may not be read is shown without its entries.
                Ok(()) | Err(Error::AccessDenied { .. } | Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
