//! How much of its disk the sandbox uses, as the runner last wrote it down for us.
//!
//! The kernel's own answer inside is about the whole pool that all sandboxes share.
//!
//! Must not: write; the descriptor is for reading.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use sebring_api::boot::DISK_USE_DIGITS;

/// Absent where nobody writes it down.
#[derive(Debug)]
pub(crate) struct DiskUse(Option<File>);

impl DiskUse {
    pub(crate) const fn new(file: Option<File>) -> Self {
        Self(file)
    }

    pub(crate) const fn file(&self) -> Option<&File> {
        self.0.as_ref()
    }

    /// Bytes in use, some seconds ago.
    pub(super) fn bytes(&self) -> Option<u64> {
        let mut digits = [0; DISK_USE_DIGITS];
        self.0.as_ref()?.read_exact_at(&mut digits, 0).ok()?;
        std::str::from_utf8(&digits).ok()?.parse().ok()
    }
}
