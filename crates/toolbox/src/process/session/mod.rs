//! Sessions: shells that outlive calls, and the commands run in them one after the other.
//!
//! A session's shell is one long-lived process that evaluates each command itself, so everything a
//! person at a terminal would find again is there for the next one. Each command has pipes of its
//! own for both streams. When the shell ends, by `exit`, by `exec` or by a signal, the command
//! that ran ends with it, the session stays to be looked at, and takes no more commands.
//!
//! Must not: speak HTTP except in `routes` and `logs`.
//! Next: `shell` for how commands reach it, `wire` for what which client is told.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handover;
pub(crate) mod logs;
pub(crate) mod routes;
mod scratch;
mod shell;
mod wire;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::Tree;
use super::reaper::Exit;
use super::record::{INPUT_BYTES_MAX, INPUT_MESSAGES_MAX, InputError, Kind, Process};
use super::table::Full;
use crate::toolbox::Toolbox;
use crate::upgrade::Berth;
use shell::Job;

/// The session and the command that show what the sandbox was configured to run.
pub(crate) const ENTRYPOINT: &str = "entrypoint";
pub(crate) const ENTRYPOINT_COMMAND: &str = "entrypoint_command";
/// Each is a shell that sits in memory.
const SESSIONS_MAX: usize = 256;
/// Remembered of each session; the oldest ended ones make way.
const COMMANDS_MAX: usize = 500;
/// Commands that wait for the one before them to end.
const WAITING_MAX: usize = 100;
/// A name that people chose, or a uuid.
const ID_BYTES_MAX: usize = 256;
/// Between SIGTERM and SIGKILL when a session is deleted.
const DELETE_GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<Vec<Arc<Session>>>);

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    tree: Arc<Tree>,
    commands: Mutex<Vec<Arc<Command>>>,
    jobs: mpsc::Sender<Job>,
    ended: watch::Sender<Option<Exit>>,
    berth: Berth<shell::Resting>,
}

/// Something run in a session.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) process: Arc<Process>,
    /// What is sent to it does not appear in its output.
    pub(crate) suppress_input_echo: bool,
}

/// A command to be.
#[derive(Debug)]
pub(crate) struct NewCommand {
    pub(crate) text: String,
    pub(crate) takes_input: bool,
    pub(crate) suppress_input_echo: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("sessionId {0:?}: 1 to {ID_BYTES_MAX} bytes")]
    Id(String),
    #[error("sessionId {ENTRYPOINT:?}: is the sandbox's own; choose another")]
    Reserved,
    #[error("session {0:?} exists already")]
    Exists(String),
    #[error("sessions: {SESSIONS_MAX} exist, the maximum; delete some first")]
    TooManySessions,
    #[error("session {0:?} does not exist")]
    NotFound(String),
    #[error("session {session:?} has no command {command:?}")]
    CommandNotFound { session: String, command: String },
    #[error("session {id:?} has ended: its shell exited with code {code}; create another session")]
    Ended { id: String, code: i32 },
    #[error("session {0:?}: {WAITING_MAX} commands wait for the one that runs, the maximum")]
    Busy(String),
    #[error("command: must not be empty")]
    Blank,
    #[error("command: must not contain NUL bytes")]
    Nul,
    #[error(transparent)]
    TooManyProcesses(#[from] Full),
    #[error("start the session's shell: {0}")]
    Shell(String),
    #[error("start the session's shell")]
    Start(#[source] super::Error),
}

impl Sessions {
    pub(crate) fn create(&self, toolbox: &Arc<Toolbox>, id: &str, cwd: &Path) -> Result<(), Error> {
        if id.trim().is_empty() || id.len() > ID_BYTES_MAX {
            return Err(Error::Id(id.to_owned()));
        }
        if id == ENTRYPOINT {
            return Err(Error::Reserved);
        }
        let mut all = self.lock();
        if all.iter().any(|session| session.id == id) {
            return Err(Error::Exists(id.to_owned()));
        }
        if all.len() >= SESSIONS_MAX {
            return Err(Error::TooManySessions);
        }
        all.push(Session::start(toolbox, id, cwd)?);
        Ok(())
    }

    pub(crate) fn list(&self) -> Vec<Arc<Session>> {
        self.lock().clone()
    }

    pub(crate) fn get(&self, id: &str) -> Result<Arc<Session>, Error> {
        let all = self.lock();
        let found = all.iter().find(|session| session.id == id);
        found.cloned().ok_or_else(|| Error::NotFound(id.to_owned()))
    }

    /// Ends everything that was started in it, also what has left its shell, and forgets it.
    pub(crate) async fn delete(&self, toolbox: &Toolbox, id: &str) -> Result<(), Error> {
        if id == ENTRYPOINT {
            return Err(Error::Reserved);
        }
        let session = self.get(id)?;
        session.tree.end(DELETE_GRACE).await;
        // Those too that the session itself remembers no longer; before another can have its id.
        toolbox.processes.table.remove_session(id);
        self.lock().retain(|other| !Arc::ptr_eq(other, &session));
        Ok(())
    }

    /// A process that is known no longer, perhaps a command of one of these.
    pub(super) fn forget(&self, process: &Arc<Process>) {
        if let Kind::Session(id) = &process.kind
            && let Ok(session) = self.get(id)
        {
            let is_kept = |command: &Arc<Command>| !Arc::ptr_eq(&command.process, process);
            session.lock().retain(is_kept);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn start(toolbox: &Arc<Toolbox>, id: &str, cwd: &Path) -> Result<Arc<Self>, Error> {
        let shell = shell::start(toolbox, cwd)?;
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let session = Arc::new(Self {
            id: id.to_owned(),
            tree: shell.tree(),
            commands: Mutex::default(),
            jobs,
            ended: watch::Sender::new(None),
            berth: Berth::default(),
        });
        session.run(toolbox, shell, None, waiting);
        Ok(session)
    }

    fn run(
        self: &Arc<Self>,
        toolbox: &Toolbox,
        shell: shell::Running,
        current: Option<shell::Current>,
        waiting: mpsc::Receiver<Job>,
    ) {
        let running = Arc::clone(self);
        toolbox.tasks.spawn("session", async move {
            let exit = shell.serve(current, waiting, &running).await;
            running.ended.send_replace(Some(exit));
        });
    }

    /// In the order they were given.
    pub(crate) fn commands(&self) -> Vec<Arc<Command>> {
        self.lock().clone()
    }

    pub(crate) fn command(&self, id: &str) -> Result<Arc<Command>, Error> {
        let commands = self.lock();
        let found = commands.iter().find(|command| command.process.id == id);
        found.cloned().ok_or_else(|| Error::CommandNotFound {
            session: self.id.clone(),
            command: id.to_owned(),
        })
    }

    /// Gives the shell a command. It runs when those before it have ended.
    pub(crate) fn submit(&self, toolbox: &Toolbox, new: NewCommand) -> Result<Arc<Command>, Error> {
        if new.text.trim().is_empty() {
            return Err(Error::Blank);
        }
        if new.text.contains('\0') {
            return Err(Error::Nul);
        }
        self.check_alive()?;
        let slot = self.jobs.try_reserve().map_err(|error| match error {
            mpsc::error::TrySendError::Full(()) => Error::Busy(self.id.clone()),
            mpsc::error::TrySendError::Closed(()) => self.ended_error(),
        })?;
        let kind = Kind::Session(self.id.clone());
        let process = Arc::new(Process::new(kind, uuid(), new.text));
        let input = new.takes_input.then(|| process.open_input());
        toolbox.processes.remember(&process)?;
        let command = Arc::new(Command {
            process: Arc::clone(&process),
            suppress_input_echo: new.suppress_input_echo,
        });
        self.remember(Arc::clone(&command));
        slot.send(Job { process, input });
        Ok(command)
    }

    /// Refuses once the shell has ended.
    pub(crate) fn check_alive(&self) -> Result<(), Error> {
        match *self.ended.borrow() {
            Some(_) => Err(self.ended_error()),
            None => Ok(()),
        }
    }

    fn ended_error(&self) -> Error {
        Error::Ended {
            id: self.id.clone(),
            code: self.ended.borrow().map_or(-1, Exit::code),
        }
    }

    fn remember(&self, command: Arc<Command>) {
        let mut commands = self.lock();
        if commands.len() >= COMMANDS_MAX {
            // Fewer than that can be waiting, so one has ended.
            let ended = commands.iter().position(|c| c.process.end().is_some());
            commands.remove(ended.unwrap_or(0));
        }
        commands.push(command);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Command>>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Command {
    /// Takes input as a line, and shows it in the output unless that was not wanted.
    pub(crate) fn send_line(&self, text: &str) -> Result<(), InputError> {
        if text.len() > INPUT_BYTES_MAX {
            return Err(InputError::TooLong);
        }
        let mut line = text.to_owned();
        if !line.ends_with('\n') {
            line.push('\n');
        }
        let bytes = bytes::Bytes::from(line);
        self.process.write(bytes.clone())?;
        if !self.suppress_input_echo {
            self.process.log.push(super::log::Stream::Output, &bytes);
        }
        Ok(())
    }
}

const _: () = assert!(WAITING_MAX < COMMANDS_MAX && INPUT_MESSAGES_MAX > 0);

/// A random id in the form of version 4.
pub(crate) fn uuid() -> String {
    let mut bytes = [0_u8; 16];
    // Asking for so few bytes is never interrupted or short.
    let _filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
