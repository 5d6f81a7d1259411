//! Targets: archives that clients send.

use std::fs::Permissions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use sebring_testkit::corpus;

use super::beneath::relative;
use super::headers::{Ahead, Entry};
use super::unpack;
use crate::files::random_hex;

const BLOCK: usize = 512;
/// A bit of the choice: the archive's checksums are put right, or nothing beyond them is reached.
const WITH_CHECKSUMS: u8 = 0x80;

/// What an archive says is the same however it arrives, within bounds, and names stay relative.
pub fn tar_entries(input: &[u8]) {
    let (choice, bytes) = corpus::choice(input);
    let archive = archive(choice, bytes);
    let whole = entries(archive.as_slice());
    let cut = entries(Cut(&archive, choice));
    assert_eq!(told(&cut), told(&whole));
    for entry in whole.0 {
        assert!(entry.path.len() <= 64 << 10 && entry.mode <= 0o777);
        let name = relative(&entry.path);
        let is_plain = |part| matches!(part, Component::Normal(_) | Component::ParentDir);
        assert!(name.components().all(is_plain), "{}", name.display());
    }
}

/// Whatever an archive says, nothing outside the directory is made, changed or removed.
pub fn tar_unpack(input: &[u8]) {
    let (choice, bytes) = corpus::choice(input);
    let archive = archive(choice, bytes);
    let place = Place::make().expect("a directory for a test");
    let _refused = unpack::unpack(&place.0.join("root"), Cut(&archive, choice));
    place.check();
}

type Told = (Vec<Entry>, Option<io::Error>);

fn told((entries, error): &Told) -> String {
    let error = error.as_ref().map(io::Error::to_string);
    format!("{entries:?} {error:?}")
}

fn entries(archive: impl Read) -> Told {
    let mut archive = tar::Archive::new(archive);
    let (mut ahead, mut found) = (Ahead::default(), Vec::new());
    let mut take = || {
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry?;
            if !ahead.take(&mut entry)? {
                found.push(std::mem::take(&mut ahead).entry(entry.header())?);
            }
        }
        io::Result::Ok(())
    };
    let error = take().err();
    (found, error)
}

/// Reads a few bytes at a time.
struct Cut<'a>(&'a [u8], u8);

impl Read for Cut<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(usize::from(self.1) + 1);
        self.0.read(&mut buffer[..length])
    }
}

fn block_at(archive: &mut [u8], at: usize) -> Option<&mut [u8]> {
    archive.get_mut(at..)?.get_mut(..BLOCK)
}

fn archive(choice: u8, bytes: &[u8]) -> Vec<u8> {
    let mut archive = bytes.to_vec();
    if choice & WITH_CHECKSUMS == 0 {
        return archive;
    }
    let mut at = 0;
    while let Some(block) = block_at(&mut archive, at) {
        let mut header = tar::Header::from_byte_slice(block).clone();
        let is_end = block.iter().all(|byte| *byte == 0);
        if !is_end {
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
        }
        let size = header
            .entry_size()
            .ok()
            .and_then(|size| usize::try_from(size).ok());
        let blocks = size.unwrap_or(0).div_ceil(BLOCK).saturating_add(1);
        at = at.saturating_add(blocks.saturating_mul(BLOCK));
    }
    archive
}

/// `root`, which is unpacked into, has ways out that were there before; `outside` must not change.
struct Place(PathBuf);

impl Place {
    fn make() -> io::Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        };
        let place = Self(parent.join(format!("sebring-fuzz-{}", random_hex())));
        std::fs::create_dir_all(place.0.join("root"))?;
        std::fs::create_dir(place.0.join("outside"))?;
        std::fs::write(place.secret(), b"secret")?;
        std::fs::set_permissions(place.secret(), Permissions::from_mode(0o600))?;
        symlink("../outside", place.0.join("root/out"))?;
        symlink(place.secret(), place.0.join("root/far"))?;
        Ok(place)
    }

    fn secret(&self) -> PathBuf {
        self.0.join("outside/secret")
    }

    fn check(&self) {
        assert_eq!(names(&self.0), ["outside", "root"]);
        assert_eq!(names(&self.0.join("outside")), ["secret"]);
        assert_eq!(
            std::fs::read(self.secret()).expect("it is there"),
            b"secret"
        );
        let facts = std::fs::metadata(self.secret()).expect("it is there");
        // A second link to it would be a way to it.
        assert_eq!((facts.mode() & 0o7777, facts.nlink()), (0o600, 1));
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What an archive made may refuse to go; it is below the system's folder for such things.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("it is a directory");
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
