//! How much memory the sandbox uses, and whether the kernel has killed something for it.
//!
//! The truth is in the control group that holds the limit, of version 2 or 1. Where none can be
//! seen the memory of all processes is added up instead, which counts shared pages more than once.

use std::fs;
use std::path::{Path, PathBuf};

/// Processes whose memory is added up where there is no memory controller to ask.
const PROCESSES_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Memory {
    group: Option<Group>,
}

#[derive(Debug)]
struct Group {
    directory: PathBuf,
    files: &'static Files,
}

/// What the versions call the same things.
#[derive(Debug)]
struct Files {
    usage: &'static str,
    /// Name of the field in `memory.stat`.
    cache: &'static str,
    /// The file that has a field `oom_kill`.
    events: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        usage: "memory.current",
        cache: "file",
        events: "memory.events",
    },
    Files {
        usage: "memory.usage_in_bytes",
        cache: "total_cache",
        events: "memory.oom_control",
    },
];

/// Memory in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Includes the cache.
    pub(crate) used_bytes: u64,
    pub(crate) cache_bytes: u64,
}

impl Memory {
    /// Uses the first of `directories` that counts memory.
    pub(crate) fn find(directories: &[&Path]) -> Self {
        let group = directories.iter().find_map(|directory| {
            let files = VERSIONS
                .iter()
                .find(|files| directory.join(files.usage).exists())?;
            Some(Group {
                directory: (*directory).to_owned(),
                files,
            })
        });
        Self { group }
    }

    pub(crate) fn usage(&self) -> Usage {
        self.group
            .as_ref()
            .and_then(Group::usage)
            .unwrap_or_else(|| Usage {
                used_bytes: resident_bytes(),
                cache_bytes: 0,
            })
    }

    /// How often the kernel has killed something of the sandbox for memory; 0 where nobody counts.
    pub(crate) fn oom_kills(&self) -> u64 {
        self.group
            .as_ref()
            .and_then(|group| group.field(group.files.events, "oom_kill"))
            .unwrap_or(0)
    }
}

impl Group {
    fn usage(&self) -> Option<Usage> {
        let used = read_small(&self.directory.join(self.files.usage))?;
        Some(Usage {
            used_bytes: used.trim().parse().ok()?,
            cache_bytes: self.field("memory.stat", self.files.cache).unwrap_or(0),
        })
    }

    fn field(&self, file: &str, name: &str) -> Option<u64> {
        field(&read_small(&self.directory.join(file))?, name)
    }
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
    fn a_field_is_found_by_its_whole_name() {
        assert_eq!(field("anon 1\nfile_mapped 2\nfile 3\n", "file"), Some(3));
        assert_eq!(field("usage_usec 77\n", "usage"), None);
        let control = "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n";
        assert_eq!(field(control, "oom_kill"), Some(4));
    }

    #[test]
    fn without_a_control_group_processes_are_added_up() {
        let memory = Memory::find(&[Path::new("/none")]);
        assert!(memory.usage().used_bytes > 0);
        assert_eq!(memory.oom_kills(), 0);
    }
}
