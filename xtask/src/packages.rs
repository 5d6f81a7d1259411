//! What the tests need from the distribution: checked first, installed when missing, checked again.
//!
//! Nothing is silently missing: a tool that is still absent after the installation is an error
//! here, not a skipped test later. Must not: touch a host that already has everything.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, bail};

use crate::run;

/// A program (or a Python module, written `python:NAME`, or a path) and the Debian package that has
/// it.
pub(crate) type Need = (&'static str, &'static str);

/// What `cargo xtask test` needs.
const NEEDED: [Need; 23] = [
    ("cc", "gcc"),
    ("git", "git"),
    ("ip", "iproute2"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("mmdebstrap", "mmdebstrap"),
    ("nft", "nftables"),
    ("busybox", "busybox-static"),
    ("runc", "runc"),
    ("unshare", "util-linux"),
    ("useradd", "passwd"),
    ("python3", "python3"),
    ("python:ensurepip", "python3-venv"),
    ("Xvfb", "xvfb"),
    ("openbox", "openbox"),
    ("x11vnc", "x11vnc"),
    ("websockify", "websockify"),
    ("ffmpeg", "ffmpeg"),
    ("xterm", "xterm"),
    ("/usr/bin/chromium", "chromium"),
    ("dbus-daemon", "dbus"),
    ("/usr/libexec/at-spi-bus-launcher", "at-spi2-core"),
    ("/usr/lib/python3/dist-packages/gi", "python3-gi"),
    // Itself, it is in a folder named after the processor.
    ("/usr/share/doc/gir1.2-gtk-3.0", "gir1.2-gtk-3.0"),
];

/// Where administration tools are, whatever the caller's PATH says.
const EXTRA_PATH: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

pub(crate) fn ensure() -> anyhow::Result<()> {
    ensure_these(&NEEDED)
}

pub(crate) fn ensure_these(needed: &[Need]) -> anyhow::Result<()> {
    let missing = missing(needed);
    if missing.is_empty() {
        return Ok(());
    }
    run::note(&format!("installing {}", missing.join(" ")));
    install(&missing).with_context(|| {
        format!(
            "install by hand and run again: apt-get install {}",
            missing.join(" ")
        )
    })?;
    let still = self::missing(needed);
    if !still.is_empty() {
        bail!("still missing after the installation: {}", still.join(" "));
    }
    Ok(())
}

fn missing(needed: &[Need]) -> Vec<&'static str> {
    needed
        .iter()
        .filter(|(tool, _)| !present(tool))
        .map(|(_, package)| *package)
        .collect()
}

fn present(tool: &str) -> bool {
    if let Some(module) = tool.strip_prefix("python:") {
        let mut python = run::command("python3");
        python
            .args(["-c", &format!("import {module}")])
            .stderr(Stdio::null());
        return python.status().is_ok_and(|status| status.success());
    }
    if Path::new(tool).is_absolute() {
        return Path::new(tool).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(EXTRA_PATH.iter().map(Into::into))
        .any(|folder| is_program(&folder.join(tool)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    let apt = || {
        let mut apt = run::command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    run::check(apt().args(["update", "-q"]))?;
    run::check(
        apt()
            .args(["install", "-q", "-y", "--no-install-recommends"])
            .args(packages),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_present_tool_is_found_and_an_absent_one_is_not() {
        assert!(present("sh"));
        assert!(present("/bin/sh") && !present("/no/such/file"));
        assert!(!present("no-such-tool-anywhere"));
        assert!(!present("python:no_such_module_anywhere"));
    }
}
