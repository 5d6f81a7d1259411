//! Descriptors and files in ways the standard library has no words for.
//!
//! Must not: interpret paths; callers decide relative to what. Next: `child` for descriptors that
//! a new process inherits.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags};

/// A file in `directory` that has no name yet; it vanishes unless [`give_name`] is called.
///
/// # Errors
/// `EOPNOTSUPP` where the file system cannot; otherwise as for creating a file there.
pub fn nameless(directory: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let fd = rustix::fs::open(directory, flags, Mode::from_raw_mode(mode))?;
    Ok(File::from(fd))
}

/// Gives a [`nameless`] file its name, which must be free.
///
/// # Errors
/// `EEXIST` when the name is taken.
pub fn give_name(file: &File, path: &Path) -> io::Result<()> {
    let source = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::linkat(CWD, source, CWD, path, AtFlags::SYMLINK_FOLLOW)?;
    Ok(())
}

/// A memory file holding `content`, positioned at its start.
///
/// # Errors
/// When memory or descriptors are exhausted.
pub fn memory_file(name: &str, content: &[u8]) -> io::Result<File> {
    use std::io::{Seek, Write};
    let fd = rustix::fs::memfd_create(name, rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(content)?;
    file.rewind()?;
    Ok(file)
}

/// The path as the kernel wants it.
///
/// # Errors
/// When it contains a NUL byte.
pub fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// A copy of `fd` that is neither standard input, output nor error.
///
/// # Errors
/// When descriptors are exhausted.
pub fn above_stdio(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(rustix::io::fcntl_dupfd_cloexec(fd, 3)?)
}
