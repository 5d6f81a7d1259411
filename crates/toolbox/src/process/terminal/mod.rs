//! Terminals: interactive shells with a size, that outlive the connections to them.
//!
//! What one shows is kept like any process's log, read whether or not somebody watches, and
//! replayed to whoever attaches. It is forgotten when its shell ends.
//!
//! Must not: speak HTTP except in `routes` and `connect`.
//! Next: `device` for the two ends of a terminal, `connect` for what clients and it say.

pub(crate) mod connect;
mod device;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handover;
pub(crate) mod routes;
pub(crate) mod web;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::record::{End, Kind, Process};
use super::session::uuid;
use super::shell::{self, Shell};
use super::{Child, Exit, KILLED_WAIT, Launch, Place, RunAs, STRAGGLER_GRACE, table};
use crate::clock;
use crate::environment::{self, Variables};
use crate::toolbox::Toolbox;
use device::Device;

/// Each is a shell that sits in memory.
const TERMINALS_MAX: usize = 128;
/// Replayed to whoever attaches: some ten thousand lines.
const SCROLLBACK_BYTES_MAX: u64 = 1 << 20;
/// Larger screens do not exist.
const SIDE_MAX: u16 = 1000;
const ID_BYTES_MAX: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Terminals(Mutex<Vec<Arc<Terminal>>>);

#[derive(Debug)]
pub(crate) struct Terminal {
    pub(crate) id: String,
    pub(crate) cwd: PathBuf,
    pub(crate) envs: Variables,
    pub(crate) created: OffsetDateTime,
    pub(crate) lazy_start: bool,
    size: Mutex<Size>,
    running: OnceCell<Running>,
}

#[derive(Debug)]
struct Running {
    process: Arc<Process>,
    device: Arc<Device>,
}

/// What a terminal shows is read as long as anybody writes to it.
#[derive(Debug)]
pub(super) struct Screen {
    process: Arc<Process>,
    device: Arc<Device>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Size {
    pub(crate) cols: u16,
    pub(crate) rows: u16,
}

impl Size {
    /// What was asked for, or that of the oldest terminals.
    pub(crate) fn new(cols: Option<u64>, rows: Option<u64>) -> Result<Self, Error> {
        let side = |name, asked: Option<u64>, usual| match asked {
            None => Ok(usual),
            Some(asked) => match u16::try_from(asked) {
                Ok(side @ 1..=SIDE_MAX) => Ok(side),
                _ => Err(Error::Size { name, asked }),
            },
        };
        Ok(Self {
            cols: side("cols", cols, 80)?,
            rows: side("rows", rows, 24)?,
        })
    }
}

/// A terminal to be.
#[derive(Debug)]
pub(crate) struct NewTerminal {
    pub(crate) id: String,
    pub(crate) cwd: Option<String>,
    pub(crate) envs: Variables,
    pub(crate) size: Size,
    pub(crate) lazy_start: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("id {0:?}: 1 to {ID_BYTES_MAX} bytes")]
    Id(String),
    #[error("{name} {asked}: 1 to {SIDE_MAX}")]
    Size { name: &'static str, asked: u64 },
    #[error("terminal {0:?} exists already")]
    Exists(String),
    #[error("terminal {0:?} does not exist, or its shell has ended")]
    NotFound(String),
    #[error("terminals: {TERMINALS_MAX} exist, the maximum; delete some first")]
    TooMany,
    #[error(transparent)]
    Environment(#[from] environment::Error),
    #[error(transparent)]
    TooManyProcesses(#[from] table::Full),
    #[error("find a shell")]
    Shell(#[from] shell::Error),
    #[error("open a terminal")]
    Device(#[source] std::io::Error),
    #[error("{}", .0.to_text())]
    Start(super::Error),
}

impl Terminals {
    pub(crate) async fn create(
        &self,
        toolbox: &Arc<Toolbox>,
        new: NewTerminal,
    ) -> Result<Arc<Terminal>, Error> {
        // Checked now even when it starts later.
        toolbox.environment.with(&new.envs)?;
        let terminal = self.reserve(toolbox, new)?;
        if terminal.lazy_start {
            return Ok(terminal);
        }
        let (starting, shared) = (Arc::clone(&terminal), Arc::clone(toolbox));
        // As a task of its own: an id must not stay taken by nothing because somebody hung up.
        let started = toolbox.tasks.spawn("start terminal", async move {
            let started = starting.start(&shared).await;
            if started.is_err() {
                shared.processes.terminals.remove(&starting);
            }
            started
        });
        let unfinished = || Error::Device(std::io::Error::other("its start did not finish"));
        let started = started.await.ok().flatten().ok_or_else(unfinished)?;
        started.map(|()| terminal)
    }

    /// Takes the id before anything is started, so that nobody else can.
    fn reserve(&self, toolbox: &Toolbox, new: NewTerminal) -> Result<Arc<Terminal>, Error> {
        if new.id.trim().is_empty() || new.id.len() > ID_BYTES_MAX {
            return Err(Error::Id(new.id));
        }
        let mut all = self.lock();
        if all.iter().any(|terminal| terminal.id == new.id) {
            return Err(Error::Exists(new.id));
        }
        if all.len() >= TERMINALS_MAX {
            return Err(Error::TooMany);
        }
        let terminal = Arc::new(Terminal {
            cwd: super::execute::directory(toolbox, new.cwd.as_deref()),
            id: new.id,
            envs: new.envs,
            created: clock::now(),
            lazy_start: new.lazy_start,
            size: Mutex::new(new.size),
            running: OnceCell::new(),
        });
        all.push(Arc::clone(&terminal));
        Ok(terminal)
    }

    pub(crate) fn list(&self) -> Vec<Arc<Terminal>> {
        self.lock().clone()
    }

    pub(crate) fn get(&self, id: &str) -> Result<Arc<Terminal>, Error> {
        let all = self.lock();
        let found = all.iter().find(|terminal| terminal.id == id);
        found.cloned().ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Ends the shell and all it started.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Error> {
        let terminal = self.get(id)?;
        if let Some(running) = terminal.running.get() {
            running.process.signal(Signal::KILL);
            let _stuck = timeout(KILLED_WAIT, running.process.ended()).await;
        }
        self.remove(&terminal);
        Ok(())
    }

    fn has(&self, terminal: &Arc<Terminal>) -> bool {
        let all = self.lock();
        all.iter().any(|other| Arc::ptr_eq(other, terminal))
    }

    fn remove(&self, terminal: &Arc<Terminal>) {
        self.lock().retain(|other| !Arc::ptr_eq(other, terminal));
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Terminal>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Reader = JoinHandle<Option<()>>;

fn show(toolbox: &Toolbox, process: &Arc<Process>, device: &Arc<Device>) -> Reader {
    let screen = toolbox.processes.screens.add(Screen {
        process: Arc::clone(process),
        device: Arc::clone(device),
    });
    toolbox.tasks.spawn("terminal output", async move {
        screen.device.read_into(&screen.process.log).await;
    })
}

impl Terminal {
    /// Starts the shell unless it runs already.
    pub(crate) async fn start(self: &Arc<Self>, toolbox: &Arc<Toolbox>) -> Result<(), Error> {
        let running = self
            .running
            .get_or_try_init(|| self.start_shell(toolbox))
            .await?;
        let was_deleted = !toolbox.processes.terminals.has(self);
        if was_deleted && running.process.end().is_none() {
            // Whoever deleted it while it started found nothing to end.
            running.process.signal(Signal::KILL);
            return Err(Error::NotFound(self.id.clone()));
        }
        Ok(())
    }

    async fn start_shell(self: &Arc<Self>, toolbox: &Arc<Toolbox>) -> Result<Running, Error> {
        let _whole = toolbox.pause.hold();
        let invocation = Shell::find()?.interactive()?;
        let mut env = toolbox.environment.get();
        env.entry("TERM".to_owned())
            .or_insert_with(|| "xterm-256color".to_owned());
        env.extend(self.envs.clone());
        let (device, ends) = Device::open(self.size()).await.map_err(Error::Device)?;
        let device = Arc::new(device);
        toolbox.refresh_stand_ins();
        let [stdin, stdout] = ends;
        let child = toolbox
            .processes
            .start(Launch {
                programs: vec![invocation.program],
                argv: invocation.argv,
                env: &env,
                cwd: &self.cwd,
                stdin,
                stdout,
                stderr: None,
                run_as: RunAs::User,
                place: Place::OwnTree,
                terminal: true,
            })
            .map_err(Error::Start)?;
        let kind = Kind::Terminal(self.id.clone());
        let process = Process::with_log(kind, uuid(), "shell".to_owned(), SCROLLBACK_BYTES_MAX);
        let process = Arc::new(process);
        toolbox.processes.remember(&process)?;
        process.set_tree(child.pid.as_raw_nonzero().get(), Arc::clone(&child.tree));
        let reader = show(toolbox, &process, &device);
        self.watch(toolbox, &process, reader, child);
        feed(toolbox, &process, &device);
        Ok(Running { process, device })
    }

    fn watch(
        self: &Arc<Self>,
        toolbox: &Arc<Toolbox>,
        process: &Arc<Process>,
        reader: Reader,
        mut child: Child,
    ) {
        let (terminal, toolbox) = (Arc::clone(self), Arc::clone(toolbox));
        let (process, tasks) = (Arc::clone(process), toolbox.tasks.clone());
        tasks.spawn("terminal", async move {
            let exit = (&mut child.exit).await.unwrap_or(Exit::Code(-1));
            child.release();
            // Being late is normal when a background process keeps the terminal.
            let _late = timeout(STRAGGLER_GRACE, reader).await;
            // Before anybody hears of the end: whoever has can use the id again.
            toolbox.processes.terminals.remove(&terminal);
            process.finish(End::now(exit));
        });
    }

    pub(crate) fn size(&self) -> Size {
        *self.size.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn resize(&self, size: Size) -> Result<(), Error> {
        if let Some(running) = self.running.get() {
            running.device.resize(size).map_err(Error::Device)?;
        }
        *self.size.lock().unwrap_or_else(PoisonError::into_inner) = size;
        Ok(())
    }

    pub(crate) fn is_active(&self) -> bool {
        self.process()
            .is_some_and(|process| process.end().is_none())
    }

    /// `None` before it was started.
    pub(crate) fn process(&self) -> Option<&Arc<Process>> {
        self.running.get().map(|running| &running.process)
    }

    /// Types; waits while the program does not read.
    pub(crate) async fn write(&self, bytes: Bytes) -> std::io::Result<()> {
        match self.running.get() {
            Some(running) => running.device.write(&bytes).await,
            None => Ok(()),
        }
    }
}

/// Types what is sent to the process itself rather than to the terminal.
fn feed(toolbox: &Toolbox, process: &Arc<Process>, device: &Arc<Device>) {
    let input = process.input().unwrap_or_else(|| process.open_input());
    let (process, device) = (Arc::clone(process), Arc::clone(device));
    toolbox.tasks.spawn("terminal input", async move {
        let typing = async {
            while let Some(bytes) = input.next().await {
                match device.write_some(&bytes).await {
                    Ok(length) => input.written(length),
                    Err(_) => return,
                }
            }
        };
        tokio::select! {
            // Both may be dropped: input to an ended process is worth nothing.
            () = typing => {}
            _ = process.ended() => {}
        }
        input.close();
    });
}
