//! The runner as a whole: what all sandboxes share, who has which task, start and stop.
//!
//! Must not: know a sandbox's phases (`crate::sandbox`) or the wire (`crate::http`).

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sebring_api::runner::{
    Command, Goal, Host, Inventory, Observation, ObservedState, SnapshotFacts, Spare, UsageSample,
    UsageSpan,
};
use sebring_core::id::{Generation, IncarnationId, SandboxId};
use sebring_tasks::Tasks;
use tokio::sync::{Notify, Semaphore, broadcast, watch};
use tracing::{info, warn};

use crate::adopt;
use crate::builds::Builds;
use crate::cgroups::Cgroups;
use crate::config::{RUN_DIR_LENGTH_MAX, RunnerConfig};
use crate::disk::{self, Pool};
use crate::history;
use crate::host::{self, Processors};
use crate::network::Network;
use crate::sandbox::records::Records;
use crate::sandbox::{Actor, Ends, Life};
use crate::snapshots::{self, Snapshots};
use crate::spares::{Spares, keep};
use crate::spawner::Spawner;
use crate::upkeep;

/// Changes that a slow listener may fall behind before it must fetch the inventory again.
const OBSERVATIONS_BUFFERED: usize = 4096;
/// Sandboxes brought up at the same time, per processor. More only makes each of them slower.
const BRING_UPS_PER_PROCESSOR: u32 = 3;
/// How long a predecessor may take to be gone: one that was killed ends at once, one that was
/// asked to stop (or lost its supervisor) finishes the commands it has begun.
const LOCK_WAIT: Duration = Duration::from_secs(15);
/// Deleted sandboxes whose last generation is remembered, so that a late command cannot bring
/// one back.
const TOMBSTONES_MAX: usize = 16_384;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("another runner uses {0}")]
    Running(PathBuf),
    #[error("run directory {path}: its path may have {RUN_DIR_LENGTH_MAX} bytes")]
    LongPath { path: PathBuf },
    #[error("{what}")]
    Start {
        what: &'static str,
        source: io::Error,
    },
    #[error("open the pool")]
    Pool(#[from] disk::Error),
    #[error("find the server's socket")]
    Listen { source: io::Error },
}

/// What every sandbox's task works with.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) pool: Pool,
    pub(crate) snapshots: Snapshots,
    pub(crate) builds: Builds,
    pub(crate) cgroups: Cgroups,
    pub(crate) network: Network,
    pub(crate) spawner: Spawner,
    pub(crate) processors: Processors,
    pub(crate) records: Records,
    pub(crate) server_group: Option<u32>,
    /// Mount point that each child covers for itself.
    pub(crate) scratch: PathBuf,
    pub(crate) toolbox: PathBuf,
    pub(crate) unenforced: Vec<String>,
    pub(crate) incarnation: IncarnationId,
    pub(crate) observations: broadcast::Sender<Observation>,
    pub(crate) bring_ups: Semaphore,
    pub(crate) spares: Spares,
    /// Told when there is something to delete.
    pub(crate) trash: Notify,
    pub(crate) tasks: Tasks,
    registry: Mutex<Registry>,
    /// Held as long as this runner lives.
    _lock: File,
}

#[derive(Debug, Default)]
struct Registry {
    sandboxes: HashMap<SandboxId, Entry>,
    tombstones: HashMap<SandboxId, Generation>,
    tombstones_by_age: VecDeque<SandboxId>,
}

#[derive(Debug)]
struct Entry {
    goal: watch::Sender<Option<Command>>,
    seen: watch::Receiver<Observation>,
}

/// A started runner. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Runner {
    pub(crate) shared: Arc<Shared>,
}

impl Runner {
    /// Takes over this host's part of the instance: adopts what lives, sweeps what nobody owns.
    ///
    /// # Errors
    /// When another runner has it, or the host lacks something that isolation needs.
    pub async fn start(config: RunnerConfig) -> Result<Self, Error> {
        let shared = tokio::task::spawn_blocking(move || prepare(config))
            .await
            .map_err(|error| Error::Start {
                what: "prepare",
                source: io::Error::other(error),
            })??;
        let (shared, survivors) = shared;
        let runner = Self {
            shared: Arc::new(shared),
        };
        let tasks = &runner.shared.tasks;
        let served = runner.shared.network.serve_names(tasks).await;
        served.map_err(|source| Error::Start {
            what: "serve names at the gateway",
            source,
        })?;
        let adopted = adopt::adopt(&runner.shared, survivors).await;
        adopted.map_err(|source| Error::Start {
            what: "adopt sandboxes",
            source,
        })?;
        upkeep::start(&runner.shared);
        let own = Arc::clone(&runner.shared);
        tasks.spawn("spares", keep::keep(own));
        Ok(runner)
    }

    /// Makes a sandbox be as `command` says and answers once that was tried, or once something
    /// newer was.
    pub async fn command(&self, id: SandboxId, command: Command) -> Observation {
        let generation = command.generation;
        let mut seen = match self.submit(id, &command) {
            Ok(seen) => seen,
            Err(observation) => return *observation,
        };
        let reached = seen
            .wait_for(|observation| {
                let is_answer = !matches!(observation.state, ObservedState::Building { .. });
                is_answer && observation.generation >= generation
            })
            .await;
        match reached {
            Ok(observation) => observation.clone(),
            // The task has ended with the runner.
            Err(_) => self.observation(id),
        }
    }

    #[must_use]
    pub fn observation(&self, id: SandboxId) -> Observation {
        let registry = self.shared.registry.lock();
        match registry.sandboxes.get(&id) {
            Some(entry) => entry.seen.borrow().clone(),
            None => self.shared.absent(&registry, id),
        }
    }

    #[must_use]
    pub fn inventory(&self) -> Inventory {
        let registry = self.shared.registry.lock();
        let sandboxes = registry
            .sandboxes
            .values()
            .map(|entry| entry.seen.borrow().clone())
            .collect();
        Inventory {
            incarnation: self.shared.incarnation,
            sandboxes,
        }
    }

    /// Every change from now on.
    #[must_use]
    pub fn observations(&self) -> broadcast::Receiver<Observation> {
        self.shared.observations.subscribe()
    }

    /// The spares that can be claimed, now and after every change.
    #[must_use]
    pub fn spares(&self) -> watch::Receiver<Vec<Spare>> {
        self.shared.spares.announced()
    }

    /// # Errors
    /// When the host does not say.
    pub fn host(&self) -> io::Result<Host> {
        let (disk_bytes, disk_free_bytes) = self.shared.pool.space()?;
        Ok(Host {
            incarnation: self.shared.incarnation,
            cpus: self.shared.processors.count(),
            memory_bytes: host::memory_bytes()?,
            disk_bytes,
            disk_free_bytes,
            unenforced: self.shared.unenforced.clone(),
        })
    }

    /// What it used of its share, for a day and as long as it exists. Blocks for a file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn usage(&self, id: SandboxId, span: UsageSpan) -> io::Result<Vec<UsageSample>> {
        history::of(&self.shared, id, span)
    }

    /// # Errors
    /// When the pool cannot be read.
    pub fn snapshots(&self) -> Result<Vec<SnapshotFacts>, snapshots::Error> {
        let present = self.shared.snapshots.list()?;
        let offered = self.shared.builds.offered();
        Ok(present
            .into_iter()
            .filter(|one| offered.as_ref().is_none_or(|other| other.name != one.name))
            .map(SnapshotFacts::from)
            .chain(offered.clone())
            .collect())
    }

    /// Network namespaces that are ready for use.
    #[must_use]
    pub fn ready_seats(&self) -> usize {
        self.shared.network.ready_seats()
    }

    /// Process id of the spawner.
    #[must_use]
    pub fn spawner_pid(&self) -> Option<u32> {
        self.shared.spawner.pid()
    }

    /// Stops the runner and leaves its sandboxes running.
    pub async fn stop(&self) {
        self.shared.network.stop();
        self.shared.tasks.shutdown().await;
        info!("runner stopped");
    }

    /// Takes what is ours off the host, if no sandbox runs any more. After [`Runner::stop`].
    pub fn leave_host(self) {
        let Ok(shared) = Arc::try_unwrap(self.shared) else {
            warn!("the runner is still in use; leaving the host as it is");
            return;
        };
        let busy = shared
            .cgroups
            .groups()
            .is_ok_and(|groups| !groups.is_empty());
        if busy {
            return;
        }
        shared.pool.empty_trash();
        shared.network.close();
        shared.cgroups.close();
        // The spawner has its own view of mounts and would keep the pool alive.
        drop(shared.spawner);
        if let Err(error) = shared.pool.close() {
            warn!(error = %error, "cannot unmount the pool");
        }
    }

    fn submit(
        &self,
        id: SandboxId,
        command: &Command,
    ) -> Result<watch::Receiver<Observation>, Box<Observation>> {
        let mut registry = self.shared.registry.lock();
        if registry
            .tombstones
            .get(&id)
            .is_some_and(|last| *last >= command.generation)
        {
            return Err(Box::new(self.shared.absent(&registry, id)));
        }
        if !registry.sandboxes.contains_key(&id) {
            let actor = Actor::new(&self.shared, id, Life::Absent, Generation::default());
            self.shared.enter(&mut registry, actor);
        }
        let entry = &registry.sandboxes[&id];
        let newer = |goal: &Option<Command>| {
            goal.as_ref()
                .is_none_or(|present| present.generation < command.generation)
        };
        entry.goal.send_if_modified(|goal| {
            let replace = newer(goal);
            if replace {
                *goal = Some(command.clone());
            }
            replace
        });
        Ok(entry.seen.clone())
    }
}

impl Shared {
    /// Starts the task of a sandbox that was found on this host.
    pub(crate) fn admit(self: &Arc<Self>, actor: Actor) {
        let mut registry = self.registry.lock();
        self.enter(&mut registry, actor);
    }

    fn enter(self: &Arc<Self>, registry: &mut Registry, actor: Actor) {
        let (goal, goal_end) = watch::channel(None);
        let (seen_end, seen) = watch::channel(actor.observation());
        registry.sandboxes.insert(actor.id, Entry { goal, seen });
        let ends = Ends {
            goal: goal_end,
            seen: seen_end,
        };
        self.tasks
            .spawn("sandbox", async move { actor.run(ends).await });
    }

    /// The task of a sandbox that is gone wants to end. Refused when a newer goal has come.
    pub(crate) fn retire(&self, actor: &Actor, ends: &Ends) -> bool {
        let mut registry = self.registry.lock();
        let newest = ends.goal.borrow();
        let newest = newest.as_ref();
        if newest.is_some_and(|command| command.generation > actor.generation) {
            return false;
        }
        // A failed start of something new is still to be asked about.
        if !newest.is_none_or(|command| matches!(command.goal, Goal::Deleted)) {
            return false;
        }
        registry.sandboxes.remove(&actor.id);
        registry.bury(actor.id, actor.generation);
        true
    }

    /// Running sandboxes and their run directories.
    pub(crate) fn running(&self) -> Vec<(SandboxId, PathBuf)> {
        let registry = self.registry.lock();
        let is_running =
            |entry: &Entry| matches!(entry.seen.borrow().state, ObservedState::Running { .. });
        let entries = registry.sandboxes.iter();
        entries
            .filter(|(_, entry)| is_running(entry))
            .map(|(id, _)| (*id, self.records.run_dir(*id)))
            .collect()
    }

    fn absent(&self, registry: &Registry, id: SandboxId) -> Observation {
        Observation {
            id,
            generation: registry.tombstones.get(&id).copied().unwrap_or_default(),
            incarnation: self.incarnation,
            state: ObservedState::Absent,
            phases: Vec::new(),
        }
    }
}

impl Registry {
    fn bury(&mut self, id: SandboxId, generation: Generation) {
        if self.tombstones.insert(id, generation).is_none() {
            self.tombstones_by_age.push_back(id);
        }
        if self.tombstones_by_age.len() > TOMBSTONES_MAX
            && let Some(oldest) = self.tombstones_by_age.pop_front()
        {
            self.tombstones.remove(&oldest);
        }
    }
}

impl Actor {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        id: SandboxId,
        life: Life,
        generation: Generation,
    ) -> Self {
        let shared = Arc::clone(shared);
        Self {
            id,
            shared,
            life,
            generation,
            failure: None,
            phases: Vec::new(),
        }
    }
}

/// Everything that blocks, in the order in which later parts need earlier ones.
fn prepare(config: RunnerConfig) -> Result<(Shared, Vec<adopt::Survivor>), Error> {
    let failed = |what| move |source| Error::Start { what, source };
    if config.run_dir.as_os_str().len() > RUN_DIR_LENGTH_MAX {
        return Err(Error::LongPath {
            path: config.run_dir,
        });
    }
    fs::create_dir_all(&config.data_dir).map_err(failed("create the data directory"))?;
    fs::create_dir_all(&config.run_dir).map_err(failed("create the run directory"))?;
    let lock = lock(&config.data_dir)?;
    let pool = Pool::open(&config.data_dir, config.pool_bytes)?;
    let toolbox = pool.install_toolbox(&config.toolbox)?;
    let scratch = config.run_dir.join("scratch");
    fs::create_dir_all(&scratch).map_err(failed("create the scratch directory"))?;
    let records = Records::open(&config.data_dir, &config.run_dir, config.server_group)
        .map_err(failed("open the records"))?;
    let cgroups = Cgroups::open(&config.instance).map_err(failed("open control groups"))?;
    let survivors =
        adopt::sweep(&records, &cgroups, &pool).map_err(failed("sweep what is left"))?;
    let occupied = survivors
        .iter()
        .filter_map(adopt::Survivor::occupied)
        .collect::<Vec<_>>();
    let network = Network::open(
        &config.data_dir,
        &config.instance,
        config.subnet.as_deref(),
        &occupied,
        config.seats_ready,
    )
    .map_err(failed("prepare the network"))?;
    let keep = vec![
        pool.path().to_owned(),
        scratch.clone(),
        PathBuf::from("/proc"),
        PathBuf::from("/dev"),
        PathBuf::from("/sys/fs/cgroup"),
    ];
    let spawner = Spawner::start(config.spawner, keep).map_err(failed("start the spawner"))?;
    let processors = Processors::read().map_err(failed("read processors"))?;
    let mut unenforced = cgroups.unenforced();
    if !pool.enforces_limits() {
        unenforced.push("disk".to_owned());
    }
    let permits = usize::try_from(processors.count() * BRING_UPS_PER_PROCESSOR).unwrap_or(1);
    let shared = Shared {
        builds: Builds::new(Snapshots::new(pool.path())),
        snapshots: Snapshots::new(pool.path()),
        pool,
        cgroups,
        network,
        spawner,
        processors,
        records,
        server_group: config.server_group,
        scratch,
        toolbox,
        unenforced,
        incarnation: IncarnationId::random(),
        observations: broadcast::channel(OBSERVATIONS_BUFFERED).0,
        bring_ups: Semaphore::new(permits),
        spares: Spares::new(config.warm_pool),
        trash: Notify::new(),
        tasks: Tasks::new(),
        registry: Mutex::new(Registry::default()),
        _lock: lock,
    };
    Ok((shared, survivors))
}

/// One runner per data directory. The kernel lets go of the lock with the process.
fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join("runner.lock");
    let file = File::create(&path).map_err(|source| Error::Start {
        what: "create the lock file",
        source,
    })?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // A predecessor that was killed holds it until the kernel has put it away.
            Err(_) if Instant::now() < deadline => crate::exec::pause(),
            Err(_) => return Err(Error::Running(data_dir.to_owned())),
        }
    }
}
