//! Putting descriptors where the next program looks for them.
//!
//! Must not: be used in a process that other code shares; slots are overwritten.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The descriptor `number` that the process was started with, checked to be open.
///
/// Call once per number: the result owns it.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_GETFD takes no argument and only looks the number up.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: open, as was just checked, and by this function's contract not owned elsewhere.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Whether the next program that this process becomes finds the descriptor `number` open.
///
/// # Errors
/// When it is not open.
pub fn keep_over_exec(number: RawFd, keep: bool) -> io::Result<()> {
    let flags = if keep { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: only sets a flag on a descriptor of this process; one that is not open is refused.
    if unsafe { libc::fcntl(number, libc::F_SETFD, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Makes numbers `0..fds.len()` copies of `fds`, inherited by the next program, and marks all
/// higher descriptors to be closed by exec.
pub fn arrange(fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let count = RawFd::try_from(fds.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // Sources may sit on target numbers: first lift every one above the targets.
    let mut lifted = Vec::with_capacity(fds.len());
    for fd in fds {
        lifted.push(rustix::io::fcntl_dupfd_cloexec(fd, count)?);
    }
    for (number, source) in (0..).zip(&lifted) {
        // SAFETY: both are plain numbers; the contract of this module allows overwriting.
        if unsafe { libc::dup2(source.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    // SAFETY: only sets a flag on descriptors of this process.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            count,
            libc::c_uint::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
