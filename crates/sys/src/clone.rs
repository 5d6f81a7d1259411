//! A new process in new namespaces, by `clone3` without sharing memory: a fork with flags.
//!
//! Must not: run anything in the child; the caller does, in ordinary Rust. That is sound only
//! because a [`SingleThreaded`] process has no other thread that could hold a lock at the fork.
//! Next: `exec` for how the child becomes another program.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Proof that this process has one thread, and so may continue in ordinary Rust after a fork.
#[derive(Debug)]
pub struct SingleThreaded(());

impl SingleThreaded {
    /// Counts the threads. The caller must not start one afterwards.
    pub fn prove() -> io::Result<Self> {
        let threads = std::fs::read_dir("/proc/self/task")?.count();
        if threads == 1 {
            Ok(Self(()))
        } else {
            Err(io::Error::other(format!(
                "{threads} threads where one is needed"
            )))
        }
    }
}

/// Which namespaces the child gets of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Namespaces(u64);

impl Namespaces {
    /// Mounts, processes, System V IPC and host name.
    pub const SANDBOX: Self = Self(
        flag(libc::CLONE_NEWNS)
            | flag(libc::CLONE_NEWPID)
            | flag(libc::CLONE_NEWIPC)
            | flag(libc::CLONE_NEWUTS),
    );
    /// Users only: a child that exists so that its user namespace can be opened.
    pub const USER: Self = Self(flag(libc::CLONE_NEWUSER));
    pub const NONE: Self = Self(0);
}

/// Where execution continues after [`fork_into`].
#[derive(Debug)]
pub enum Side {
    Parent { pid: i32, pidfd: OwnedFd },
    Child,
}

/// Forks into `namespaces`, born in `cgroup` (v2) when one is given.
///
/// A cgroup namespace is not among the flags on purpose: made by clone it would be rooted at the
/// parent's cgroup, not at `cgroup`.
pub fn fork_into(
    _proof: &SingleThreaded,
    namespaces: Namespaces,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Side> {
    raw_fork(namespaces, cgroup)
}

/// As [`fork_into`], for callers inside this crate whose child makes only async-signal-safe calls.
pub(crate) fn raw_fork(namespaces: Namespaces, cgroup: Option<BorrowedFd<'_>>) -> io::Result<Side> {
    let mut pidfd: libc::c_int = -1;
    let mut args = CloneArgs {
        flags: namespaces.0 | flag(libc::CLONE_PIDFD),
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: u64::from(libc::SIGCHLD.unsigned_abs()),
        ..CloneArgs::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = u64::from(cgroup.as_raw_fd().unsigned_abs());
    }
    // SAFETY: no CLONE_VM and no stack: the child continues on a copy of this stack, as after
    // fork. `args` is a valid clone_args of the size given and `pidfd` outlives the call. Callers
    // are single-threaded or keep the child to async-signal-safe calls.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut args),
            size_of::<CloneArgs>(),
        )
    };
    match answer {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(Side::Child),
        pid => {
            let pid = i32::try_from(pid).map_err(|_| io::Error::other("pid out of range"))?;
            // SAFETY: the kernel stored a fresh descriptor here that nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Side::Parent { pid, pidfd })
        }
    }
}

/// Moves this single-threaded process into a new cgroup namespace rooted at its present cgroup.
pub fn unshare_cgroup(_proof: &SingleThreaded) -> io::Result<()> {
    // SAFETY: a cgroup namespace changes names only; no descriptor or memory is affected.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWCGROUP) }?;
    Ok(())
}

/// Gives this single-threaded process its own view of mounts.
pub fn unshare_mounts(_proof: &SingleThreaded) -> io::Result<()> {
    // SAFETY: the mount namespace of one thread; descriptors and memory stay as they are.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNS) }?;
    Ok(())
}

/// Moves the calling thread, and only it, into a new empty network namespace.
pub fn unshare_thread_network() -> io::Result<()> {
    // SAFETY: network namespaces are per thread and affect only sockets made afterwards.
    unsafe { rustix::thread::unshare_unsafe(rustix::thread::UnshareFlags::NEWNET) }?;
    Ok(())
}

/// `clone_args` of the kernel's ABI, first published size that has `cgroup`.
#[repr(C, align(8))]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Absent from libc on some targets, and above the range of `c_int` where present.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

const fn flag(flag: libc::c_int) -> u64 {
    flag.unsigned_abs() as u64
}
