//! A file of ours in the sandbox's temporary directory, gone when dropped.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::random_hex;

#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Call on a thread that acts as the user; it becomes the owner.
    pub(crate) fn create(ending: &str, content: &[u8]) -> io::Result<Self> {
        let path = Path::new("/tmp").join(format!("sebring-{}{ending}", random_hex()));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let scratch = Self { path };
        file.write_all(content)?;
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Whoever ran may have removed it.
        let _gone = fs::remove_file(&self.path);
    }
}
