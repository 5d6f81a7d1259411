//! A directory that nothing leads out of: the kernel resolves every name below it.
//!
//! Links are followed while they stay below. Everything comes into being under a name of ours and
//! takes its place in one step, so whoever reads sees the old or the new.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::files::random_hex;

const DIRECTORY_MODE: u32 = 0o755;
/// While it is filled; its own mode comes last.
const FILLED_MODE: u32 = 0o700;

#[derive(Debug)]
pub(super) struct Root(OwnedFd);

/// A place for something new: a directory below the root, and a name in it.
#[derive(Debug)]
pub(super) struct Place {
    directory: OwnedFd,
    name: PathBuf,
}

impl Root {
    /// Makes the directory and those above it where they are missing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Where `name` goes, with the directories on the way made if need be.
    pub(super) fn place(&self, name: &[u8]) -> io::Result<Place> {
        let path = relative(name);
        let Some(last) = path.file_name().map(PathBuf::from) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "its name is none",
            ));
        };
        let parent = path.parent().unwrap_or_else(|| Path::new(""));
        let directory = match self.directory(parent) {
            Err(Errno::NOENT) => {
                self.make_directories(parent)?;
                self.directory(parent)?
            }
            found => found?,
        };
        Ok(Place {
            directory,
            name: last,
        })
    }

    fn directory(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.0, path, flags, Mode::empty(), resolve)
    }

    fn make_directories(&self, path: &Path) -> io::Result<()> {
        let mut made = PathBuf::new();
        for component in path.components() {
            let parent = self.directory(&made)?;
            let mode = Mode::from_raw_mode(DIRECTORY_MODE);
            match rustix::fs::mkdirat(&parent, component.as_os_str(), mode) {
                Ok(()) | Err(Errno::EXIST) => made.push(component),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Another name for a file below the root.
    pub(super) fn hard_link(&self, target: &[u8], place: &Place) -> io::Result<()> {
        let from = self.place(target)?;
        let temporary = temporary();
        let flags = AtFlags::empty();
        rustix::fs::linkat(
            &from.directory,
            &from.name,
            &place.directory,
            &temporary,
            flags,
        )?;
        let renamed = place.take_over(&temporary);
        // Between two names of one file a rename does nothing, and leaves both.
        let _none = rustix::fs::unlinkat(&place.directory, &temporary, AtFlags::empty());
        renamed
    }

    /// Gives a directory its final mode and date.
    pub(super) fn finish(&self, name: &[u8], mode: u32, modified: i64) -> io::Result<()> {
        let path = relative(name);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let opened = rustix::fs::openat2(&self.0, &path, flags, Mode::empty(), resolve)?;
        rustix::fs::futimens(&opened, &times(modified))?;
        Ok(rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode))?)
    }
}

impl Place {
    pub(super) fn make_directory(&self) -> io::Result<()> {
        let mode = Mode::from_raw_mode(FILLED_MODE);
        match rustix::fs::mkdirat(&self.directory, &self.name, mode) {
            Err(Errno::EXIST) => self.check_directory(),
            made => Ok(made?),
        }
    }

    /// What has the name already must be a directory, by itself or through a link.
    fn check_directory(&self) -> io::Result<()> {
        let facts = rustix::fs::statat(&self.directory, &self.name, AtFlags::empty())?;
        let kind = rustix::fs::FileType::from_raw_mode(facts.st_mode);
        if kind.is_dir() {
            Ok(())
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    pub(super) fn symlink(&self, target: &[u8]) -> io::Result<()> {
        let temporary = temporary();
        rustix::fs::symlinkat(OsStr::from_bytes(target), &self.directory, &temporary)?;
        self.take_over(&temporary)
    }

    /// A file with what `write` puts in.
    pub(super) fn file<T>(
        &self,
        mode: u32,
        modified: i64,
        write: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        let temporary = temporary();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let private = Mode::from_raw_mode(0o600);
        let opened = rustix::fs::openat(&self.directory, &temporary, flags, private)?;
        let mut file = File::from(opened);
        let written = write(&mut file).and_then(|written| {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?;
            rustix::fs::futimens(&file, &times(modified))?;
            Ok(written)
        });
        match written {
            Ok(written) => self.take_over(&temporary).map(|()| written),
            Err(error) => {
                self.forget(&temporary);
                Err(error)
            }
        }
    }

    fn take_over(&self, temporary: &Path) -> io::Result<()> {
        let renamed = rustix::fs::renameat(&self.directory, temporary, &self.directory, &self.name);
        renamed.map_err(|error| {
            self.forget(temporary);
            error.into()
        })
    }

    fn forget(&self, temporary: &Path) {
        // Nothing to tell anybody: something failed already.
        let _gone = rustix::fs::unlinkat(&self.directory, temporary, AtFlags::empty());
    }
}

/// The name without what is only decoration: slashes at either end, dots between.
pub(super) fn relative(name: &[u8]) -> PathBuf {
    let path = Path::new(OsStr::from_bytes(name));
    let parts = path.components();
    let parts = parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
    parts.collect()
}

fn temporary() -> PathBuf {
    format!(".sebring-{}.part", random_hex()).into()
}

fn times(modified: i64) -> Timestamps {
    let at = Timespec {
        tv_sec: modified,
        tv_nsec: 0,
    };
    Timestamps {
        last_access: at,
        last_modification: at,
    }
}
