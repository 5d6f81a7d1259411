//! A runner on this host with a data directory of its own, and short ways to use it.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot be set up has failed"
)]

pub(crate) mod process;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sebring_api::runner::{
    Command, Goal, NetworkSpec, Observation, ObservedState, ResourceSpec, SandboxSpec, Spare,
    StopMode,
};
use sebring_core::id::{Generation, SandboxId};
use sebring_runner::snapshots::{Snapshot, Snapshots};
use sebring_runner::{Runner, RunnerConfig, SpawnerProgram, instance_name};
use sebring_testkit::leaks::Place;
use sebring_testkit::rootfs;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_runner-standalone");

/// Directories that are taken away at the end.
#[derive(Debug)]
pub(crate) struct Dirs {
    pub place: Place,
}

impl Dirs {
    pub(crate) fn new() -> Self {
        Self::in_dir(Path::new("/var/tmp"))
    }

    pub(crate) fn in_dir(parent: &Path) -> Self {
        let name = SandboxId::random().to_string();
        let data_dir = parent.join(format!("sebring-test-{}", &name[..8]));
        // Sockets have short paths.
        let run_dir = PathBuf::from("/tmp").join(format!("sbt-{}", &name[..8]));
        fs::create_dir_all(&data_dir).unwrap();
        let instance = instance_name(&data_dir).unwrap();
        Self {
            place: Place {
                data_dir,
                run_dir,
                instance,
            },
        }
    }

    /// Makes the snapshot `debian`, its layer shared with every other test.
    pub(crate) fn add_snapshot(&self) {
        let pool = self.place.data_dir.join("pool");
        let snapshots = Snapshots::new(&pool);
        let layer = snapshots.layer_path("debian");
        if fs::symlink_metadata(&layer).is_err() {
            std::os::unix::fs::symlink(rootfs::debian().unwrap(), layer).unwrap();
        }
        let snapshot = Snapshot {
            name: "debian".into(),
            layers: vec!["debian".into()],
            env: BTreeMap::new(),
            user: None,
            work_dir: None,
            entrypoint: Vec::new(),
            size_bytes: 0,
            created_at: "2026-11-21T00:00:00.000Z".into(),
        };
        snapshots.save(&snapshot).unwrap();
    }

    pub(crate) fn config(&self) -> RunnerConfig {
        RunnerConfig {
            data_dir: self.place.data_dir.clone(),
            run_dir: self.place.run_dir.clone(),
            instance: self.place.instance.clone(),
            server_group: None,
            toolbox: fs::read(rootfs::stand_in_toolbox().unwrap()).unwrap(),
            subnet: None,
            pool_bytes: Some(8 << 30),
            seats_ready: 2,
            warm_pool: 0,
            spawner: SpawnerProgram {
                program: PROGRAM.into(),
                arguments: vec!["spawner".into()],
            },
        }
    }
}

impl Drop for Dirs {
    fn drop(&mut self) {
        let pool = self.place.data_dir.join("pool");
        self.place.clean_up();
        // Unmounted already unless the test has failed.
        rustix::mount::unmount(&pool, rustix::mount::UnmountFlags::DETACH).ok();
        drop(fs::remove_dir_all(&self.place.run_dir));
        drop(fs::remove_dir_all(&self.place.data_dir));
    }
}

/// A host's disk that is soon full.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    pub dir: PathBuf,
}

impl SmallDisk {
    pub(crate) fn mount(bytes: u64) -> Self {
        let name = SandboxId::random().to_string();
        let dir = PathBuf::from("/var/tmp").join(format!("sebring-test-host-{}", &name[..8]));
        fs::create_dir_all(&dir).unwrap();
        let image = dir.with_extension("img");
        fs::File::create(&image).unwrap().set_len(bytes).unwrap();
        tool("mkfs.ext4", ["-q".as_ref(), image.as_os_str()]);
        tool(
            "mount",
            [
                "-o".as_ref(),
                "loop".as_ref(),
                image.as_os_str(),
                dir.as_os_str(),
            ],
        );
        Self { dir }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The fixture's own clean-up has ended what was in it.
        rustix::mount::unmount(&self.dir, rustix::mount::UnmountFlags::DETACH).ok();
        drop(fs::remove_file(self.dir.with_extension("img")));
        drop(fs::remove_dir(&self.dir));
    }
}

fn tool<const N: usize>(program: &str, arguments: [&std::ffi::OsStr; N]) {
    let output = std::process::Command::new(program).args(arguments).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
}

/// A runner inside this process.
pub(crate) struct Fixture {
    pub runner: Runner,
    pub dirs: Dirs,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_in(Dirs::new()).await
    }

    pub(crate) async fn start_in(dirs: Dirs) -> Self {
        let runner = Runner::start(dirs.config()).await.unwrap();
        dirs.add_snapshot();
        Self { runner, dirs }
    }

    pub(crate) async fn with_spares(spares: usize) -> Self {
        let dirs = Dirs::new();
        let mut config = dirs.config();
        config.warm_pool = spares;
        let runner = Runner::start(config).await.unwrap();
        dirs.add_snapshot();
        Self { runner, dirs }
    }

    /// Waits until all spares of `count` are there.
    pub(crate) async fn spares(&self, count: usize) -> Vec<Spare> {
        let mut spares = self.runner.spares();
        let full = spares.wait_for(|spares| spares.len() == count);
        let full = tokio::time::timeout(Duration::from_secs(10), full).await;
        full.expect("spares come within ten seconds")
            .unwrap()
            .clone()
    }

    pub(crate) async fn up(&self, spec: SandboxSpec) -> Sandbox {
        let id = SandboxId::random();
        let seen = self.runner.command(id, running(1, spec.clone())).await;
        Sandbox {
            id,
            socket: socket_of(&seen),
            generation: 1,
            spec,
        }
    }

    /// Stops the runner and takes everything of it off the host.
    pub(crate) async fn close(self) {
        let nothing = std::collections::BTreeSet::new();
        self.delete_all().await;
        self.dirs.place.expect_no_more_than(&nothing).unwrap();
        self.leave().await;
    }

    /// As [`Fixture::close`], but only the end of the runner is the end of its spares.
    pub(crate) async fn close_with_spares(self) {
        self.delete_all().await;
        self.leave().await;
    }

    async fn leave(self) {
        let nothing = std::collections::BTreeSet::new();
        self.runner.stop().await;
        // Discarded disks are deleted by the next start, or when the runner leaves the host.
        let (runner, place) = (self.runner, self.dirs.place.clone());
        runner.leave_host();
        place.expect_no_more_than(&nothing).unwrap();
        expect_empty_host(&place);
    }

    async fn delete_all(&self) {
        for seen in self.runner.inventory().sandboxes {
            let generation = Generation(seen.generation.0 + 1000);
            self.runner
                .command(
                    seen.id,
                    Command {
                        generation,
                        goal: Goal::Deleted,
                    },
                )
                .await;
        }
    }
}

/// A running sandbox, as a test holds it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub id: SandboxId,
    pub socket: PathBuf,
    pub generation: u64,
    pub spec: SandboxSpec,
}

impl Sandbox {
    /// Runs a shell command as root of the sandbox: exit code and everything it printed.
    pub(crate) fn sh(&self, command: &str) -> (i32, String) {
        sh(&self.socket, command)
    }

    /// Runs a shell command that must succeed.
    pub(crate) fn must(&self, command: &str) -> String {
        let (code, said) = self.sh(command);
        assert_eq!(code, 0, "{command}: {said}");
        said
    }
}

/// Sends a command and leaves the answer to whoever wants it.
pub(crate) fn send(socket: &Path, command: &str) -> UnixStream {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let length = command.len();
    write!(
        stream,
        "POST /run HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{command}"
    )
    .unwrap();
    stream
}

pub(crate) fn sh(socket: &Path, command: &str) -> (i32, String) {
    let mut stream = send(socket, command);
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (_, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("answer {answer:?}"));
    let (code, said) = body.split_once('\n').unwrap();
    (
        code.strip_prefix("exit ").unwrap().parse().unwrap(),
        said.to_owned(),
    )
}

pub(crate) fn spec() -> SandboxSpec {
    SandboxSpec {
        snapshot: "debian".into(),
        resources: ResourceSpec {
            cpus: 1,
            memory_gib: 1,
            disk_gib: 1,
        },
        user: None,
        env: BTreeMap::new(),
        network: NetworkSpec::Open,
    }
}

pub(crate) fn running(generation: u64, spec: SandboxSpec) -> Command {
    Command {
        generation: Generation(generation),
        goal: Goal::Running { spec },
    }
}

pub(crate) fn stopped(generation: u64, spec: SandboxSpec, stop: StopMode) -> Command {
    Command {
        generation: Generation(generation),
        goal: Goal::Stopped { spec, stop },
    }
}

pub(crate) fn deleted(generation: u64) -> Command {
    Command {
        generation: Generation(generation),
        goal: Goal::Deleted,
    }
}

pub(crate) fn socket_of(seen: &Observation) -> PathBuf {
    match &seen.state {
        ObservedState::Running { toolbox_socket, .. } => toolbox_socket.into(),
        other => panic!("not running: {other:?}"),
    }
}

/// How long something may take that takes milliseconds: an emulated host is fifty times slower.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `ready` says something, for [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{what}: did not happen"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A runner that has left the host may leave nothing there. The kernel takes the last mounts of
/// ended sandboxes down in the background, and the loop device with them.
pub(crate) fn expect_empty_host(place: &Place) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !left_on_host(place).is_empty() && std::time::Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(10));
    }
    assert_eq!(left_on_host(place), Vec::<String>::new());
}

fn left_on_host(place: &Place) -> Vec<String> {
    let mut left = Vec::new();
    match place.interfaces().unwrap() {
        0 => {}
        count => left.push(format!("{count} interfaces")),
    }
    let table = format!("sebring_{}", place.instance);
    let nft = std::process::Command::new("nft")
        .args(["list", "table", "inet", &table])
        .output();
    if nft.unwrap().status.success() {
        left.push(format!("firewall table {table}"));
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    if mounts.contains(place.data_dir.to_str().unwrap()) {
        left.push("pool mount".to_owned());
    }
    for entry in fs::read_dir("/sys/block").unwrap().flatten() {
        let backing = entry.path().join("loop/backing_file");
        let backing = fs::read_to_string(backing).unwrap_or_default();
        if backing.contains(place.data_dir.to_str().unwrap()) {
            left.push(format!("loop device of {backing}"));
        }
    }
    left
}

/// One request to a runner's own socket: status line and body.
pub(crate) fn request(run_dir: &Path, method: &str, path: &str, body: &str) -> Option<String> {
    let mut stream = UnixStream::connect(run_dir.join("runner.sock")).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .ok()?;
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: runner\r\nConnection: close\r\n");
    write!(stream, "{head}Content-Length: {length}\r\n\r\n{body}").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some(body.to_owned())
}
