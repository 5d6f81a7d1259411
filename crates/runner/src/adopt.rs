//! After a restart: what lives is adopted, what nobody owns is swept.
//!
//! The kernel is the ledger. A process is ours if it is the very one that was written down; any
//! other process in one of our groups is of a bring-up that was cut short, and is killed. A disk
//! is never swept, unless it is a spare's: only a goal deletes one.
//!
//! Must not: wait for anything slow before the runner can answer; 500 sandboxes take a second.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec};
use sebring_api::runner::StopReason;
use sebring_core::id::{Generation, SandboxId};
use tracing::{info, warn};

use crate::cgroups::{Cgroups, Group};
use crate::disk::Pool;
use crate::network::Occupied;
use crate::runner::Shared;
use crate::sandbox::records::{Meta, Records, Running};
use crate::sandbox::{Actor, Life, Live, tear_down, watch_end};
use crate::stat::Stat;
use crate::upgrade::Upgrades;

/// A sandbox that an earlier runner left behind.
#[derive(Debug)]
pub(crate) enum Survivor {
    Alive {
        id: SandboxId,
        running: Box<Running>,
        process: OwnedFd,
    },
    Stopped {
        id: SandboxId,
        generation: Generation,
        why: StopReason,
    },
}

impl Survivor {
    /// What it occupies in the network, if it does.
    pub(crate) fn occupied(&self) -> Option<Occupied> {
        match self {
            Self::Alive { running, .. } => Some(Occupied {
                slot: running.slot,
                policy: running.spec.network.clone(),
            }),
            Self::Stopped { .. } => None,
        }
    }
}

/// Looks at every place where a sandbox leaves traces and puts them in order.
pub(crate) fn sweep(
    records: &Records,
    cgroups: &Cgroups,
    pool: &Pool,
) -> io::Result<Vec<Survivor>> {
    let mut ids: BTreeSet<SandboxId> = records.ids()?.into_iter().collect();
    ids.extend(cgroups.groups()?);
    ids.extend(pool.disks()?);
    let mut survivors = Vec::new();
    for id in ids {
        survivors.extend(judge(id, records, cgroups, pool));
    }
    Ok(survivors)
}

/// One sandbox: alive, stopped, or nothing worth keeping.
fn judge(id: SandboxId, records: &Records, cgroups: &Cgroups, pool: &Pool) -> Option<Survivor> {
    if records.is_spare(id) {
        sweep_spare(id, records, cgroups, pool);
        return None;
    }
    let running = records.running(id);
    let meta = records.meta(id);
    if let Some(running) = &running
        && let Some(process) = find_alive(running)
    {
        let running = Box::new(running.clone());
        return Some(Survivor::Alive {
            id,
            running,
            process,
        });
    }
    let group = running
        .as_ref()
        .map_or_else(|| cgroups.group(id), |running| running.group.clone());
    let why = why_stopped(running.as_ref(), meta.as_ref(), &group);
    tear_down::remove_group(&group);
    if !pool.has_disk(id) {
        if let Err(error) = records.forget(id) {
            warn!(sandbox_id = %id, error = %error, "cannot sweep the records of a sandbox");
        }
        return None;
    }
    if let Err(error) = records.forget_running(id) {
        warn!(sandbox_id = %id, error = %error, "cannot sweep the run directory of a sandbox");
    }
    let generation = running
        .map(|running| running.generation)
        .max(meta.map(|meta| meta.generation))
        .unwrap_or_default();
    Some(Survivor::Stopped {
        id,
        generation,
        why,
    })
}

/// Nobody was told of it, so nobody misses it. The mark goes last.
fn sweep_spare(id: SandboxId, records: &Records, cgroups: &Cgroups, pool: &Pool) {
    let running = records.running(id);
    let group = running.map_or_else(|| cgroups.group(id), |running| running.group);
    tear_down::remove_group(&group);
    let swept = pool.discard_disk(id).and_then(|()| records.forget(id));
    if let Err(error) = swept {
        warn!(sandbox_id = %id, error = %error, "cannot sweep a spare");
    }
}

/// The process that was written down, if it is still that one and still runs.
fn find_alive(running: &Running) -> Option<OwnedFd> {
    // The descriptor first: whatever is true of the number afterwards is true of the descriptor.
    let process = sebring_sys::userns::pidfd_of(running.pid).ok()?;
    if Stat::of(running.pid).ok()?.start_time != running.start_time {
        return None;
    }
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut poll = [PollFd::new(&process, PollFlags::IN)];
    let ended = rustix::event::poll(&mut poll, Some(&at_once)).ok()? > 0;
    (!ended).then_some(process)
}

fn why_stopped(running: Option<&Running>, meta: Option<&Meta>, group: &Group) -> StopReason {
    match (running, meta.and_then(|meta| meta.stopped)) {
        // It ended while no runner was there; the group still knows of what.
        (Some(_), _) if group.exists() && group.oom_kills() > 0 => StopReason::OomKilled,
        (Some(_), _) if group.exists() => StopReason::Exited,
        (_, Some(why)) => why,
        (Some(_) | None, None) => StopReason::HostLost,
    }
}

/// Starts the tasks of all `survivors`.
pub(crate) async fn adopt(shared: &Arc<Shared>, survivors: Vec<Survivor>) -> io::Result<()> {
    let (mut alive, mut stopped) = (0, 0);
    let upgrades = Upgrades::new();
    for survivor in survivors {
        let actor = match survivor {
            Survivor::Alive {
                id,
                running,
                process,
            } => {
                alive += 1;
                upgrades.begin(shared, id, running.pid, process.try_clone()?);
                let live = Live {
                    process: watch_end(process)?,
                    pid: running.pid,
                    start_time: running.start_time,
                    slot: running.slot,
                    oom_kills: running.group.oom_kills(),
                    group: running.group,
                    spec: running.spec,
                };
                Actor::new(
                    shared,
                    id,
                    Life::Running(Box::new(live)),
                    running.generation,
                )
            }
            Survivor::Stopped {
                id,
                generation,
                why,
            } => {
                stopped += 1;
                Actor::new(shared, id, Life::Stopped { why }, generation)
            }
        };
        shared.admit(actor);
    }
    info!(alive, stopped, "sandboxes of an earlier run");
    Ok(())
}
