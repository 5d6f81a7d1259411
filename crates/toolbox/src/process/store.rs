//! Where the bytes of a log are: in memory while they are few, then in a nameless file that is
//! written round and round.
//!
//! The file counts against the sandbox's own disk and vanishes with its log. When the disk is full
//! the log goes on in memory and keeps less.
//!
//! Must not: fail. Whatever happens, the newest bytes are kept.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::upgrade::{Packer, Unpacker, state};

/// Kept in memory of each log; most commands write less.
const MEMORY_BYTES_MAX: u64 = 32 << 10;
/// The same once all logs together have reached their bound.
const MEMORY_BYTES_SHORT: u64 = 1 << 10;
/// Kept in memory of all logs, but for what has no other place.
const ALL_MEMORY_BYTES_MAX: u64 = 4 << 20;
/// Kept in memory when there is no disk to write to.
const FALLBACK_BYTES_MAX: u64 = 128 << 10;
/// On disk rather than in memory if the image has them so.
const DIRECTORIES: [&str; 3] = ["/var/tmp", "/tmp", "/"];

/// Held by all logs.
static IN_MEMORY: AtomicU64 = AtomicU64::new(0);
static ON_DISK: AtomicU64 = AtomicU64::new(0);

/// Taken from the sandbox's disk by all logs.
pub(super) fn bytes_on_disk() -> u64 {
    ON_DISK.load(Ordering::Relaxed)
}

#[derive(Debug)]
pub(super) struct Store {
    begin: u64,
    end: u64,
    bytes_max: u64,
    place: Place,
    counted: Size,
}

/// What a log is counted with.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    in_memory: u64,
    on_disk: u64,
}

#[derive(Debug)]
enum Place {
    Memory(VecDeque<u8>),
    /// The byte at an offset is at that offset modulo `bytes_max`.
    File(File),
    /// As memory, for good.
    Fallback(VecDeque<u8>),
}

impl Store {
    pub(super) const fn new(bytes_max: u64) -> Self {
        Self {
            begin: 0,
            end: 0,
            bytes_max,
            place: Place::Memory(VecDeque::new()),
            counted: Size {
                in_memory: 0,
                on_disk: 0,
            },
        }
    }

    pub(super) fn save(&self, packer: &mut Packer) -> state::LogPlace {
        let mut pack = |memory: &VecDeque<u8>| {
            let (front, back) = memory.as_slices();
            packer.bytes(&[front, back].concat())
        };
        match &self.place {
            Place::Memory(memory) => state::LogPlace::Memory(pack(memory)),
            Place::Fallback(memory) => state::LogPlace::Fallback(pack(memory)),
            Place::File(file) => state::LogPlace::File(packer.fd(file)),
        }
    }

    pub(super) fn take_up(saved: &state::Log, unpacker: &mut Unpacker) -> Self {
        let mut take = || -> io::Result<Place> {
            Ok(match saved.place {
                state::LogPlace::Memory(span) => Place::Memory(unpacker.bytes(span)?.into()),
                state::LogPlace::Fallback(span) => Place::Fallback(unpacker.bytes(span)?.into()),
                state::LogPlace::File(file) => Place::File(File::from(unpacker.fd(file)?)),
            })
        };
        let (place, begin) = match take() {
            Ok(place) => (place, saved.begin),
            Err(_) => (Place::Memory(VecDeque::new()), saved.end),
        };
        let mut store = Self {
            begin,
            end: saved.end,
            place,
            ..Self::new(saved.bytes_max)
        };
        store.count();
        store
    }

    pub(super) const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub(super) const fn begin(&self) -> u64 {
        self.begin
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.move_if_full(bytes.len() as u64);
        let written = match &mut self.place {
            Place::Memory(memory) | Place::Fallback(memory) => {
                memory.extend(bytes);
                Ok(())
            }
            Place::File(file) => write_round(file, self.bytes_max, self.end, bytes),
        };
        self.end += bytes.len() as u64;
        if written.is_err() {
            self.fall_back(bytes);
        }
        let kept_max = match self.place {
            Place::Fallback(_) => self.bytes_max.min(FALLBACK_BYTES_MAX),
            Place::Memory(_) | Place::File(_) => self.bytes_max,
        };
        self.forget_before(self.end.saturating_sub(kept_max));
        self.count();
    }

    /// Lets go of everything.
    pub(super) fn forget(&mut self) {
        self.begin = self.end;
        self.place = Place::Memory(VecDeque::new());
        self.count();
    }

    /// Lets go of what is older.
    pub(super) fn forget_before(&mut self, offset: u64) {
        if offset <= self.begin {
            return;
        }
        if let Place::Memory(memory) | Place::Fallback(memory) = &mut self.place {
            let gone = usize::try_from(offset - self.begin).unwrap_or(usize::MAX);
            memory.drain(..gone.min(memory.len()));
        }
        self.begin = offset;
    }

    /// Up to `length` bytes at an offset within what is kept; perhaps fewer than there are.
    pub(super) fn read(&self, at: u64, length: usize) -> Vec<u8> {
        let length = usize::try_from(self.end.saturating_sub(at))
            .unwrap_or(length)
            .min(length);
        match &self.place {
            Place::Memory(memory) | Place::Fallback(memory) => {
                let from = usize::try_from(at - self.begin).unwrap_or(usize::MAX);
                let to = from.saturating_add(length).min(memory.len());
                memory.range(from.min(to)..to).copied().collect()
            }
            // Unreadable is as lost as overwritten.
            Place::File(file) => read_round(file, self.bytes_max, at, length).unwrap_or_default(),
        }
    }

    fn move_if_full(&mut self, more: u64) {
        let Place::Memory(memory) = &mut self.place else {
            return;
        };
        let all = IN_MEMORY.load(Ordering::Relaxed);
        let kept_max = if all < ALL_MEMORY_BYTES_MAX {
            MEMORY_BYTES_MAX
        } else {
            MEMORY_BYTES_SHORT
        };
        if memory.len() as u64 + more <= kept_max.min(self.bytes_max) {
            return;
        }
        let kept = std::mem::take(memory);
        let (front, back) = kept.as_slices();
        let begin = self.begin;
        let moved = nameless().and_then(|file| {
            write_round(&file, self.bytes_max, begin, front)?;
            write_round(&file, self.bytes_max, begin + front.len() as u64, back)?;
            Ok(file)
        });
        self.place = match moved {
            Ok(file) => Place::File(file),
            Err(_) => Place::Fallback(kept),
        };
    }

    fn count(&mut self) {
        let now = match &self.place {
            Place::Memory(memory) | Place::Fallback(memory) => Size {
                in_memory: memory.capacity() as u64,
                on_disk: 0,
            },
            Place::File(_) => Size {
                in_memory: 0,
                on_disk: self.end.min(self.bytes_max),
            },
        };
        let before = std::mem::replace(&mut self.counted, now);
        recount(&IN_MEMORY, before.in_memory, now.in_memory);
        recount(&ON_DISK, before.on_disk, now.on_disk);
    }

    /// Goes on with the newest bytes alone.
    fn fall_back(&mut self, newest: &[u8]) {
        self.place = Place::Fallback(newest.iter().copied().collect());
        self.begin = self.end - newest.len() as u64;
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.forget();
    }
}

fn recount(all: &AtomicU64, before: u64, now: u64) {
    if now > before {
        all.fetch_add(now - before, Ordering::Relaxed);
    } else {
        all.fetch_sub(before - now, Ordering::Relaxed);
    }
}

fn nameless() -> io::Result<File> {
    let mut last = io::ErrorKind::NotFound.into();
    for directory in DIRECTORIES {
        match sebring_sys::fs::nameless(Path::new(directory), 0o600) {
            Ok(file) => return Ok(file),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Writes the bytes from this offset, starting over at the end of the file. Of more than fits only
/// the newest are written.
fn write_round(file: &File, size: u64, at: u64, bytes: &[u8]) -> io::Result<()> {
    let too_many = bytes
        .len()
        .saturating_sub(usize::try_from(size).unwrap_or(usize::MAX));
    let (at, bytes) = (at + too_many as u64, &bytes[too_many..]);
    let position = at % size;
    let room = usize::try_from(size - position).unwrap_or(usize::MAX);
    let (now, over) = bytes.split_at(room.min(bytes.len()));
    file.write_all_at(now, position)?;
    file.write_all_at(over, 0)
}

fn read_round(file: &File, size: u64, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let position = at % size;
    let room = usize::try_from(size - position).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length.min(room)];
    file.read_exact_at(&mut bytes, position)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every byte tells its offset, near enough.
    fn byte(offset: u64) -> u8 {
        u8::try_from(offset % 251).unwrap()
    }

    fn check(store: &Store) {
        let mut at = store.begin();
        while at < store.end() {
            let bytes = store.read(at, 10_000);
            assert!(!bytes.is_empty(), "nothing at {at}");
            for read in bytes {
                assert_eq!(read, byte(at), "at {at}");
                at += 1;
            }
        }
    }

    fn fill(store: &mut Store, lengths: &[u64]) {
        for length in lengths {
            let from = store.end();
            let bytes: Vec<u8> = (from..from + length).map(byte).collect();
            store.push(&bytes);
            check(store);
        }
    }

    #[test]
    fn bytes_are_the_same_in_memory_in_a_file_and_after_going_round() {
        let mut store = Store::new(100_000);
        fill(&mut store, &[10, 30_000, 2_000]);
        assert!(matches!(store.place, Place::Memory(_)));
        fill(&mut store, &[2_000, 60_000, 50_000, 7, 250_000, 99_999]);
        assert!(matches!(store.place, Place::File(_)));
        assert_eq!(store.end() - store.begin(), 100_000);
    }

    #[test]
    fn a_full_disk_costs_old_bytes_and_no_new_ones() {
        let mut store = Store::new(1 << 20);
        fill(&mut store, &[40_000]);
        // Cannot be written, as if the disk were full.
        store.place = Place::File(File::open("/dev/full").unwrap());
        fill(&mut store, &[100_000, 5, 100_000]);
        assert!(matches!(store.place, Place::Fallback(_)));
        assert_eq!(store.end(), 240_005);
        assert_eq!(store.end() - store.begin(), FALLBACK_BYTES_MAX);
    }
}
