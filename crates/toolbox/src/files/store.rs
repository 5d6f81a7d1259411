//! How a file gets new content: completely or not at all.
//!
//! New content goes to a file without a name in the target's directory and takes the target's
//! place in one step, so readers see the old or the new and a broken upload leaves nothing. Where
//! that would change what the file *is* (owned by somebody else, more than one name, a device) or
//! is impossible (a directory we may not write), it is written in place instead.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::large::{self, Block};
use super::{Error, random_hex};

/// As the kernel has it.
const LINKS_MAX: usize = 40;
const NEW_FILE_MODE: u32 = 0o644;

/// A file being written. Dropping it uncommitted leaves the old content.
#[derive(Debug)]
pub(super) struct Writer {
    target: PathBuf,
    file: File,
    place: Place,
}

/// What the new content is written to.
#[derive(Debug)]
enum Place {
    Nameless,
    /// For file systems without nameless files.
    Temporary(PathBuf),
    Target,
}

impl Writer {
    /// Opens what `path` leads to, making missing directories with `directory_mode`.
    pub(super) fn open(path: &Path, directory_mode: u32) -> Result<Self, Error> {
        let target = follow_links(path)?;
        match fs::metadata(&target) {
            Ok(facts) if facts.is_dir() => Err(Error::InvalidPath {
                path: target,
                reason: "it is a directory",
            }),
            Ok(facts) if facts.is_file() => Self::over(target, &facts),
            Ok(facts) => {
                let blocks = if facts.file_type().is_fifo() {
                    OFlags::NONBLOCK
                } else {
                    OFlags::empty()
                };
                let flags = i32::try_from(blocks.bits()).unwrap_or_default();
                let file = OpenOptions::new()
                    .write(true)
                    .custom_flags(flags)
                    .open(&target);
                Ok(Self {
                    file: file.map_err(Error::at(&target))?,
                    target,
                    place: Place::Target,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::anew(target, directory_mode)
            }
            Err(error) => Err(Error::at(&target)(error)),
        }
    }

    fn anew(target: PathBuf, directory_mode: u32) -> Result<Self, Error> {
        if target.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Err(Error::InvalidPath {
                path: target,
                reason: "it names a directory",
            });
        }
        let directory = directory_of(&target);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(directory_mode);
        builder.create(directory).map_err(Error::at(directory))?;
        let (file, place) = beside(&target, NEW_FILE_MODE).map_err(Error::at(&target))?;
        Ok(Self {
            target,
            file,
            place,
        })
    }

    fn over(target: PathBuf, facts: &fs::Metadata) -> Result<Self, Error> {
        // Whether the content may change is asked of the file, not of its directory.
        let existing = OpenOptions::new()
            .write(true)
            .open(&target)
            .map_err(Error::at(&target))?;
        let replaceable = facts.nlink() == 1;
        if let Some((file, place)) = replaceable
            .then(|| beside(&target, NEW_FILE_MODE).ok())
            .flatten()
        {
            let ours = file.metadata().is_ok_and(|new| {
                (new.uid(), new.gid(), new.dev()) == (facts.uid(), facts.gid(), facts.dev())
            });
            let writer = Self {
                target: target.clone(),
                file,
                place,
            };
            let mode = fs::Permissions::from_mode(facts.mode() & 0o777);
            if ours && writer.file.set_permissions(mode).is_ok() {
                return Ok(writer);
            }
        }
        existing.set_len(0).map_err(Error::at(&target))?;
        Ok(Self {
            target,
            file: existing,
            place: Place::Target,
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(Error::at(&self.target))
    }

    /// The same for a part of a large file.
    pub(super) fn write_block(&mut self, block: &Block) -> Result<(), Error> {
        large::write(&mut self.file, block).map_err(Error::at(&self.target))
    }

    /// Makes the new content the file's content.
    pub(super) fn commit(mut self) -> Result<(), Error> {
        let failed = Error::at(&self.target);
        match std::mem::replace(&mut self.place, Place::Target) {
            Place::Target => Ok(()),
            Place::Temporary(temporary) => fs::rename(&temporary, &self.target).map_err(|error| {
                let _removed = fs::remove_file(&temporary);
                failed(error)
            }),
            Place::Nameless => {
                match sebring_sys::fs::give_name(&self.file, &self.target) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    done => return done.map_err(failed),
                }
                // The name is taken: be born under another and take it over.
                let temporary = temporary_beside(&self.target);
                sebring_sys::fs::give_name(&self.file, &temporary).map_err(&failed)?;
                self.place = Place::Temporary(temporary);
                self.commit()
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Place::Temporary(path) = &self.place {
            // Nothing to tell anybody: the writing failed already.
            let _removed = fs::remove_file(path);
        }
    }
}

fn beside(target: &Path, mode: u32) -> io::Result<(File, Place)> {
    match sebring_sys::fs::nameless(directory_of(target), mode) {
        Ok(file) => Ok((file, Place::Nameless)),
        Err(error) if no_nameless_files(&error) => {
            let path = temporary_beside(target);
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&path)?;
            Ok((file, Place::Temporary(path)))
        }
        Err(error) => Err(error),
    }
}

fn no_nameless_files(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL)
    )
}

fn temporary_beside(target: &Path) -> PathBuf {
    directory_of(target).join(format!(".sebring-{}.part", random_hex()))
}

fn directory_of(target: &Path) -> &Path {
    match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("/"),
    }
}

/// The path with its last component's links followed, also to where nothing exists yet.
fn follow_links(path: &Path) -> Result<PathBuf, Error> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(target) => path = directory_of(&path).join(target),
            // Not a link, or nothing there: the rest is up to the opening.
            Err(_) => return Ok(path),
        }
    }
    Err(Error::InvalidPath {
        path,
        reason: "too many symbolic links",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Playground(PathBuf);

    impl Playground {
        fn new() -> Self {
            let path = std::env::temp_dir().join(format!("sebring-store-{}", random_hex()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(&self.0)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            names
        }
    }

    impl Drop for Playground {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn store(path: &Path, content: &[u8]) {
        let mut writer = Writer::open(path, 0o755).unwrap();
        writer.write(content).unwrap();
        writer.commit().unwrap();
    }

    #[test]
    fn a_new_file_is_invisible_until_it_is_complete() {
        let playground = Playground::new();
        let path = playground.0.join("new");
        let mut writer = Writer::open(&path, 0o755).unwrap();
        writer.write(b"half").unwrap();
        assert!(playground.names().is_empty());
        drop(writer);
        assert!(playground.names().is_empty());
        store(&path, b"whole");
        assert_eq!(playground.names(), ["new"]);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o644);
    }

    #[test]
    fn an_existing_file_keeps_its_mode_and_its_content_until_the_end() {
        let playground = Playground::new();
        let path = playground.0.join("script");
        fs::write(&path, b"old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        let mut writer = Writer::open(&path, 0o755).unwrap();
        writer.write(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        writer.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o750);
        assert_eq!(playground.names(), ["script"]);
    }

    #[test]
    fn links_are_written_through_also_to_what_does_not_exist_yet() {
        let playground = Playground::new();
        let link = playground.0.join("link");
        std::os::unix::fs::symlink("target", &link).unwrap();
        store(&link, b"one");
        assert_eq!(fs::read(playground.0.join("target")).unwrap(), b"one");
        store(&link, b"two");
        assert_eq!(fs::read(playground.0.join("target")).unwrap(), b"two");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_file_with_two_names_stays_one_file() {
        let playground = Playground::new();
        let (one, two) = (playground.0.join("one"), playground.0.join("two"));
        fs::write(&one, b"old").unwrap();
        fs::hard_link(&one, &two).unwrap();
        store(&one, b"new");
        assert_eq!(fs::read(&two).unwrap(), b"new");
    }

    #[test]
    fn a_link_to_itself_is_refused() {
        let playground = Playground::new();
        let path = playground.0.join("loop");
        std::os::unix::fs::symlink("loop", &path).unwrap();
        assert!(matches!(
            Writer::open(&path, 0o755),
            Err(Error::InvalidPath { .. })
        ));
    }

    #[test]
    fn a_directory_is_no_file() {
        let playground = Playground::new();
        assert!(matches!(
            Writer::open(&playground.0, 0o755),
            Err(Error::InvalidPath { .. })
        ));
    }
}
