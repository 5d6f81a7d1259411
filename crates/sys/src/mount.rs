//! Mounts by descriptor: detached copies of trees, id mapping, attributes.
//!
//! Must not: know any path of ours. What `rustix::mount` has is used from there directly.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};

/// Attributes a mount can be given with [`set`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attributes(u64);

impl Attributes {
    pub const READ_ONLY: Self = Self(0x1);
    pub const NO_SUID: Self = Self(0x2);
    pub const NO_DEV: Self = Self(0x4);
    pub const NO_EXEC: Self = Self(0x8);

    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A detached copy of the mount at `path`, without what is mounted beneath it.
pub fn copy(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(rustix::mount::open_tree(CWD, path, flags)?)
}

/// Attaches a detached mount at `target`.
pub fn attach(mount: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(mount, "", CWD, target, flags)?)
}

/// What became of the mount that was at the place of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Former {
    Gone,
    /// Kernels before 6.5 cannot put anything in its place but on top.
    Covered,
}

/// Shows a detached mount where another one is, without a moment in between.
pub fn replace(mount: BorrowedFd<'_>, target: &Path) -> io::Result<Former> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    let beneath = flags | MoveMountFlags::from_bits_retain(MOVE_MOUNT_BENEATH);
    match rustix::mount::move_mount(mount, "", CWD, target, beneath) {
        Ok(()) => uncover(target).map(|()| Former::Gone),
        Err(rustix::io::Errno::INVAL) => attach(mount, target).map(|()| Former::Covered),
        Err(errno) => Err(errno.into()),
    }
}

/// Takes away the mount that is at `target`, whoever uses it.
pub fn uncover(target: &Path) -> io::Result<()> {
    Ok(rustix::mount::unmount(target, UnmountFlags::DETACH)?)
}

/// Runs `work` on a thread that sees the mounts, and the root, of another process.
///
/// # Errors
/// When the process has ended, or `work` fails.
pub fn seen_by<T: Send>(
    process: BorrowedFd<'_>,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    let enter_and_work = || {
        // SAFETY: takes a flag; only this thread, which ends here, stops sharing its root.
        if unsafe { libc::unshare(libc::CLONE_FS) } < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: takes a live descriptor and a flag, and concerns only this thread.
        if unsafe { libc::setns(process.as_raw_fd(), libc::CLONE_NEWNS) } < 0 {
            return Err(io::Error::last_os_error());
        }
        work()
    };
    std::thread::scope(|threads| threads.spawn(enter_and_work).join())
        .map_err(|_| io::Error::other("the thread panicked"))?
}

/// Shows the files of a detached mount with the ids that `user_namespace` gives them: an id `n`
/// on disk is the host's `base + n` through this mount.
pub fn map_ids(mount: BorrowedFd<'_>, user_namespace: BorrowedFd<'_>) -> io::Result<()> {
    set_attributes(
        mount,
        &MountAttr {
            attr_set: MOUNT_ATTR_IDMAP,
            userns_fd: u64::from(user_namespace.as_raw_fd().unsigned_abs()),
            ..MountAttr::default()
        },
    )
}

/// Adds `attributes` to a mount.
pub fn set(mount: BorrowedFd<'_>, attributes: Attributes) -> io::Result<()> {
    set_attributes(
        mount,
        &MountAttr {
            attr_set: attributes.0,
            ..MountAttr::default()
        },
    )
}

/// A read-only, detached copy of one file or tree from which programs can run even if its
/// original mount forbids that.
pub fn copy_executable(path: &Path) -> io::Result<OwnedFd> {
    let mount = copy(path)?;
    let attributes = Attributes::READ_ONLY
        .and(Attributes::NO_SUID)
        .and(Attributes::NO_DEV);
    set_attributes(
        mount.as_fd(),
        &MountAttr {
            attr_set: attributes.0,
            attr_clr: Attributes::NO_EXEC.0,
            ..MountAttr::default()
        },
    )?;
    Ok(mount)
}

fn set_attributes(mount: BorrowedFd<'_>, attr: &MountAttr) -> io::Result<()> {
    // SAFETY: the path is a valid empty C string and `attr` a valid mount_attr of the size given;
    // the kernel reads both during the call only.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            std::ptr::from_ref(attr),
            size_of::<MountAttr>(),
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `mount_attr` of the kernel's ABI.
#[repr(C)]
#[derive(Default)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
const MOVE_MOUNT_BENEATH: u32 = 0x200;
