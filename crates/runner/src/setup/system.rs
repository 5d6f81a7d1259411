//! /proc, /sys, control groups, our own directory, and the small files that show the sandbox's
//! share instead of the host's.
//!
//! Must not: run before the root was entered; every path here is the sandbox's.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use sebring_api::boot::{
    CGROUP_DIR, CPUINFO, CPUS_ONLINE, MEMINFO, MEMORY_DIR, PROC_DIR, TOOLBOX_PATH,
};

use super::{ensure_dir, mount_fresh};
use crate::spawner::wire::Request;

/// Where our files are shown; read-only but for [`PROC_DIR`].
const OWN_DIR: &str = "/.sebring";
/// Files of the host's kernel that tell or let do too much; the list is the one of OCI runtimes,
/// and what the host's kernel was started with, what disks it has and how busy they are, and which
/// of its files are disks.
const MASKED: [&str; 19] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/cmdline",
    "/proc/diskstats",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/key-users",
    "/proc/kmsg",
    "/proc/latency_stats",
    "/proc/partitions",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/btrfs",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// `/.sebring`: the executable, the stand-in files, and an empty directory to mask others with.
pub(super) fn own_directory(
    request: &Request,
    toolbox: BorrowedFd<'_>,
    memory_group: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let own = Path::new(OWN_DIR);
    ensure_dir(own)?;
    mount_fresh(
        "tmpfs",
        own,
        MountFlags::NODEV,
        "mode=755,size=512k,nr_inodes=64,uid=0,gid=0",
    )?;
    make_foreign(&own.join("empty"), |path| fs::create_dir(path))?;
    make_foreign(Path::new(TOOLBOX_PATH), |path| fs::write(path, ""))?;
    sebring_sys::mount::attach(toolbox, Path::new(TOOLBOX_PATH))?;
    if let Some(group) = memory_group {
        make_foreign(Path::new(MEMORY_DIR), |path| fs::create_dir(path))?;
        sebring_sys::mount::attach(group, Path::new(MEMORY_DIR))?;
    }
    fs::create_dir(PROC_DIR)?;
    for (name, content) in [
        (MEMINFO, &request.files.meminfo),
        (CPUINFO, &request.files.cpuinfo),
        (CPUS_ONLINE, &request.files.cpus_online),
    ] {
        fs::write(Path::new(PROC_DIR).join(name), content)?;
    }
    let boot_id = &request.files.boot_id;
    make_foreign(&own.join("boot_id"), |path| fs::write(path, boot_id))?;
    fs::write(own.join("hostname"), format!("{}\n", request.hostname))?;
    fs::write(own.join("hosts"), &request.files.hosts)?;
    fs::write(own.join("resolv.conf"), &request.files.resolv_conf)
}

/// Makes something that even sandbox root cannot change: its owner has no id in the sandbox.
fn make_foreign(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    make(path)?;
    chown(path, Some(0), Some(0))
}

/// /proc of the sandbox's own processes, without what belongs to the host.
///
/// The answer is its `sys` directory, still writable through this descriptor only.
pub(super) fn processes() -> io::Result<OwnedFd> {
    let proc = Path::new("/proc");
    ensure_dir(proc)?;
    mount_fresh("proc", proc, MountFlags::NODEV | MountFlags::NOEXEC, "")?;
    let own = Path::new(OWN_DIR);
    let stand_ins = Path::new(PROC_DIR);
    bind(&stand_ins.join(MEMINFO), Path::new("/proc/meminfo"))?;
    bind(&stand_ins.join(CPUINFO), Path::new("/proc/cpuinfo"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let settings = rustix::fs::open("/proc/sys", flags, Mode::empty())?;
    for path in READ_ONLY.iter().map(Path::new) {
        if bind_if_there(path, path)? {
            read_only(path)?;
        }
    }
    bind_if_there(
        &own.join("boot_id"),
        Path::new("/proc/sys/kernel/random/boot_id"),
    )?;
    Ok(settings)
}

/// /sys and the sandbox's own control groups.
pub(super) fn devices_and_groups() -> io::Result<()> {
    let sys = Path::new("/sys");
    ensure_dir(sys)?;
    let quiet = MountFlags::NODEV | MountFlags::NOEXEC;
    mount_fresh("sysfs", sys, quiet | MountFlags::RDONLY, "")?;
    let groups = Path::new(CGROUP_DIR);
    mount_fresh("cgroup2", groups, quiet, "")?;
    let own = Path::new(OWN_DIR);
    bind_if_there(
        &Path::new(PROC_DIR).join(CPUS_ONLINE),
        Path::new("/sys/devices/system/cpu/online"),
    )?;
    let empty = own.join("empty");
    for path in MASKED.iter().map(Path::new) {
        match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => bind(&empty, path)?,
            Ok(_) => bind(Path::new("/dev/null"), path)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// The image's name files, replaced by ours. Writable by sandbox root, never stored in its disk.
pub(super) fn bind_files() -> io::Result<()> {
    ensure_dir(Path::new("/etc"))?;
    for name in ["hosts", "hostname", "resolv.conf"] {
        let target = Path::new("/etc").join(name);
        // A link here often dangles until the image's own service manager has run.
        let plain = fs::symlink_metadata(&target).is_ok_and(|meta| meta.is_file());
        if !plain {
            match fs::remove_file(&target) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => fs::write(&target, "")?,
            }
        }
        bind(&Path::new(OWN_DIR).join(name), &target)?;
    }
    Ok(())
}

fn bind(source: &Path, target: &Path) -> io::Result<()> {
    Ok(rustix::mount::mount_bind(source, target)?)
}

/// Says whether there was something to bind over.
fn bind_if_there(source: &Path, target: &Path) -> io::Result<bool> {
    match rustix::mount::mount_bind(source, target) {
        Err(rustix::io::Errno::NOENT) => Ok(false),
        other => Ok(other.map(|()| true)?),
    }
}

fn read_only(path: &Path) -> io::Result<()> {
    let flags = MountFlags::BIND
        | MountFlags::RDONLY
        | MountFlags::NOSUID
        | MountFlags::NODEV
        | MountFlags::NOEXEC;
    Ok(rustix::mount::mount_remount(path, flags, c"")?)
}
