//! What happens to children that end, and which signals a new program starts with.
//!
//! Must not: install handlers.

use std::io;

/// Whether the signals that ask a process to end wait for this thread instead of reaching it. What
/// waits outlives exec, where a handler does not; a program that is born with them waiting lets
/// them in when it can act on them.
///
/// # Errors
/// Never on Linux.
pub fn hold_requests_to_end(hold: bool) -> io::Result<()> {
    // SAFETY: an all-zero set is valid storage for sigemptyset.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid.
    unsafe { libc::sigemptyset(&raw mut set) };
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: `set` is initialized.
        unsafe { libc::sigaddset(&raw mut set, signal) };
    }
    let how = if hold {
        libc::SIG_BLOCK
    } else {
        libc::SIG_UNBLOCK
    };
    // SAFETY: `set` is an initialized set and the old mask is not wanted.
    match unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Lets the kernel reap children of this process by itself. Undone by exec.
pub fn reap_children_automatically() -> io::Result<()> {
    // SAFETY: an all-zero sigaction is a valid one: default handler, no mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_flags = libc::SA_NOCLDWAIT;
    // SAFETY: `action` is valid and the old action is not wanted.
    let answer = unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Default action for every signal and an empty mask, as a new program expects.
pub fn reset_for_exec() -> io::Result<()> {
    for signal in 1..=64 {
        if signal == libc::SIGKILL || signal == libc::SIGSTOP {
            continue;
        }
        // SAFETY: SIG_DFL is always valid. Numbers that libc keeps for itself are refused, which
        // is fine: nobody can have changed those.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero set is valid storage for sigemptyset.
    let mut none: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `none` is valid.
    unsafe { libc::sigemptyset(&raw mut none) };
    // SAFETY: `none` is an initialized set and the old mask is not wanted.
    let answer =
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut()) };
    if answer == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
