//! The way back: each function undoes one phase, is idempotent, and says in the log what it could
//! not do; the boot sweep tries again.
//!
//! Blocking. Must not: decide whether a sandbox shall end. Next: `bring_up` for the way there.

use std::io;
use std::time::{Duration, Instant};

use sebring_core::id::SandboxId;
use tracing::warn;

use crate::cgroups::Group;
use crate::exec::pause;
use crate::fault;
use crate::network::Slot;
use crate::runner::Shared;
use sebring_api::runner::NetworkSpec;

/// A killed process ends as soon as the kernel runs it; a busy disk can hold it up.
const END_WAIT: Duration = Duration::from_secs(10);

/// Gives back everything that a sandbox whose processes have ended still occupies, but its disk.
pub(crate) fn release(
    shared: &Shared,
    id: SandboxId,
    slot: Slot,
    group: &Group,
    policy: &NetworkSpec,
) {
    remove_group(group);
    shared.network.give_back(slot, policy);
    forget_running(shared, id);
}

/// Kills whatever is in the group and waits for the end of it.
pub(crate) fn end_group(group: &Group) {
    if let Err(error) = try_end_group(group) {
        warn!(error = %error, "processes of a sandbox did not end");
    }
}

fn try_end_group(group: &Group) -> io::Result<()> {
    group.kill()?;
    let deadline = Instant::now() + END_WAIT;
    while group.exists() && group.is_populated() {
        if Instant::now() > deadline {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        pause();
    }
    Ok(())
}

/// Kills what is left in the group and removes it.
pub(crate) fn remove_group(group: &Group) {
    let attempt = || {
        fault::at("tear_down.group")?;
        try_end_group(group)?;
        let deadline = Instant::now() + END_WAIT;
        loop {
            match group.remove() {
                // The last process has ended but the kernel has not put it away yet.
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline =>
                {
                    pause();
                    // A spawner that has outlived its runner for a moment may add one more.
                    group.kill()?;
                }
                other => return other,
            }
        }
    };
    retried("remove the control groups of a sandbox", attempt);
}

pub(crate) fn discard_disk(shared: &Shared, id: SandboxId) {
    retried("discard the disk of a sandbox", || {
        fault::at("tear_down.disk")?;
        shared.pool.discard_disk(id)
    });
    shared.trash.notify_one();
}

pub(crate) fn forget_running(shared: &Shared, id: SandboxId) {
    retried("remove the run directory of a sandbox", || {
        fault::at("tear_down.run_dir")?;
        shared.records.forget_running(id)
    });
}

pub(crate) fn forget(shared: &Shared, id: SandboxId) {
    retried("remove the records of a sandbox", || {
        fault::at("tear_down.records")?;
        shared.records.forget(id)
    });
}

/// Undoing has nobody to report to, so it tries once more before it leaves it to the sweep.
fn retried(what: &'static str, mut work: impl FnMut() -> io::Result<()>) {
    if let Err(first) = work() {
        match work() {
            Ok(()) => warn!(error = %first, what, "needed a second try"),
            Err(error) => warn!(error = %error, what, "failed; left to the next start"),
        }
    }
}
