//! /dev: the handful of devices that every program expects, terminals, shared memory, queues.
//!
//! Must not: offer a device that reaches the host's hardware.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::MountFlags;

use super::{ensure_dir, mount_fresh};
use crate::spawner::wire::Request;

/// Name, major and minor number.
const NODES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
    ("/proc/kcore", "/dev/core"),
];
/// Group that owns terminals in every distribution.
const TTY_GROUP: u32 = 5;
/// The host has about three thousand for all sandboxes together.
const TERMINALS_MAX: u32 = 256;

pub(super) fn make(request: &Request) -> io::Result<()> {
    let base = request.base_id;
    let dev = Path::new("/dev");
    ensure_dir(dev)?;
    let owned = format!("uid={base},gid={base}");
    mount_fresh(
        "tmpfs",
        dev,
        MountFlags::NOEXEC,
        &format!("mode=755,size=64k,nr_inodes=256,{owned}"),
    )?;
    for (name, major, minor) in NODES {
        let path = dev.join(name);
        let mode = Mode::from_raw_mode(0o666);
        mknodat(
            CWD,
            &path,
            FileType::CharacterDevice,
            mode,
            makedev(major, minor),
        )?;
        // The umask of the process took bits off.
        rustix::fs::chmodat(CWD, &path, mode, rustix::fs::AtFlags::empty())?;
    }
    for (target, link) in LINKS {
        symlink(target, link)?;
    }
    for dir in ["pts", "shm", "mqueue"] {
        fs::create_dir(dev.join(dir))?;
    }
    let quiet = MountFlags::NODEV | MountFlags::NOEXEC;
    let group = base + TTY_GROUP;
    let terminals = format!("newinstance,max={TERMINALS_MAX},ptmxmode=0666,mode=0620,gid={group}");
    mount_fresh("devpts", &dev.join("pts"), MountFlags::NOEXEC, &terminals)?;
    // Counted as the sandbox's memory; browsers need far more than the 64 MiB of other runtimes.
    let shared = format!("mode=1777,size={},{owned}", request.memory_bytes / 2);
    mount_fresh("tmpfs", &dev.join("shm"), MountFlags::NODEV, &shared)?;
    mount_fresh("mqueue", &dev.join("mqueue"), quiet, "")?;
    Ok(())
}
