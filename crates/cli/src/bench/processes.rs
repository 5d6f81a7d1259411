//! The processes of the measured installation, found below its supervisor.
//!
//! Must not: touch any process but those.

use std::fs;

use anyhow::{Context, bail};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::config::Layout;
use crate::up;

#[derive(Debug)]
pub(super) struct Roles {
    pub(super) supervisor: i32,
    pub(super) runner: Process,
    pub(super) server: Process,
}

#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
}

impl Roles {
    pub(super) fn find(layout: &Layout) -> anyhow::Result<Self> {
        let supervisor = up::holder(layout)?.context("no server is running")?;
        let path = format!("/proc/{supervisor}/task/{supervisor}/children");
        let children = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let (mut runner, mut server) = (None, None);
        for pid in children.split_whitespace() {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let role = words.split(|byte| *byte == 0).nth(1).unwrap_or_default();
            let pid = pid.parse().ok().and_then(Pid::from_raw);
            match role {
                b"runner" => runner = pid,
                b"server" => server = pid,
                _ => {}
            }
        }
        let (Some(runner), Some(server)) = (runner, server) else {
            bail!("the supervisor {supervisor} has no runner or no server below it");
        };
        Ok(Self {
            supervisor,
            runner: Process { pid: runner },
            server: Process { pid: server },
        })
    }
}

impl Process {
    /// Resident memory, the executable's pages in use included.
    pub(super) fn memory_mib(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
        let kib = u32::try_from(field_kib(&text, "VmRSS"))?;
        Ok(f64::from(kib) / 1024.0)
    }

    pub(super) fn kill(&self) -> anyhow::Result<()> {
        let handle = pidfd_open(self.pid, PidfdFlags::empty()).context("find the process")?;
        pidfd_send_signal(&handle, Signal::KILL).context("kill the process")
    }
}

/// A line of /proc/meminfo in KiB; zero when it is absent.
pub(super) fn meminfo_kib(name: &str) -> u64 {
    field_kib(
        &fs::read_to_string("/proc/meminfo").unwrap_or_default(),
        name,
    )
}

fn field_kib(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
