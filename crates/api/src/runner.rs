//! The protocol between server and runner: level-triggered commands down, observations up.
//!
//! HTTP/1.1 with JSON over the runner's unix socket.
//!
//! | method, path | body → answer |
//! |---|---|
//! | `PUT /v1/sandboxes/{id}` | [`Command`] → 200 [`Observation`] once the runner has tried |
//! | `GET /v1/sandboxes` | → 200 [`Inventory`] |
//! | `GET /v1/sandboxes/{id}` | → 200 [`Observation`] (`Absent` when unknown) |
//! | `GET /v1/sandboxes/{id}/usage?…` of [`UsageSpan`] | → 200 list of [`UsageSample`], oldest first (none when unknown) |
//! | `GET /v1/observations` | → 200, newline-delimited [`Observation`], the inventory first, then every change |
//! | `GET /v1/spares` | → 200, newline-delimited lists of [`Spare`], the present one first, then after every change |
//! | `GET /v1/host` | → 200 [`Host`] |
//! | `GET /v1/snapshots` | → 200 list of [`SnapshotFacts`] |
//!
//! A command says how things shall be, not what to do; sending it twice is the same as once, and
//! one with an older generation than the runner has seen is answered with the present observation.
//!
//! A spare is not a sandbox: no list of sandboxes has it, and nothing can be done with it but to
//! send its id the goal [`Goal::Running`]. That is never wrong: an id whose spare is gone by then,
//! or does not fit, is brought up as any other.
//!
//! Must not: mention organizations, keys, or anything a host has no need to know.
//! Next: `sebring_core::lifecycle` decides what to send; `sebring_runner::sandbox` obeys.

use std::collections::BTreeMap;

use sebring_core::id::{Generation, IncarnationId, SandboxId};
use serde::{Deserialize, Serialize};

/// How a sandbox shall be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub generation: Generation,
    pub goal: Goal,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "goal", rename_all = "snake_case")]
pub enum Goal {
    /// Running with exactly this spec. When it runs already, limits and network are adjusted live.
    Running { spec: SandboxSpec },
    /// Disk kept, nothing running. `spec` so that a disk can be made and limits recorded.
    Stopped { spec: SandboxSpec, stop: StopMode },
    /// Nothing left of it.
    Deleted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopMode {
    /// SIGTERM to every process, a short grace, then SIGKILL.
    Graceful,
    Force,
}

/// Everything a runner needs to bring a sandbox up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Name of a snapshot that is on this host.
    pub snapshot: String,
    pub resources: ResourceSpec,
    pub user: Option<String>,
    /// The sandbox's own variables; the runner puts the snapshot's beneath them.
    pub env: BTreeMap<String, String>,
    pub network: NetworkSpec,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ResourceSpec {
    pub cpus: u32,
    pub memory_gib: u32,
    pub disk_gib: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum NetworkSpec {
    /// Everything but the floor: other sandboxes, the host, link-local, metadata, private ranges.
    Open,
    /// Loopback only.
    BlockAll,
    /// Only these IPv4 CIDRs (and name resolution), never what the floor forbids.
    Allow { cidrs: Vec<String> },
}

/// What sandboxes have in common that one spare can become: all but their environment.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    pub snapshot: String,
    pub resources: ResourceSpec,
}

impl Shape {
    /// The shape of `spec`, unless it wants what no spare has: a user or a policy of its own.
    #[must_use]
    pub fn of(spec: &SandboxSpec) -> Option<Self> {
        let usual = spec.user.is_none() && spec.network == NetworkSpec::Open;
        usual.then(|| Self {
            snapshot: spec.snapshot.clone(),
            resources: spec.resources,
        })
    }

    /// What a spare of this shape is brought up as.
    #[must_use]
    pub fn bare_spec(&self) -> SandboxSpec {
        SandboxSpec {
            snapshot: self.snapshot.clone(),
            resources: self.resources,
            user: None,
            env: BTreeMap::new(),
            network: NetworkSpec::Open,
        }
    }
}

/// A sandbox that the runner has brought up ahead of need, under an id that it made up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spare {
    pub id: SandboxId,
    pub shape: Shape,
}

/// What a runner knows about one sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    pub id: SandboxId,
    /// Newest generation whose goal the runner has reached or failed to reach, or waits to begin.
    pub generation: Generation,
    pub incarnation: IncarnationId,
    pub state: ObservedState,
    /// Milliseconds of each phase of the bring-up that led here, in order; for `Server-Timing`.
    #[serde(default)]
    pub phases: Vec<Phase>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    pub name: String,
    pub elapsed_us: u64,
}

impl Eq for Phase {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ObservedState {
    /// The runner has nothing of it.
    Absent,
    /// The goal of `generation` waits for its snapshot, which is being built. Not an answer.
    Building {
        /// When the build is ended if it has not ended by then; seconds since 1970.
        until_unix: i64,
    },
    Running {
        /// Unix socket of the toolbox, reachable by the server's group.
        toolbox_socket: String,
        /// Limits this host could not enforce (`disk`, `cpu`…); empty when all hold.
        unenforced: Vec<String>,
    },
    Stopped {
        why: StopReason,
    },
    /// The goal of `generation` could not be reached.
    Failed {
        code: FailureCode,
        /// For people: the failing phase, the object, the cause.
        message: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Because it was asked for.
    Asked,
    /// The first process ended by itself.
    Exited,
    /// The kernel killed the first process for memory.
    OomKilled,
    /// The host rebooted or everything was killed from outside.
    HostLost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    SnapshotMissing,
    DiskFull,
    OutOfProcesses,
    OutOfAddresses,
    /// A resize or shrink that the present usage does not allow.
    DoesNotFit,
    /// Anything else on the host's side; see the message.
    HostError,
}

/// All that a runner has, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    pub incarnation: IncarnationId,
    pub sandboxes: Vec<Observation>,
}

/// What this host is and can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    pub incarnation: IncarnationId,
    pub cpus: u32,
    pub memory_bytes: u64,
    pub disk_bytes: u64,
    pub disk_free_bytes: u64,
    /// Limits this host cannot enforce, empty when all hold.
    pub unenforced: Vec<String>,
}

/// What a running sandbox used at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSample {
    /// Seconds since 1970.
    pub at_unix: u64,
    /// Processor time since the sandbox started, microseconds of one processor.
    pub cpu_us: u64,
    /// Includes the cache.
    pub memory_bytes: u64,
    pub memory_cache_bytes: u64,
    pub disk_bytes: u64,
}

/// Which samples: those of these seconds since 1970, both ends included, and the one before, which
/// processor time is counted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageSpan {
    pub from_unix: u64,
    pub to_unix: u64,
}

/// One template on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    pub name: String,
    pub size_bytes: u64,
    pub entrypoint: Vec<String>,
    /// RFC 3339, UTC.
    pub created_at: String,
    #[serde(default)]
    pub stage: SnapshotStage,
}

/// Whether a snapshot can be used at once. A sandbox of one that cannot waits for its build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum SnapshotStage {
    #[default]
    Ready,
    /// Built when the first sandbox needs it.
    Unbuilt,
    Building,
    /// The last build; the next sandbox tries again.
    Failed {
        reason: String,
    },
}
