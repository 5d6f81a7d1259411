//! What running sandboxes used of their shares, sample by sample, for a day.
//!
//! Read from the outside: from their groups and their disks, never from what is inside.
//! Must not: be kept in memory, of which a thousand sandboxes would take some.
//! Next: `ring` for the files, `crate::upkeep` for when.

mod ring;

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sebring_api::runner::{UsageSample, UsageSpan};
use sebring_core::id::SandboxId;
use tracing::warn;

use crate::runner::Shared;

/// Between two samples of a sandbox.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(15);
/// Until a sample is replaced by a new one.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Makes the place for a sandbox's samples; those of before stay.
pub(crate) fn begin(data_dir: &Path) -> io::Result<()> {
    ring::create(data_dir)
}

/// Adds a sample of every running sandbox. Each costs some ten microseconds.
pub(crate) fn record(shared: &Shared) {
    let at_unix = now_unix();
    for (id, _) in shared.running() {
        let Some(sample) = sample(shared, id, at_unix) else {
            continue;
        };
        match ring::write(&shared.records.data_dir(id), &sample) {
            // It was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => warn!(sandbox = %id, error = %error, "cannot keep a sample of its use"),
            Ok(()) => {}
        }
    }
}

/// The samples that are left of `span` and the one before, the oldest first; none of an unknown
/// sandbox.
pub(crate) fn of(shared: &Shared, id: SandboxId, span: UsageSpan) -> io::Result<Vec<UsageSample>> {
    ring::read(&shared.records.data_dir(id), span, now_unix())
}

/// `None` when it is just ending.
fn sample(shared: &Shared, id: SandboxId, at_unix: u64) -> Option<UsageSample> {
    let group = shared.cgroups.group(id);
    Some(UsageSample {
        at_unix,
        cpu_us: group.cpu_us()?,
        memory_bytes: group.memory_bytes()?,
        memory_cache_bytes: group.memory_cache_bytes()?,
        disk_bytes: shared.pool.disk_used(id).ok()?,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "only tells when something was measured; nothing is decided by it"
)]
fn now_unix() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
