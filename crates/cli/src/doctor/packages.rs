//! The distribution's packages that a host needs, and how to get them.
//!
//! Must not: install anything without consent; see `ensure_packages`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::{Finding, Verdict};
use crate::output;

/// Program that must be there, and the Debian and Ubuntu package that brings it.
const NEEDED: [(&str, &str); 5] = [
    ("mkfs.btrfs", "btrfs-progs"),
    ("mmdebstrap", "mmdebstrap"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
    ("useradd", "passwd"),
];
const FOLDERS: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Whether installing may go ahead without asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes`, or nobody there to ask.
    Given,
    Ask,
}

fn missing() -> Vec<&'static str> {
    NEEDED
        .into_iter()
        .filter(|(program, _)| {
            !FOLDERS
                .iter()
                .any(|dir| Path::new(dir).join(program).exists())
        })
        .map(|(_, package)| package)
        .collect()
}

pub(super) fn finding() -> Finding {
    let missing = missing();
    if missing.is_empty() {
        let found = "all installed".to_owned();
        return Finding {
            check: "packages",
            verdict: Verdict::Good,
            found,
            fix: String::new(),
        };
    }
    Finding {
        check: "packages",
        verdict: Verdict::Missing,
        found: format!("not installed: {}", missing.join(" ")),
        fix: format!(
            "apt-get install {} (`sebring up` does it)",
            missing.join(" ")
        ),
    }
}

/// Installs what is missing, with consent.
///
/// # Errors
/// When consent is refused or the package manager fails; its output was shown.
pub(crate) fn ensure_packages(consent: Consent) -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    output::note(format!("This host lacks: {}", missing.join(" ")));
    if consent == Consent::Ask && !output::confirm("Install with apt-get?") {
        bail!("not installed; run: apt-get install {}", missing.join(" "));
    }
    apt_get(&["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(&missing);
    apt_get(&install)
}

fn apt_get(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("start apt-get; only Debian and Ubuntu hosts are known")?;
    if !status.success() {
        bail!("apt-get {} failed: {status}", arguments.join(" "));
    }
    Ok(())
}
