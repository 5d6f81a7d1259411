//! `GET /files/search`: files and directories whose name matches a glob.

use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use globset::{GlobBuilder, GlobMatcher};
use serde::Serialize;

use super::walk::{Left, walk};
use super::{Error, blocking};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// Results are held in memory and sent as one array.
const RESULTS_MAX: usize = 200_000;

#[derive(Debug, Serialize)]
pub(crate) struct Found {
    files: Vec<String>,
}

pub(crate) async fn search(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Json<Found>, Failure> {
    let asked = query.required("path")?.to_owned();
    let pattern = query.required("pattern")?;
    let glob = GlobBuilder::new(pattern)
        .literal_separator(true)
        .build()
        .map_err(|error| {
            Failure::bad_request(format!("query pattern {pattern:?}: {}", error.kind()))
        })?;
    let matcher = glob.compile_matcher();
    let root = toolbox.resolve(&asked);
    let (left, presence) = Left::new();
    let found = blocking(move || matching(&root, Path::new(&asked), &matcher, &left)).await;
    drop(presence);
    Ok(Json(Found { files: found? }))
}

/// Paths are given as the asked root joined with what is below it.
fn matching(
    root: &Path,
    asked: &Path,
    matcher: &GlobMatcher,
    left: &Left,
) -> Result<Vec<String>, Error> {
    std::fs::metadata(root).map_err(Error::at(root))?;
    let mut files = Vec::new();
    for entry in walk(root, left).filter(|entry| matcher.is_match(entry.file_name())) {
        if files.len() == RESULTS_MAX {
            return Err(Error::TooMany {
                what: "matches",
                limit: RESULTS_MAX,
            });
        }
        let below = entry
            .path()
            .strip_prefix(root)
            .unwrap_or_else(|_| entry.path());
        let path = if below.as_os_str().is_empty() {
            asked.to_owned()
        } else {
            asked.join(below)
        };
        files.push(path.to_string_lossy().into_owned());
    }
    Ok(files)
}
