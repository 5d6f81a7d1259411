//! The root filesystem: shared layers below, the sandbox's own disk on top.
//!
//! Must not: run before mounts are private. Next: `system` fills in /proc, /sys, /dev.

use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_string, fsmount, fsopen, move_mount,
};
use sebring_sys::creds::{Credentials, use_files_as};
use sebring_sys::mount::{attach, copy, map_ids};

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
    // The kernel wants layers top first.
    let mut lower = Vec::with_capacity(request.layers.len());
    for (number, layer) in request.layers.iter().enumerate().rev() {
        let place = scratch.join(number.to_string());
        attach_mapped(layer, &place, user)?;
        lower.push(place);
    }
    let disk = scratch.join("disk");
    attach_mapped(&request.disk, &disk, user)?;
    let root = scratch.join("root");
    fs::create_dir(&root)?;
    use_files_as_sandbox_root(request.base_id)?;
    mount_overlay(&lower, &disk, &root)?;
    rustix::process::chdir(&root)?;
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

/// Layers are given one by one: the classic option string is limited to a page.
fn mount_overlay(lower: &[PathBuf], disk: &Path, target: &Path) -> io::Result<()> {
    let overlay = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in lower {
        fsconfig_set_string(&overlay, "lowerdir+", layer)?;
    }
    fsconfig_set_string(&overlay, "upperdir", disk.join("upper"))?;
    fsconfig_set_string(&overlay, "workdir", disk.join("work"))?;
    fsconfig_create(&overlay)?;
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
