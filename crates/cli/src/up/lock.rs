//! One supervisor per installation: a locked file that holds its process id.
//!
//! Must not: trust the number in the file; only the lock says that its writer lives.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::config::Layout;

/// Held for as long as the supervisor lives; the kernel releases it however it ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

pub(super) fn take(layout: &Layout) -> anyhow::Result<Lock> {
    let mut file = open(layout)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        let pid = read_pid(&mut file).map_or_else(|| "?".to_owned(), |pid| pid.to_string());
        bail!(
            "a server already runs from {} (process {pid}); `sebring status` shows it, \
             `sebring down` stops it",
            layout.data_dir.display()
        );
    }
    file.set_len(0).context("empty the lock file")?;
    write!(file, "{}", std::process::id()).context("write the lock file")?;
    Ok(Lock { _file: file })
}

/// Process id of the supervisor that runs now, if one does.
pub(crate) fn holder(layout: &Layout) -> anyhow::Result<Option<i32>> {
    if !layout.supervisor_lock().exists() {
        return Ok(None);
    }
    let mut file = open(layout)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
        return Ok(None);
    }
    Ok(read_pid(&mut file))
}

/// Asks the supervisor `pid` to stop, waits, and kills it when it does not.
pub(crate) fn stop(pid: i32, within: Duration) -> anyhow::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else {
        bail!("process id {pid} in the lock file")
    };
    let Ok(handle) = pidfd_open(pid, PidfdFlags::empty()) else {
        return Ok(());
    };
    for (signal, wait) in [
        (Signal::TERM, within),
        (Signal::KILL, Duration::from_secs(5)),
    ] {
        if pidfd_send_signal(&handle, signal).is_err() || ended(&handle, wait)? {
            return Ok(());
        }
    }
    bail!(
        "process {} does not end, even when killed",
        pid.as_raw_nonzero()
    )
}

/// Waits on the level: a pidfd is readable once its process has ended.
fn ended(handle: &rustix::fd::OwnedFd, within: Duration) -> anyhow::Result<bool> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let deadline = Instant::now() + within;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).context("wait that long")?;
        match poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("wait for the supervisor"),
        }
    }
}

fn open(layout: &Layout) -> anyhow::Result<File> {
    let path = layout.supervisor_lock();
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o644)
        .open(&path)
        .with_context(|| format!("open {}", path.display()))
}

fn read_pid(file: &mut File) -> Option<i32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
