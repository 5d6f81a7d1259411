//! From a specification to a running sandbox, phase by phase.
//!
//! ```text
//! Rootfs    its disk, with the limit, new or as it was left
//! Network   a seat, with the policy in force
//! Limits    control groups
//! Isolated  a process that has set everything up (crate::setup) …
//! Ready     … and has become the toolbox
//! ```
//!
//! Each phase leaves a guard; when a later one fails, guards undo theirs in reverse. What is
//! announced is complete: no limit or rule is ever applied after the sandbox runs.
//!
//! Blocking; runs on a thread of its own. Must not: know of generations or goals.
//! Next: `tear_down` for the way back.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{MemfdFlags, SealFlags};
use sebring_api::boot::{BootConfig, BootLimits};
use sebring_api::runner::{FailureCode, Phase, SandboxSpec};
use sebring_core::id::{IncarnationId, SandboxId};
use tokio::io::unix::AsyncFd;
use tracing::warn;

use super::door;
use super::failure::{Failure, in_phase};
use crate::cgroups::{Group, Limits};
use crate::disk::showing;
use crate::fault;
use crate::host;
use crate::network::{Seat, Slot};
use crate::runner::Shared;
use crate::snapshots::{self, Snapshot};
use crate::spawner::wire::{Request, StandIns};
use crate::spawner::{Descriptors, Newborn, SetupError};
use crate::stat::Stat;
use crate::undo::Undo;

/// Room above the limit while the root is mounted: overlay makes a few directories, and a full
/// disk must not keep its owner from starting the sandbox and deleting something.
const MOUNT_HEADROOM_BYTES: u64 = 32 << 20;
/// Processes and threads in one sandbox: enough for parallel builds and browsers.
pub(crate) const PIDS_MAX: u32 = 2048;
const LOG_NAME: &str = "toolbox.log";
/// Times that a first process is made before its deaths are reported: one spawner that is killed
/// takes one attempt of each sandbox, and twice in a row somebody means it.
const BIRTHS_MAX: u32 = 3;

/// A sandbox that runs, as far as the host is concerned.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: i32,
    pub(crate) start_time: u64,
    /// Tells of its end.
    pub(crate) process: AsyncFd<OwnedFd>,
    pub(crate) slot: Slot,
    pub(crate) group: Group,
    pub(crate) snapshot: Snapshot,
}

/// Whose a sandbox is when it comes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Already,
    /// A spare, see `crate::spares`.
    Later,
}

/// Brings `id` up. When it fails nothing is left but a disk that was there before.
pub(crate) fn bring_up(
    shared: &Shared,
    id: SandboxId,
    spec: &SandboxSpec,
    owned: Owned,
    phases: &mut Phases,
) -> Result<Started, Failure> {
    let snapshot = find_snapshot(shared, &spec.snapshot)?;

    let new_disk = rootfs(shared, id, spec).map_err(in_phase("rootfs"))?;
    let disk = Undo::new(|| {
        if new_disk {
            super::tear_down::discard_disk(shared, id);
        }
    });
    phases.mark("rootfs");

    let seat = network(shared, spec).map_err(in_phase("network"))?;
    let slot = seat.slot;
    let seat_guard = Undo::new(|| shared.network.give_back(slot, &spec.network));
    phases.mark("network");

    let group = limits(shared, id, spec, slot).map_err(in_phase("limits"))?;
    let group_guard = Undo::new(|| super::tear_down::remove_group(&group));
    phases.mark("limits");

    let door_dir = shared.records.run_dir(id);
    let door = Undo::new(|| super::tear_down::forget_running(shared, id));
    let process = Undo::new(|| super::tear_down::end_group(&group));
    let mut attempt = || {
        let config = boot_config(id, spec, &snapshot, owned, shared.processors.count());
        let mut newborn = isolate(shared, id, spec, &config, &snapshot, &seat, &group)?;
        phases.mark("isolate");
        newborn.wait_until_executed().map(|()| newborn)
    };
    let mut again = || {
        // A spawner that died before it answered may have left a child unknown to us. The group
        // goes with it: the kernel kills whatever is cloned into one that was killed before.
        super::tear_down::remove_group(&group);
        limits(shared, id, spec, slot).map(|_| ())
    };
    let newborn = until_born(&mut attempt, &mut again).map_err(setup_failure)?;
    let ready = || -> io::Result<u64> {
        fault::at("bring_up.ready")?;
        shared.pool.limit_disk(id, disk_bytes(spec))?;
        Ok(Stat::of(newborn.pid)?.start_time)
    };
    let start_time = ready().map_err(in_phase("ready"))?;
    phases.mark("ready");

    let Newborn { pid, pidfd, .. } = newborn;
    let watched = fault::at("bring_up.watch").and_then(|()| super::watch_end(pidfd));
    let first_process = watched.map_err(in_phase("watch"))?;

    process.keep();
    door.keep();
    group_guard.keep();
    seat_guard.keep();
    disk.keep();
    drop(door_dir);
    Ok(Started {
        pid,
        start_time,
        process: first_process,
        slot,
        group,
        snapshot,
    })
}

/// Attempts again when the first process or the spawner was killed in the middle, from outside or
/// for memory: no code of the sandbox has run, and what was there before it is as it was.
fn until_born(
    attempt: &mut dyn FnMut() -> Result<Newborn, SetupError>,
    again: &mut dyn FnMut() -> io::Result<()>,
) -> Result<Newborn, SetupError> {
    for _ in 1..BIRTHS_MAX {
        match attempt() {
            Err(error) if error.is_death() => {
                warn!(error = %error, "set-up cut short; trying again");
                again()?;
            }
            other => return other,
        }
    }
    attempt()
}

pub(crate) const fn memory_bytes(spec: &SandboxSpec) -> u64 {
    (spec.resources.memory_gib as u64) << 30
}

pub(crate) const fn disk_bytes(spec: &SandboxSpec) -> u64 {
    (spec.resources.disk_gib as u64) << 30
}

pub(crate) const fn limits_of(spec: &SandboxSpec) -> Limits {
    Limits {
        cpus: spec.resources.cpus,
        memory_bytes: memory_bytes(spec),
        pids: PIDS_MAX,
    }
}

/// What the sandbox says of itself.
pub(super) fn shown_limits(spec: &SandboxSpec, host_cpus: u32) -> BootLimits {
    BootLimits {
        cpus: spec.resources.cpus.min(host_cpus),
        memory_bytes: memory_bytes(spec),
        disk_bytes: disk_bytes(spec),
        pids: PIDS_MAX,
    }
}

pub(super) fn find_snapshot(shared: &Shared, name: &str) -> Result<Snapshot, Failure> {
    let snapshot = shared.snapshots.load(name).map_err(|error| match error {
        snapshots::Error::Missing { .. } => {
            Failure::new(FailureCode::SnapshotMissing, "snapshot", error)
        }
        other => Failure::new(FailureCode::HostError, "snapshot", other),
    })?;
    match snapshot
        .layers
        .iter()
        .find(|layer| !shared.snapshots.layer_path(layer).is_dir())
    {
        None => Ok(snapshot),
        Some(layer) => Err(Failure::new(
            FailureCode::SnapshotMissing,
            "snapshot",
            format!("layer {layer} of {name} is not on this host"),
        )),
    }
}

fn rootfs(shared: &Shared, id: SandboxId, spec: &SandboxSpec) -> io::Result<bool> {
    fault::at("bring_up.rootfs")?;
    let known = shared.pool.has_disk(id);
    let made = shared
        .pool
        .ensure_disk(id, disk_bytes(spec) + MOUNT_HEADROOM_BYTES);
    if made.is_err() && !known {
        super::tear_down::discard_disk(shared, id);
    }
    made
}

fn network(shared: &Shared, spec: &SandboxSpec) -> io::Result<Seat> {
    fault::at("bring_up.network")?;
    shared.network.take(&spec.network)
}

fn limits(shared: &Shared, id: SandboxId, spec: &SandboxSpec, slot: Slot) -> io::Result<Group> {
    let made = shared
        .cgroups
        .create(id, limits_of(spec))
        .and_then(|group| {
            fault::at("bring_up.limits")?;
            group.delegate(slot.base_id())?;
            Ok(group)
        });
    if made.is_err() {
        super::tear_down::remove_group(&shared.cgroups.group(id));
    }
    made
}

fn isolate(
    shared: &Shared,
    id: SandboxId,
    spec: &SandboxSpec,
    config: &BootConfig,
    snapshot: &Snapshot,
    seat: &Seat,
    group: &Group,
) -> Result<Newborn, SetupError> {
    let (_, listener) = door::open(&shared.records.run_dir(id), shared.server_group)?;
    let used = shared.pool.disk_used(id).unwrap_or_default();
    showing::begin(&shared.records.run_dir(id), used)?;
    fault::at("bring_up.isolate")?;
    let config = boot_config_file(config)?;
    let cgroup = File::open(group.inner())?;
    // In the sandbox's own disk: what it writes there counts against its own limit.
    let log = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(shared.pool.disk_path(id).join(LOG_NAME))?;
    rustix::fs::fcntl_setfl(&log, rustix::fs::OFlags::APPEND).map_err(io::Error::from)?;
    let request = spawn_request(shared, id, spec, snapshot, seat, group);
    let descriptors = Descriptors {
        user_namespace: seat.user_namespace.as_fd(),
        network_namespace: seat.network_namespace.as_fd(),
        cgroup: cgroup.as_fd(),
        listener: listener.as_fd(),
        config: config.as_fd(),
        log: log.as_fd(),
    };
    shared.spawner.spawn(&request, &descriptors)
}

fn spawn_request(
    shared: &Shared,
    id: SandboxId,
    spec: &SandboxSpec,
    snapshot: &Snapshot,
    seat: &Seat,
    group: &Group,
) -> Request {
    let processors = shared.processors.share(spec.resources.cpus, seat.slot.0);
    let shown = u32::try_from(processors.len()).unwrap_or(u32::MAX);
    Request {
        hostname: id.to_string(),
        base_id: seat.slot.base_id(),
        join_files: group.join_files(),
        memory_group: group.memory_dir().map(Path::to_owned),
        layers: snapshot
            .layers
            .iter()
            .map(|layer| shared.snapshots.layer_path(layer))
            .collect(),
        disk: shared.pool.disk_path(id),
        disk_use: showing::file(&shared.records.run_dir(id)),
        scratch: shared.scratch.clone(),
        toolbox: shared.toolbox.clone(),
        memory_bytes: memory_bytes(spec),
        processors,
        files: StandIns {
            hosts: format!("127.0.0.1\tlocalhost {id}\n::1\tlocalhost ip6-localhost\n"),
            resolv_conf: format!("nameserver {}\n", shared.network.gateway()),
            meminfo: host::fresh_meminfo(memory_bytes(spec)),
            cpuinfo: shared.processors.info(shown),
            cpus_online: host::cpu_list(shown),
            boot_id: format!("{}\n", IncarnationId::random()),
        },
        fault: fault::armed(),
    }
}

/// The image's variables, with the sandbox's own on top.
pub(super) fn merged_env(snapshot: &Snapshot, spec: &SandboxSpec) -> BTreeMap<String, String> {
    let mut env = snapshot.env.clone();
    env.extend(spec.env.clone());
    env
}

fn boot_config(
    id: SandboxId,
    spec: &SandboxSpec,
    snapshot: &Snapshot,
    owned: Owned,
    host_cpus: u32,
) -> BootConfig {
    let entrypoint = match snapshot.entrypoint.as_slice() {
        [] => vec!["sleep".to_owned(), "infinity".to_owned()],
        given => given.to_vec(),
    };
    BootConfig {
        sandbox_id: id.to_string(),
        user: spec.user.clone().or_else(|| snapshot.user.clone()),
        env: merged_env(snapshot, spec),
        work_dir: snapshot.work_dir.clone(),
        entrypoint,
        limits: shown_limits(spec, host_cpus),
        spare: owned == Owned::Later,
    }
}

/// In memory, and never changed again: the sandbox's root can read it, not write it.
fn boot_config_file(config: &BootConfig) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("boot", flags)?);
    file.write_all(&serde_json::to_vec(config)?)?;
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(0))?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

fn setup_failure(error: SetupError) -> Failure {
    let code = match &error {
        SetupError::Step { source, .. } | SetupError::Host(source) => {
            super::failure::code_of(source)
        }
        SetupError::Died | SetupError::Late | SetupError::NoAnswer(_) => FailureCode::HostError,
    };
    Failure::new(code, "isolate", error)
}

/// How long each phase took, for `Server-Timing`.
#[derive(Debug)]
pub(crate) struct Phases {
    last: Instant,
    done: Vec<Phase>,
}

impl Phases {
    pub(crate) fn start() -> Self {
        Self {
            last: Instant::now(),
            done: Vec::new(),
        }
    }

    pub(crate) fn mark(&mut self, name: &str) {
        let now = Instant::now();
        let elapsed = now.duration_since(self.last);
        self.last = now;
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.done.push(Phase {
            name: name.to_owned(),
            elapsed_us,
        });
    }

    pub(crate) fn done(self) -> Vec<Phase> {
        self.done
    }
}

/// Path at which the server finds the toolbox of `id`.
pub(crate) fn socket_path(shared: &Shared, id: SandboxId) -> PathBuf {
    shared.records.run_dir(id).join(door::SOCKET_NAME)
}
