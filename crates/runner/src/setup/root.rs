//! The root filesystem: shared layers below, the sandbox's own disk on top.
//!
//! Must not: run before mounts are private. Next: `system` fills in /proc, /sys, /dev.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount,
};
use sebring_sys::creds::{Credentials, use_files_as};
use sebring_sys::mount::{attach, copy, map_ids};

use crate::host;
use crate::spawner::wire::Request;

/// Mounts the sandbox's root, makes it this process's, and detaches everything of the host.
///
/// Layers and the disk are attached through mounts that map their owners into the sandbox's
/// range, so the bytes on disk know nothing of ranges and can be shared and copied.
pub(super) fn enter(request: &Request, user: BorrowedFd<'_>) -> io::Result<()> {
    let scratch = &request.scratch;
    rustix::mount::mount(
        "scratch",
        scratch,
        "tmpfs",
        MountFlags::empty(),
        c"size=64k,mode=700",
    )?;
    // Short relative names: a sandbox can read them in its /proc/mounts, and older kernels take
    // no more than 256 bytes of them.
    rustix::process::chdir(scratch)?;
    // The kernel wants layers top first.
    let mut lower = Vec::with_capacity(request.layers.len());
    for (number, layer) in request.layers.iter().enumerate().rev() {
        let place = number.to_string();
        attach_mapped(layer, Path::new(&place), user)?;
        lower.push(place);
    }
    attach_mapped(&request.disk, Path::new("disk"), user)?;
    fs::create_dir("root")?;
    use_files_as_sandbox_root(request.base_id)?;
    let syntax = match request.fault.as_deref() {
        Some(OLD_KERNEL) => Syntax::Joined,
        _ => Syntax::of_this_kernel(),
    };
    mount_overlay(&lower, syntax, Path::new("root"))?;
    rustix::process::chdir("root")?;
    rustix::process::pivot_root(".", ".")?;
    // The old root lies over the new one now; this takes it and all mounts beneath it away.
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")?;
    Ok(())
}

fn attach_mapped(source: &Path, place: &Path, user: BorrowedFd<'_>) -> io::Result<()> {
    use std::os::fd::AsFd;
    let mount = copy(source)?;
    map_ids(mount.as_fd(), user)?;
    fs::create_dir(place)?;
    attach(mount.as_fd(), place)
}

/// From here on files are made by the sandbox's root, who is the only root that has an id in the
/// mapped mounts; overlay also remembers who mounted it and works on its layers as them. The
/// host's capabilities are kept, which changing the id alone would drop.
fn use_files_as_sandbox_root(base_id: u32) -> io::Result<()> {
    let full = rustix::thread::capabilities(None)?;
    use_files_as(&Credentials {
        uid: base_id,
        gid: base_id,
        groups: Vec::new(),
    })?;
    Ok(rustix::thread::set_capabilities(None, full)?)
}

fn mount_overlay(lower: &[String], syntax: Syntax, target: &Path) -> io::Result<()> {
    let overlay = configure(lower, syntax)?;
    // Images may hold device nodes; sandbox root must not be able to open one.
    let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
    let mount = fsmount(&overlay, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    move_mount(
        &mount,
        "",
        CWD,
        target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?;
    Ok(())
}

/// A fault that tests arm to see the syntax of kernels that are not at hand.
const OLD_KERNEL: &str = "setup.old_kernel_overlay";
const LAYERS_ONE_BY_ONE_SINCE: (u32, u32) = (6, 8);

/// How the layers are given to the kernel.
#[derive(Clone, Copy)]
enum Syntax {
    /// Any number of layers.
    OneByOne,
    /// All that older kernels know.
    Joined,
}

impl Syntax {
    /// By version: a kernel that is asked in vain says so in its log, for each sandbox.
    fn of_this_kernel() -> Self {
        match host::kernel() {
            Some(version) if version >= LAYERS_ONE_BY_ONE_SINCE => Self::OneByOne,
            _ => Self::Joined,
        }
    }
}

fn configure(lower: &[String], syntax: Syntax) -> io::Result<OwnedFd> {
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    match syntax {
        Syntax::OneByOne => {
            for layer in lower {
                fsconfig_set_string(&overlay, "lowerdir+", layer)?;
            }
        }
        Syntax::Joined => fsconfig_set_string(&overlay, "lowerdir", lower.join(":"))?,
    }
    fsconfig_set_string(&overlay, "upperdir", "disk/upper")?;
    fsconfig_set_string(&overlay, "workdir", "disk/work")?;
    fsconfig_create(&overlay)?;
    Ok(overlay)
}
