//! Walking a tree for a client that may leave at any time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use walkdir::{DirEntry, WalkDir};

/// Everything below `root` and itself, by name, links not followed; what cannot be read is
/// skipped. Ends early when the client has left.
pub(super) fn walk(root: &Path, left: &Left) -> impl Iterator<Item = DirEntry> {
    let left = left.clone();
    WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .take_while(move |_| !left.0.load(Ordering::Relaxed))
        .filter_map(Result::ok)
}

/// Whether the client has left.
#[derive(Clone, Debug, Default)]
pub(super) struct Left(Arc<AtomicBool>);

/// Lives in the request's future; tells when that is dropped.
#[derive(Debug)]
pub(super) struct Presence(Left);

impl Left {
    pub(super) fn new() -> (Self, Presence) {
        let left = Self::default();
        (left.clone(), Presence(left))
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
