//! The file API. All of it runs on threads that use the file system as the sandbox's user, so
//! what a request may touch is the kernel's decision, made at the moment of use.
//!
//! Must not: check paths by their text, hold whole files in memory, or touch files on the main
//! thread, which is root.
//! Next: `store` for how files come into being, `large` for how their bytes reach the disk,
//! `content` for how they leave.

pub(crate) mod bulk_download;
pub(crate) mod bulk_upload;
pub(crate) mod change;
pub(crate) mod content;
pub(crate) mod directories;
pub(crate) mod download;
pub(crate) mod find;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod info;
mod large;
pub(crate) mod list;
pub(crate) mod replace;
pub(crate) mod scratch;
pub(crate) mod search;
mod sink;
mod store;
pub(crate) mod upload;
mod walk;
pub(crate) mod watch;

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::http::error::Failure;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("file not found: {path}", path = .path.display())]
    NotFound { path: PathBuf },
    #[error("permission denied: {path}", path = .path.display())]
    AccessDenied { path: PathBuf },
    #[error("read-only file system: {path}", path = .path.display())]
    ReadOnly { path: PathBuf },
    #[error("invalid file path: {path}: {reason}", path = .path.display())]
    InvalidPath { path: PathBuf, reason: &'static str },
    #[error("already exists: {path}", path = .path.display())]
    Exists { path: PathBuf },
    #[error("disk full: the sandbox's disk limit is reached at {path}", path = .path.display())]
    DiskFull { path: PathBuf },
    #[error("more than {limit} {what}: ask for less")]
    TooMany { what: &'static str, limit: usize },
    #[error("read {path}: {source}", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{path}: {source}", path = .path.display())]
    Other { path: PathBuf, source: io::Error },
}

impl Error {
    /// What an operation's failure means for the path it was about.
    pub(crate) fn at(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::new(path.clone(), source)
    }

    fn new(path: PathBuf, source: io::Error) -> Self {
        let invalid = |path, reason| Self::InvalidPath { path, reason };
        match Errno::from_io_error(&source) {
            Some(Errno::NOENT) => Self::NotFound { path },
            Some(Errno::ACCESS | Errno::PERM) => Self::AccessDenied { path },
            Some(Errno::ROFS) => Self::ReadOnly { path },
            Some(Errno::EXIST | Errno::NOTEMPTY) => Self::Exists { path },
            Some(Errno::NOSPC | Errno::DQUOT) => Self::DiskFull { path },
            Some(Errno::ISDIR) => invalid(path, "it is a directory"),
            Some(Errno::NOTDIR) => invalid(path, "a part of it is not a directory"),
            Some(Errno::NAMETOOLONG) => invalid(path, "it is too long"),
            Some(Errno::LOOP) => invalid(path, "too many symbolic links"),
            Some(Errno::INVAL) => invalid(path, "the file system refuses it"),
            // A pipe without a reader, a socket, a terminal of nobody.
            Some(Errno::NXIO | Errno::NODEV) => invalid(path, "it is not a regular file"),
            Some(Errno::TXTBSY | Errno::BUSY) => invalid(path, "it is in use"),
            _ if source.kind() == io::ErrorKind::InvalidInput => {
                invalid(path, "it contains a NUL byte")
            }
            _ => Self::Other { path, source },
        }
    }
}

/// Runs file work on a thread that acts as the user.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Failure>
where
    T: Send + 'static,
    E: Into<Failure> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(_) => Err(Failure::internal("the file operation did not finish")),
    }
}

/// Random text for names nobody may guess.
pub(crate) fn random_hex() -> String {
    let mut bytes = [0_u8; 12];
    // Asking for so few bytes is never interrupted or short.
    let _filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_path_is_to_blame_for_is_not_called_our_failure() {
        for errno in [Errno::NXIO, Errno::NODEV, Errno::TXTBSY, Errno::BUSY] {
            let error = Error::new("/tmp/pipe".into(), errno.into());
            assert!(matches!(error, Error::InvalidPath { .. }), "{errno}");
        }
    }
}
