//! What a file looks like to clients; `GET /files/info`.

use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::State;
use http::HeaderMap;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Error, blocking};
use crate::clock;
use crate::http::client::is_strict;
use crate::http::error::Failure;
use crate::http::query::Query;
use crate::http::reply::Json;
use crate::toolbox::Toolbox;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FileInfo {
    name: String,
    is_dir: bool,
    size: u64,
    /// As Go prints a file mode: `-rw-r--r--`.
    mode: String,
    /// Four octal digits.
    permissions: String,
    /// As Go prints a time. Deprecated for `modified_at`.
    mod_time: String,
    /// Numeric id as text.
    owner: String,
    group: String,
    #[serde(flatten)]
    newer: Option<Newer>,
}

/// What strict clients of old do not know.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Newer {
    path: String,
    modified_at: String,
}

impl FileInfo {
    /// As this client can read it.
    pub(super) fn fit(mut self, headers: &HeaderMap) -> Self {
        if is_strict(headers) {
            self.newer = None;
        }
        self
    }
}

pub(crate) async fn info(
    State(toolbox): State<Arc<Toolbox>>,
    query: Query,
    headers: HeaderMap,
) -> Result<Json<FileInfo>, Failure> {
    let path = toolbox.resolve(query.required("path")?);
    blocking(move || {
        let facts = fs::metadata(&path).map_err(Error::at(&path))?;
        Ok::<_, Error>(Json(describe(&path, &facts).fit(&headers)))
    })
    .await
}

/// `facts` are of what the path finally leads to.
pub(super) fn describe(path: &Path, facts: &Metadata) -> FileInfo {
    // `.` parts say nothing; `..` stays, since only the kernel knows where it leads.
    let path: PathBuf = path.components().collect();
    let name = path
        .file_name()
        .map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy());
    let modified = facts
        .modified()
        .map_or(OffsetDateTime::UNIX_EPOCH, OffsetDateTime::from);
    FileInfo {
        name: name.into_owned(),
        is_dir: facts.is_dir(),
        size: facts.len(),
        mode: go_mode(facts),
        permissions: format!("{:04o}", facts.mode() & 0o777),
        mod_time: go_time(modified),
        owner: facts.uid().to_string(),
        group: facts.gid().to_string(),
        newer: Some(Newer {
            path: path.to_string_lossy().into_owned(),
            modified_at: clock::rfc3339(modified),
        }),
    }
}

fn go_mode(facts: &Metadata) -> String {
    let kind = facts.file_type();
    let mode = facts.mode();
    let flags = [
        (kind.is_dir(), "d"),
        (kind.is_symlink(), "L"),
        (kind.is_block_device() || kind.is_char_device(), "D"),
        (kind.is_fifo(), "p"),
        (kind.is_socket(), "S"),
        (mode & 0o4000 != 0, "u"),
        (mode & 0o2000 != 0, "g"),
        (kind.is_char_device(), "c"),
        (mode & 0o1000 != 0, "t"),
    ];
    let mut text: String = flags
        .iter()
        .filter(|(set, _)| *set)
        .map(|(_, flag)| *flag)
        .collect();
    if text.is_empty() {
        text.push('-');
    }
    for (bit, letter) in (0..9).rev().zip("rwxrwxrwx".chars()) {
        text.push(if mode & (1 << bit) != 0 { letter } else { '-' });
    }
    text
}

fn go_time(at: OffsetDateTime) -> String {
    let seconds = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let seconds = at.format(&seconds).unwrap_or_default();
    let nanos = format!(".{:09}", at.nanosecond());
    let fraction = nanos.trim_end_matches('0').trim_end_matches('.');
    format!("{seconds}{fraction} +0000 UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_as_go_prints_them() {
        let at = OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_120_000_000).unwrap();
        assert_eq!(go_time(at), "2023-11-14 22:13:20.12 +0000 UTC");
        let at = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
        assert_eq!(go_time(at), "2023-11-14 22:13:20 +0000 UTC");
    }

    #[test]
    fn modes_are_printed_as_go_prints_them() {
        let of = |path: &str| go_mode(&fs::metadata(path).unwrap());
        assert_eq!(of("/tmp"), "dtrwxrwxrwx");
        assert_eq!(of("/dev/null"), "Dcrw-rw-rw-");
        assert_eq!(of("/etc/passwd"), "-rw-r--r--");
    }
}
