//! User namespaces as descriptors: made once, used for id-mapped mounts and for `setns`.
//!
//! Must not: choose ids. Next: `mount::map_ids`.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{PidfdFlags, Signal, WaitId, WaitIdOptions};

use crate::clone::{Namespaces, Side, raw_fork};
use crate::creds::act_as;

/// A user namespace in which ids `0..count` are the host's `base..base + count`.
///
/// The namespace lives as long as the descriptor or a process or mount in it.
///
/// It belongs to `base`, not to the caller: what the kernel counts per user (inotify instances,
/// locked memory, queued signals, message queues) is counted in a namespace and again for its
/// owner outside. Were that root, one sandbox could use up what all others and the host's own
/// services have.
pub fn create(base: u32, count: u32) -> io::Result<OwnedFd> {
    let parent = rustix::process::getpid().as_raw_nonzero().get();
    // The child must not come back from here: becoming root again fails in a namespace without a
    // map, and it would go on as a second copy of its parent.
    let (pid, pidfd) = act_as(base, || match raw_fork(Namespaces::USER, None)? {
        Side::Parent { pid, pidfd } => Ok((pid, pidfd)),
        Side::Child => wait_for_the_end(parent),
    })?;
    let opened = map_and_open(pid, base, count);
    // The child has done its work by existing. Neither call can fail for a live own child.
    let _ = rustix::process::pidfd_send_signal(&pidfd, Signal::KILL);
    let _ = rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
    opened
}

fn map_and_open(pid: i32, base: u32, count: u32) -> io::Result<OwnedFd> {
    let map = format!("0 {base} {count}\n");
    fs::write(format!("/proc/{pid}/uid_map"), &map)?;
    fs::write(format!("/proc/{pid}/gid_map"), &map)?;
    let path = format!("/proc/{pid}/ns/user");
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

/// A descriptor of process `pid`, for waiting and signalling without racing its number.
pub fn pidfd_of(pid: i32) -> io::Result<OwnedFd> {
    let pid = rustix::process::Pid::from_raw(pid)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// The child's whole life. Only async-signal-safe calls: its parent may have threads.
fn wait_for_the_end(parent: i32) -> ! {
    // SAFETY: prctl with these constants touches no memory. The child must not outlive a parent
    // that is killed before it can kill the child: it holds the parent's locks.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    loop {
        // SAFETY: takes nothing. Another parent means that ours died before the line above.
        if unsafe { libc::getppid() } != parent {
            // SAFETY: ends only this process, without running handlers that belong to the parent.
            unsafe { libc::_exit(0) };
        }
        // SAFETY: pause takes nothing and touches nothing.
        unsafe { libc::pause() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_per_user_is_not_counted_for_root() {
        use std::os::unix::fs::MetadataExt;
        let base = 0x4fff_0000;
        let namespace = create(base, 65_536).unwrap();
        // The owner is charged for everything in the namespace.
        assert_eq!(owner_of(&namespace), base);
        // This thread is root again, also for files.
        assert!(rustix::process::geteuid().is_root());
        let path = std::env::temp_dir().join(format!("sebring-userns-{}", std::process::id()));
        fs::write(&path, b"x").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().uid(), 0);
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn only_the_caller_comes_back_however_the_two_are_scheduled() {
        use std::io::{Read, Write};
        const ROUNDS: usize = 200;
        let own = std::process::id();
        let (mut reader, mut writer) = io::pipe().unwrap();
        for _ in 0..ROUNDS {
            let made = create(0x4fff_0000, 65_536);
            writer.write_all(b".").unwrap();
            if std::process::id() != own {
                // SAFETY: a copy of the test must end before it does anything else.
                unsafe { libc::_exit(1) };
            }
            drop(made.unwrap());
        }
        drop(writer);
        let mut returns = Vec::new();
        reader.read_to_end(&mut returns).unwrap();
        assert_eq!(returns.len(), ROUNDS);
    }

    fn owner_of(namespace: &OwnedFd) -> u32 {
        use std::os::fd::AsRawFd;
        const NS_GET_OWNER_UID: libc::c_ulong = 0xb704;
        let mut owner: libc::uid_t = 0;
        // SAFETY: the call writes one uid_t, which `owner` is and outlives.
        let answer = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_OWNER_UID, &mut owner) };
        assert_eq!(answer, 0);
        owner
    }
}
