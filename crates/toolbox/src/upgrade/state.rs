//! What one program leaves to the next, as JSON: numbers of descriptors, places in a second file of
//! plain bytes, and what is known besides.
//!
//! A field that a later version adds has a default, so that it goes on from the state of an earlier
//! one; whatever an earlier version must understand to lose nothing raises [`VERSION`], and that
//! earlier version then refuses.
//!
//! Must not: refer to anything but by number; nothing here has a destructor.

use std::path::PathBuf;

use sebring_api::boot::BootLimits;
use serde::{Deserialize, Serialize};

use crate::environment::Variables;
use crate::process::Exit;
use crate::process::log::Stream;
use crate::process::record::Kind;
use crate::process::terminal::Size;

/// Raised when an older program would misunderstand.
pub(crate) const VERSION: u32 = 1;

/// Read first and alone, whatever the rest looks like.
#[derive(Debug, Deserialize)]
pub(crate) struct Versioned {
    pub(crate) version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) version: u32,
    /// The file of bytes that [`Span`]s are of.
    pub(crate) bytes: i32,
    pub(crate) bytes_length: u64,
    /// Where the answer goes, once the new program serves.
    pub(crate) answer: i32,
    pub(crate) ends: Ends,
    pub(crate) places: Places,
    pub(crate) identity: Identity,
    pub(crate) groups: Groups,
    pub(crate) trees: Vec<Tree>,
    pub(crate) processes: Vec<Process>,
    /// In the order of the table.
    pub(crate) table: Vec<usize>,
    pub(crate) entrypoint: Option<usize>,
    pub(crate) captures: Vec<Capture>,
    pub(crate) discards: Vec<i32>,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) sessions: Vec<Session>,
    pub(crate) devices: Vec<Device>,
    pub(crate) terminals: Vec<Terminal>,
    pub(crate) sudo: Vec<Sudo>,
    pub(crate) relays: Vec<Relay>,
    pub(crate) contexts: Vec<Context>,
    pub(crate) language_servers: Vec<LanguageServer>,
}

/// Bytes in the second file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) at: u64,
    pub(crate) length: u64,
}

/// Descriptors that the toolbox was given or made once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ends {
    pub(crate) listener: i32,
    pub(crate) sudo: Option<i32>,
    pub(crate) disk_use: Option<i32>,
    pub(crate) meminfo: Option<i32>,
    pub(crate) cpuinfo: Option<i32>,
    pub(crate) cpus_online: Option<i32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Places {
    pub(crate) cgroup: PathBuf,
    pub(crate) memory: PathBuf,
    pub(crate) work_dir: PathBuf,
    /// Where the program after the next one will be.
    pub(crate) program: PathBuf,
    pub(crate) sudo_socket: String,
}

/// Whose sandbox it is, and as whom things run: as they were found when it began, whatever has
/// been done to the image's files since.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) user: User,
    /// `None` when we are not root and cannot become anybody else.
    pub(crate) groups: Option<Vec<u32>>,
    pub(crate) variables: Variables,
    pub(crate) login: Variables,
    pub(crate) limits: BootLimits,
    /// The entrypoint of a spare.
    pub(crate) unclaimed: Option<Vec<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
    pub(crate) shell: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Groups {
    pub(crate) made: u64,
    pub(crate) spare: Vec<Group>,
    pub(crate) inhabited: Vec<Group>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) directory: i32,
    pub(crate) killed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tree {
    pub(crate) root: i32,
    pub(crate) group: Option<Group>,
    pub(crate) armed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    pub(crate) command: String,
    /// Nanoseconds since 1970.
    pub(crate) started: i64,
    pub(crate) pid: Option<i32>,
    pub(crate) tree: Option<usize>,
    pub(crate) end: Option<End>,
    pub(crate) log: Log,
    /// Input that waits for a pipe; that with a pipe is a [`Feed`].
    pub(crate) input: Option<Vec<Span>>,
    /// Present when nothing else watches it to its end.
    pub(crate) watch: Option<Watch>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) exit: Exit,
    pub(crate) out_of_memory: bool,
    pub(crate) timed_out: bool,
    pub(crate) at: i64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Log {
    pub(crate) bytes_max: u64,
    pub(crate) begin: u64,
    pub(crate) end: u64,
    pub(crate) place: LogPlace,
    pub(crate) runs: Vec<(u64, Stream)>,
    pub(crate) finished_at: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum LogPlace {
    Memory(Span),
    File(i32),
    Fallback(Span),
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Watch {
    pub(crate) time_left_ms: Option<u64>,
    pub(crate) oom_kills: u64,
}

/// A pipe that is read into a log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Capture {
    pub(crate) process: usize,
    pub(crate) stream: Stream,
    pub(crate) pipe: i32,
}

/// A pipe into which input is written.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Feed {
    pub(crate) process: usize,
    pub(crate) pipe: i32,
    pub(crate) messages: Vec<Span>,
    /// Whether more may come.
    pub(crate) open: bool,
    /// Whether the pipe stays open until the process has ended.
    pub(crate) lingers: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) tree: usize,
    pub(crate) commands: Vec<Command>,
    pub(crate) ended: Option<Exit>,
    pub(crate) shell: Option<Shell>,
    pub(crate) current: Option<Current>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Command {
    pub(crate) process: usize,
    pub(crate) suppress_input_echo: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Shell {
    pub(crate) pid: i32,
    pub(crate) orders: i32,
    pub(crate) answers: i32,
    pub(crate) token: Span,
    pub(crate) unread: Span,
}

/// The command that a shell runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Current {
    pub(crate) process: usize,
    pub(crate) scratch: PathBuf,
    pub(crate) writers: [i32; 2],
    pub(crate) oom_kills: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) process: usize,
    pub(crate) controller: i32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Terminal {
    pub(crate) id: String,
    pub(crate) cwd: PathBuf,
    pub(crate) envs: Variables,
    pub(crate) created: i64,
    pub(crate) lazy_start: bool,
    pub(crate) size: Size,
    pub(crate) device: Option<usize>,
}

/// A command of `sudo` whose caller waits.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sudo {
    pub(crate) pid: i32,
    pub(crate) tree: usize,
    pub(crate) caller: i32,
}

/// A stream to a port.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Relay {
    pub(crate) host: i32,
    pub(crate) port: i32,
    pub(crate) to_port: Way,
    pub(crate) to_host: Way,
}

/// A direction of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Way {
    pub(crate) waiting: Span,
    pub(crate) ended: bool,
}

/// An interpreter's.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Context {
    pub(crate) id: String,
    /// The one that is there without being made.
    pub(crate) is_default: bool,
    pub(crate) cwd: PathBuf,
    pub(crate) created_at: String,
    pub(crate) number: u32,
    pub(crate) lost: Option<String>,
    pub(crate) python: Option<Python>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Python {
    /// What its program and the toolbox say to each other.
    pub(crate) protocol: u32,
    pub(crate) pid: i32,
    pub(crate) tree: usize,
    pub(crate) control: i32,
    pub(crate) unread: Span,
    pub(crate) control_ended: bool,
    pub(crate) stdout: PythonOutput,
    pub(crate) stderr: PythonOutput,
    /// Written while no cell ran; whether to standard error, and what.
    pub(crate) leftovers: Vec<(bool, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PythonOutput {
    pub(crate) pipe: i32,
    pub(crate) ended: bool,
    /// The beginning of a character.
    pub(crate) partial: Span,
}

/// One that had to be ended; only that there was one goes over.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LanguageServer {
    pub(crate) language: String,
    pub(crate) project: PathBuf,
}
