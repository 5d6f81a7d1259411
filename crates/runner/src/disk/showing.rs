//! How much of its disk each running sandbox uses, told to its toolbox by a small file.
//!
//! The toolbox holds the file open from birth and only reads it, so nothing inside is woken and
//! nothing that is inside is believed. The file is in the sandbox's run directory, where a runner
//! that was started again finds it.
//!
//! Must not: be read by anything but the toolbox. Next: `info::disk` of the toolbox for the reader.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sebring_api::boot::DISK_USE_DIGITS;
use sebring_core::id::SandboxId;

use super::Pool;

const NAME: &str = "disk_used";
/// What an empty disk takes: the root of its tree. The kernel counts it some time later.
const EMPTY_BYTES: u64 = 16 << 10;

/// Where the file of the sandbox with this run directory is.
pub(crate) fn file(run_dir: &Path) -> PathBuf {
    run_dir.join(NAME)
}

/// Makes the file, for a sandbox that is about to start with a disk that uses `used` bytes.
pub(crate) fn begin(run_dir: &Path, used: u64) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file(run_dir))?;
    show(&file, used)
}

/// Brings the files of `running` sandboxes up to date. Each costs microseconds.
pub(crate) fn refresh(pool: &Pool, running: &[(SandboxId, PathBuf)]) {
    for (id, run_dir) in running {
        if let Ok(used) = pool.disk_used(*id) {
            // One that has just ended has no file any more.
            drop(write(run_dir, used));
        }
    }
}

fn write(run_dir: &Path, used: u64) -> io::Result<()> {
    show(
        &fs::OpenOptions::new().write(true).open(file(run_dir))?,
        used,
    )
}

/// At least what an empty disk takes, which the kernel has not counted at first. Always as long, so that a reader never sees half of an old number.
fn show(file: &File, used: u64) -> io::Result<()> {
    let width = DISK_USE_DIGITS;
    let used = used.max(EMPTY_BYTES);
    file.write_all_at(format!("{used:0width$}\n").as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_smaller_number_replaces_a_larger_one_whole() {
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), 0).unwrap();
        for used in [u64::MAX, EMPTY_BYTES + 7] {
            write(dir.path(), used).unwrap();
            let text = fs::read_to_string(file(dir.path())).unwrap();
            assert_eq!(text.trim_end().parse(), Ok(used));
        }
    }

    #[test]
    fn a_disk_that_the_kernel_has_not_counted_yet_is_not_shown_as_none() {
        let dir = tempfile::tempdir().unwrap();
        begin(dir.path(), 1 << 20).unwrap();
        write(dir.path(), 0).unwrap();
        let text = fs::read_to_string(file(dir.path())).unwrap();
        assert_eq!(text.trim_end().parse(), Ok(EMPTY_BYTES));
    }
}
