//! Who a thread or a child acts as.
//!
//! Identities are per thread in the kernel; the C library hides that by changing all threads at
//! once. Here only the calling thread changes, which is what lets a process that stays root do
//! each user's file work with that user's rights, checked by the kernel.
//!
//! Must not: look names up. Next: `child` for giving an identity to a new process.

use std::io;

use rustix::process::{Gid, Uid};

/// Numbers the kernel checks permissions against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    pub uid: u32,
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Credentials {
    pub(crate) fn gids(&self) -> Vec<Gid> {
        self.groups.iter().copied().map(Gid::from_raw).collect()
    }

    pub(crate) fn uid_gid(&self) -> (Uid, Gid) {
        (Uid::from_raw(self.uid), Gid::from_raw(self.gid))
    }
}

/// Makes the calling thread use the file system as `who`, without giving up anything else.
///
/// Leaving uid 0 also clears the thread's effective file capabilities (`CAP_DAC_OVERRIDE` and
/// its kin), so permission bits hold.
///
/// # Errors
/// When the thread may not change identity.
pub fn use_files_as(who: &Credentials) -> io::Result<()> {
    rustix::thread::set_thread_groups(&who.gids())?;
    set_fs_id(libc::SYS_setfsgid, who.gid)?;
    set_fs_id(libc::SYS_setfsuid, who.uid)
}

/// `setfsuid` and `setfsgid` report no errors; asking again for an impossible id tells the truth.
fn set_fs_id(call: libc::c_long, id: u32) -> io::Result<()> {
    // SAFETY: both calls take one integer and touch no memory.
    unsafe { libc::syscall(call, id) };
    // SAFETY: as above; an id of -1 changes nothing and returns the current one.
    let now = unsafe { libc::syscall(call, u32::MAX) };
    if u32::try_from(now) == Ok(id) {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(libc::EPERM))
    }
}

/// Runs `work` with `uid` as the calling thread's effective user, its capabilities kept, and makes
/// the thread root again. What `work` makes belongs to `uid`. For threads of root only.
///
/// # Errors
/// When the thread may not change identity, or `work` fails.
pub(crate) fn act_as<T>(uid: u32, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let full = rustix::thread::capabilities(None)?;
    let (root, other) = (Uid::ROOT, Uid::from_raw(uid));
    rustix::thread::set_thread_res_uid(root, other, root)?;
    let outcome = rustix::thread::set_capabilities(None, full)
        .map_err(io::Error::from)
        .and_then(|()| work());
    // Neither can fail: the real user is still root, and so are the permitted capabilities.
    rustix::thread::set_thread_res_uid(root, root, root)?;
    rustix::thread::set_capabilities(None, full)?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_uses_files_as_somebody_creates_files_owned_by_them() {
        use std::os::unix::fs::MetadataExt;
        let path = std::env::temp_dir().join(format!("sebring-creds-{}", std::process::id()));
        let made = path.clone();
        std::thread::spawn(move || {
            let who = Credentials {
                uid: 4242,
                gid: 4243,
                groups: vec![],
            };
            use_files_as(&who).unwrap();
            std::fs::write(&made, b"x").unwrap();
            let denied = std::fs::read("/etc/shadow").unwrap_err();
            assert_eq!(denied.kind(), io::ErrorKind::PermissionDenied);
        })
        .join()
        .unwrap();
        let facts = std::fs::metadata(&path).unwrap();
        assert_eq!((facts.uid(), facts.gid()), (4242, 4243));
        assert!(
            std::fs::read("/etc/shadow").is_ok(),
            "other threads keep their rights"
        );
        std::fs::remove_file(path).unwrap();
    }
}
