//! Running other programs, and telling people what is going on.
//!
//! Must not: hide output; what a command prints is shown as it comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let manifest = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("xtask is a folder of the workspace")
        .to_owned()
}

/// Folder for what is slow to make and cheap to keep; git ignores it.
pub(crate) fn cache() -> PathBuf {
    root().join(".cache/conformance")
}

/// A line for whoever reads the output. A closed pipe is their choice.
pub(crate) fn line(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// A line about progress or trouble.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Announces a step, does it, and says how long it took.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    line(&format!("==> {name}"));
    let began = Instant::now();
    let done = work();
    let verdict = if done.is_ok() { "done" } else { "FAILED" };
    line(&format!(
        "<== {name}: {verdict} in {:.1} s",
        began.elapsed().as_secs_f64()
    ));
    done
}

/// A command in the root of the repository, without standard input.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    command
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs to the end; any exit code but zero is an error that names the command.
pub(crate) fn check(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("start {}", name(command)))?;
    if !status.success() {
        bail!("{} ended with {status}", name(command));
    }
    Ok(())
}

/// What a command prints, when it succeeds.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {}", name(command)))?;
    if !output.status.success() {
        bail!("{} ended with {}", name(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("output of {}", name(command)))
}

/// Runs to the end, showing standard output and handing each line to `see`; true for success.
/// What is still running after `limit` is killed, with what it started: a hang is an answer too.
pub(crate) fn watch(
    command: &mut Command,
    limit: Duration,
    mut see: impl FnMut(&str),
) -> anyhow::Result<bool> {
    let mut child = command
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .with_context(|| format!("start {}", name(command)))?;
    let lines = lines(child.stdout.take().expect("standard output was asked for"));
    let deadline = Instant::now() + limit;
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(text) => {
                line(&text);
                see(&text);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                note(&format!(
                    "still running after {limit:?}, killed: {}",
                    name(command)
                ));
                let group = format!("-{}", child.id());
                drop(self::command("kill").args(["-KILL", "--", &group]).status());
                break;
            }
        }
    }
    Ok(child
        .wait()
        .with_context(|| format!("wait for {}", name(command)))?
        .success())
}

/// The lines of a stream as they come. Reads to the end, whatever the receiver does, so that the
/// writer never meets a full or closed pipe.
pub(crate) fn lines(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for text in BufReader::new(stream).lines().map_while(Result::ok) {
            drop(sender.send(text));
        }
    });
    receiver
}

fn name(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_seen_and_the_exit_code_is_told() {
        let mut seen = Vec::new();
        let mut shell = command("sh");
        shell.args(["-c", "echo one; echo two; exit 3"]);
        let success = watch(&mut shell, Duration::from_secs(60), |line| {
            seen.push(line.to_owned());
        });
        assert!(!success.unwrap());
        assert_eq!(seen, ["one", "two"]);
    }

    #[test]
    fn a_hang_is_killed_with_its_children() {
        let mut shell = command("sh");
        shell.args(["-c", "sleep 1000 & sleep 1000"]);
        assert!(!watch(&mut shell, Duration::from_millis(50), |_| ()).unwrap());
    }
}
