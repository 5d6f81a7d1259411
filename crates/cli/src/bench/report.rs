//! The table and the JSON: numbers together with the host that they were measured on.
//!
//! Must not: leave out a failure.

use std::fs;

use serde::Serialize;

use super::stats::Row;
use crate::output;

#[derive(Debug, Serialize)]
pub(super) struct Report {
    host: Host,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Host {
    kernel: String,
    cpus: usize,
    memory_mib: u64,
    /// One-minute load average before and after the run.
    load_before: String,
    load: String,
    version: &'static str,
    profile: &'static str,
}

impl Report {
    pub(super) fn new(rows: Vec<Row>, load_before: String) -> Self {
        Self {
            host: Host::here(load_before),
            rows,
        }
    }

    pub(super) fn all_succeeded(&self) -> bool {
        self.rows.iter().all(|row| row.failed == 0)
    }

    pub(super) fn print(&self) {
        let host = &self.host;
        output::line(format!(
            "sebring {} ({}) · Linux {} · {} CPUs · {} MiB · load {} → {}",
            host.version,
            host.profile,
            host.kernel,
            host.cpus,
            host.memory_mib,
            host.load_before,
            host.load
        ));
        output::line(format!(
            "{:<40} {:>6} {:>6} {:>10} {:>10} {:>10} {:>10}  unit",
            "what", "tried", "failed", "p50", "p95", "p99", "worst"
        ));
        for row in &self.rows {
            output::line(format!(
                "{:<40} {:>6} {:>6} {:>10.2} {:>10.2} {:>10.2} {:>10.2}  {}",
                row.what, row.tried, row.failed, row.p50, row.p95, row.p99, row.max, row.unit
            ));
            if let Some(why) = &row.first_failure {
                output::line(format!("    first failure: {why}"));
            }
        }
    }
}

pub(super) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("?").to_owned()
}

impl Host {
    fn here(load_before: String) -> Self {
        Self {
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mib: super::processes::meminfo_kib("MemTotal") / 1024,
            load_before,
            load: load(),
            version: env!("CARGO_PKG_VERSION"),
            profile: if cfg!(debug_assertions) {
                "DEBUG BUILD"
            } else {
                "release"
            },
        }
    }
}
