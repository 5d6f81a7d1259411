//! Packs a directory into a body, entry by entry, as it is at that moment.
//!
//! Links stay links. Sockets, pipes and devices have no content and are left out, as is what
//! vanishes or may not be read meanwhile. Dates and modes are kept, owners by number.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use walkdir::{DirEntry, WalkDir};

use crate::files::Error;
use crate::files::content::{Feed, FeedWriter};

/// A directory that can be packed.
pub(super) fn open(path: PathBuf) -> Result<PathBuf, Error> {
    let facts = fs::metadata(&path).map_err(Error::at(&path))?;
    if !facts.is_dir() {
        return Err(Error::InvalidPath {
            path,
            reason: "it is not a directory",
        });
    }
    // What cannot be listed would look empty.
    fs::read_dir(&path).map_err(Error::at(&path))?;
    Ok(path)
}

/// Sends all of it. What goes wrong breaks the body off, which is the only way left to say so.
pub(super) fn send(root: &Path, feed: Feed) {
    let mut archive = tar::Builder::new(FeedWriter::new(feed));
    archive.follow_symlinks(false);
    let packed = pack(root, &mut archive).and_then(|()| archive.into_inner());
    // Otherwise the writer was dropped, and with it the body's end.
    if let Ok(writer) = packed {
        writer.end();
    }
}

fn pack(root: &Path, archive: &mut tar::Builder<FeedWriter>) -> io::Result<()> {
    for entry in WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let Ok(entry) = entry else {
            continue;
        };
        let Ok(name) = entry.path().strip_prefix(root) else {
            continue;
        };
        add(archive, &entry, name)?;
    }
    Ok(())
}

fn add(archive: &mut tar::Builder<FeedWriter>, entry: &DirEntry, name: &Path) -> io::Result<()> {
    let kind = entry.file_type();
    let Ok(facts) = entry.metadata() else {
        return Ok(());
    };
    let mut header = header(&facts);
    if kind.is_dir() {
        archive.append_data(&mut header, name, io::empty())
    } else if kind.is_symlink() {
        match fs::read_link(entry.path()) {
            Ok(target) => archive.append_link(&mut header, name, target),
            Err(_vanished) => Ok(()),
        }
    } else if kind.is_file() {
        match open_file(entry.path()) {
            Ok((file, facts)) => add_file(archive, file, &facts, name),
            Err(_unreadable) => Ok(()),
        }
    } else {
        Ok(())
    }
}

fn header(facts: &Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_metadata(facts);
    // Without the kind, which has a field of its own.
    header.set_mode(facts.mode() & 0o7777);
    header
}

/// Opens what was a regular file when it was listed, if it still is.
fn open_file(path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let facts = file.metadata()?;
    if facts.is_file() {
        Ok((file, facts))
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

fn add_file(
    archive: &mut tar::Builder<FeedWriter>,
    file: File,
    facts: &Metadata,
    name: &Path,
) -> io::Result<()> {
    let mut header = header(facts);
    // Exactly as long as the header says, though it may grow meanwhile.
    let mut content = file.take(facts.len());
    archive.append_data(&mut header, name, &mut content)?;
    if content.limit() > 0 {
        // It became shorter, and the entry has a head that says otherwise.
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
