//! The toolbox's socket: made and listening before the sandbox exists, so that a request that
//! comes early waits in the kernel and nobody has to ask whether it is ready.
//!
//! Must not: accept anything; the descriptor goes to the sandbox's first process.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

pub(crate) const SOCKET_NAME: &str = "toolbox.sock";

/// Makes `dir` and the socket in it.
pub(crate) fn open(dir: &Path, group: Option<u32>) -> io::Result<(PathBuf, UnixListener)> {
    fs::create_dir_all(dir)?;
    let_group_in(dir, group, 0o750)?;
    let path = dir.join(SOCKET_NAME);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    // The standard library's queue is short; a burst of requests must find room to wait.
    rustix::net::listen(&listener, BACKLOG)?;
    let_group_in(&path, group, 0o660)?;
    Ok((path, listener))
}

pub(crate) fn let_group_in(path: &Path, group: Option<u32>, mode: u32) -> io::Result<()> {
    if let Some(group) = group {
        chown(path, None, Some(group))?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

const BACKLOG: i32 = 1024;
