//! `GET /files/find`: lines that contain a text, in one file or in all below a directory.

use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::path::Path;
use std::sync::Arc;

use axum::extract::State;
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::sinks::Lossy;
use grep_searcher::{BinaryDetection, Searcher, SearcherBuilder};
use serde::Serialize;

use super::walk::{Left, walk};
use super::{Error, blocking};
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

/// A NUL byte this early makes a file binary.
const BINARY_PROBE_BYTES: u64 = 512;
/// Results are held in memory and sent as one array.
const RESULTS_MAX: usize = 100_000;
/// Of a matching line; minified files have lines of megabytes.
const LINE_BYTES_MAX: usize = 16 << 10;
/// All results together.
const CONTENT_BYTES_MAX: usize = 32 << 20;
/// One line that does not fit ends the search of its file.
const HEAP_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Serialize)]
pub(crate) struct Match {
    file: String,
    line: u64,
    content: String,
}

pub(crate) async fn find(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
) -> Result<Json<Vec<Match>>, Failure> {
    let root = toolbox.resolve(query.required("path")?);
    let pattern = query.required("pattern")?;
    let matcher = RegexMatcherBuilder::new()
        .fixed_strings(true)
        .build(pattern)
        .map_err(|error| Failure::bad_request(format!("query pattern {pattern:?}: {error}")))?;
    let (left, presence) = Left::new();
    let found = blocking(move || matches(&root, &matcher, &left)).await;
    drop(presence);
    Ok(Json(found?))
}

fn matches(root: &Path, matcher: &RegexMatcher, left: &Left) -> Result<Vec<Match>, Error> {
    std::fs::metadata(root).map_err(Error::at(root))?;
    let mut searcher = SearcherBuilder::new()
        .line_number(true)
        .heap_limit(Some(HEAP_BYTES_MAX))
        .binary_detection(BinaryDetection::none())
        .build();
    let mut found = Found::default();
    for entry in walk(root, left) {
        let is_root = entry.depth() == 0;
        if entry.file_type().is_file() || is_root && entry.path().is_file() {
            // A file that cannot be read is skipped like one that does not match.
            let _unreadable = found.search(&mut searcher, matcher, entry.path());
        }
        if found.matches.len() >= RESULTS_MAX || found.content_bytes >= CONTENT_BYTES_MAX {
            return Err(Error::TooMany {
                what: "matches",
                limit: found.matches.len(),
            });
        }
    }
    Ok(found.matches)
}

#[derive(Default)]
struct Found {
    matches: Vec<Match>,
    content_bytes: usize,
}

impl Found {
    fn search(
        &mut self,
        searcher: &mut Searcher,
        matcher: &RegexMatcher,
        path: &Path,
    ) -> io::Result<()> {
        let mut file = File::open(path)?;
        let mut probe = Vec::new();
        (&mut file)
            .take(BINARY_PROBE_BYTES)
            .read_to_end(&mut probe)?;
        if probe.contains(&0) {
            return Ok(());
        }
        file.rewind()?;
        let name = path.to_string_lossy();
        let sink = Lossy(|line, content| {
            let content = cut(content.trim_end_matches(['\n', '\r']));
            self.content_bytes += content.len();
            self.matches.push(Match {
                file: name.clone().into_owned(),
                line,
                content: content.to_owned(),
            });
            Ok(self.matches.len() < RESULTS_MAX && self.content_bytes < CONTENT_BYTES_MAX)
        });
        searcher.search_file(matcher, &file, sink)
    }
}

fn cut(line: &str) -> &str {
    if line.len() <= LINE_BYTES_MAX {
        return line;
    }
    let end = (0..=LINE_BYTES_MAX)
        .rev()
        .find(|at| line.is_char_boundary(*at))
        .unwrap_or(0);
    &line[..end]
}
