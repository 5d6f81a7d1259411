//! The pool: one sparse file formatted as btrfs that holds layers, snapshots and the disk of
//! every sandbox, so that a hard limit and an instant copy work whatever the host's filesystem.
//!
//! ```text
//! {data_dir}/pool.img            sparse, loop device goes away with its last mount
//! {data_dir}/pool/               mounted here
//!   layers/<name>/               read-only root filesystem parts, unshifted owners
//!   snapshots/<name>.json        see `crate::snapshots`
//!   sandboxes/<uuid>/            one subvolume with a limit: upper/ work/ toolbox.log
//!   trash/<uuid>-<n>/            deleted, space on its way back
//!   toolbox/<digest>             the executable that is PID 1 in every sandbox
//! ```
//!
//! Must not: know what runs on a disk. Next: `sandbox` here for one disk.

mod mounting;
pub(crate) mod reserve;
pub(crate) mod showing;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sebring_core::id::SandboxId;
use sebring_sys::btrfs::{self, Quotas};
use tracing::{info, warn};

use self::reserve::Reserve;

const IMAGE: &str = "pool.img";
/// Room that the pool may take by default when the caller has no opinion: sparse, so it costs
/// what is stored. Must leave the host's own disk something.
const HOST_SHARE_PERCENT: u64 = 80;
/// How long unmounting may find the pool in use.
const CLOSE_WAIT: Duration = Duration::from_secs(2);
/// btrfs refuses to be made much smaller.
const POOL_BYTES_MIN: u64 = 256 << 20;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} {path}")]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("mkfs.btrfs {path}: {output}")]
    Format { path: PathBuf, output: String },
}

/// The mounted pool. Dropping it leaves it mounted; sandboxes outlive this process.
#[derive(Debug)]
pub struct Pool {
    root: PathBuf,
    sandboxes: File,
    trash: File,
    /// `None` when this kernel counts nothing: limits are not enforced.
    quotas: Option<Quotas>,
    /// `None` when there is no way to limit all disks together.
    reserve: Option<Reserve>,
    deletions: AtomicU64,
}

/// One file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    number: u64,
}

impl FileId {
    /// Of what `path` leads to.
    ///
    /// # Errors
    /// When it leads nowhere.
    pub fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt;
        let found = fs::metadata(path)?;
        Ok(Self {
            device: found.dev(),
            number: found.ino(),
        })
    }
}

impl Pool {
    /// Mounts the pool below `data_dir`, making it on first use. Already mounted is fine.
    ///
    /// `size_bytes` is what it may grow to; `None` takes a share of the host's disk.
    pub fn open(data_dir: &Path, size_bytes: Option<u64>) -> Result<Self, Error> {
        let root = data_dir.join("pool");
        let image = data_dir.join(IMAGE);
        make_dir(&root, 0o711)?;
        if !mounting::is_mounted(&root)? {
            let size = match size_bytes {
                Some(size) => size,
                None => host_share(data_dir)?,
            };
            mounting::mount_image(&image, &root, size.max(POOL_BYTES_MIN))?;
        }
        for dir in ["layers", "snapshots", "sandboxes", "trash", "toolbox"] {
            make_dir(&root.join(dir), 0o700)?;
        }
        let sandboxes = open_dir(&root.join("sandboxes"))?;
        let quotas = enable_quotas(&sandboxes);
        let reserve = quotas.and_then(|_| prepare_reserve(&sandboxes));
        let trash = open_dir(&root.join("trash"))?;
        let pool = Self {
            root,
            sandboxes,
            trash,
            quotas,
            reserve,
            deletions: AtomicU64::new(0),
        };
        if let Err(error) = reserve::keep(&pool) {
            warn!(error = %error, "cannot look after the host's disk");
        }
        Ok(pool)
    }

    /// Unmounts. Fails while sandboxes on this host still use it in a visible place; those that
    /// only hold it through their own mounts keep it alive until they end.
    pub fn close(self) -> Result<(), Error> {
        let Self {
            root,
            sandboxes,
            trash,
            ..
        } = self;
        drop((sandboxes, trash));
        let deadline = Instant::now() + CLOSE_WAIT;
        loop {
            match rustix::mount::unmount(&root, rustix::mount::UnmountFlags::empty()) {
                Ok(()) => return Ok(()),
                // A process that is just being started holds copies of our descriptors.
                Err(rustix::io::Errno::BUSY) if Instant::now() < deadline => crate::exec::pause(),
                Err(errno) => {
                    let source = errno.into();
                    return Err(Error::Io {
                        what: "unmount",
                        path: root,
                        source,
                    });
                }
            }
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Whether a disk limit holds on this host.
    #[must_use]
    pub const fn enforces_limits(&self) -> bool {
        self.quotas.is_some()
    }

    /// Directory of the sandbox's disk, whether or not it exists.
    #[must_use]
    pub fn disk_path(&self, id: SandboxId) -> PathBuf {
        self.root.join("sandboxes").join(id.to_string())
    }

    /// Makes the sandbox's disk with its limit. One that exists keeps its content and gets the
    /// limit. Says whether it is new.
    pub fn ensure_disk(&self, id: SandboxId, limit_bytes: u64) -> io::Result<bool> {
        let name = id.to_string();
        let path = self.disk_path(id);
        let new = match btrfs::create_subvolume(self.sandboxes.as_fd(), OsStr::new(&name)) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error),
        };
        self.limit_disk(id, limit_bytes)?;
        if self.reserve.is_some() {
            Reserve::count_in(&File::open(&path)?)?;
        }
        for part in ["upper", "work"] {
            ignore_existing(fs::DirBuilder::new().mode(0o755).create(path.join(part)))?;
        }
        Ok(new)
    }

    /// Changes the limit of an existing disk at once, also of a running sandbox.
    pub fn limit_disk(&self, id: SandboxId, limit_bytes: u64) -> io::Result<()> {
        if self.quotas.is_none() {
            return Ok(());
        }
        let dir = File::open(self.disk_path(id))?;
        btrfs::limit_subvolume(dir.as_fd(), limit_bytes)
    }

    /// Bytes that the disk uses, as of the kernel's last commit.
    pub fn disk_used(&self, id: SandboxId) -> io::Result<u64> {
        let dir = File::open(self.disk_path(id))?;
        let subvolume = btrfs::subvolume_id(dir.as_fd())?;
        btrfs::referenced_bytes(dir.as_fd(), subvolume)
    }

    #[must_use]
    pub fn has_disk(&self, id: SandboxId) -> bool {
        self.disk_path(id).is_dir()
    }

    /// Takes the disk out of sight at once; its space returns with [`Pool::empty_trash`].
    pub fn discard_disk(&self, id: SandboxId) -> io::Result<()> {
        let number = self.deletions.fetch_add(1, Ordering::Relaxed);
        // The process id keeps names of two incarnations apart.
        let own = rustix::process::getpid().as_raw_nonzero();
        let target = self.root.join("trash").join(format!("{id}-{own}-{number}"));
        match fs::rename(self.disk_path(id), target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Deletes what was discarded. Milliseconds per disk and idempotent; for a background thread.
    pub fn empty_trash(&self) {
        let entries = match fs::read_dir(self.root.join("trash")) {
            Ok(entries) => entries,
            Err(error) => {
                warn!(error = %error, "cannot list discarded disks");
                return;
            }
        };
        for entry in entries.flatten() {
            if let Err(error) = btrfs::delete_subvolume(self.trash.as_fd(), &entry.file_name())
                && error.kind() != io::ErrorKind::NotFound
            {
                warn!(error = %error, disk = ?entry.file_name(), "cannot delete a discarded disk");
            }
        }
    }

    /// Ids of all sandbox disks.
    pub fn disks(&self) -> io::Result<Vec<SandboxId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(self.root.join("sandboxes"))? {
            if let Some(id) = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Puts the toolbox executable where it can be shown to sandboxes: under its digest, so that
    /// a newer one never changes what runs already.
    pub fn install_toolbox(&self, bytes: &[u8]) -> Result<PathBuf, Error> {
        use sha2::{Digest, Sha256};
        let digest = hex::encode(Sha256::digest(bytes));
        let path = self.root.join("toolbox").join(&digest[..16]);
        let failed = |what| {
            let path = path.clone();
            move |source| Error::Io { what, path, source }
        };
        if !path.exists() {
            let unfinished = path.with_extension("new");
            fs::write(&unfinished, bytes).map_err(failed("write"))?;
            fs::set_permissions(&unfinished, fs::Permissions::from_mode(0o555))
                .map_err(failed("make executable"))?;
            fs::rename(&unfinished, &path).map_err(failed("rename to"))?;
        }
        Ok(path)
    }

    /// The toolbox executable that is this very file.
    pub fn toolbox_that_is(&self, program: FileId) -> Option<PathBuf> {
        let entries = fs::read_dir(self.root.join("toolbox")).ok()?;
        let mut paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.find(|path| FileId::of(path).is_ok_and(|id| id == program))
    }

    /// Total and free bytes of the pool, and no more than the host's disk can still give without
    /// its reserve.
    pub fn space(&self) -> io::Result<(u64, u64)> {
        let pool = rustix::fs::statvfs(&self.root)?;
        let host = reserve::host_room(self.root.parent().unwrap_or(&self.root))?;
        let free = (pool.f_bavail * pool.f_frsize).min(host);
        Ok((pool.f_blocks * pool.f_frsize, free))
    }
}

/// Simple quotas where the kernel has them, else full ones, else none.
fn enable_quotas(filesystem: &File) -> Option<Quotas> {
    for quotas in [Quotas::Simple, Quotas::Full] {
        match btrfs::enable_quotas(filesystem.as_fd(), quotas) {
            Ok(()) => {
                info!(?quotas, "disk limits are on");
                return Some(quotas);
            }
            Err(error) => {
                info!(?quotas, error = %error, "this kind of disk limit is not available");
            }
        }
    }
    warn!("disk limits cannot be enforced on this host");
    None
}

fn prepare_reserve(filesystem: &File) -> Option<Reserve> {
    Reserve::prepare(filesystem)
        .inspect_err(|error| {
            warn!(error = %error, "the host's disk cannot be kept from being filled by all sandboxes together");
        })
        .ok()
}

fn host_share(data_dir: &Path) -> Result<u64, Error> {
    let stat = rustix::fs::statvfs(data_dir).map_err(|errno| Error::Io {
        what: "measure",
        path: data_dir.to_owned(),
        source: errno.into(),
    })?;
    Ok(stat.f_bavail * stat.f_frsize / 100 * HOST_SHARE_PERCENT)
}

fn open_dir(path: &Path) -> Result<File, Error> {
    File::open(path).map_err(|source| Error::Io {
        what: "open",
        path: path.to_owned(),
        source,
    })
}

fn make_dir(path: &Path, mode: u32) -> Result<(), Error> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| Error::Io {
            what: "create",
            path: path.to_owned(),
            source,
        })
}

fn ignore_existing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
