//! Giving up everything that the host's root can do.
//!
//! Must not: be reordered lightly. Capabilities are those of the sandbox's user namespace, full
//! on entering it and cut down afterwards; the host's are gone with the entering itself.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitySet, CapabilitySets, LinkNameSpaceType};

/// What sandbox root keeps, over its own ids only. Docker's default without NET_RAW (the network
/// namespace is the host's anyway) and MKNOD, AUDIT_WRITE (which need the host's user namespace).
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT);
/// Highest number to try; the kernel refuses those it does not know.
const CAPABILITIES_MAX: u32 = 63;

pub(super) fn enter_user_namespace(user: BorrowedFd<'_>) -> io::Result<()> {
    rustix::thread::move_into_link_name_space(user, Some(LinkNameSpaceType::User))?;
    let root = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    rustix::thread::set_thread_groups(&[])?;
    rustix::thread::set_thread_res_gid(root.1, root.1, root.1)?;
    rustix::thread::set_thread_res_uid(root.0, root.0, root.0)?;
    Ok(())
}

pub(super) fn drop_capabilities() -> io::Result<()> {
    for number in 0..=CAPABILITIES_MAX {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if KEPT.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Err(rustix::io::Errno::INVAL) => break,
            other => other?,
        }
    }
    rustix::thread::clear_ambient_capability_set()?;
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: KEPT,
            permitted: KEPT,
            inheritable: CapabilitySet::empty(),
        },
    )?;
    Ok(())
}

/// Allows no namespace of any kind to be made in the sandbox's user namespace.
///
/// Seccomp refuses the flags of `clone` and `unshare` too, but cannot look into the arguments of
/// `clone3`, which the toolbox needs so that each command starts in its own control group. The
/// limit counts per user namespace, so the path must be walked from inside it; raising it again
/// takes CAP_SYS_RESOURCE, which is dropped next.
pub(super) fn forbid_nested_namespaces(settings: BorrowedFd<'_>) -> io::Result<()> {
    for kind in ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"] {
        let name = format!("user/max_{kind}_namespaces");
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        match rustix::fs::openat(settings, &name, flags, Mode::empty()) {
            Ok(file) => File::from(file).write_all(b"0")?,
            // A kernel built without this kind cannot make one either.
            Err(rustix::io::Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
