//! The stand-in for `/proc/meminfo`: `free` and everything else that reads it sees the sandbox's
//! share of memory instead of the host's.
//!
//! It is a plain file, rewritten before something is run and at most once a second: an idle
//! sandbox does nothing.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sebring_api::boot::BootLimits;

const REFRESH_EVERY: Duration = Duration::from_secs(1);
/// Processes whose memory is added up where there is no memory controller to ask.
const PROCESSES_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct MemInfo {
    file: Option<fs::File>,
    cgroup_directory: PathBuf,
    limits: BootLimits,
    refreshed: Mutex<Option<Instant>>,
}

/// Memory in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Includes the cache.
    pub(crate) used_bytes: u64,
    pub(crate) cache_bytes: u64,
}

impl MemInfo {
    pub(crate) fn new(directory: &Path, cgroup_directory: &Path, limits: BootLimits) -> Self {
        let file = fs::File::options()
            .write(true)
            .open(directory.join("meminfo"))
            .ok();
        let cgroup_directory = cgroup_directory.to_owned();
        Self {
            file,
            cgroup_directory,
            limits,
            refreshed: Mutex::default(),
        }
    }

    /// Brings the file up to date unless it was just done.
    pub(crate) fn refresh(&self) {
        let Some(file) = &self.file else { return };
        let mut refreshed = self
            .refreshed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if refreshed.is_some_and(|at| at.elapsed() < REFRESH_EVERY) {
            return;
        }
        *refreshed = Some(Instant::now());
        let text = render(self.limits.memory_bytes, self.usage());
        // In place and of constant length: the file is mounted over the real one by its inode.
        let _stale = file.write_all_at(text.as_bytes(), 0);
    }

    pub(crate) fn usage(&self) -> Usage {
        let current = read_small(&self.cgroup_directory.join("memory.current"))
            .and_then(|text| text.trim().parse().ok());
        match current {
            Some(used_bytes) => {
                let stat = read_small(&self.cgroup_directory.join("memory.stat"));
                let cache_bytes = stat.and_then(|text| field(&text, "file")).unwrap_or(0);
                Usage {
                    used_bytes,
                    cache_bytes,
                }
            }
            None => Usage {
                used_bytes: resident_bytes(),
                cache_bytes: 0,
            },
        }
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

/// Resident memory of every process that is visible, shared pages counted for each.
fn resident_bytes() -> u64 {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let pages: u64 = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .take(PROCESSES_MAX)
        .filter_map(|pid| {
            let statm = read_small(Path::new(&format!("/proc/{pid}/statm")))?;
            statm.split(' ').nth(1)?.parse::<u64>().ok()
        })
        .sum();
    pages * rustix::param::page_size() as u64
}

/// A file of the kernel's that is known to be short.
pub(crate) fn read_small(path: &Path) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The number after a name, in files with one of each per line.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
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

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        assert_eq!(field("anon 1\nfile_mapped 2\nfile 3\n", "file"), Some(3));
        assert_eq!(field("usage_usec 77\n", "usage"), None);
    }
}
