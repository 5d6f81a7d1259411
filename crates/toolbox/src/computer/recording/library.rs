//! The files of films: their names, and what a file says about how its film ended.
//!
//! Blocking. Must not: trust the folder's content; people put things there.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use crate::clock;
use crate::files::content::{self, Readable};
use crate::http::error::Failure;

const LABEL_CHARACTERS_MAX: usize = 100;
const LABEL_DEFAULT: &str = "session";
/// Entries of the folder that are looked at.
pub(super) const FILES_MAX: usize = 10_000;
/// Boxes of a film's file that are skipped to find its index.
const BOXES_MAX: usize = 64;
const DATE: &[FormatItem<'_>] = format_description!("[year][month][day]_[hour][minute][second]");
const UUID_CHARACTERS: usize = 36;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) path: PathBuf,
    begin: OffsetDateTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Recording,
    Completed,
    Failed,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Recording {
    id: String,
    file_name: String,
    file_path: String,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
}

/// A label that can be part of a file's name.
pub(super) fn label(asked: Option<&str>) -> Result<&str, Failure> {
    let Some(label) = asked.filter(|label| !label.is_empty()) else {
        return Ok(LABEL_DEFAULT);
    };
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ' ');
    let fits = label.chars().count() <= LABEL_CHARACTERS_MAX;
    if fits && label.chars().all(legal) && !label.starts_with('.') && !label.trim().is_empty() {
        return Ok(label);
    }
    Err(Failure::bad_request(format!(
        "label {label:?}: 1 to {LABEL_CHARACTERS_MAX} of the characters A-Z a-z 0-9 . _ - and \
         space, not only spaces, and no dot at the beginning"
    )))
}

impl Entry {
    /// A new film's file, which nobody has made yet.
    pub(super) fn new(folder: &Path, label: &str) -> Self {
        let begin = clock::now();
        let id = new_id();
        let date = begin.format(DATE).unwrap_or_default();
        Self {
            path: folder.join(format!("{id}_{label}_{date}.mp4")),
            id,
            begin,
        }
    }

    /// What a file's name says; nothing when it is not one of ours.
    pub(super) fn parse(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let stem = name.strip_suffix(".mp4")?;
        let id = stem.get(..UUID_CHARACTERS).filter(|id| is_id(id))?;
        let date = stem.get(stem.len().checked_sub(15)?..)?;
        let begin = time::PrimitiveDateTime::parse(date, DATE)
            .ok()?
            .assume_utc();
        Some(Self {
            id: id.to_owned(),
            path,
            begin,
        })
    }

    pub(super) fn describe(&self, under_way: bool) -> Recording {
        let found = fs::metadata(&self.path).ok();
        let end = found.as_ref().and_then(|found| found.modified().ok());
        let end = end.map(OffsetDateTime::from).filter(|_| !under_way);
        let index = index(&self.path).ok().flatten();
        let status = match index {
            _ if under_way => Status::Recording,
            Some(_) => Status::Completed,
            None => Status::Failed,
        };
        let passed = end.map(|end| (end - self.begin).as_seconds_f64().max(0.0));
        // What is shown, which ffmpeg began later than it was asked to.
        let shown = index.and_then(|index| index.length);
        let shown = shown.map(|length| length.as_secs_f64());
        let name = self.path.file_name().unwrap_or_default();
        Recording {
            id: self.id.clone(),
            file_name: name.to_string_lossy().into_owned(),
            file_path: self.path.display().to_string(),
            start_time: clock::rfc3339(self.begin),
            end_time: end.map(clock::rfc3339),
            status,
            duration_seconds: passed.map(|passed| shown.unwrap_or(passed)),
            size_bytes: found.map(|found| found.len()),
        }
    }
}

/// Every film of the folder, oldest first.
pub(super) fn list(folder: &Path) -> Vec<Entry> {
    let Ok(files) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut entries: Vec<Entry> = files
        .flatten()
        .take(FILES_MAX)
        .filter_map(|file| Entry::parse(file.path()))
        .collect();
    entries.sort_by(|a, b| (a.begin, &a.id).cmp(&(b.begin, &b.id)));
    entries
}

pub(super) fn find(folder: &Path, id: &str) -> Option<Entry> {
    list(folder).into_iter().find(|entry| entry.id == id)
}

/// What the end of a film's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// Of the film; `None` when it is not told as ffmpeg tells it.
    length: Option<Duration>,
}

/// The file's index, which is written last: without it nobody can play it.
fn index(path: &Path) -> io::Result<Option<Index>> {
    let Readable { file, size, .. } = content::open(path).map_err(io::Error::other)?;
    index_in(file, size)
}

pub(super) fn index_in(mut file: impl Read + Seek, size: u64) -> io::Result<Option<Index>> {
    let mut at = 0;
    for _ in 0..BOXES_MAX {
        if size.checked_sub(at).is_none_or(|left| left < 16) {
            return Ok(None);
        }
        let mut head = [0; 16];
        read_at(&mut file, &mut head, at)?;
        let (short, kind, long) = (&head[..4], &head[4..8], &head[8..]);
        if kind == b"moov" {
            let length = length(&mut file, at + 8);
            return Ok(Some(Index { length }));
        }
        let length = match number(short) {
            // To the end of the file: still being written.
            0 => return Ok(None),
            1 => number(long),
            short => short,
        };
        at = match at.checked_add(length.max(8)) {
            Some(next) => next,
            None => return Ok(None),
        };
    }
    Ok(None)
}

/// The length that the index begins with: units and units per second, behind two dates. The
/// second version has dates and units in 64 bits.
fn length(file: &mut (impl Read + Seek), at: u64) -> Option<Duration> {
    let mut head = [0; 40];
    read_at(file, &mut head, at).ok()?;
    let (scale, units) = match (&head[4..8], head[8]) {
        (b"mvhd", 0) => (&head[20..24], &head[24..28]),
        (b"mvhd", 1) => (&head[28..32], &head[32..40]),
        _ => return None,
    };
    let (scale, units) = (number(scale), number(units));
    let seconds = Duration::from_secs(units.checked_div(scale)?);
    // A scale has 32 bits, so this cannot overflow.
    Some(seconds + Duration::from_nanos(units % scale * NANOS_PER_SECOND / scale))
}

fn read_at(file: &mut (impl Read + Seek), buffer: &mut [u8], at: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(buffer)
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn is_id(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.len() == UUID_CHARACTERS
        && text.bytes().enumerate().all(|(at, byte)| {
            if dashes.contains(&at) {
                byte == b'-'
            } else {
                byte.is_ascii_hexdigit()
            }
        })
}

fn new_id() -> String {
    let mut bytes = [0_u8; 16];
    // Asking for so few bytes is never interrupted or short.
    let _filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_one_that_a_file_can_have() {
        assert_eq!(label(None).unwrap(), "session");
        assert_eq!(label(Some("")).unwrap(), "session");
        assert_eq!(label(Some("My run_1.b")).unwrap(), "My run_1.b");
        let long = "x".repeat(LABEL_CHARACTERS_MAX + 1);
        for bad in [
            "../x",
            "a/b",
            "a\\b",
            ".hidden",
            "   ",
            "ü",
            "a\nb",
            long.as_str(),
        ] {
            assert!(label(Some(bad)).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_film_is_found_again_by_its_file_alone() {
        let made = Entry::new(Path::new("/films"), "a_b 1.mp4");
        let read = Entry::parse(made.path.clone()).unwrap();
        assert_eq!(read.id, made.id);
        assert_eq!(read.begin.unix_timestamp(), made.begin.unix_timestamp());
        for name in ["x.mp4", "holiday_20260101_000000.mp4", "ä.mp4", ".mp4"] {
            assert!(
                Entry::parse(Path::new("/films").join(name)).is_none(),
                "{name}"
            );
        }
    }

    fn part(kind: &[u8; 4], length: u32) -> Vec<u8> {
        let mut bytes = length.to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.resize(length.max(8) as usize, 0);
        bytes
    }

    fn index_of(parts: &[Vec<u8>]) -> Option<Index> {
        let path = std::env::temp_dir().join(format!("film-{}", new_id()));
        std::fs::write(&path, parts.concat()).unwrap();
        let found = index(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        found
    }

    #[test]
    fn a_pipe_with_the_name_of_a_film_keeps_nobody_waiting() {
        let entry = Entry::new(&std::env::temp_dir(), "pipe");
        let pipe = entry.path.clone();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &entry.path, kind, mode, 0).unwrap();
        let (done, waits) = std::sync::mpsc::channel();
        std::thread::spawn(move || done.send(entry.describe(false).status).unwrap());
        let status = waits.recv_timeout(Duration::from_secs(10));
        assert_eq!(status.unwrap(), Status::Failed);
        fs::remove_file(pipe).unwrap();
    }

    #[test]
    fn a_file_without_its_index_is_not_whole() {
        let (kind, data) = (part(b"ftyp", 24), part(b"mdat", 40));
        let whole = [kind.clone(), data.clone(), part(b"moov", 32)];
        assert_eq!(index_of(&whole), Some(Index { length: None }));
        assert_eq!(index_of(&[kind.clone(), data]), None);
        assert_eq!(index_of(&[kind, part(b"mdat", 0), part(b"moov", 32)]), None);
        assert_eq!(index_of(&[vec![0xff; 64]]), None);
        assert_eq!(index_of(&[]), None);
    }

    #[test]
    fn the_length_of_a_film_is_what_its_index_says() {
        let film = |version: u8, fields: &[u8]| {
            let mut head = vec![0, 0, 0, 108];
            head.extend_from_slice(b"mvhd");
            head.extend_from_slice(&[version, 0, 0, 0]);
            head.extend_from_slice(fields);
            head.resize(108, 0);
            let moov = [116_u32.to_be_bytes().as_slice(), b"moov", &head].concat();
            index_of(&[part(b"ftyp", 24), moov]).unwrap().length
        };
        let fields = |dates: usize, rest: &[&[u8]]| [vec![9; dates], rest.concat()].concat();
        let scale = 1000_u32.to_be_bytes();
        let short = fields(8, &[&scale, &2500_u32.to_be_bytes()]);
        assert_eq!(film(0, &short), Some(Duration::from_millis(2500)));
        let long = fields(16, &[&scale, &(u64::MAX).to_be_bytes()]);
        assert_eq!(film(1, &long).unwrap().as_secs(), u64::MAX / 1000);
        assert_eq!(film(0, &fields(8, &[&[0; 4], &[1; 4]])), None);
        assert_eq!(film(7, &short), None);
    }
}
