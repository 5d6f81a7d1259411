//! Limits on processor, memory and processes, on hosts with cgroup v2, v1, or both.
//!
//! ```text
//! v2       sebring-<inst>/<uuid>/        limits, ours
//!            box/                         PID 1 is born here; sandbox root owns it
//! v1       sebring-<inst>/<uuid>/        in each of memory, cpu and pids, where v2 lacks them
//! ```
//!
//! With v1 the groups are made beneath the runner's own, so that limits put on the runner hold for
//! its sandboxes too. With v2 they are at the root: only there may a group have both processes
//! and children with controllers.
//!
//! Must not: know why a process is limited. Next: `crate::setup` joins the v1 groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sebring_core::id::SandboxId;
use serde::{Deserialize, Serialize};

/// Length of the period in which processor time is handed out.
const CPU_PERIOD_US: u64 = 100_000;
/// v2 weight of one processor; v1 shares are its tenfold.
const CPU_WEIGHT: u64 = 100;
/// Groups that a sandbox may make in its own: one per process it may have, and some. Unbounded
/// they would be a way to fill the kernel's memory.
const DESCENDANTS_MAX: &str = "5000";
/// Share of the host's process numbers that all sandboxes together may use: a fork bomb in each
/// must leave room for the host.
const PIDS_PERCENT: u64 = 75;
/// Memory that all sandboxes together leave to the host: the larger of these.
const HOST_MEMORY_BYTES_MIN: u64 = 512 << 20;
const HOST_MEMORY_PERCENT: u64 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) pids: u32,
}

/// The control group file systems of this host, as far as we use them.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    /// v2: always there; made for sandboxes at `sebring-<inst>`.
    unified: PathBuf,
    /// Controllers of the v2 hierarchy that we use.
    unified_controllers: Controllers,
    v1_memory: Option<PathBuf>,
    v1_cpu: Option<PathBuf>,
    v1_pids: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Controllers {
    cpu: bool,
    memory: bool,
    pids: bool,
}

/// The groups of one sandbox, by path, so that they can be written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    unified: PathBuf,
    v1_memory: Option<PathBuf>,
    v1_cpu: Option<PathBuf>,
    v1_pids: Option<PathBuf>,
}

impl Cgroups {
    /// Finds the hierarchies and makes the instance's level in each.
    pub(crate) fn open(instance: &str) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let name = format!("sebring-{instance}");
        let root = mount_of(&mounts, "cgroup2", None)
            .ok_or_else(|| io::Error::other("no cgroup2 file system is mounted"))?;
        let controllers = enable_controllers(&root)?;
        let unified = root.join(&name);
        make_dir(&unified)?;
        enable_controllers(&unified)?;
        let v1 = |controller: &str, in_v2: bool| -> io::Result<Option<PathBuf>> {
            let Some(mount) = mount_of(&mounts, "cgroup", Some(controller)).filter(|_| !in_v2)
            else {
                return Ok(None);
            };
            let path = mount.join(own_path(&own, controller)).join(&name);
            make_dir(&path)?;
            Ok(Some(path))
        };
        let cgroups = Self {
            v1_memory: v1("memory", controllers.memory)?,
            v1_cpu: v1("cpu", controllers.cpu)?,
            v1_pids: v1("pids", controllers.pids)?,
            unified,
            unified_controllers: controllers,
        };
        cgroups.bound_everything()?;
        Ok(cgroups)
    }

    /// Limits that this host cannot enforce.
    pub(crate) fn unenforced(&self) -> Vec<String> {
        let missing = [
            ("cpu", self.unified_controllers.cpu || self.v1_cpu.is_some()),
            (
                "memory",
                self.unified_controllers.memory || self.v1_memory.is_some(),
            ),
            (
                "pids",
                self.unified_controllers.pids || self.v1_pids.is_some(),
            ),
        ];
        missing
            .iter()
            .filter(|(_, held)| !held)
            .map(|(name, _)| (*name).to_owned())
            .collect()
    }

    /// The groups of `id`, whether or not they exist.
    pub(crate) fn group(&self, id: SandboxId) -> Group {
        let below = |path: &Option<PathBuf>| path.as_ref().map(|path| path.join(id.to_string()));
        Group {
            unified: self.unified.join(id.to_string()),
            v1_memory: below(&self.v1_memory),
            v1_cpu: below(&self.v1_cpu),
            v1_pids: below(&self.v1_pids),
        }
    }

    /// Makes the groups of `id` and sets `limits`. Existing ones are used.
    pub(crate) fn create(&self, id: SandboxId, limits: Limits) -> io::Result<Group> {
        let group = self.group(id);
        for dir in group.dirs() {
            make_dir(dir)?;
        }
        write(&group.unified, "cgroup.max.descendants", DESCENDANTS_MAX)?;
        make_dir(&group.inner())?;
        group.limit(self, limits)?;
        Ok(group)
    }

    /// Ids of all sandboxes that have a v2 group here.
    pub(crate) fn groups(&self) -> io::Result<Vec<SandboxId>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.unified)? {
            if let Some(id) = entry?
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Of 100: process numbers that all sandboxes together may still take. All, where nothing
    /// counts them.
    pub(crate) fn pids_free_percent(&self) -> io::Result<u64> {
        let dir = match &self.v1_pids {
            Some(dir) => dir,
            None if self.unified_controllers.pids => &self.unified,
            None => return Ok(100),
        };
        let most = read_number(&dir.join("pids.max"))?.max(1);
        let used = read_number(&dir.join("pids.current"))?;
        Ok(most.saturating_sub(used) * 100 / most)
    }

    /// Removes the instance's own level. Only when no sandbox is left.
    pub(crate) fn close(&self) {
        let dirs = [
            Some(&self.unified),
            self.v1_memory.as_ref(),
            self.v1_cpu.as_ref(),
            self.v1_pids.as_ref(),
        ];
        for dir in dirs.into_iter().flatten() {
            // Still in use by a sandbox that outlives us: stays, and the next start finds it.
            drop(fs::remove_dir(dir));
        }
    }

    /// All sandboxes together never take the whole host.
    fn bound_everything(&self) -> io::Result<()> {
        let pid_max: u64 = read_number(Path::new("/proc/sys/kernel/pid_max"))?;
        let pids = (pid_max / 100 * PIDS_PERCENT).to_string();
        let host = crate::host::memory_bytes()?;
        let reserve = HOST_MEMORY_BYTES_MIN.max(host / 100 * HOST_MEMORY_PERCENT);
        let memory = host.saturating_sub(reserve).to_string();
        if self.unified_controllers.pids {
            write(&self.unified, "pids.max", &pids)?;
        }
        if self.unified_controllers.memory {
            write(&self.unified, "memory.max", &memory)?;
        }
        if let Some(dir) = &self.v1_pids {
            write(dir, "pids.max", &pids)?;
        }
        if let Some(dir) = &self.v1_memory {
            write(dir, "memory.limit_in_bytes", &memory)?;
        }
        Ok(())
    }
}

impl Group {
    /// The v2 group in which PID 1 is born and which sandbox root owns.
    pub(crate) fn inner(&self) -> PathBuf {
        self.unified.join("box")
    }

    /// Files of v1 groups that a process writes `0` to in order to join: of a single thread, which
    /// spares the kernel a global lock and with it milliseconds.
    pub(crate) fn join_files(&self) -> Vec<PathBuf> {
        [&self.v1_memory, &self.v1_cpu, &self.v1_pids]
            .into_iter()
            .flatten()
            .map(|dir| dir.join("tasks"))
            .collect()
    }

    /// Lets host user `uid` make groups of its own within.
    pub(crate) fn delegate(&self, uid: u32) -> io::Result<()> {
        let inner = self.inner();
        let own = |path: &Path| std::os::unix::fs::chown(path, Some(uid), Some(uid));
        own(&inner)?;
        for file in ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            own(&inner.join(file))?;
        }
        Ok(())
    }

    /// Sets or changes limits, also while processes run.
    pub(crate) fn limit(&self, host: &Cgroups, limits: Limits) -> io::Result<()> {
        let quota = CPU_PERIOD_US * u64::from(limits.cpus);
        let weight = CPU_WEIGHT * u64::from(limits.cpus);
        if host.unified_controllers.cpu {
            write(
                &self.unified,
                "cpu.max",
                &format!("{quota} {CPU_PERIOD_US}"),
            )?;
            write(&self.unified, "cpu.weight", &weight.min(10_000).to_string())?;
        }
        if host.unified_controllers.memory {
            write(
                &self.unified,
                "memory.max",
                &limits.memory_bytes.to_string(),
            )?;
            write_if_there(&self.unified, "memory.swap.max", "0")?;
        }
        if host.unified_controllers.pids {
            write(&self.unified, "pids.max", &limits.pids.to_string())?;
        }
        if let Some(dir) = &self.v1_cpu {
            write(dir, "cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
            write(dir, "cpu.cfs_quota_us", &quota.to_string())?;
            write(dir, "cpu.shares", &(weight * 10).to_string())?;
        }
        if let Some(dir) = &self.v1_memory {
            limit_v1_memory(dir, limits.memory_bytes)?;
        }
        if let Some(dir) = &self.v1_pids {
            write(dir, "pids.max", &limits.pids.to_string())?;
        }
        Ok(())
    }

    /// How often the kernel has killed something in here for memory.
    pub(crate) fn oom_kills(&self) -> u64 {
        let (dir, file) = match &self.v1_memory {
            Some(dir) => (dir, "memory.oom_control"),
            None => (&self.unified, "memory.events"),
        };
        read_field(&dir.join(file), "oom_kill").unwrap_or(0)
    }

    /// The group that holds the memory limit. A v2 group without the controller counts nothing,
    /// and has no file that would say so wrongly.
    pub(crate) fn memory_dir(&self) -> Option<&Path> {
        let dir = self.v1_memory.as_deref().unwrap_or(&self.unified);
        let counts = ["memory.usage_in_bytes", "memory.current"];
        counts
            .iter()
            .any(|file| dir.join(file).exists())
            .then_some(dir)
    }

    /// The sandbox's id, as part of every path of the group.
    pub(crate) fn name(&self) -> Option<&str> {
        self.unified.file_name()?.to_str()
    }

    /// Numbers of all threads in it and in groups made by the sandbox itself.
    pub(crate) fn threads(&self) -> io::Result<Vec<i32>> {
        let mut threads = Vec::new();
        let mut dirs = vec![self.unified.clone()];
        while let Some(dir) = dirs.pop() {
            // The sandbox may remove its own groups at any time.
            let Ok(text) = fs::read_to_string(dir.join("cgroup.threads")) else {
                continue;
            };
            threads.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                if entry.file_type()?.is_dir() {
                    dirs.push(entry.path());
                }
            }
        }
        Ok(threads)
    }

    /// Bytes of memory in use; `None` when nothing counts them.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        match &self.v1_memory {
            Some(dir) => read_number(&dir.join("memory.usage_in_bytes")).ok(),
            None => read_number(&self.unified.join("memory.current")).ok(),
        }
    }

    /// Bytes of files among the memory in use; `None` when nothing counts them.
    pub(crate) fn memory_cache_bytes(&self) -> Option<u64> {
        match &self.v1_memory {
            Some(dir) => read_field(&dir.join("memory.stat"), "total_cache"),
            None => read_field(&self.unified.join("memory.stat"), "file"),
        }
    }

    /// Microseconds of processor time used since it was made. v2 counts them without a controller.
    pub(crate) fn cpu_us(&self) -> Option<u64> {
        read_field(&self.unified.join("cpu.stat"), "usage_usec")
    }

    pub(crate) fn exists(&self) -> bool {
        self.unified.exists()
    }

    /// Whether any process is in it.
    pub(crate) fn is_populated(&self) -> bool {
        let events = fs::read_to_string(self.unified.join("cgroup.events")).unwrap_or_default();
        events.lines().any(|line| line == "populated 1")
    }

    /// Kills every process in it at once.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match fs::write(self.unified.join("cgroup.kill"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// Removes the groups, which must be empty of processes. Gone is fine.
    ///
    /// The v2 group goes last, as it came first: while it is there, a sweep knows of the others.
    pub(crate) fn remove(&self) -> io::Result<()> {
        for dir in [&self.v1_memory, &self.v1_cpu, &self.v1_pids]
            .into_iter()
            .flatten()
        {
            remove_dir(dir)?;
        }
        remove_tree(&self.unified)
    }

    fn dirs(&self) -> impl Iterator<Item = &PathBuf> {
        let v1 = [&self.v1_memory, &self.v1_cpu, &self.v1_pids];
        std::iter::once(&self.unified).chain(v1.into_iter().flatten())
    }
}

/// The limit that includes swap may never be below the one that does not: the order of writing
/// depends on the direction, so try both.
fn limit_v1_memory(dir: &Path, bytes: u64) -> io::Result<()> {
    let bytes = bytes.to_string();
    let with_swap = || write_if_there(dir, "memory.memsw.limit_in_bytes", &bytes);
    if with_swap().is_err() {
        write(dir, "memory.limit_in_bytes", &bytes)?;
        return with_swap();
    }
    write(dir, "memory.limit_in_bytes", &bytes)?;
    with_swap()
}

/// Turns on what of cpu, memory and pids this v2 group can give its children.
fn enable_controllers(dir: &Path) -> io::Result<Controllers> {
    let available = fs::read_to_string(dir.join("cgroup.controllers"))?;
    let has = |name: &str| available.split_whitespace().any(|word| word == name);
    let controllers = Controllers {
        cpu: has("cpu"),
        memory: has("memory"),
        pids: has("pids"),
    };
    for (name, there) in [
        ("cpu", controllers.cpu),
        ("memory", controllers.memory),
        ("pids", controllers.pids),
    ] {
        if there {
            write(dir, "cgroup.subtree_control", &format!("+{name}"))?;
        }
    }
    Ok(controllers)
}

/// Mount point of a cgroup file system, from `/proc/self/mountinfo`.
fn mount_of(mounts: &str, kind: &str, controller: Option<&str>) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut right = right.split(' ');
        let (found, options) = (right.next()?, right.nth(1)?);
        let wanted = controller.is_none_or(|name| options.split(',').any(|option| option == name));
        (found == kind && wanted).then(|| left.split(' ').nth(4).map(PathBuf::from))?
    })
}

/// Our own group in the v1 hierarchy of `controller`, relative, from `/proc/self/cgroup`.
fn own_path(own: &str, controller: &str) -> String {
    own.lines()
        .find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let names = fields.nth(1)?;
            let path = fields.next()?;
            names
                .split(',')
                .any(|name| name == controller)
                .then(|| path.trim_start_matches('/'))
        })
        .unwrap_or_default()
        .to_owned()
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    remove_dir(dir)
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn write(dir: &Path, file: &str, value: &str) -> io::Result<()> {
    let path = dir.join(file);
    fs::write(&path, value).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("write {value} to {}: {error}", path.display()),
        )
    })
}

fn write_if_there(dir: &Path, file: &str, value: &str) -> io::Result<()> {
    match fs::write(dir.join(file), value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

/// The number after `name` on a line of its own.
fn read_field(path: &Path, name: &str) -> Option<u64> {
    field(&fs::read_to_string(path).ok()?, name)
}

pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
        .and_then(|count| count.trim().parse().ok())
}

fn read_number(path: &Path) -> io::Result<u64> {
    fs::read_to_string(path)?
        .trim()
        .parse()
        .map_err(|_| io::Error::other(format!("no number in {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_own_groups_are_found_on_a_hybrid_host() {
        let mounts = "30 20 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      31 20 0:26 / /sys/fs/cgroup/cpu,cpuacct rw shared:3 - cgroup cgroup rw,cpu,cpuacct\n\
                      32 20 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(
            mount_of(mounts, "cgroup", Some("cpu")),
            path("/sys/fs/cgroup/cpu,cpuacct")
        );
        assert_eq!(
            mount_of(mounts, "cgroup2", None),
            path("/sys/fs/cgroup/unified")
        );
        assert_eq!(mount_of(mounts, "cgroup", Some("pids")), None);
        assert_eq!(
            own_path("4:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n", "memory"),
            "a/b"
        );
        assert_eq!(
            own_path("4:memory:/a/b\n2:cpu,cpuacct:/\n0::/\n", "cpu"),
            ""
        );
    }
}
