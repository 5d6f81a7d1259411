//! Keeps the host's own disk from being filled through the pool, whose file is sparse.
//!
//! A filesystem whose device cannot store a block any more goes read-only for good, and with it
//! every sandbox. So all disks are members of one quota group, and once the host has little left
//! the group may grow by no more than that, less a reserve: writers are then refused like those
//! at their own limit, and go on as soon as there is room again.
//!
//! Must not: limit anybody on a host that has room.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;
use sebring_sys::btrfs;
use tracing::{debug, info, warn};

use super::{IMAGE, Pool};

/// How often to look. Between two looks sandboxes can write no more than [`NEAR`].
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Room above the reserve with which nobody is limited, in bytes.
const NEAR: u64 = 8 << 30;
/// What is left to the host: this part of its disk, within the bounds, in bytes.
const RESERVE_PART: u64 = 20;
const RESERVE_MIN: u64 = 64 << 20;
const RESERVE_MAX: u64 = 2 << 30;
/// What the pool's file may hold of blocks that the pool no longer uses, in bytes.
const WORTH_GIVING_BACK: u64 = 64 << 20;
/// All disks of all sandboxes.
const EVERYBODY: u64 = btrfs::shared_group(1);

/// The limit for all disks together.
#[derive(Debug)]
pub(super) struct Reserve {
    in_force: Mutex<Limit>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    /// What an earlier runner has left.
    Unknown,
    None,
    Bytes(u64),
}

impl Reserve {
    /// Makes the group, or finds the one of an earlier runner, whose limit holds until [`keep`].
    pub(super) fn prepare(filesystem: &File) -> io::Result<Self> {
        btrfs::create_group(filesystem.as_fd(), EVERYBODY)?;
        Ok(Self {
            in_force: Mutex::new(Limit::Unknown),
        })
    }

    pub(super) fn count_in(disk: &File) -> io::Result<()> {
        btrfs::join_group(disk.as_fd(), EVERYBODY)
    }
}

/// Bytes of the host's disk below `dir` that sandboxes may still take.
pub(super) fn host_room(dir: &Path) -> io::Result<u64> {
    let stat = rustix::fs::statvfs(dir)?;
    let total = stat.f_blocks * stat.f_frsize;
    let reserve = (total / RESERVE_PART).clamp(RESERVE_MIN, RESERVE_MAX);
    Ok((stat.f_bavail * stat.f_frsize).saturating_sub(reserve))
}

/// Sets or lifts the limit, as the host's disk demands. Near its end this writes out what the pool
/// has not yet written: only then do both counts tell of the same moment.
pub(crate) fn keep(pool: &Pool) -> io::Result<()> {
    let (Some(reserve), Some(host)) = (&pool.reserve, pool.root.parent()) else {
        return Ok(());
    };
    let mut in_force = reserve.in_force.lock();
    let wanted = if host_room(host)? >= NEAR {
        Limit::None
    } else {
        Limit::Bytes(give_back_and_measure(pool, host)?)
    };
    if *in_force == wanted {
        return Ok(());
    }
    let bytes = match wanted {
        Limit::Bytes(bytes) => bytes,
        Limit::None | Limit::Unknown => u64::MAX,
    };
    btrfs::limit_group(pool.sandboxes.as_fd(), EVERYBODY, bytes)?;
    match (*in_force, wanted) {
        (Limit::Bytes(_), Limit::Bytes(_)) | (Limit::Unknown, Limit::None) => {}
        (_, Limit::Bytes(_)) => warn!(
            path = %host.display(),
            "the host's disk is almost full: sandboxes may write what it has left, less a reserve"
        ),
        _ => info!("the host's disk has room again"),
    }
    *in_force = wanted;
    Ok(())
}

/// What all disks may use together, in bytes.
fn give_back_and_measure(pool: &Pool, host: &Path) -> io::Result<u64> {
    rustix::fs::syncfs(&pool.sandboxes)?;
    let stored = rustix::fs::statvfs(&pool.root)?;
    let stored = (stored.f_blocks - stored.f_bfree) * stored.f_frsize;
    let taken = fs::metadata(host.join(IMAGE))?.blocks() * 512;
    if taken.saturating_sub(stored) >= WORTH_GIVING_BACK {
        // Also done by the filesystem itself, in minutes, and not everywhere possible. Without it the
        // limit is lower than it need be, which must not keep it from being set.
        if let Err(error) = btrfs::trim(pool.sandboxes.as_fd()) {
            debug!(error = %error, "the pool gives nothing back to the host's disk");
        }
    }
    let used = btrfs::referenced_bytes(pool.sandboxes.as_fd(), EVERYBODY)?;
    Ok(used.saturating_add(host_room(host)?))
}
