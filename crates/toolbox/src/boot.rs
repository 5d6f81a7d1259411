//! How the toolbox starts: what it was given, who it serves, and how it ends.
//!
//! As the first process of a sandbox it finds its socket and its configuration in inherited
//! descriptors (see `sebring_api::boot`). For development both may be named instead:
//! `toolbox --listen <socket> --config <file>`; it is then an ordinary process that adopts the
//! orphans below it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use sebring_api::boot::{self, BootConfig, BootLimits};
use sebring_sys::creds::{self, Credentials};
use sebring_tasks::Tasks;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::claim::Unclaimed;
use crate::computer::Computer;
use crate::environment::Environment;
use crate::files::watch::Watches;
use crate::info::disk::DiskUse;
use crate::info::metrics::CpuMeter;
use crate::interpreter::Interpreter;
use crate::limits::Limits;
use crate::lsp::LanguageServers;
use crate::meminfo::MemInfo;
use crate::memory::Memory;
use crate::network::relay::Relays;
use crate::passwd::{self, User};
use crate::process::Processes;
use crate::stand_in::CpuFiles;
use crate::sudo::Sudo;
use crate::toolbox::Toolbox;
use crate::upgrade::state::Places;
use crate::upgrade::{Inherited, Pause};
use crate::{entrypoint, http, sudo, upgrade};

/// A configuration is a page or two; more is a mistake.
const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// File work and searches at one time; each slow download holds one.
const FILE_THREADS_MAX: usize = 64;
/// Threads stay: once a sandbox is out of processes none could be started, and the runtime aborts
/// when it has not even one. With one, work waits for it.
const FILE_THREAD_IDLE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
/// Deep directory trees are walked recursively.
const FILE_THREAD_STACK_BYTES: usize = 1 << 20;
const DEFAULT_USER: &str = "daytona";
/// Says whether this program could go on from the state that is its standard input.
pub(crate) const CHECK_STATE: &str = "--check-state";
/// Goes on from the state in the descriptor of that number.
pub(crate) const RESUME: &str = "--resume";
/// Present in every sandbox, for agents that expect it.
const WORKSPACE: &str = "/workspace";

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(
        "usage: toolbox [--listen <socket> --config <file> [--cgroup <directory>] \
         [--memory <directory>] [--proc <directory>] [--disk-use <file>] [--sudo <name>] \
         [--program <file>]]"
    )]
    Usage,
    #[error("take over the listening socket")]
    Listener(#[source] io::Error),
    #[error("read the configuration")]
    Config(#[source] io::Error),
    #[error("open the file that tells how much of the disk is used")]
    DiskUse(#[source] io::Error),
    #[error("understand the configuration")]
    ConfigSyntax(#[source] serde_json::Error),
    #[error("find the user")]
    User(#[source] passwd::Error),
    #[error("use files as the user")]
    Identity(#[source] io::Error),
    #[error("go on from the state of another program")]
    State(#[source] upgrade::Error),
    #[error("start the event loop")]
    Runtime(#[source] io::Error),
}

/// What it begins with, whether it is the first program here or goes on from another.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) listener: UnixListener,
    pub(crate) user: User,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) environment: Environment,
    pub(crate) limits: BootLimits,
    pub(crate) unclaimed: Unclaimed,
    pub(crate) meminfo: MemInfo,
    pub(crate) cpu_files: CpuFiles,
    pub(crate) disk_use: DiskUse,
    pub(crate) places: Places,
    pub(crate) next: Next,
}

/// What it does first.
#[derive(Debug)]
pub(crate) enum Next {
    Start(Vec<String>),
    WaitForOwner,
    GoOn(Box<Inherited>),
}

/// Where things come from and go to.
#[derive(Debug)]
struct Options {
    listener: UnixListener,
    config: BootConfig,
    disk_use: Option<File>,
    proc_directory: PathBuf,
    places: Places,
}

pub(crate) fn main(args: impl Iterator<Item = OsString>) -> Result<(), Error> {
    let mut args = args.peekable();
    if args.next_if(|arg| arg == CHECK_STATE).is_some() {
        return upgrade::check_state().map_err(Error::State);
    }
    sebring_sys::child::keep_descriptors().map_err(Error::Runtime)?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    let beginning = match args.next_if(|arg| arg == RESUME) {
        Some(_) => upgrade::take_up(args.next().as_deref()).map_err(Error::State)?,
        None => begin(options(args)?)?,
    };
    if !rustix::process::getpid().is_init() {
        let own = rustix::process::getpid();
        rustix::process::set_child_subreaper(Some(own)).map_err(|e| Error::Runtime(e.into()))?;
    }
    let runtime = runtime(beginning.credentials.clone()).map_err(Error::Runtime)?;
    runtime.block_on(serve(beginning)).map_err(Error::Runtime)?;
    // Threads that hang in file work must not keep the sandbox from ending.
    runtime.shutdown_background();
    Ok(())
}

fn runtime(credentials: Option<Credentials>) -> io::Result<Runtime> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime
        .enable_all()
        .max_blocking_threads(FILE_THREADS_MAX)
        .thread_keep_alive(FILE_THREAD_IDLE)
        .thread_stack_size(FILE_THREAD_STACK_BYTES);
    runtime.on_thread_start(move || {
        // For the first thread alone, which knows when it cannot act on them.
        let held = sebring_sys::signal::hold_requests_to_end(true);
        let identity = credentials.as_ref().map(creds::use_files_as);
        // Checked before to work; going on as root would hand root's files to every request.
        if held.is_err() || identity.is_some_and(|used| used.is_err()) {
            std::process::abort();
        }
    });
    let runtime = runtime.build()?;
    // The first thread, while there is room for it.
    drop(runtime.spawn_blocking(|| ()));
    Ok(runtime)
}

fn begin(options: Options) -> Result<Beginning, Error> {
    let config = options.config;
    let user = find_user(config.user.as_deref()).map_err(Error::User)?;
    let credentials = rustix::process::geteuid()
        .is_root()
        .then(|| passwd::credentials(&user));
    check_identity(credentials.clone())?;
    let work_dir = prepare_directories(&user, credentials.as_ref(), config.work_dir.as_deref());
    Ok(Beginning {
        listener: options.listener,
        environment: Environment::new(config.env, &user, &config.sandbox_id),
        user,
        credentials,
        limits: config.limits,
        unclaimed: Unclaimed::new(config.spare.then(|| config.entrypoint.clone())),
        meminfo: MemInfo::open(&options.proc_directory),
        cpu_files: CpuFiles::open(&options.proc_directory),
        disk_use: DiskUse::new(options.disk_use),
        places: Places {
            work_dir,
            ..options.places
        },
        next: if config.spare {
            Next::WaitForOwner
        } else {
            Next::Start(config.entrypoint)
        },
    })
}

async fn serve(beginning: Beginning) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Held back while no program was there to act on them.
    sebring_sys::signal::hold_requests_to_end(false)?;
    let (toolbox, next) = toolbox(beginning)?;
    match next {
        Next::Start(entrypoint) => {
            collect(&toolbox);
            sudo::broker::listen(&toolbox, &toolbox.places.sudo_socket);
            entrypoint::start(&toolbox, &entrypoint);
        }
        Next::WaitForOwner => {
            collect(&toolbox);
            sudo::broker::listen(&toolbox, &toolbox.places.sudo_socket);
        }
        Next::GoOn(inherited) => {
            inherited.go_on(&toolbox);
            // Not before everything that ended meanwhile is awaited again.
            collect(&toolbox);
        }
    }
    tokio::select! {
        // Each may be dropped: the process is about to end.
        () = http::serve(Arc::clone(&toolbox)) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    toolbox.processes.stop().await;
    Ok(())
}

fn toolbox(beginning: Beginning) -> io::Result<(Arc<Toolbox>, Next)> {
    beginning.listener.set_nonblocking(true)?;
    let places = beginning.places;
    let processes = Processes::new(&places.cgroup, beginning.credentials);
    let toolbox = Toolbox {
        user: beginning.user,
        work_dir: places.work_dir.clone(),
        limits: Limits::new(beginning.limits),
        environment: beginning.environment,
        interpreter: Interpreter::default(),
        language_servers: LanguageServers::default(),
        watches: Watches::default(),
        processes: Arc::new(processes),
        memory: Memory::find(&[&places.memory, &places.cgroup]),
        meminfo: beginning.meminfo,
        cpu_files: beginning.cpu_files,
        cpu: CpuMeter::new(&places.cgroup),
        computer: Computer::default(),
        disk_use: beginning.disk_use,
        tasks: Tasks::new(),
        unclaimed: beginning.unclaimed,
        sudo: Sudo::default(),
        relays: Relays::default(),
        listener: tokio::net::UnixListener::from_std(beginning.listener)?,
        door: Arc::default(),
        pause: Pause::default(),
        places,
    };
    Ok((Arc::new(toolbox), beginning.next))
}

fn collect(toolbox: &Toolbox) {
    let collecting = Arc::clone(&toolbox.processes);
    let collecting = async move { collecting.collect().await };
    toolbox.tasks.spawn("collect", collecting);
}

fn options(mut args: impl Iterator<Item = OsString>) -> Result<Options, Error> {
    let (mut listen, mut config, mut disk_use) = (None, None, None);
    let mut proc_directory = PathBuf::from(boot::PROC_DIR);
    let mut places = Places {
        cgroup: boot::CGROUP_DIR.into(),
        memory: boot::MEMORY_DIR.into(),
        work_dir: PathBuf::from("/"),
        program: boot::TOOLBOX_PATH.into(),
        sudo_socket: sudo::SOCKET_NAME.to_owned(),
    };
    while let Some(flag) = args.next() {
        let value = args.next().ok_or(Error::Usage)?;
        match flag.to_str() {
            Some("--listen") => listen = Some(PathBuf::from(value)),
            Some("--config") => config = Some(PathBuf::from(value)),
            Some("--cgroup") => places.cgroup = PathBuf::from(value),
            Some("--memory") => places.memory = PathBuf::from(value),
            Some("--proc") => proc_directory = PathBuf::from(value),
            Some("--program") => places.program = PathBuf::from(value),
            Some("--disk-use") => {
                disk_use = Some(File::open(value).map_err(Error::DiskUse)?);
            }
            Some("--sudo") => places.sudo_socket = value.to_string_lossy().into_owned(),
            _ => return Err(Error::Usage),
        }
    }
    let (listener, config) = match (listen, config) {
        (Some(listen), Some(config)) => (
            UnixListener::bind(listen).map_err(Error::Listener)?,
            File::open(config).map_err(Error::Config)?,
        ),
        (None, None) => {
            let (listener, config, used) = inherited()?;
            disk_use = Some(used);
            (listener, config)
        }
        _ => return Err(Error::Usage),
    };
    Ok(Options {
        listener,
        config: read_config(config)?,
        disk_use,
        proc_directory,
        places,
    })
}

fn read_config(config: File) -> Result<BootConfig, Error> {
    let mut text = Vec::new();
    config
        .take(CONFIG_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(Error::Config)?;
    serde_json::from_slice(&text).map_err(Error::ConfigSyntax)
}

fn inherited() -> Result<(UnixListener, File, File), Error> {
    use std::io::Seek as _;
    let listener = sebring_sys::fds::inherited(boot::LISTENER_FD).map_err(Error::Listener)?;
    let config = sebring_sys::fds::inherited(boot::CONFIG_FD).map_err(Error::Config)?;
    let disk_use = sebring_sys::fds::inherited(boot::DISK_USE_FD).map_err(Error::DiskUse)?;
    let mut config = File::from(config);
    // Whoever wrote it may have left it at its end.
    config.rewind().map_err(Error::Config)?;
    Ok((UnixListener::from(listener), config, File::from(disk_use)))
}

fn find_user(asked: Option<&str>) -> Result<User, passwd::Error> {
    match asked {
        Some(name) => passwd::user(name),
        None if passwd::user_exists(DEFAULT_USER) => passwd::user(DEFAULT_USER),
        None => passwd::user("root"),
    }
}

/// Fails now rather than on the first request when we may not act as the user.
fn check_identity(credentials: Option<Credentials>) -> Result<(), Error> {
    let Some(credentials) = credentials else {
        return Ok(());
    };
    std::thread::spawn(move || creds::use_files_as(&credentials))
        .join()
        .map_err(|_| Error::Identity(io::Error::other("the check did not finish")))?
        .map_err(Error::Identity)
}

/// Makes what must exist, and returns the working directory that does.
fn prepare_directories(
    user: &User,
    credentials: Option<&Credentials>,
    work_dir: Option<&str>,
) -> PathBuf {
    let owner = credentials.map(|credentials| (credentials.uid, credentials.gid));
    ensure_directory(Path::new(WORKSPACE), owner);
    let wanted = work_dir
        .filter(|path| path.starts_with('/'))
        .map(PathBuf::from);
    let wanted = wanted.unwrap_or_else(|| user.home.clone());
    ensure_directory(&wanted, owner);
    if wanted.is_dir() {
        wanted
    } else {
        PathBuf::from("/")
    }
}

/// Best effort: an image with a read-only root is served without.
fn ensure_directory(path: &Path, owner: Option<(u32, u32)>) {
    let made = match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(path),
        made => made,
    };
    if let (Ok(()), Some((uid, gid))) = (made, owner) {
        let _owned = std::os::unix::fs::chown(path, Some(uid), Some(gid));
    }
}
