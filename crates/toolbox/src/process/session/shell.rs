//! The shell of a session, and the two pipes by which it is told what to do and says how it went.
//!
//! It reads the path of a [`Scratch`] directory, evaluates the script there with the pipes there
//! as its standard streams, and says the exit code. Nothing of this is among the command's own
//! descriptors, so what a command prints cannot be taken for an answer.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, spawn_blocking};

use super::scratch::{self, Scratch};
use super::{Error, Session};
use crate::files::random_hex;
use crate::process::feed::{self, Feed, Reader};
use crate::process::input::Input;
use crate::process::log::Stream;
use crate::process::reaper::Exit;
use crate::process::record::{End, Process};
use crate::process::shell::Shell;
use crate::process::{Child, KILLED_CODE, Launch, Place, RunAs, Tree};
use crate::toolbox::Toolbox;

/// Other bytes on the pipe of answers are the shell's own words; more are not held back.
const ANSWER_BYTES_MAX: usize = 256;
const READ_BYTES: usize = 4096;
/// Of what a shell that has ended left behind: a full pipe. Somebody else may go on writing.
const LAST_READS_MAX: usize = (64 << 10) / READ_BYTES;

/// A command that waits for its turn.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) process: Arc<Process>,
    /// `None` when it finds the end of its input at once.
    pub(super) input: Option<Arc<Input>>,
}

/// The command that runs.
#[derive(Debug)]
pub(super) struct Current {
    pub(super) process: Arc<Process>,
    pub(super) scratch: PathBuf,
    /// Keep both of its streams open until it has ended, opened by it or not.
    pub(super) writers: [OwnedFd; 2],
    pub(super) readers: Vec<Reader>,
    pub(super) oom_kills: u64,
}

/// A shell that has been laid down, and what it is in the middle of.
#[derive(Debug)]
pub(super) struct Resting {
    pub(super) shell: Running,
    pub(super) current: Option<Current>,
}

/// What happens next.
enum Step {
    Job(Job),
    /// The command has ended, and the shell if it did as well.
    Done(Exit, Option<Exit>),
    /// The shell has.
    Ended(Exit),
    Pause,
}

/// A running shell.
#[derive(Debug)]
pub(super) struct Running {
    toolbox: Arc<Toolbox>,
    pub(super) child: Child,
    pub(super) orders: pipe::Sender,
    pub(super) answers: Answers,
    /// Of what the last command was given.
    removal: Option<JoinHandle<()>>,
}

pub(super) fn start(toolbox: &Arc<Toolbox>, cwd: &Path) -> Result<Running, Error> {
    let failed = |error: &dyn std::error::Error| Error::Shell(error.to_string());
    let token = random_hex();
    let shell = Shell::find().map_err(|e| failed(&e))?;
    let invocation = shell
        .script(&script(shell.is_bash(), &token))
        .map_err(|e| failed(&e))?;
    let (orders, stdin) = feed::input_pipe().map_err(|e| failed(&e))?;
    let (answers, stdout) = feed::output_pipe().map_err(|e| failed(&e))?;
    toolbox.refresh_stand_ins();
    let env = toolbox.environment.get();
    let child = toolbox
        .processes
        .start(Launch {
            programs: vec![invocation.program],
            argv: invocation.argv,
            env: &env,
            cwd,
            stdin,
            stdout,
            stderr: None,
            run_as: RunAs::User,
            place: Place::OwnTree,
            terminal: false,
        })
        .map_err(Error::Start)?;
    let answers = Answers::new(answers, Said::new(&token));
    Ok(Running::new(toolbox, child, orders, answers))
}

/// The shell's own program.
///
/// `command eval` keeps a syntax error from ending a plain `sh`. The loop of one round catches a
/// stray `break`. On one line, so that line numbers in messages are those of the command. The
/// script is read in ways that need no `PATH`, which is the command's to spoil.
fn script(is_bash: bool, token: &str) -> String {
    let (aliases, read) = if is_bash {
        ("shopt -s expand_aliases; ", "<\"$SEBRING/script\"")
    } else {
        ("", "command -p cat \"$SEBRING/script\"")
    };
    format!(
        "{aliases}while IFS= read -r SEBRING; do for SEBRING in \"$SEBRING\"; do {{ \
         command eval \"unset SEBRING; $({read})\n\"; \
         }} <\"$SEBRING/in\" >\"$SEBRING/out\" 2>\"$SEBRING/err\"; done; \
         command printf '%s\\n' \"{token} $?\"; done"
    )
}

impl Running {
    pub(super) fn tree(&self) -> Arc<Tree> {
        Arc::clone(&self.child.tree)
    }

    pub(super) fn new(
        toolbox: &Arc<Toolbox>,
        child: Child,
        orders: pipe::Sender,
        answers: Answers,
    ) -> Self {
        Self {
            toolbox: Arc::clone(toolbox),
            child,
            orders,
            answers,
            removal: None,
        }
    }

    /// Runs commands one after the other until the shell has ended, beginning with the one that
    /// it runs already.
    pub(super) async fn serve(
        mut self,
        mut current: Option<Current>,
        mut jobs: mpsc::Receiver<Job>,
        session: &Session,
    ) -> Exit {
        let toolbox = Arc::clone(&self.toolbox);
        let exit = loop {
            let step = match &current {
                Some(command) => self.outcome(&command.process).await,
                None => self.next(&mut jobs).await,
            };
            match step {
                Step::Job(job) => current = self.begin(job).await,
                Step::Done(exit, shell) => {
                    if let Some(command) = current.take() {
                        self.conclude(command, exit, shell, &session.ended).await;
                    }
                    if let Some(exit) = shell {
                        break exit;
                    }
                }
                Step::Ended(exit) => break exit,
                Step::Pause => {
                    if let Some(removal) = self.removal.take() {
                        // A panic in it leaves some files behind.
                        let _removed = removal.await;
                    }
                    let resting = Resting {
                        shell: self,
                        current,
                    };
                    let resting = session.berth.rest(resting, &toolbox.pause).await;
                    (self, current) = (resting.shell, resting.current);
                }
            }
        };
        // What it left running lives on until the session is deleted.
        self.child.release();
        session.ended.send_replace(Some(exit));
        jobs.close();
        while let Some(job) = jobs.recv().await {
            let words = b"the session ended before this command could run\n";
            job.process.log.push(Stream::Error, words);
            job.process.finish(End::now(Exit::Code(-1)));
        }
        exit
    }

    async fn next(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Step {
        tokio::select! {
            // All may be dropped: a oneshot and a channel keep what they have.
            biased;
            exit = &mut self.child.exit => Step::Ended(exit.unwrap_or(Exit::Code(-1))),
            () = self.toolbox.pause.begun() => Step::Pause,
            job = jobs.recv() => job.map_or(Step::Ended(Exit::Code(-1)), Step::Job),
        }
    }

    /// Tells the shell to run a command; nothing when it cannot be prepared.
    async fn begin(&mut self, job: Job) -> Option<Current> {
        let process = job.process;
        process.set_tree(self.child.pid.as_raw_nonzero().get(), self.tree());
        let (script, takes_input) = (process.command.clone(), job.input.is_some());
        let scratch = spawn_blocking(move || Scratch::create(&script, takes_input)).await;
        let mut scratch = match scratch.map_err(std::io::Error::other).flatten() {
            Ok(scratch) => scratch,
            Err(error) => {
                let words = format!("prepare the command: {error}\n");
                process.log.push(Stream::Error, words.as_bytes());
                process.finish(End::now(Exit::Code(-1)));
                return None;
            }
        };
        let readers = self.open(&mut scratch, &process, job.input);
        let oom_kills = self.toolbox.memory.oom_kills();
        let order = format!("{}\n", scratch.path().display());
        // A shell that is gone cannot be told; its exit says so next.
        let _gone = self.orders.write_all(order.as_bytes()).await;
        Some(Current {
            process,
            scratch: scratch.path().to_owned(),
            writers: scratch.writers,
            readers,
            oom_kills,
        })
    }

    async fn conclude(
        &mut self,
        command: Current,
        exit: Exit,
        shell: Option<Exit>,
        ended: &watch::Sender<Option<Exit>>,
    ) {
        drop(command.writers);
        feed::last_words(command.readers).await;
        if shell.is_some() {
            // Known before the command is seen to have ended, or the next would be taken.
            ended.send_replace(shell);
        }
        command.process.finish(End {
            out_of_memory: exit.code() == KILLED_CODE
                && self.toolbox.memory.oom_kills() > command.oom_kills,
            ..End::now(exit)
        });
        let path = command.scratch;
        self.removal = Some(spawn_blocking(move || scratch::remove(&path)));
    }

    fn open(
        &self,
        scratch: &mut Scratch,
        process: &Arc<Process>,
        input: Option<Arc<Input>>,
    ) -> Vec<Reader> {
        let pipes = &mut scratch.pipes;
        let mut readers = Vec::new();
        for (pipe, stream) in [
            (pipes.output.take(), Stream::Output),
            (pipes.errors.take(), Stream::Error),
        ] {
            let pipe = pipe.and_then(|fd: OwnedFd| pipe::Receiver::from_owned_fd(fd).ok());
            readers.extend(pipe.map(|pipe| feed::capture(&self.toolbox, process, pipe, stream)));
        }
        let pipe = pipes.input.take();
        let pipe = pipe.and_then(|fd| pipe::Sender::from_owned_fd(fd).ok());
        if let (Some(pipe), Some(input)) = (pipe, input) {
            let feed = Feed {
                process: Arc::clone(process),
                input,
                pipe,
                // Closed no sooner: the shell may not have opened its end yet.
                lingers: true,
            };
            feed::feed(&self.toolbox, feed);
        }
        readers
    }

    /// How the command ended, and the shell if it did as well.
    async fn outcome(&mut self, process: &Process) -> Step {
        tokio::select! {
            // An answer that was given before the shell ended counts. `next` keeps what it read.
            biased;
            code = self.answers.next(process) => Step::Done(Exit::Code(code), None),
            exit = &mut self.child.exit => {
                let exit = exit.unwrap_or(Exit::Code(-1));
                match self.answers.rest(process) {
                    Some(code) => Step::Done(Exit::Code(code), Some(exit)),
                    None => Step::Done(exit, Some(exit)),
                }
            }
            () = self.toolbox.pause.begun() => Step::Pause,
        }
    }
}

/// What comes from the shell itself.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) pipe: pipe::Receiver,
    pub(super) said: Said,
}

impl Answers {
    pub(super) const fn new(pipe: pipe::Receiver, said: Said) -> Self {
        Self { pipe, said }
    }

    /// The next exit code. Pending once the shell is gone: its exit is seen elsewhere. Safe to
    /// drop at any await.
    async fn next(&mut self, process: &Process) -> i32 {
        loop {
            let words = |words: &[u8]| process.log.push(Stream::Output, words);
            if let Some(code) = self.said.take(words) {
                return code;
            }
            if self.pipe.readable().await.is_err() || self.read() == Some(0) {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What the shell said last.
    fn rest(&mut self, process: &Process) -> Option<i32> {
        let mut words = |words: &[u8]| process.log.push(Stream::Output, words);
        for _ in 0..LAST_READS_MAX {
            if self.read().is_none_or(|length| length == 0) {
                break;
            }
        }
        let code = self.said.take(&mut words);
        self.said.rest(words);
        code
    }

    fn read(&mut self) -> Option<usize> {
        let mut buffer = [0; READ_BYTES];
        let length = self.pipe.try_read(&mut buffer).ok()?;
        self.said.hear(&buffer[..length]);
        Some(length)
    }
}

/// Answers, and among them the words of traps and of failed redirections, which belong to the
/// command that ran.
#[derive(Debug)]
pub(super) struct Said {
    /// An answer begins with it.
    pub(super) token: Vec<u8>,
    pub(super) unread: Vec<u8>,
}

impl Said {
    pub(super) fn new(token: &str) -> Self {
        Self {
            token: format!("{token} ").into_bytes(),
            unread: Vec::new(),
        }
    }

    pub(super) fn hear(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// An exit code if one was said, after everything before it went to `words`.
    pub(super) fn take(&mut self, mut words: impl FnMut(&[u8])) -> Option<i32> {
        loop {
            let Some(start) = memchr::memmem::find(&self.unread, &self.token) else {
                // Enough is held back to recognize an answer that has only begun.
                let length = self.unread.len().saturating_sub(ANSWER_BYTES_MAX);
                self.pass_on(length, &mut words);
                return None;
            };
            let after = start + self.token.len();
            let answer = &self.unread[after..];
            let answer = &answer[..answer.len().min(ANSWER_BYTES_MAX)];
            let Some(length) = memchr::memchr(b'\n', answer) else {
                // A program may find out the token and say it without an end.
                let is_answer = answer.len() < ANSWER_BYTES_MAX;
                self.pass_on(if is_answer { start } else { after }, &mut words);
                if is_answer {
                    return None;
                }
                continue;
            };
            let code = std::str::from_utf8(&answer[..length]).ok();
            let code = code.and_then(|text| text.parse().ok()).unwrap_or(-1);
            self.pass_on(start, &mut words);
            self.unread.drain(..self.token.len() + length + 1);
            return Some(code);
        }
    }

    /// Whatever is left was no answer.
    pub(super) fn rest(&mut self, words: impl FnMut(&[u8])) {
        self.pass_on(self.unread.len(), words);
    }

    fn pass_on(&mut self, length: usize, mut words: impl FnMut(&[u8])) {
        words(&self.unread[..length]);
        self.unread.drain(..length);
    }

    #[cfg(any(test, fuzzing))]
    pub(super) fn held_bytes(&self) -> usize {
        self.unread.len()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::process::{Command, Stdio};

    use super::*;

    /// What a shell says on standard output when told to run these, and what they have printed.
    fn run(shell: &str, is_bash: bool, commands: &[&str]) -> (String, String) {
        let mut child = Command::new(shell)
            .args(["-c", &script(is_bash, "token")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut orders = child.stdin.take().unwrap();
        let root = std::env::temp_dir().join(format!("sebring-test-{}", random_hex()));
        let mut paths = Vec::new();
        for (number, command) in commands.iter().enumerate() {
            let path = root.join(number.to_string());
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("script"), command).unwrap();
            symlink("/dev/null", path.join("in")).unwrap();
            std::io::Write::write_all(&mut orders, format!("{}\n", path.display()).as_bytes())
                .unwrap();
            paths.push(path);
        }
        drop(orders);
        let said = child.wait_with_output().unwrap().stdout;
        let read = |path: &std::path::PathBuf| fs::read_to_string(path.join("out")).unwrap();
        let printed = paths.iter().map(read).collect();
        fs::remove_dir_all(root).unwrap();
        (String::from_utf8(said).unwrap(), printed)
    }

    #[test]
    fn both_kinds_of_shell_survive_the_same_commands() {
        let commands = [
            "A='kept'; PATH=/nowhere",
            "if then",
            "break",
            "echo \"$A\" ${SEBRING-unset} # the end",
            "(exit 42)",
            "cat << X",
        ];
        for (shell, is_bash) in [("/bin/bash", true), ("/bin/sh", false)] {
            let (said, printed) = run(shell, is_bash, &commands);
            let codes: Vec<&str> = said.lines().collect();
            let expected = ["0", "2", "0", "0", "42", "127"].map(|code| format!("token {code}"));
            assert_eq!(codes, expected, "{shell}");
            assert_eq!(printed, "kept unset\n", "{shell}");
        }
    }
}
