//! `GET /system/metrics`: use of the sandbox's share of cpu, memory and disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::State;
use serde::Serialize;

use super::super::clock;
use crate::http::reply::Json;
use crate::memory::{field, read_small};
use crate::toolbox::Toolbox;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SystemMetrics {
    timestamp: String,
    timestamp_unix: i64,
    cpu_count: u32,
    /// Percent of the sandbox's share, 0 to 100.
    cpu_used_pct: f64,
    mem_used: u64,
    mem_total: u64,
    mem_cache: u64,
    disk_used: u64,
    disk_total: u64,
    disk_free: u64,
}

pub(crate) async fn metrics(State(toolbox): State<Arc<Toolbox>>) -> Json<SystemMetrics> {
    let now = clock::now();
    let limits = toolbox.limits.get();
    let memory = toolbox.memory.usage();
    let disk = disk(&toolbox, limits.disk_bytes);
    Json(SystemMetrics {
        timestamp: clock::rfc3339(now),
        timestamp_unix: now.unix_timestamp(),
        cpu_count: limits.cpus,
        cpu_used_pct: toolbox.cpu.percent_of(limits.cpus),
        mem_used: memory.used_bytes.min(limits.memory_bytes),
        mem_total: limits.memory_bytes,
        mem_cache: memory.cache_bytes.min(limits.memory_bytes),
        disk_used: disk.used,
        disk_total: disk.total,
        disk_free: disk.free,
    })
}

struct Disk {
    used: u64,
    total: u64,
    free: u64,
}

/// Bytes that the sandbox may still write.
pub(crate) fn disk_free(toolbox: &Toolbox) -> u64 {
    disk(toolbox, toolbox.limits.get().disk_bytes).free
}

/// Within the limit; and what is free for us is also free in what all sandboxes share.
fn disk(toolbox: &Toolbox, limit_bytes: u64) -> Disk {
    let (occupied, room) = rustix::fs::statvfs("/").map_or((0, u64::MAX), |shared| {
        let occupied = (shared.f_blocks - shared.f_bfree) * shared.f_frsize;
        (occupied, shared.f_bavail * shared.f_frsize)
    });
    let used = toolbox
        .disk_use
        .bytes()
        .unwrap_or(occupied)
        .min(limit_bytes);
    Disk {
        used,
        total: limit_bytes,
        free: (limit_bytes - used).min(room),
    }
}

/// Measures cpu use from one question to the next; nothing runs in between.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    file: PathBuf,
    last: Mutex<Option<Sample>>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    used_us: u64,
    percent_of_one: f64,
}

impl CpuMeter {
    pub(crate) fn new(cgroup_directory: &Path) -> Self {
        Self {
            file: cgroup_directory.join("cpu.stat"),
            last: Mutex::default(),
        }
    }

    /// 0 at the first question.
    fn percent_of(&self, cpus: u32) -> f64 {
        let Some(used_us) = read_small(&self.file).and_then(|text| field(&text, "usage_usec"))
        else {
            return 0.0;
        };
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now();
        let percent_of_one = last.map_or(0.0, |last| last.until(at, used_us));
        if last.is_none_or(|last| last.is_old(at)) {
            *last = Some(Sample {
                at,
                used_us,
                percent_of_one,
            });
        }
        (percent_of_one / f64::from(cpus.max(1))).clamp(0.0, 100.0)
    }
}

impl Sample {
    /// Questions in quick succession share an interval: a very short one says nothing.
    fn is_old(&self, now: Instant) -> bool {
        now.duration_since(self.at).as_millis() >= 250
    }

    fn until(&self, now: Instant, used_us: u64) -> f64 {
        if !self.is_old(now) {
            return self.percent_of_one;
        }
        let used = std::time::Duration::from_micros(used_us.saturating_sub(self.used_us));
        100.0 * used.as_secs_f64() / now.duration_since(self.at).as_secs_f64()
    }
}
