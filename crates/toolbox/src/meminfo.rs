//! The stand-in for `/proc/meminfo`: `free` and everything else that reads it sees the sandbox's
//! share of memory instead of the host's.
//!
//! It is a plain file, rewritten before something is run and at most once a second: an idle
//! sandbox does nothing.

use std::fmt::Write as _;
use std::fs::File;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sebring_api::boot::MEMINFO;

use crate::memory::{Memory, Usage};
use crate::stand_in::StandIn;

const REFRESH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct MemInfo {
    file: StandIn,
    refreshed: Mutex<Option<Instant>>,
}

impl MemInfo {
    pub(crate) fn over(file: StandIn) -> Self {
        Self {
            file,
            refreshed: Mutex::default(),
        }
    }

    pub(crate) const fn file(&self) -> Option<&File> {
        self.file.file()
    }

    pub(crate) fn open(directory: &Path) -> Self {
        Self {
            file: StandIn::open(&directory.join(MEMINFO)),
            refreshed: Mutex::default(),
        }
    }

    /// Brings the file up to date unless it was just done.
    pub(crate) fn refresh(&self, memory: &Memory, limit_bytes: u64) {
        let last = *self
            .refreshed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|at| at.elapsed() >= REFRESH_EVERY) {
            self.refresh_now(memory, limit_bytes);
        }
    }

    pub(crate) fn refresh_now(&self, memory: &Memory, limit_bytes: u64) {
        if !self.file.exists() {
            return;
        }
        let mut refreshed = self
            .refreshed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *refreshed = Some(Instant::now());
        self.file.rewrite(&render(limit_bytes, memory.usage()));
    }
}

/// The lines that programs look for, each number right-aligned so that the length never changes.
fn render(total_bytes: u64, usage: Usage) -> String {
    let used = usage.used_bytes.min(total_bytes);
    let cache = usage.cache_bytes.min(used);
    let free = total_bytes - used;
    let lines = [
        ("MemTotal:", total_bytes),
        ("MemFree:", free),
        ("MemAvailable:", free + cache),
        ("Buffers:", 0),
        ("Cached:", cache),
        ("SwapCached:", 0),
        ("Active:", used - cache),
        ("Inactive:", cache),
        ("SwapTotal:", 0),
        ("SwapFree:", 0),
        ("Dirty:", 0),
        ("Writeback:", 0),
        ("AnonPages:", used - cache),
        ("Mapped:", 0),
        ("Shmem:", 0),
        ("Slab:", 0),
        ("SReclaimable:", 0),
        ("SUnreclaim:", 0),
    ];
    let mut text = String::new();
    for (name, bytes) in lines {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{name:<15} {:>12} kB", bytes / 1024);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_never_depends_on_the_numbers() {
        let total = 8 << 30;
        let idle = render(total, Usage::default());
        let busy = render(
            total,
            Usage {
                used_bytes: total,
                cache_bytes: 5 << 30,
            },
        );
        assert_eq!(idle.len(), busy.len());
        assert!(
            idle.starts_with("MemTotal:            8388608 kB\nMemFree:             8388608 kB\n")
        );
        assert!(busy.contains("MemAvailable:        5242880 kB\n"));
    }
}
