//! Templates on this host's disk: which layers make up a snapshot and how its sandboxes start.
//!
//! A snapshot is one JSON file, `pool/snapshots/<name>.json`; its layers are directories beside
//! it, `pool/layers/<layer>/`, with unshifted owners (0..65535), read-only once named here.
//!
//! Must not: unpack or build anything. Next: `crate::recipe` makes one, `crate::sandbox` uses one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sebring_api::runner::{SnapshotFacts, SnapshotStage};
use serde::{Deserialize, Serialize};

/// What the file of a snapshot says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// As users call it; may contain `/` and `:`.
    pub name: String,
    /// Directory names below `pool/layers`, bottom first. Never empty.
    pub layers: Vec<String>,
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    #[serde(default)]
    pub user: Option<String>,
    #[serde(default)]
    pub work_dir: Option<String>,
    /// Argument vector; empty means the default, which sleeps for ever.
    #[serde(default)]
    pub entrypoint: Vec<String>,
    pub size_bytes: u64,
    /// RFC 3339, UTC.
    pub created_at: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("snapshot {name} is not on this host")]
    Missing { name: String },
    #[error("read snapshot file {path}")]
    Read { path: PathBuf, source: io::Error },
    #[error("parse snapshot file {path}")]
    Parse {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("snapshot {name} has no usable layers")]
    Layers { name: String },
    #[error("write snapshot file {path}")]
    Write { path: PathBuf, source: io::Error },
}

/// The snapshots of one pool.
#[derive(Clone, Debug)]
pub struct Snapshots {
    dir: PathBuf,
    layers: PathBuf,
}

impl Snapshots {
    /// `pool` is the mounted pool; both directories exist (see [`crate::disk::Pool`]).
    #[must_use]
    pub fn new(pool: &Path) -> Self {
        Self {
            dir: pool.join("snapshots"),
            layers: pool.join("layers"),
        }
    }

    /// Where the layer `name` is or will be.
    #[must_use]
    pub fn layer_path(&self, name: &str) -> PathBuf {
        self.layers.join(name)
    }

    pub fn load(&self, name: &str) -> Result<Snapshot, Error> {
        let path = self.file_of(name);
        let text = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing {
                name: name.to_owned(),
            },
            _ => Error::Read {
                path: path.clone(),
                source,
            },
        })?;
        let snapshot: Snapshot =
            serde_json::from_slice(&text).map_err(|source| Error::Parse { path, source })?;
        let plain = |layer: &String| !layer.contains('/') && layer != ".." && !layer.is_empty();
        if snapshot.layers.is_empty() || !snapshot.layers.iter().all(plain) {
            return Err(Error::Layers {
                name: name.to_owned(),
            });
        }
        Ok(snapshot)
    }

    /// Records `snapshot`, replacing one of the same name. Durable when it returns.
    pub fn save(&self, snapshot: &Snapshot) -> Result<(), Error> {
        let path = self.file_of(&snapshot.name);
        write_durably(
            &path,
            &serde_json::to_vec_pretty(snapshot).expect("plain data"),
        )
        .map_err(|source| Error::Write { path, source })
    }

    /// All snapshots, by name. Files that cannot be read are left out.
    pub fn list(&self) -> Result<Vec<Snapshot>, Error> {
        let at = |source| Error::Read {
            path: self.dir.clone(),
            source,
        };
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(at)? {
            let file = entry.map_err(at)?.file_name();
            let Some(encoded) = file.to_str().and_then(|name| name.strip_suffix(".json")) else {
                continue;
            };
            let name = percent_decode_str(encoded).decode_utf8_lossy();
            if let Ok(snapshot) = self.load(&name) {
                found.push(snapshot);
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    pub(crate) fn file_of(&self, name: &str) -> PathBuf {
        self.dir
            .join(format!("{}.json", utf8_percent_encode(name, FILE_NAME)))
    }
}

impl From<Snapshot> for SnapshotFacts {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            name: snapshot.name,
            size_bytes: snapshot.size_bytes,
            entrypoint: snapshot.entrypoint,
            created_at: snapshot.created_at,
            stage: SnapshotStage::Ready,
        }
    }
}

/// All but letters, digits, `-`, `_` and `.` is encoded; a leading dot cannot hide anything since
/// every name ends in `.json`.
const FILE_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A reader sees the old file or the whole new one, also after a power cut.
fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension("json.new");
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    fs::File::open(path.parent().unwrap_or_else(|| Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(name: &str) -> Snapshot {
        Snapshot {
            name: name.into(),
            layers: vec!["base".into()],
            env: BTreeMap::from([("A".into(), "b".into())]),
            user: None,
            work_dir: None,
            entrypoint: Vec::new(),
            size_bytes: 7,
            created_at: "2026-11-21T00:00:00.000Z".into(),
        }
    }

    fn empty_pool() -> PathBuf {
        let pool = std::env::temp_dir().join(format!(
            "sb-snap-{}",
            rustix::process::getpid().as_raw_nonzero()
        ));
        fs::create_dir_all(pool.join("snapshots")).unwrap();
        pool
    }

    #[test]
    fn names_with_slashes_and_colons_are_kept_apart_and_read_back() {
        let pool = empty_pool();
        let snapshots = Snapshots::new(&pool);
        for name in ["a/b:1", "a", "../a", "a%2Fb:1"] {
            snapshots.save(&snapshot(name)).unwrap();
        }
        for name in ["a/b:1", "a", "../a", "a%2Fb:1"] {
            assert_eq!(snapshots.load(name).unwrap(), snapshot(name));
        }
        assert_eq!(snapshots.list().unwrap().len(), 4);
        assert!(matches!(snapshots.load("b"), Err(Error::Missing { .. })));
        let mut climbing = snapshot("climbing");
        climbing.layers = vec!["..".into()];
        snapshots.save(&climbing).unwrap();
        assert!(matches!(
            snapshots.load("climbing"),
            Err(Error::Layers { .. })
        ));
        fs::remove_dir_all(&pool).unwrap();
    }
}
