//! One program of the desktop: kept alive until somebody wants it gone.
//!
//! ```text
//!         start                    exits, may restart
//!   Down ──────▶ Up ─────────────────────────────▶ Down ──▶ Up …
//!                │ stop, or died too often
//!                └──▶ Over
//! ```

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::Signal;
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep, timeout};

use super::super::kit::Part;
use crate::environment::Variables;
use crate::files::content::{self, Readable};
use crate::process::{Child, Launch, Place, Processes, RunAs};

/// Between asking a program to end and ending it with all it started.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// After that the kernel needs moments.
const KILL_GRACE: Duration = Duration::from_secs(2);
/// A program that dies this often within [`RESTART_WINDOW`] is left dead.
const RESTARTS_MAX: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(60);
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// A log longer than this starts again from nothing.
const LOG_BYTES_MAX: u64 = 4 << 20;
const LOG_CHECK: Duration = Duration::from_secs(30);
/// The end of a log that clients get.
const LOG_BYTES_SHOWN: u64 = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not there now, to be started.
    Down,
    Up(i32),
    /// Stopped, or given up on.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Running; another number means afresh.
    Run(u64),
    Stop,
}

#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) part: Part,
    state: watch::Sender<State>,
    wish: watch::Sender<Wish>,
    logs: PathBuf,
}

/// Where a program's standard output and error go.
struct Logs {
    output: File,
    errors: File,
}

impl Program {
    pub(crate) fn new(part: Part, logs: &Path) -> Arc<Self> {
        Arc::new(Self {
            part,
            state: watch::Sender::new(State::Down),
            wish: watch::Sender::new(Wish::Run(0)),
            logs: logs.to_owned(),
        })
    }

    pub(crate) fn state(&self) -> State {
        *self.state.borrow()
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        match self.state() {
            State::Up(pid) => Some(pid),
            State::Down | State::Over => None,
        }
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Ends what runs and starts it anew.
    pub(crate) fn restart(&self) {
        self.wish.send_modify(|wish| {
            if let Wish::Run(number) = wish {
                *wish = Wish::Run(number.wrapping_add(1));
            }
        });
    }

    /// Resolves once it is gone, within a few seconds.
    pub(crate) async fn stop(&self) {
        self.wish.send_replace(Wish::Stop);
        if self.wish.receiver_count() == 0 {
            // Nobody has begun to run it, and whoever does sees the wish first.
            self.state.send_replace(State::Over);
            return;
        }
        let mut states = self.states();
        let gone = states.wait_for(|state| *state == State::Over);
        let _late = timeout(STOP_GRACE + KILL_GRACE, gone).await;
    }

    /// The end of what it wrote: to standard output, or to standard error.
    pub(crate) fn log(&self, errors: bool) -> String {
        let path = if errors {
            self.error_log()
        } else {
            self.output_log()
        };
        tail(&path).unwrap_or_default()
    }

    fn output_log(&self) -> PathBuf {
        self.logs.join(format!("{}.log", self.part.name))
    }

    fn error_log(&self) -> PathBuf {
        self.logs.join(format!("{}.err", self.part.name))
    }

    /// Starts it, and again, until it is stopped or has died too often.
    pub(crate) async fn run(
        self: Arc<Self>,
        processes: Arc<Processes>,
        env: Variables,
        cwd: PathBuf,
    ) {
        let mut wishes = self.wish.subscribe();
        let mut deaths = VecDeque::new();
        loop {
            let wish = *wishes.borrow_and_update();
            if wish == Wish::Stop {
                break;
            }
            let ended = self.once(&processes, &env, &cwd, &mut wishes).await;
            self.state.send_replace(State::Down);
            if ended == Ended::Asked {
                continue;
            }
            if !self.part.auto_restart || too_often(&mut deaths, Instant::now()) {
                break;
            }
            // Both only wait.
            tokio::select! {
                () = sleep(RESTART_PAUSE) => {}
                _ = wishes.changed() => {}
            }
        }
        self.state.send_replace(State::Over);
    }

    async fn once(
        self: &Arc<Self>,
        processes: &Arc<Processes>,
        env: &Variables,
        cwd: &Path,
        wishes: &mut watch::Receiver<Wish>,
    ) -> Ended {
        let Some((mut child, logs)) = self.launch(processes, env, cwd).await else {
            return Ended::ByItself;
        };
        self.state
            .send_replace(State::Up(child.pid.as_raw_nonzero().get()));
        let mut checks = interval(LOG_CHECK);
        loop {
            // Each branch may be dropped: it only waits.
            tokio::select! {
                _ = &mut child.exit => return Ended::ByItself,
                _ = wishes.changed() => {
                    end(&mut child).await;
                    return Ended::Asked;
                }
                _ = checks.tick() => logs.shorten(),
            }
        }
    }

    async fn launch(
        self: &Arc<Self>,
        processes: &Arc<Processes>,
        env: &Variables,
        cwd: &Path,
    ) -> Option<(Child, Logs)> {
        let program = Arc::clone(self);
        let opened = tokio::task::spawn_blocking(move || Logs::open(&program)).await;
        let logs = opened.ok()?.ok()?;
        let child = processes.start(Launch {
            programs: vec![self.part.program.clone()],
            argv: self.part.argv.clone(),
            env,
            cwd,
            stdin: OwnedFd::from(File::open("/dev/null").ok()?),
            stdout: OwnedFd::from(logs.output.try_clone().ok()?),
            stderr: Some(OwnedFd::from(logs.errors.try_clone().ok()?)),
            run_as: RunAs::User,
            place: Place::OwnTree,
            terminal: false,
        });
        match child {
            Ok(child) => Some((child, logs)),
            Err(error) => {
                use std::io::Write as _;
                // The log is where people look; when it is full there is nothing better.
                let _unsaid = writeln!(&logs.errors, "not started: {}", error.to_text());
                None
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    ByItself,
    Asked,
}

impl Logs {
    fn open(program: &Program) -> std::io::Result<Self> {
        fs::create_dir_all(&program.logs)?;
        // The folder is the user's. Opening a pipe would wait for a reader.
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let open = |path: &Path| -> std::io::Result<File> {
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o644)
                .custom_flags(flags.bits().cast_signed())
                .open(path)?;
            if !file.metadata()?.is_file() {
                let reason = "a log must be a regular file";
                return Err(std::io::Error::other(reason));
            }
            shorten(&file);
            Ok(file)
        };
        Ok(Self {
            output: open(&program.output_log())?,
            errors: open(&program.error_log())?,
        })
    }

    fn shorten(&self) {
        shorten(&self.output);
        shorten(&self.errors);
    }
}

/// A desktop that runs for months must not fill the disk with what it says.
fn shorten(log: &File) {
    if log
        .metadata()
        .is_ok_and(|found| found.len() > LOG_BYTES_MAX)
    {
        let _full = log.set_len(0);
    }
}

fn tail(path: &Path) -> std::io::Result<String> {
    let Readable { mut file, size, .. } = content::open(path).map_err(std::io::Error::other)?;
    let skip = size.saturating_sub(LOG_BYTES_SHOWN);
    file.seek(SeekFrom::Start(skip))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES_SHOWN).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

async fn end(child: &mut Child) {
    let _gone = rustix::process::kill_process(child.pid, Signal::TERM);
    if timeout(STOP_GRACE, &mut child.exit).await.is_err() {
        child.kill_tree();
        let _gone = timeout(KILL_GRACE, &mut child.exit).await;
    }
}

/// Counts a death, and forgets those of long ago.
fn too_often(deaths: &mut VecDeque<Instant>, now: Instant) -> bool {
    deaths.push_back(now);
    while deaths
        .front()
        .is_some_and(|first| now.saturating_duration_since(*first) > RESTART_WINDOW)
    {
        deaths.pop_front();
    }
    deaths.len() > RESTARTS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::random_hex;

    fn program(logs: &Path) -> Arc<Program> {
        let part = Part {
            name: "part",
            priority: 0,
            auto_restart: true,
            program: c"/bin/true".to_owned(),
            argv: vec![c"true".to_owned()],
        };
        Program::new(part, logs)
    }

    #[tokio::test]
    async fn one_that_was_never_begun_is_over_when_it_is_stopped() {
        let program = program(Path::new("/nowhere"));
        assert_eq!(program.state(), State::Down);
        program.stop().await;
        assert_eq!(program.state(), State::Over);
    }

    #[test]
    fn a_pipe_in_the_place_of_a_log_keeps_nobody_waiting() {
        let folder = std::env::temp_dir().join(format!("sebring-logs-{}", random_hex()));
        fs::create_dir(&folder).unwrap();
        let program = program(&folder);
        for log in [program.output_log(), program.error_log()] {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
            rustix::fs::mknodat(
                rustix::fs::CWD,
                &log,
                kind,
                mode | rustix::fs::Mode::WUSR,
                0,
            )
            .unwrap();
        }
        let (done, waits) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let refused = Logs::open(&program).is_err();
            done.send((refused, program.log(true))).unwrap();
        });
        let outcome = waits.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(outcome, (true, String::new()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_deaths_in_quick_succession_end_the_restarts() {
        let mut deaths = VecDeque::new();
        let begin = Instant::now();
        for number in 0..20 {
            let slowly = begin + RESTART_WINDOW / 4 * number;
            assert!(!too_often(&mut deaths, slowly));
        }
        let mut deaths = VecDeque::new();
        let given_up = (0..=RESTARTS_MAX).filter(|_| too_often(&mut deaths, begin));
        assert_eq!(given_up.count(), 1);
    }
}
