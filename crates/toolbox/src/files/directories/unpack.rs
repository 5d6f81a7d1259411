//! Unpacks what arrives, entry by entry. The first failure ends it and says which entry it was;
//! what came before stays.

use std::io::{self, Read};
use std::path::Path;

use serde::Serialize;

use super::Refusal;
use super::beneath::{Place, Root};
use super::headers::{Ahead, Entry, Kind};
use crate::files::Error;

/// Their modes are remembered to the end.
const DIRECTORIES_MAX: usize = 100_000;
/// One write to the disk.
const CHUNK_BYTES: usize = 256 << 10;

#[derive(Debug, Default, Serialize)]
pub(crate) struct Unpacked {
    files: u64,
    directories: u64,
    links: u64,
    /// Pipes and devices.
    skipped: u64,
    bytes: u64,
}

struct Unpacking {
    root: Root,
    directories: Vec<Entry>,
    buffer: Vec<u8>,
    done: Unpacked,
}

pub(super) fn unpack(path: &Path, body: impl Read) -> Result<Unpacked, Refusal> {
    let root = Root::open(path).map_err(Error::at(path))?;
    let mut unpacking = Unpacking {
        root,
        directories: Vec::new(),
        buffer: vec![0; CHUNK_BYTES],
        done: Unpacked::default(),
    };
    let mut archive = tar::Archive::new(body);
    let mut ahead = Ahead::default();
    let mut any = false;
    // Raw: names are bounded by `Ahead`, not by the library.
    for content in archive.entries().map_err(Refusal::Body)?.raw(true) {
        let mut content = content.map_err(Refusal::Body)?;
        any = true;
        if ahead.take(&mut content).map_err(Refusal::Body)? {
            continue;
        }
        let entry = std::mem::take(&mut ahead).entry(content.header());
        let entry = entry.map_err(|error| refuse(&content.path_bytes(), &error))?;
        unpacking.store(path, entry, &mut content)?;
    }
    if !any {
        let empty = io::Error::new(io::ErrorKind::UnexpectedEof, "is no tar archive, or empty");
        return Err(Refusal::Body(empty));
    }
    unpacking.finish(path)
}

impl Unpacking {
    fn store(&mut self, root: &Path, entry: Entry, content: &mut impl Read) -> Result<(), Refusal> {
        if is_root(&entry.path) {
            // Whoever made the directory has decided what it is like.
            return Ok(());
        }
        let stored = self
            .root
            .place(&entry.path)
            .and_then(|place| self.store_at(&place, &entry, content));
        stored.map_err(|error| because(root, &entry.path, error))?;
        if entry.kind == Kind::Directory {
            if self.directories.len() == DIRECTORIES_MAX {
                return Err(Refusal::TooManyDirectories {
                    limit: DIRECTORIES_MAX,
                });
            }
            self.directories.push(entry);
        }
        Ok(())
    }

    fn store_at(
        &mut self,
        place: &Place,
        entry: &Entry,
        content: &mut impl Read,
    ) -> io::Result<()> {
        match &entry.kind {
            Kind::Directory => {
                place.make_directory()?;
                self.done.directories += 1;
            }
            Kind::File => {
                let buffer = &mut self.buffer;
                let write = |file: &mut std::fs::File| copy(content, file, entry.size, buffer);
                self.done.bytes += place.file(entry.mode, entry.modified, write)?;
                self.done.files += 1;
            }
            Kind::Symlink(target) => {
                place.symlink(target)?;
                self.done.links += 1;
            }
            Kind::HardLink(target) => {
                self.root.hard_link(target, place)?;
                self.done.links += 1;
            }
            Kind::Special => self.done.skipped += 1,
        }
        Ok(())
    }

    /// Directories last: some may not be written to any more.
    fn finish(self, root: &Path) -> Result<Unpacked, Refusal> {
        for entry in self.directories.iter().rev() {
            let finished = self.root.finish(&entry.path, entry.mode, entry.modified);
            finished.map_err(|error| because(root, &entry.path, error))?;
        }
        Ok(self.done)
    }
}

/// Copies exactly `size` bytes; the library takes the body's end for the entry's.
fn copy(
    from: &mut impl Read,
    to: &mut impl io::Write,
    size: u64,
    buffer: &mut [u8],
) -> io::Result<u64> {
    let mut copied = 0;
    while copied < size {
        let length = from.read(buffer).map_err(Broken::wrap)?;
        if length == 0 {
            return Err(Broken::wrap(io::ErrorKind::UnexpectedEof.into()));
        }
        to.write_all(&buffer[..length])?;
        copied += length as u64;
    }
    Ok(copied)
}

/// Marks a failure of the body, where it meets failures of the disk.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(#[source] io::Error);

impl Broken {
    fn wrap(error: io::Error) -> io::Error {
        io::Error::other(Self(error))
    }
}

fn because(root: &Path, name: &[u8], error: io::Error) -> Refusal {
    use rustix::io::Errno;
    if error.get_ref().is_some_and(|inner| inner.is::<Broken>()) {
        return Refusal::Body(error);
    }
    match Errno::from_io_error(&error) {
        // The kernel's word for a name that is not beneath.
        Some(Errno::XDEV) => refuse(name, &"it leads out of the directory"),
        Some(_) => {
            let below = String::from_utf8_lossy(name);
            Error::at(&root.join(below.trim_start_matches('/')))(error).into()
        }
        None => refuse(name, &error),
    }
}

fn refuse(name: &[u8], reason: &dyn std::fmt::Display) -> Refusal {
    Refusal::Entry {
        entry: String::from_utf8_lossy(name).chars().take(200).collect(),
        reason: reason.to_string(),
    }
}

fn is_root(name: &[u8]) -> bool {
    name.iter().all(|byte| matches!(byte, b'.' | b'/')) && !name.windows(2).any(|two| two == b"..")
}
