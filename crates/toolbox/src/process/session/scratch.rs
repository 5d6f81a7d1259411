//! What a session's shell is given for one command: a directory with the script and named pipes.
//!
//! A running shell can be handed no descriptors, so it opens the pipes by name. The directory
//! belongs to the sandbox's user, under a name nobody can guess, and is made anew for each
//! command: emptying `/tmp` between two commands harms nothing.
//!
//! Must not: run on a thread that has more rights on files than the user.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags};

use crate::files::random_hex;

/// The first that takes it; a full or read-only disk leaves the last.
const DIRECTORIES: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

#[derive(Debug)]
pub(super) struct Scratch {
    path: PathBuf,
    pub(super) pipes: Pipes,
    /// Keep both streams open until the command has ended, opened by it or not.
    pub(super) writers: [OwnedFd; 2],
}

/// Our ends, all non-blocking.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) output: Option<OwnedFd>,
    pub(super) errors: Option<OwnedFd>,
    /// Open in both directions, so that the shell can open its end at any time.
    pub(super) input: Option<OwnedFd>,
}

impl Scratch {
    pub(super) fn create(script: &str, takes_input: bool) -> io::Result<Self> {
        let path = make_directory()?;
        Self::fill(path.clone(), script, takes_input).inspect_err(|_| remove(&path))
    }

    fn fill(path: PathBuf, script: &str, takes_input: bool) -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path.join("script"))?;
        file.write_all(script.as_bytes())?;
        for name in ["out", "err"] {
            make_pipe(&path.join(name))?;
        }
        let input = if takes_input {
            make_pipe(&path.join("in"))?;
            Some(open_pipe(&path.join("in"), OFlags::RDWR)?)
        } else {
            symlink("/dev/null", path.join("in"))?;
            None
        };
        let open = |name: &str, flags| open_pipe(&path.join(name), flags);
        let pipes = Pipes {
            output: Some(open("out", OFlags::RDONLY)?),
            errors: Some(open("err", OFlags::RDONLY)?),
            input,
        };
        let writers = [open("out", OFlags::WRONLY)?, open("err", OFlags::WRONLY)?];
        Ok(Self {
            path,
            pipes,
            writers,
        })
    }

    /// Written to the shell: free of spaces and line ends by construction.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes what is left of the directory.
pub(super) fn remove(path: &Path) {
    // Whoever ran may have removed it.
    let _gone = fs::remove_dir_all(path);
}

fn make_directory() -> io::Result<PathBuf> {
    let mut last = io::ErrorKind::NotFound.into();
    for directory in DIRECTORIES {
        let path = Path::new(directory).join(format!(".sebring-{}", random_hex()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn make_pipe(path: &Path) -> io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0)?)
}

fn open_pipe(path: &Path, access: OFlags) -> io::Result<OwnedFd> {
    let flags = access | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
    if kind == FileType::Fifo {
        Ok(fd)
    } else {
        Err(io::Error::other("somebody has replaced a pipe"))
    }
}
