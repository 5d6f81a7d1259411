//! Runs the steps of a recipe as child processes, with progress and readable failures.
//!
//! Must not: leave a mount or a process behind; every step has namespaces of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use super::mirror::Mirror;
use super::{INSIDE, LEFT_OUT, OUTSIDE, PACKAGES, Places};

/// Where Debian and Ubuntu keep the concatenated roots that they trust.
pub(super) const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Where an operator puts roots of their own.
const OWN_AUTHORITIES: &str = "/usr/local/share/ca-certificates";
/// A layer on top of another takes a minute or two; a mirror this slow will not get better.
pub(crate) const LAYER_SECONDS_MAX: u32 = 20 * 60;
/// Lines of output kept to explain a failure.
const KEPT_LINES: usize = 30;
/// Settings of the host's package clients that a build must follow to reach the network at all.
const PASSED_ON: [&str; 12] = [
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "npm_config_registry",
    "NPM_CONFIG_REGISTRY",
];

/// How far a build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// What is happening, for people.
    pub doing: String,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "cannot build the default snapshot on distribution {id:?}: only debian and ubuntu are known"
    )]
    UnknownDistribution { id: String },
    #[error("start {program}")]
    Start {
        program: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("{step} failed ({status}); the end of its output:\n{output}")]
    Step {
        step: &'static str,
        status: ExitStatus,
        output: String,
    },
    #[error(
        "{step} did not finish within {seconds} s, or was killed; the end of its output:\n{output}"
    )]
    Late {
        step: &'static str,
        seconds: u32,
        output: String,
    },
    #[error("prepare {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Distribution packages into the empty directory `root`.
pub(super) fn bootstrap(
    mirror: &Mirror,
    root: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let mut command = apart();
    command.args(["--mount-proc", "mmdebstrap", "--mode=root"]);
    command.args(["--variant=minbase", "--skip=check/empty"]);
    command.arg("--aptopt=Acquire::Languages \"none\"");
    command.args(LEFT_OUT.map(|path| format!("--dpkgopt=path-exclude={path}")));
    command.arg(format!("--include={PACKAGES}"));
    command.arg(&mirror.suite).arg(root).args(&mirror.sources);
    let mut percent = 1;
    run("mmdebstrap", command, "", &mut |line| {
        let Some(doing) = line.strip_prefix("I: ") else {
            return;
        };
        percent = bootstrap_percent(doing).unwrap_or(percent);
        progress(Progress {
            percent,
            doing: doing.to_owned(),
        });
    })
}

/// Share of the whole build that is over when mmdebstrap announces a step; measured once.
fn bootstrap_percent(doing: &str) -> Option<u8> {
    let known = [
        ("running apt-get update", 3),
        ("downloading packages", 8),
        ("extracting archives", 25),
        ("installing essential", 32),
        ("installing remaining", 42),
        ("cleaning package lists", 72),
    ];
    known
        .iter()
        .find(|(start, _)| doing.starts_with(start))
        .map(|(_, percent)| *percent)
}

/// What the distribution does not package, the user, and cleaning up.
pub(super) fn finish(root: &Path, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
    let mut command = apart();
    command
        .args(["sh", "-c", OUTSIDE, "sh"])
        .arg(root)
        .arg(bundle());
    as_client(&mut command);
    steps(command, INSIDE, (74, 6), progress)
}

/// A layer on top of a finished one.
pub(super) fn on_top(
    outside: &str,
    inside: &str,
    places: &Places<'_>,
    packages: &str,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    let mut command = within(LAYER_SECONDS_MAX);
    command
        .args(["sh", "-c", outside, "sh"])
        .arg(places.layers)
        .args([places.below, places.new, places.work, places.root])
        .arg(bundle());
    as_client(&mut command);
    command.env("PACKAGES", packages);
    in_time(steps(command, inside, (5, 18), progress), LAYER_SECONDS_MAX)
}

/// As [`apart`], with a deadline. `timeout` is what we start, so it is bound to us as well.
fn within(seconds: u32) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "timeout", "--kill-after=5"]);
    let apart = apart();
    command.arg(seconds.to_string()).arg(apart.get_program());
    command.args(apart.get_args());
    command
}

/// What `timeout` says when the time was over.
fn in_time(outcome: Result<(), Error>, seconds: u32) -> Result<(), Error> {
    match outcome {
        Err(Error::Step {
            step,
            status,
            output,
        }) if matches!(status.code(), Some(124 | 137)) || status.signal() == Some(9) => {
            Err(Error::Late {
                step,
                seconds,
                output,
            })
        }
        other => other,
    }
}

fn bundle() -> &'static str {
    if Path::new(CA_BUNDLE).exists() {
        CA_BUNDLE
    } else {
        ""
    }
}

/// Nothing of our environment but what package clients need.
fn as_client(command: &mut Command) {
    command.env_clear().env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    for name in ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT"] {
        command.env(name, CA_BUNDLE);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "handed on to package clients, not interpreted"
    )]
    for name in PASSED_ON {
        if let Ok(value) = std::env::var(name) {
            command.env(name, value);
        }
    }
}

/// Runs a script inside; each step it announces is so many percent further.
fn steps(
    command: Command,
    inside: &str,
    (mut percent, each): (u8, u8),
    progress: &mut dyn FnMut(Progress),
) -> Result<(), Error> {
    run(
        "the set-up inside the new root",
        command,
        inside,
        &mut |line| {
            if let Some(doing) = line.strip_prefix("sebring-step: ") {
                progress(Progress {
                    percent,
                    doing: doing.to_owned(),
                });
                percent = (percent + each).min(99);
            }
        },
    )
}

/// Roots that the operator added to this host are trusted in its sandboxes too.
pub(super) fn trust_host_authorities(root: &Path) -> Result<(), Error> {
    let to = root.join(&OWN_AUTHORITIES[1..]);
    let mut any = false;
    for from in own_authorities() {
        let Some(name) = from.file_name() else {
            continue;
        };
        let target = to.join(name);
        std::fs::create_dir_all(&to)
            .and_then(|()| std::fs::copy(&from, &target))
            .map_err(|source| Error::File {
                path: target.clone(),
                source,
            })?;
        any = true;
    }
    if !any {
        return Ok(());
    }
    let mut command = Command::new("chroot");
    command.arg(root).arg("update-ca-certificates");
    run("update-ca-certificates", command, "", &mut |_| {})
}

pub(super) fn host_has_own_authorities() -> bool {
    !own_authorities().is_empty()
}

fn own_authorities() -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(OWN_AUTHORITIES) else {
        return Vec::new();
    };
    let is_certificate = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "crt");
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_certificate)
        .collect()
}

/// A step's program goes behind this: its mounts are its own, and all it started ends with it and
/// with the thread that started it. A build that is cut off must not go on behind the next one.
fn apart() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    command.args(["unshare", "--pid", "--fork", "--kill-child"]);
    command.args(["--mount", "--propagation", "private"]);
    command
}

/// Runs one step, feeds it `input`, and shows each line it prints to `on_line`.
fn run(
    step: &'static str,
    mut command: Command,
    input: &str,
    on_line: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let start = |source| Error::Start {
        program: step,
        source,
    };
    // One pipe for both streams keeps their order.
    let (reader, writer) = std::io::pipe().map_err(start)?;
    command
        .stdout(writer.try_clone().map_err(start)?)
        .stderr(writer)
        .stdin(Stdio::piped());
    let mut child = command.spawn().map_err(start)?;
    // Our copies of the write end live in `command`; the pipe ends with the child only without them.
    drop(command);
    if let Some(mut stdin) = child.stdin.take() {
        // A step that dies early closes its end; its exit status says more than our EPIPE.
        drop(stdin.write_all(input.as_bytes()));
    }
    let mut kept = VecDeque::with_capacity(KEPT_LINES);
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        on_line(&line);
        if kept.len() == KEPT_LINES {
            kept.pop_front();
        }
        kept.push_back(line);
    }
    let status = child.wait().map_err(start)?;
    if status.success() {
        return Ok(());
    }
    let output = Vec::from(kept).join("\n");
    Err(Error::Step {
        step,
        status,
        output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_tells_the_end_of_its_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo why >&2; exit 3"]);
        let failure = run("a step", command, "", &mut |_| {})
            .unwrap_err()
            .to_string();
        assert!(
            failure.contains("exit status: 3") && failure.contains("first\nwhy"),
            "{failure}"
        );
    }

    #[test]
    fn a_step_ends_with_who_started_it_and_takes_its_children_along() {
        for command in [apart(), within(900)] {
            ends_with_its_starter(command);
        }
    }

    fn ends_with_its_starter(mut command: Command) {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let starter = std::thread::spawn(move || {
            command.args(["sh", "-c", "setsid sleep 1000 & echo begun; sleep 1000"]);
            let mut child = command
                .stdout(Stdio::piped())
                .stderr(writer)
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap())
                .read_line(&mut line)
                .unwrap();
            assert_eq!(line, "begun\n");
            child
        });
        let mut child = starter.join().unwrap();
        assert!(!child.wait().unwrap().success());
        // The last process with the writing end has ended too, or this would wait for ever.
        std::io::Read::read_to_end(&mut reader, &mut Vec::new()).unwrap();
    }

    #[test]
    fn a_step_that_takes_too_long_is_ended_and_says_so() {
        let mut command = within(1);
        command.args(["sh", "-c", "echo begun; sleep 1000"]);
        let outcome = in_time(run("a step", command, "", &mut |_| {}), 1);
        let failure = outcome.unwrap_err().to_string();
        assert!(
            failure.contains("within 1 s") && failure.contains("begun"),
            "{failure}"
        );
    }

    #[test]
    fn a_step_that_ignores_its_input_still_succeeds() {
        let big = "x".repeat(1 << 20);
        run("true", Command::new("true"), &big, &mut |_| {}).unwrap();
    }
}
