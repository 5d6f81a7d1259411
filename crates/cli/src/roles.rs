//! What each process of a running installation does: the composition root.
//!
//! Must not: contain logic beyond wiring; the edge's view of the control plane is in `directory`.
//! Next: `up::supervise`, which starts these and starts them again.

mod directory;

use std::net::TcpListener;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::RangedU64ValueParser;
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use sebring_core::resources::{Limits, Resources};
use sebring_edge::Edge;
use sebring_runner::{RunnerConfig, SPARES_MAX};
use sebring_server::{PublicUrls, SnapshotAlias};
use sebring_tasks::Tasks;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::clock::SystemClock;
use crate::config::{Layout, Location};
use crate::output;

/// The in-sandbox executable; see `build.rs`.
static TOOLBOX: &[u8] = include_bytes!(env!("SEBRING_TOOLBOX"));
const API_PATH: &str = "/api";
pub(crate) const DEFAULT_SNAPSHOT: &str = "sebring-small";
/// Below the 30 s after which the strictest published client gives up.
const WAIT_MAX: Duration = Duration::from_secs(25);
/// Connections at one time; each costs a task and two descriptors.
const CONNECTIONS_MAX: usize = 8192;
const COOKIE_KEY_BYTES: usize = 32;
/// Sandboxes kept ready, when the operator does not say.
const SPARES_PER_PROCESSOR: usize = 2;

/// The host's side of sandboxes
#[derive(Debug, Args)]
pub(crate) struct RunnerRole {
    #[command(flatten)]
    location: Location,
    /// Group that may use the runner's and the sandboxes' sockets
    #[arg(long)]
    socket_group: u32,
    #[arg(long)]
    pool_gib: Option<u32>,
    #[arg(long)]
    network: Option<String>,
    #[arg(long, value_parser = spares())]
    warm_pool: Option<usize>,
}

/// The public side; standard input is the listening socket
#[derive(Debug, Args)]
pub(crate) struct ServerRole {
    #[command(flatten)]
    location: Location,
    #[arg(long)]
    public_url: String,
    #[arg(long)]
    preview_domain: String,
}

/// Makes processes for the runner; standard input is its socket
#[derive(Debug, Args)]
pub(crate) struct SpawnerRole {}

impl RunnerRole {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        start_role()?;
        let layout = self.location.find()?;
        let mut config = runner_config(&layout)?;
        config.server_group = Some(self.socket_group);
        config.subnet = self.network;
        config.pool_bytes = self.pool_gib.map(|gib| u64::from(gib) << 30);
        config.warm_pool = self.warm_pool.unwrap_or_else(spares_default);
        runtime()?.block_on(sebring_runner::run(config, || output::line("ready")))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What follows from the installation alone; `up` adds the operator's choices.
pub(crate) fn runner_config(layout: &Layout) -> anyhow::Result<RunnerConfig> {
    Ok(RunnerConfig {
        data_dir: layout.data_dir.clone(),
        run_dir: layout.run_dir.clone(),
        instance: layout.instance.clone(),
        server_group: None,
        toolbox: TOOLBOX.to_vec(),
        subnet: None,
        pool_bytes: None,
        seats_ready: sebring_runner::SEATS_READY,
        warm_pool: 0,
        spawner: sebring_runner::SpawnerProgram {
            program: std::env::current_exe().context("find this executable")?,
            arguments: vec!["spawner".into()],
        },
    })
}

/// As many as a client with a few agents creates before it pauses.
fn spares_default() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    SPARES_MAX.min(SPARES_PER_PROCESSOR * processors)
}

/// How many there may be.
pub(crate) fn spares() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=SPARES_MAX as u64)
}

impl SpawnerRole {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        sebring_runner::spawner_main().context("the spawner failed")?;
        Ok(ExitCode::SUCCESS)
    }
}

impl ServerRole {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        start_role()?;
        // It faces the network: whoever takes it over finds no set-user-id program of use.
        rustix::thread::set_no_new_privs(true).context("give up gaining privileges")?;
        let layout = self.location.find()?;
        runtime()?.block_on(self.serve(&layout))
    }

    async fn serve(&self, layout: &Layout) -> anyhow::Result<ExitCode> {
        let listener = inherited_listener()?;
        let tasks = Tasks::new();
        let handle = sebring_server::start(self.config(layout)?, tasks.clone()).await?;
        let edge = Edge::new(
            sebring_edge::Config {
                api_path: API_PATH.to_owned(),
                preview_domain: self.preview_domain.clone(),
                previews_are_https: self.public_url.starts_with("https://"),
                cookie_key: sebring_edge::Secret(cookie_key(layout)?),
                connections_max: CONNECTIONS_MAX,
                clock: Arc::new(SystemClock),
            },
            Arc::new(directory::Local::new(handle.clone())),
            handle.router(),
        );
        let stop = stop_on_signal(&tasks)?;
        output::line("ready");
        edge.serve(listener, tasks.clone()).await;
        stop.abort();
        tasks.shutdown().await;
        Ok(ExitCode::SUCCESS)
    }
}

impl ServerRole {
    fn config(&self, layout: &Layout) -> anyhow::Result<sebring_server::Config> {
        let url = &self.public_url;
        let (scheme, authority) = url
            .split_once("://")
            .context("the public URL has no scheme")?;
        let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
        let port = if port.is_empty() {
            String::new()
        } else {
            format!(":{port}")
        };
        let domain = &self.preview_domain;
        Ok(sebring_server::Config {
            database: layout.database(),
            keys_dir: layout.keys_dir(),
            runner_socket: layout.runner_socket(),
            api_path: API_PATH.to_owned(),
            urls: PublicUrls {
                toolbox: format!("{url}/toolbox"),
                preview_template: format!(
                    "{scheme}://{{{{PORT}}}}-{{{{sandboxId}}}}.{domain}{port}"
                ),
                dashboard: String::new(),
            },
            default_snapshot: DEFAULT_SNAPSHOT.to_owned(),
            aliases: SnapshotAlias::defaults(),
            default_resources: Resources {
                cpus: 1,
                memory_gib: 1,
                disk_gib: 3,
            },
            limits: host_limits(),
            wait_max: WAIT_MAX,
            clock: Arc::new(SystemClock),
        })
    }
}

/// A sandbox may be as large as its host, but no larger.
fn host_limits() -> Limits {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = rustix::system::sysinfo();
    let memory_bytes = memory.totalram.saturating_mul(u64::from(memory.mem_unit));
    Limits::of_host(u32::try_from(cpus).unwrap_or(u32::MAX), memory_bytes)
}

/// Logging, and an end with the supervisor's end.
fn start_role() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("SEBRING_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    raise_descriptor_limit();
    // At once: the next supervisor must not wait for what this one's roles still want to finish,
    // and being killed at any instant is what they are built for.
    set_parent_process_death_signal(Some(Signal::KILL)).context("tie to the supervisor")?;
    // The supervisor may have died before the line above; then nobody is left to notice.
    if getppid().is_none_or(|parent| parent.is_init()) {
        bail!("started without a supervisor; use `sebring up`");
    }
    Ok(())
}

/// A proxied connection takes two descriptors; the usual soft limit of 1024 is for `select`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let present = getrlimit(Resource::Nofile);
    // Raising to the hard limit is always allowed.
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: present.maximum,
            ..present
        },
    )
    .ok();
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the runtime")
}

/// SIGTERM (and Ctrl-C, which a terminal sends to the whole group) stop every task.
#[expect(
    clippy::disallowed_methods,
    reason = "owned by the role itself, aborted by it"
)]
fn stop_on_signal(tasks: &Tasks) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let mut terminate = signal(SignalKind::terminate()).context("watch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("watch SIGINT")?;
    let stop = tasks.stop_token();
    Ok(tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => stop.cancel(),
            // The supervisor got it too and will say when.
            () = async { loop { interrupt.recv().await; } } => {}
        }
    }))
}

fn inherited_listener() -> anyhow::Result<tokio::net::TcpListener> {
    let socket = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .context("take the listening socket from standard input")?;
    // Only the clone: connections must not wait in the queue of a server that has stopped
    // listening and finishes what it has.
    let nothing = std::fs::File::open("/dev/null").context("open /dev/null")?;
    rustix::stdio::dup2_stdin(&nothing).context("let go of standard input")?;
    let listener = TcpListener::from(socket);
    listener
        .set_nonblocking(true)
        .context("use the listening socket")?;
    tokio::net::TcpListener::from_std(listener).context("use the listening socket")
}

/// Made once; a new one only logs browsers out of private previews.
fn cookie_key(layout: &Layout) -> anyhow::Result<Vec<u8>> {
    use std::io::{Read, Write};
    use std::os::unix::fs::OpenOptionsExt;
    let path = layout.keys_dir().join("cookie.key");
    if let Ok(key) = std::fs::read(&path)
        && key.len() == COOKIE_KEY_BYTES
    {
        return Ok(key);
    }
    let mut key = vec![0; COOKIE_KEY_BYTES];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut key))
        .context("read random bytes")?;
    std::fs::File::options()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(&key))
        .with_context(|| format!("write {}", path.display()))?;
    Ok(key)
}
