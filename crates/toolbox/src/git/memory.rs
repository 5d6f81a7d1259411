//! Settings that keep git within the sandbox's memory, whatever the size of a repository. Its own
//! assume a machine for itself: a share for each processor of the host, and files of up to 512 MiB
//! as a whole.
//!
//! Must not: make the result differ; only what is held at one time. Next: `call`, which gives them
//! to every run.

/// More threads save little time and multiply what git holds in memory.
const THREADS_MAX: u32 = 4;
/// A file above this is streamed, not loaded; git's own default.
const BIG_FILE_BYTES_MAX: u64 = 512 << 20;
const BIG_FILE_BYTES_MIN: u64 = 8 << 20;

/// As arguments of `-c`.
pub(super) fn settings(memory_bytes: u64, cpus: u32) -> Vec<String> {
    let threads = cpus.clamp(1, THREADS_MAX);
    let mut settings = vec![format!("pack.threads={threads}")];
    if memory_bytes > 0 {
        let big = (memory_bytes / 16).clamp(BIG_FILE_BYTES_MIN, BIG_FILE_BYTES_MAX);
        let for_each = memory_bytes / 8 / u64::from(threads);
        settings.push(format!("core.bigFileThreshold={big}"));
        settings.push(format!(
            "core.deltaBaseCacheLimit={}",
            for_each.clamp(4 << 20, 96 << 20)
        ));
        settings.push(format!("pack.windowMemory={}", for_each.max(16 << 20)));
        settings.push(format!(
            "pack.deltaCacheSize={}",
            (memory_bytes / 8).clamp(8 << 20, 256 << 20)
        ));
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_out_by_the_sandbox_s_limits() {
        let shared = settings(1 << 30, 2);
        assert!(shared.contains(&"pack.threads=2".to_owned()));
        assert!(shared.contains(&format!("core.bigFileThreshold={}", 64 << 20)));
        assert_eq!(settings(0, 64), ["pack.threads=4"]);
    }
}
