//! One run of git: its arguments, its two outputs, its end.
//!
//! No shell, no terminal, no prompt. Git is asked to end first (it then removes its locks and half
//! a clone) and killed with all it started after a grace.
//! Must not: know what the arguments mean. Next: `refusal` for what its failures mean.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use sebring_sys::fs::memory_file;
use tokio::sync::watch;
use tokio::time::Instant;

use super::login::{self, Login};
use super::output::{self, Keep, Output};
use super::{Error, environment, memory, refusal};
use crate::environment::{DEFAULT_PATH, Variables};
use crate::process::{self, Child, Exit, Launch, Place, RunAs};
use crate::toolbox::Toolbox;

/// Nothing that stays in the sandbox takes longer, not even the index of a huge working tree.
const LOCAL_LIMIT: Duration = Duration::from_secs(10 * 60);
/// A few gigabytes over a slow line.
const REMOTE_LIMIT: Duration = Duration::from_secs(2 * 3600);
/// Between asking git to end and killing it; it has half a clone to remove.
const END_GRACE: Duration = Duration::from_secs(5);
/// How long a killed git may take to be gone before we go on without it.
const KILLED_WAIT: Duration = Duration::from_secs(2);
/// How long a process that a hook left behind may hold the pipes after git has ended.
const STRAGGLER_GRACE: Duration = Duration::from_millis(100);
/// A status of some 200 000 files; it is all held at once.
const STDOUT_BYTES_MAX: usize = 32 << 20;
/// The last words.
const STDERR_BYTES_MAX: usize = 64 << 10;
/// Git on behalf of one caller.
#[derive(Clone, Debug)]
pub(crate) struct Git {
    toolbox: Arc<Toolbox>,
    /// Its sender is dropped when the caller leaves.
    caller: watch::Receiver<()>,
}

#[derive(Debug)]
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    Login(Login),
}

/// A run to be.
#[derive(Debug)]
pub(crate) struct Call {
    git: Git,
    repository: Option<PathBuf>,
    settings: Vec<String>,
    args: Vec<String>,
    variables: Variables,
    input: Input,
    limit: Duration,
}

/// A run that came to its end.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    /// Without secrets.
    pub(crate) stderr: String,
}

impl Git {
    pub(super) const fn new(toolbox: Arc<Toolbox>, caller: watch::Receiver<()>) -> Self {
        Self { toolbox, caller }
    }

    /// A call outside of any repository.
    pub(super) fn anywhere<const N: usize>(&self, args: [&str; N]) -> Call {
        self.call(None, &args)
    }

    /// A call in a repository, which must be at this very path.
    pub(super) fn at<const N: usize>(&self, repository: &Path, args: [&str; N]) -> Call {
        self.call(Some(repository.to_owned()), &args)
    }

    fn call(&self, repository: Option<PathBuf>, args: &[&str]) -> Call {
        Call {
            git: self.clone(),
            repository,
            settings: Vec::new(),
            args: args.iter().map(|arg| (*arg).to_owned()).collect(),
            variables: Variables::new(),
            input: Input::Nothing,
            limit: LOCAL_LIMIT,
        }
    }
}

impl Call {
    pub(super) fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(super) fn arg_if(self, given: bool, arg: &str) -> Self {
        if given { self.arg(arg) } else { self }
    }

    /// A setting for this call only, `name=value`.
    pub(super) fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// A setting that no list of processes shows; it must not be secret from what git runs.
    pub(super) fn unlisted_setting(self, name: &str, value: &str) -> Self {
        let sandbox = self.git.toolbox.environment.get();
        let before = sandbox
            .get("GIT_CONFIG_COUNT")
            .and_then(|count| count.parse::<u16>().ok())
            .unwrap_or(0);
        let count = u32::from(before) + 1;
        self.variable("GIT_CONFIG_COUNT", &count.to_string())
            .variable(&format!("GIT_CONFIG_KEY_{before}"), name)
            .variable(&format!("GIT_CONFIG_VALUE_{before}"), value)
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    pub(super) fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Input::Bytes(bytes);
        self
    }

    /// Talks to a remote, as somebody when a login is given.
    pub(super) fn remote(mut self, login: Option<(&Login, &[String])>) -> Self {
        self.limit = REMOTE_LIMIT;
        if let Some((login, origins)) = login {
            self.settings.extend(Login::settings(origins));
            // Only the helper is asked.
            self.variables
                .insert("GIT_ASKPASS".to_owned(), String::new());
            self.input = Input::Login(login.clone());
        }
        self
    }

    /// Standard output of a run that succeeds.
    pub(super) async fn output(self) -> Result<Vec<u8>, Error> {
        let what = self.what();
        let ended = self.run().await?;
        if ended.code == 0 {
            Ok(ended.stdout)
        } else {
            Err(refusal::of(&what, &ended))
        }
    }

    /// Whether it answers yes (0) or no (1).
    pub(super) async fn answer(self) -> Result<bool, Error> {
        let what = self.what();
        let ended = self.run().await?;
        match ended.code {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(refusal::of(&what, &ended)),
        }
    }

    /// Runs to the end, whatever that is.
    pub(super) async fn run(mut self) -> Result<Ended, Error> {
        let toolbox = Arc::clone(&self.git.toolbox);
        toolbox.refresh_stand_ins();
        let oom_kills = toolbox.memory.oom_kills();
        let (mut stdout, out) = output::pipe(Keep::All, STDOUT_BYTES_MAX).map_err(run_error)?;
        let (mut stderr, err) = output::pipe(Keep::End, STDERR_BYTES_MAX).map_err(run_error)?;
        let mut child = self.start(out, err)?;
        let exit = self.follow(&mut child, &mut stdout, &mut stderr).await?;
        let rest = async {
            stdout.rest().await;
            stderr.rest().await;
        };
        // Passing the deadline is the normal end when something left behind keeps the pipes.
        let _late = tokio::time::timeout(STRAGGLER_GRACE, rest).await;
        if stdout.too_much() {
            return Err(self.too_much());
        }
        if exit.code() != 0 && toolbox.memory.oom_kills() > oom_kills {
            let limit = toolbox.limits.get().memory_bytes;
            let what = self.what();
            return Err(Error::OutOfMemory { what, limit });
        }
        let stderr = String::from_utf8_lossy(&stderr.into_bytes()).into_owned();
        Ok(Ended {
            code: exit.code(),
            stdout: stdout.into_bytes(),
            stderr: self.scrub(&stderr),
        })
    }

    fn scrub(&self, text: &str) -> String {
        let text = login::scrub_addresses(text);
        match &self.input {
            Input::Login(login) => login.scrub(&text),
            Input::Nothing | Input::Bytes(_) => text,
        }
    }

    /// What to call this run: its first argument, which is never a caller's.
    fn what(&self) -> String {
        self.args.first().cloned().unwrap_or_default()
    }

    fn too_much(&self) -> Error {
        Error::TooMuch {
            what: self.what(),
            limit: STDOUT_BYTES_MAX,
        }
    }

    fn start(&self, stdout: OwnedFd, stderr: OwnedFd) -> Result<Child, Error> {
        let toolbox = &self.git.toolbox;
        let sandbox = toolbox.environment.get();
        let path = sandbox
            .get("PATH")
            .map_or(DEFAULT_PATH, String::as_str)
            .to_owned();
        let mut env = environment::variables(sandbox, self.repository.as_deref());
        env.extend(self.variables.clone());
        let stdin = match &self.input {
            Input::Nothing => File::open("/dev/null"),
            Input::Bytes(bytes) => memory_file("input", bytes),
            Input::Login(login) => memory_file("login", &login.lines()),
        };
        let launch = Launch {
            programs: programs(&path),
            argv: self.argv()?,
            env: &env,
            cwd: self.repository.as_deref().unwrap_or_else(|| Path::new("/")),
            stdin: OwnedFd::from(stdin.map_err(run_error)?),
            stdout,
            stderr: Some(stderr),
            run_as: RunAs::User,
            place: Place::OwnTree,
            terminal: false,
        };
        toolbox
            .processes
            .start(launch)
            .map_err(|error| self.not_started(error, path))
    }

    fn not_started(&self, error: process::Error, path: String) -> Error {
        match error {
            process::Error::Stopping => Error::Stopping,
            process::Error::Execute { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Error::NotInstalled { path }
            }
            process::Error::Directory { path, source } => refusal::of_directory(&path, &source),
            other => Error::Run(sebring_tasks::chain(&other)),
        }
    }

    fn argv(&self) -> Result<Vec<CString>, Error> {
        let limits = self.git.toolbox.limits.get();
        let memory = memory::settings(limits.memory_bytes, limits.cpus);
        let settings = memory.iter().chain(&self.settings);
        let settings = settings.flat_map(|setting| ["-c", setting]);
        ["git"]
            .into_iter()
            .chain(settings)
            .chain(self.args.iter().map(String::as_str))
            .map(|arg| CString::new(arg).map_err(|_| refusal::nul()))
            .collect()
    }

    async fn follow(
        &mut self,
        child: &mut Child,
        stdout: &mut Output,
        stderr: &mut Output,
    ) -> Result<Exit, Error> {
        let deadline = Instant::now() + self.limit;
        let error = loop {
            tokio::select! {
                // Exit first, or a flood of output would hide it. Each branch may be dropped: a
                // oneshot, a watch and a timer keep their state, `read` keeps what it read.
                biased;
                exit = &mut child.exit => {
                    child.release();
                    return Ok(exit.unwrap_or(Exit::Code(-1)));
                }
                () = gone(&mut self.git.caller) => {
                    break Error::CallerGone { what: self.what() };
                }
                () = tokio::time::sleep_until(deadline) => {
                    let seconds = self.limit.as_secs();
                    break Error::TimedOut { what: self.what(), seconds };
                }
                () = stdout.read(), if !stdout.ended() => {
                    if stdout.too_much() {
                        break self.too_much();
                    }
                }
                () = stderr.read(), if !stderr.ended() => {}
            }
        };
        end(child).await;
        Err(error)
    }
}

/// Resolves when nobody waits for the answer any more.
async fn gone(caller: &mut watch::Receiver<()>) {
    while caller.changed().await.is_ok() {}
}

/// Asks git to end, then insists.
async fn end(child: &mut Child) {
    if child.exit.try_recv().is_ok() {
        return;
    }
    // It has not been collected, so the number is still its own.
    let _asked = rustix::process::kill_process(child.pid, Signal::TERM);
    if tokio::time::timeout(END_GRACE, &mut child.exit)
        .await
        .is_ok()
    {
        return;
    }
    child.kill_tree();
    let _gone = tokio::time::timeout(KILLED_WAIT, &mut child.exit).await;
}

fn programs(path: &str) -> Vec<CString> {
    path.split(':')
        .filter(|directory| directory.starts_with('/'))
        .filter_map(|directory| CString::new(format!("{directory}/git")).ok())
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn run_error(error: io::Error) -> Error {
    Error::Run(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_is_looked_for_in_absolute_directories_only() {
        let found = programs("/usr/bin:.:bin::/opt/git/bin");
        assert_eq!(
            found,
            [c"/usr/bin/git".to_owned(), c"/opt/git/bin/git".into()]
        );
    }
}
