//! Changing limits and network of a sandbox that exists.
//!
//! Must not: take away what is in use; that is refused before anything is changed.

use std::sync::Arc;

use sebring_api::boot::LimitsChange;
use sebring_api::runner::{FailureCode, SandboxSpec};
use sebring_core::id::SandboxId;
use tracing::warn;

use super::bring_up::{disk_bytes, limits_of, memory_bytes, shown_limits, socket_path};
use super::failure::{Failure, in_phase};
use super::{Live, blocking, processors, tell};
use crate::cgroups::Group;
use crate::host;
use crate::network::Slot;
use crate::runner::Shared;

/// Makes a running sandbox match `spec`. Processes notice nothing.
pub(super) async fn change_live(
    shared: &Arc<Shared>,
    id: SandboxId,
    live: &Live,
    spec: &SandboxSpec,
) -> Result<(), Failure> {
    if live.spec == *spec {
        return Ok(());
    }
    let resized = live.spec.resources != spec.resources;
    apply(shared, id, live, spec).await?;
    if resized {
        show(shared, id, live.slot, spec).await;
    }
    Ok(())
}

/// Whatever the kernel can hold the sandbox to.
async fn apply(
    shared: &Arc<Shared>,
    id: SandboxId,
    live: &Live,
    spec: &SandboxSpec,
) -> Result<(), Failure> {
    let (shared, spec, old) = (Arc::clone(shared), spec.clone(), live.spec.clone());
    let (group, slot, pid) = (live.group.clone(), live.slot, live.pid);
    blocking(move || {
        if old.resources != spec.resources {
            memory_fits(group.memory_bytes(), &spec)?;
            disk_fits(&shared, id, &spec)?;
            group
                .limit(&shared.cgroups, limits_of(&spec))
                .map_err(resize_failure)?;
            shared
                .pool
                .limit_disk(id, disk_bytes(&spec))
                .map_err(in_phase("resize"))?;
            change_processors(&shared, id, &group, slot, &old, &spec);
        }
        if old.network != spec.network {
            let changed = shared
                .network
                .change(slot, pid, &old.network, &spec.network);
            changed.map_err(in_phase("network"))?;
        }
        Ok(())
    })
    .await?
}

/// What processes see is not what they are held to: nothing fails for it.
fn change_processors(
    shared: &Shared,
    id: SandboxId,
    group: &Group,
    slot: Slot,
    old: &SandboxSpec,
    new: &SandboxSpec,
) {
    let share = |spec: &SandboxSpec| shared.processors.share(spec.resources.cpus, slot.0);
    match processors::change(group, &share(old), &share(new)) {
        Ok(true) => {}
        Ok(false) => warn!(sandbox_id = %id, "some threads stay on the processors they had"),
        Err(error) => warn!(sandbox_id = %id, error = %error, "cannot change processors"),
    }
}

/// Lets the toolbox show the new limits inside.
async fn show(shared: &Shared, id: SandboxId, slot: Slot, spec: &SandboxSpec) {
    let share = shared.processors.share(spec.resources.cpus, slot.0);
    let shown = u32::try_from(share.len()).unwrap_or(u32::MAX);
    let change = LimitsChange {
        limits: shown_limits(spec, shared.processors.count()),
        cpuinfo: shared.processors.info(shown),
        cpus_online: host::cpu_list(shown),
    };
    if let Err(error) = tell::limits(&socket_path(shared, id), &change).await {
        warn!(sandbox_id = %id, error = %error, "the sandbox does not show its new limits");
    }
}

/// Makes the disk of a stopped sandbox match `spec`.
pub(super) fn limit_stopped(
    shared: &Shared,
    id: SandboxId,
    spec: &SandboxSpec,
) -> Result<(), Failure> {
    disk_fits(shared, id, spec)?;
    shared
        .pool
        .limit_disk(id, disk_bytes(spec))
        .map_err(in_phase("resize"))
}

fn memory_fits(used: Option<u64>, spec: &SandboxSpec) -> Result<(), Failure> {
    match used {
        Some(used) if used > memory_bytes(spec) => Err(does_not_fit("memory", used)),
        _ => Ok(()),
    }
}

fn disk_fits(shared: &Shared, id: SandboxId, spec: &SandboxSpec) -> Result<(), Failure> {
    let used = shared.pool.disk_used(id).map_err(in_phase("resize"))?;
    if shared.pool.enforces_limits() && used > disk_bytes(spec) {
        return Err(does_not_fit("disk", used));
    }
    Ok(())
}

fn does_not_fit(what: &str, used: u64) -> Failure {
    let mib = used >> 20;
    Failure::new(
        FailureCode::DoesNotFit,
        "resize",
        format!("{what}: {mib} MiB are in use"),
    )
}

/// v1 answers that a lower limit is busy when the memory cannot be reclaimed.
fn resize_failure(error: std::io::Error) -> Failure {
    if error.kind() == std::io::ErrorKind::ResourceBusy {
        return Failure::new(FailureCode::DoesNotFit, "resize", error);
    }
    in_phase("resize")(error)
}
