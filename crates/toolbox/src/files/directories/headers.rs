//! What an entry of an archive is, whichever of the three ways of long names it uses.
//!
//! The library reads long names into memory however long they say they are; so they are read here.

use std::io::{self, Read};

use tar::EntryType;

/// Names, and the rest of an extension header; the kernel takes 4 KiB of a path.
const EXTENSION_BYTES_MAX: u64 = 64 << 10;

/// What was said ahead of an entry.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

/// An entry, without its content.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    /// Of its content.
    pub(super) size: u64,
    pub(super) mode: u32,
    /// Seconds.
    pub(super) modified: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    /// Has no content that could be stored: a pipe, a device.
    Special,
}

impl Ahead {
    /// Takes an extension; whether it was one.
    pub(super) fn take<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> io::Result<bool> {
        let kind = entry.header().entry_type();
        if !matches!(
            kind,
            EntryType::GNULongName
                | EntryType::GNULongLink
                | EntryType::XHeader
                | EntryType::XGlobalHeader
        ) {
            return Ok(false);
        }
        if entry.size() > EXTENSION_BYTES_MAX {
            return Err(invalid(format!(
                "a name or its extension has {} bytes, more than {EXTENSION_BYTES_MAX}",
                entry.size()
            )));
        }
        let mut text = Vec::new();
        if entry.read_to_end(&mut text)? as u64 != entry.size() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match kind {
            EntryType::GNULongName => self.path = Some(until_nul(text)),
            EntryType::GNULongLink => self.target = Some(until_nul(text)),
            EntryType::XHeader => self.take_extensions(&text)?,
            // About the archive, such as the commit that it was made from.
            _ => {}
        }
        Ok(true)
    }

    fn take_extensions(&mut self, text: &[u8]) -> io::Result<()> {
        for extension in tar::PaxExtensions::new(text) {
            let extension = extension?;
            let value = extension.value_bytes();
            match extension.key_bytes() {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => {
                    let size = extension.value().ok().and_then(|text| text.parse().ok());
                    self.size = Some(size.ok_or_else(|| invalid("size: is no number".to_owned()))?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The entry that the extensions were about.
    pub(super) fn entry(self, header: &tar::Header) -> io::Result<Entry> {
        let size = header.entry_size()?;
        if self.size.is_some_and(|told| told != size) {
            // Where the next header is would depend on who is believed.
            return Err(invalid(
                "its size is only told by an extension; write the archive in GNU format".to_owned(),
            ));
        }
        let path = self
            .path
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let target = || {
            let short = || header.link_name_bytes().map(|name| name.into_owned());
            self.target.clone().or_else(short).unwrap_or_default()
        };
        let kind = match header.entry_type() {
            // Archives of before 1988 tell directories by a slash.
            EntryType::Regular if path.ends_with(b"/") => Kind::Directory,
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Symlink => Kind::Symlink(target()),
            EntryType::Link => Kind::HardLink(target()),
            EntryType::Fifo | EntryType::Char | EntryType::Block => Kind::Special,
            other => {
                return Err(invalid(format!(
                    "its type {:?} is not known",
                    char::from(other.as_byte())
                )));
            }
        };
        Ok(Entry {
            path,
            kind,
            size,
            mode: header.mode()? & 0o777,
            modified: i64::try_from(header.mtime()?).unwrap_or(i64::MAX),
        })
    }
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    let end = memchr::memchr(0, &text).unwrap_or(text.len());
    text.truncate(end);
    text
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(archive: &[u8]) -> io::Result<Vec<Entry>> {
        let mut archive = tar::Archive::new(archive);
        let (mut ahead, mut found) = (Ahead::default(), Vec::new());
        for entry in archive.entries()?.raw(true) {
            let mut entry = entry?;
            if !ahead.take(&mut entry)? {
                found.push(std::mem::take(&mut ahead).entry(entry.header())?);
            }
        }
        Ok(found)
    }

    fn raw(kind: EntryType, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_path("x").unwrap();
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn long_names_are_read_in_both_forms() {
        let long = "d/".repeat(200) + "file";
        let mut gnu = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_mode(0o777);
        header.set_mtime(0);
        header.set_entry_type(EntryType::Symlink);
        gnu.append_link(&mut header, &long, &long).unwrap();
        let found = entries(&gnu.into_inner().unwrap()).unwrap();
        assert_eq!(found[0].path, long.as_bytes());
        assert_eq!(found[0].kind, Kind::Symlink(long.clone().into_bytes()));
        let record = format!("{} path={long}\n", long.len() + " path=\n".len() + 3);
        let mut pax = raw(EntryType::XHeader, record.as_bytes());
        pax.extend(raw(EntryType::Regular, b"1"));
        assert_eq!(entries(&pax).unwrap()[0].path, long.as_bytes());
    }

    #[test]
    fn a_name_of_a_gigabyte_is_refused_by_its_head() {
        let mut bytes = raw(EntryType::GNULongName, b"");
        let mut header = tar::Header::from_byte_slice(&bytes[..512]).clone();
        header.set_size(1 << 30);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        let refusal = entries(&bytes).unwrap_err().to_string();
        assert!(refusal.contains("1073741824"), "{refusal}");
    }

    #[test]
    fn a_size_that_only_an_extension_tells_is_refused() {
        let mut bytes = raw(EntryType::XHeader, b"13 size=9999\n");
        bytes.extend(raw(EntryType::Regular, b"1"));
        assert!(entries(&bytes).is_err());
    }
}
