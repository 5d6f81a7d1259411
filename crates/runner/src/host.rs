//! What this machine is: processors, memory, and the files that show a part of them.
//!
//! Must not: change anything.

use std::fmt::Write as _;
use std::fs;
use std::io;

/// Major and minor version of the running kernel; absent when its release starts otherwise.
pub fn kernel() -> Option<(u32, u32)> {
    version(&rustix::system::uname().release().to_string_lossy())
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Processor facts, read once.
#[derive(Debug)]
pub(crate) struct Processors {
    /// Numbers of those the runner may use.
    allowed: Vec<u32>,
    /// One block of `/proc/cpuinfo` each.
    blocks: Vec<String>,
}

impl Processors {
    pub(crate) fn read() -> io::Result<Self> {
        let set = rustix::thread::sched_getaffinity(None)?;
        let allowed = (0..rustix::thread::CpuSet::MAX_CPU)
            .filter(|number| set.is_set(*number))
            .filter_map(|number| u32::try_from(number).ok())
            .collect();
        let text = fs::read_to_string("/proc/cpuinfo")?;
        let blocks = text
            .split("\n\n")
            .filter(|block| block.starts_with("processor"))
            .map(|block| {
                block
                    .split_once('\n')
                    .map_or("", |(_, rest)| rest)
                    .trim_end()
                    .to_owned()
            })
            .collect();
        Ok(Self { allowed, blocks })
    }

    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.allowed.len()).unwrap_or(u32::MAX)
    }

    /// Which `wanted` processors the sandbox in `slot` runs on: neighbours start at different
    /// ones. All, when it may have as many as there are.
    pub(crate) fn share(&self, wanted: u32, slot: u16) -> Vec<u32> {
        let wanted = usize::try_from(wanted.max(1)).unwrap_or(usize::MAX);
        if wanted >= self.allowed.len() {
            return self.allowed.clone();
        }
        let start = usize::from(slot).wrapping_mul(wanted) % self.allowed.len();
        self.allowed
            .iter()
            .cycle()
            .skip(start)
            .take(wanted)
            .copied()
            .collect()
    }

    /// `/proc/cpuinfo` with `shown` processors, numbered from zero.
    pub(crate) fn info(&self, shown: u32) -> String {
        let mut text = String::new();
        let shown = usize::try_from(shown).unwrap_or(usize::MAX);
        for (number, block) in self.blocks.iter().take(shown).enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(text, "processor\t: {number}\n{block}\n\n");
        }
        text
    }
}

/// The form of `/sys/devices/system/cpu/online`.
pub(crate) fn cpu_list(shown: u32) -> String {
    match shown {
        0 | 1 => "0\n".to_owned(),
        more => format!("0-{}\n", more - 1),
    }
}

/// `/proc/meminfo` of a sandbox that has used nothing yet. The toolbox keeps it up to date.
pub(crate) fn fresh_meminfo(memory_bytes: u64) -> String {
    let kib = memory_bytes / 1024;
    format!(
        "MemTotal:       {kib:>8} kB\nMemFree:        {kib:>8} kB\nMemAvailable:   {kib:>8} kB\n\
         Buffers:               0 kB\nCached:                0 kB\nSwapCached:            0 kB\n\
         SwapTotal:             0 kB\nSwapFree:              0 kB\n"
    )
}

pub(crate) fn memory_bytes() -> io::Result<u64> {
    meminfo_bytes(&fs::read_to_string("/proc/meminfo")?, "MemTotal:")
}

/// Of 100: what the kernel could give away without swapping.
pub(crate) fn memory_free_percent() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = meminfo_bytes(&text, "MemTotal:")?;
    Ok(meminfo_bytes(&text, "MemAvailable:")? * 100 / total.max(1))
}

fn meminfo_bytes(text: &str, field: &str) -> io::Result<u64> {
    let value = |line: &str| {
        let rest = line.strip_prefix(field)?;
        rest.split_whitespace().next()?.parse::<u64>().ok()
    };
    let kib = text.lines().find_map(value);
    kib.map(|kib| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("no {field} in /proc/meminfo")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_kernel_release_is_compared_by_number() {
        assert_eq!(version("6.1.0-18-amd64"), Some((6, 1)));
        assert!(version("5.4.0-generic") < version("5.19"));
        assert_eq!(version("custom"), None);
    }

    #[test]
    fn a_share_is_as_many_processors_as_asked_and_moves_with_the_slot() {
        let host = Processors {
            allowed: vec![0, 2, 4, 6],
            blocks: vec!["x".into(); 4],
        };
        assert_eq!(host.share(2, 0), [0, 2]);
        assert_eq!(host.share(2, 1), [4, 6]);
        assert_eq!(host.share(3, 1), [6, 0, 2]);
        assert_eq!(host.share(9, 1), [0, 2, 4, 6]);
        assert_eq!(host.info(2).matches("processor\t: ").count(), 2);
        assert_eq!(cpu_list(3), "0-2\n");
    }
}
