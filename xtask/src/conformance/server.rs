//! The server under test: started as the README says, stopped whatever happens.
//!
//! Its data folder is kept between runs, because the default snapshot takes a minute to build.
//! Must not: know more of the server than its command line.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::run;

/// A first start builds the default snapshot from the package mirror.
const READY_WITHIN: Duration = Duration::from_secs(15 * 60);

/// The two variables that every published client reads.
const VARIABLES: [&str; 2] = ["DAYTONA_API_URL", "DAYTONA_API_KEY"];

/// Size of the disk pool in GiB; it is sparse, and suites use little of it.
const POOL_GIB: &str = "20";

/// Lines of the log that are shown when the server does not start.
const LOG_TAIL_LINES: usize = 60;

#[derive(Debug)]
pub(super) struct Server {
    variables: BTreeMap<&'static str, String>,
    own: Option<Own>,
}

/// A server that this program started.
#[derive(Debug)]
struct Own {
    child: Child,
    binary: PathBuf,
    data_dir: PathBuf,
}

impl Server {
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        let mut variables = BTreeMap::new();
        for name in VARIABLES {
            let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
            variables.insert(
                name,
                value.with_context(|| format!("--server needs {name}"))?,
            );
        }
        Ok(Self {
            variables,
            own: None,
        })
    }

    pub(super) fn start() -> anyhow::Result<Self> {
        let binary = run::step("build the server", build)?;
        run::step("start the server", || {
            let data_dir = data_dir("conformance");
            let log = run::cache().join("server.log");
            fs::create_dir_all(run::cache()).context("make the cache")?;
            let stderr = File::create(&log).with_context(|| format!("make {}", log.display()))?;
            // What a killed run left behind goes first; without one this changes nothing.
            drop(
                down(&binary, &data_dir)
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status(),
            );
            run::line(&format!(
                "data in {}, log in {}",
                data_dir.display(),
                log.display()
            ));
            let mut up = run::command(&binary);
            up.arg("up").arg("--data-dir").arg(&data_dir);
            up.args(["--listen", "127.0.0.1:0", "--yes", "--pool-gib", POOL_GIB]);
            let child = up
                .stdout(Stdio::piped())
                .stderr(stderr)
                .spawn()
                .context("start sebring")?;
            let mut own = Own {
                child,
                binary,
                data_dir,
            };
            match own.read_variables() {
                Ok(variables) => Ok(Self {
                    variables,
                    own: Some(own),
                }),
                Err(error) => {
                    run::note(&tail(&log));
                    Err(error)
                }
            }
        })
    }

    /// Lets a command reach this server as any client would.
    pub(super) fn tell(&self, command: &mut Command) {
        command.envs(&self.variables);
        // Neither proxies nor settings of the caller may come between.
        for name in [
            "http_proxy",
            "https_proxy",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "all_proxy",
            "ALL_PROXY",
        ] {
            command.env_remove(name);
        }
    }

    /// Stops the server and everything that it set up; a server that was there before stays.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        match self.own.take() {
            None => Ok(()),
            Some(mut own) => run::step("stop the server", || own.stop()),
        }
    }
}

impl Own {
    /// Reads the export lines that `sebring up` prints once it answers.
    fn read_variables(&mut self) -> anyhow::Result<BTreeMap<&'static str, String>> {
        let stdout = self
            .child
            .stdout
            .take()
            .expect("standard output was asked for");
        let lines = run::lines(stdout);
        let deadline = Instant::now() + READY_WITHIN;
        let mut variables = BTreeMap::new();
        while variables.len() < VARIABLES.len() {
            let left = deadline.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left) {
                Ok(line) => variables.extend(exported(&line)),
                Err(mpsc::RecvTimeoutError::Timeout) => bail!("not ready within {READY_WITHIN:?}"),
                Err(mpsc::RecvTimeoutError::Disconnected) => bail!("sebring up ended early"),
            }
        }
        Ok(variables)
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        run::check(&mut down(&self.binary, &self.data_dir))?;
        self.child.wait().context("wait for the server")?;
        let left = mounts_below(&self.data_dir)?;
        if !left.is_empty() {
            bail!("left mounted after `sebring down`: {}", left.join(" "));
        }
        Ok(())
    }
}

impl Drop for Own {
    /// The net for failed runs; after `stop` there is nothing left to do.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        drop(down(&self.binary, &self.data_dir).status());
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

pub(super) fn build() -> anyhow::Result<PathBuf> {
    let mut cargo = run::cargo();
    run::check(cargo.args(["build", "--release", "--locked", "--package", "sebring-cli"]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| run::root().join("target"), PathBuf::from);
    Ok(target.join("release/sebring"))
}

/// Outside the checkout: the server's unprivileged user must be able to reach it, and a home
/// folder is often closed. One folder per checkout, so that two never meet.
pub(super) fn data_dir(suite: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    run::root().hash(&mut hasher);
    PathBuf::from(format!(
        "/var/cache/sebring-{suite}/{:016x}",
        hasher.finish()
    ))
}

fn down(binary: &Path, data_dir: &Path) -> Command {
    let mut down = run::command(binary);
    down.arg("down").arg("--data-dir").arg(data_dir);
    down
}

/// `export NAME='value'`, when it is one of ours.
fn exported(line: &str) -> Option<(&'static str, String)> {
    let (name, value) = line.trim().strip_prefix("export ")?.split_once('=')?;
    let name = VARIABLES.into_iter().find(|known| *known == name)?;
    Some((name, value.trim_matches(['\'', '"']).to_owned()))
}

fn mounts_below(folder: &Path) -> anyhow::Result<Vec<String>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("read the mount table")?;
    let targets = text.lines().filter_map(|line| line.split(' ').nth(4));
    let below = targets.filter(|target| Path::new(target).starts_with(folder));
    Ok(below.map(str::to_owned).collect())
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn export_lines_are_read_with_and_without_quotes() {
        let url = || Some(("DAYTONA_API_URL", "http://127.0.0.1:1/api".to_owned()));
        assert_eq!(
            exported("export DAYTONA_API_URL='http://127.0.0.1:1/api'"),
            url()
        );
        assert_eq!(
            exported("  export DAYTONA_API_URL=http://127.0.0.1:1/api"),
            url()
        );
        assert_eq!(exported("export PATH=/bin"), None);
        assert_eq!(exported("Ready."), None);
    }
}
