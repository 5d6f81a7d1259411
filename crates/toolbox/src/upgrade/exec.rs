//! The step from one program to the next.
//!
//! Everything here happens without an await: what was written down stays true until exec.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::FileExt as _;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Signal, WaitOptions};
use sebring_sys::child::{self, Spawn};
use sebring_sys::fs::c_path;

use super::parcel::{Busy, Packed};
use super::save::save;
use super::state::{State, VERSION, Versioned};
use crate::boot::{CHECK_STATE, RESUME};
use crate::process::is_exhaustion;
use crate::toolbox::Toolbox;

/// A sandbox full of processes and logs has less.
const STATE_BYTES_MAX: u64 = 64 << 20;
/// For the new program to read it. Nothing else happens meanwhile.
const CHECK_TIME_MAX: Duration = Duration::from_secs(5);
/// Of what the new program says when it cannot go on.
const WORDS_BYTES_MAX: u64 = 1 << 10;

/// What is wrong with a state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the number of a descriptor is missing")]
    Number,
    #[error("read it")]
    Read(#[source] io::Error),
    #[error("it has more than {STATE_BYTES_MAX} bytes")]
    TooLong,
    #[error("understand it")]
    Syntax(#[source] serde_json::Error),
    #[error("it is of version {0}; this program knows {VERSION}")]
    Version(u32),
    #[error("it refers to something that it does not hold: {0}")]
    Reference(&'static str),
}

/// Why the old program goes on.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error("{what}: {source}")]
    Step {
        what: &'static str,
        source: io::Error,
    },
    #[error("the new program cannot go on from here: {0}")]
    Unable(String),
}

/// Becomes the program at its place. Returns only when that cannot be, and then nothing has
/// changed.
pub(super) fn replace(toolbox: &Toolbox, answer: impl AsFd) -> Refusal {
    // From here on until a program can act on it, a request to end waits.
    let _never = sebring_sys::signal::hold_requests_to_end(true);
    let refusal = match try_replace(toolbox, answer) {
        Ok(never) => match never {},
        Err(refusal) => refusal,
    };
    let _never = sebring_sys::signal::hold_requests_to_end(false);
    refusal
}

fn try_replace(toolbox: &Toolbox, answer: impl AsFd) -> Result<std::convert::Infallible, Refusal> {
    let at = |what| move |source| Refusal::Step { what, source };
    let (mut state, Packed { mut fds, bytes }) = save(toolbox, answer)?;
    let bytes = sealed("bytes", &bytes).map_err(at("hand over bytes"))?;
    state.bytes = bytes.as_raw_fd();
    let text = serde_json::to_vec(&state).map_err(io::Error::other);
    let text = text.map_err(at("write the state"))?;
    let text = sealed("state", &text).map_err(at("hand over the state"))?;
    fds.extend([bytes.as_raw_fd(), text.as_raw_fd()]);
    let program = c_path(&toolbox.places.program).map_err(at("find the new program"))?;
    check(&program, &text)?;
    // They would be nobody's.
    toolbox.language_servers.kill();
    let failed = exec(&program, &fds, text.as_raw_fd());
    let_in_again(&fds);
    Err(at("execute the new program")(failed))
}

fn exec(program: &CString, fds: &[i32], state: i32) -> io::Error {
    let number = state.to_string();
    let arguments = [RESUME, &number].map(CString::new);
    let [Ok(resume), Ok(number)] = arguments else {
        return io::ErrorKind::InvalidInput.into();
    };
    let kept = fds
        .iter()
        .try_for_each(|fd| sebring_sys::fds::keep_over_exec(*fd, true));
    match kept {
        Ok(()) => sebring_sys::exec::exec(program, &[program.clone(), resume, number], &[]),
        Err(error) => error,
    }
}

fn let_in_again(fds: &[i32]) {
    for fd in fds {
        let _closed = sebring_sys::fds::keep_over_exec(*fd, false);
    }
}

/// A file in memory that nobody changes any more.
fn sealed(name: &str, content: &[u8]) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create(name, flags)?);
    file.write_all(content)?;
    file.rewind()?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file)
}

/// Has the new program read the state, as a child that can do no harm.
fn check(program: &CString, state: &File) -> Result<(), Refusal> {
    let at = |what| move |source| Refusal::Step { what, source };
    let (mut words, said) = io::pipe().map_err(at("ask the new program"))?;
    let flag = CString::new(CHECK_STATE).map_err(io::Error::other);
    let argv = [program.clone(), flag.map_err(at("ask the new program"))?];
    let spawned = child::spawn(&Spawn {
        programs: std::slice::from_ref(program),
        argv: &argv,
        env: &[],
        cwd: c"/",
        stdio: [state.as_fd(), said.as_fd(), said.as_fd()],
        credentials: None,
        cgroup: None,
        controlling_terminal: false,
        oom_score_adj: None,
    });
    drop(said);
    let spawned = spawned.map_err(|error| match error {
        // It would need as much itself.
        child::Error::Clone(source) if is_exhaustion(&source) => {
            Busy("the sandbox is out of processes or memory").into()
        }
        child::Error::Clone(source) | child::Error::Child { source, .. } => {
            at("start the new program")(source)
        }
    })?;
    let in_time = wait_for(spawned.pid).map_err(at("await the new program"))?;
    if !in_time {
        // It is still our child, so the number is its own.
        let _gone = rustix::process::kill_process(spawned.pid, Signal::KILL);
    }
    let status = rustix::process::waitpid(Some(spawned.pid), WaitOptions::empty());
    let status = status.map_err(|errno| at("await the new program")(errno.into()))?;
    match status.and_then(|(_, status)| status.exit_status()) {
        Some(0) => return Ok(()),
        _ if !in_time => return Err(Refusal::Unable("it did not answer in time".to_owned())),
        _ => {}
    }
    let mut text = Vec::new();
    // Whoever else holds the pipe is nothing that we have started.
    let _partial = words.by_ref().take(WORDS_BYTES_MAX).read_to_end(&mut text);
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    Err(Refusal::Unable(text))
}

/// Whether it has ended within its time.
fn wait_for(pid: rustix::process::Pid) -> io::Result<bool> {
    let process = sebring_sys::userns::pidfd_of(pid.as_raw_nonzero().get())?;
    let deadline = Instant::now() + CHECK_TIME_MAX;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut poll = [PollFd::new(&process, PollFlags::IN)];
        match rustix::event::poll(&mut poll, Some(&left)) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other? > 0),
        }
    }
}

/// The state that is standard input, from here: whether this program could go on from it.
pub(crate) fn check_state() -> Result<(), Error> {
    let file = sebring_sys::fds::inherited(0).map_err(Error::Read)?;
    read(&File::from(file)).map(drop)
}

pub(super) fn read(file: &File) -> Result<State, Error> {
    let length = file.metadata().map_err(Error::Read)?.len();
    if length > STATE_BYTES_MAX {
        return Err(Error::TooLong);
    }
    let length = usize::try_from(length).map_err(|_| Error::TooLong)?;
    let mut text = vec![0; length];
    // By position: whoever wrote it may share the place in it with us.
    file.read_exact_at(&mut text, 0).map_err(Error::Read)?;
    understand(&text)
}

fn understand(text: &[u8]) -> Result<State, Error> {
    let versioned: Versioned = serde_json::from_slice(text).map_err(Error::Syntax)?;
    if versioned.version != VERSION {
        return Err(Error::Version(versioned.version));
    }
    let state: State = serde_json::from_slice(text).map_err(Error::Syntax)?;
    check_references(&state)?;
    Ok(state)
}

/// What the new program would stumble over when it is too late.
fn check_references(state: &State) -> Result<(), Error> {
    let trees = state.trees.len();
    let processes = state.processes.len();
    let of_tree = |number: &usize| *number < trees;
    let of_process = |number: &usize| *number < processes;
    let checks = [
        (state.trees.iter().all(|tree| tree.root > 0), "a process"),
        (
            state
                .processes
                .iter()
                .filter_map(|p| p.tree.as_ref())
                .all(of_tree),
            "the tree of a process",
        ),
        (state.table.iter().all(of_process), "a process of the table"),
        (
            state.sessions.iter().all(|s| {
                of_tree(&s.tree)
                    && s.commands
                        .iter()
                        .all(|command| of_process(&command.process))
            }),
            "the tree or a command of a session",
        ),
        (
            state
                .captures
                .iter()
                .all(|capture| of_process(&capture.process)),
            "the process of a pipe",
        ),
    ];
    match checks.iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(Error::Reference(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_another_version_is_refused_whatever_else_it_holds() {
        let text = format!(r#"{{"version": {}, "news": [1]}}"#, VERSION + 1);
        let refused = understand(text.as_bytes()).unwrap_err();
        assert!(matches!(refused, Error::Version(version) if version == VERSION + 1));
        let half = format!(r#"{{"version": {VERSION}}}"#);
        assert!(matches!(understand(half.as_bytes()), Err(Error::Syntax(_))));
    }
}
