//! Becoming another program, and leaving without running anything else.
//!
//! Must not: search a PATH or change the environment.

use std::ffi::{CStr, CString};
use std::io;

/// Replaces this process. Returns only when that failed.
#[must_use]
pub fn exec(program: &CStr, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = pointers(arguments);
    let environment = pointers(environment);
    // SAFETY: both arrays hold valid C strings and end with a null pointer; all outlive the call.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Ends this process at once: no destructors, no exit handlers, no flushing. For the child of a
/// fork, whose parent owns all of that.
pub fn leave(code: i32) -> ! {
    // SAFETY: never returns and touches no memory.
    unsafe { libc::_exit(code) }
}

fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings
        .iter()
        .map(|s| s.as_ptr())
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}
