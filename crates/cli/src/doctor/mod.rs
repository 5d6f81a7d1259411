//! `sebring doctor`: can this host run sandboxes, and if not, what exactly to do.
//!
//! Must not: change the host, except for installing packages when `install` is called.
//! Next: `checks` for each fact that is looked at, `packages` for what is installed.

mod checks;
mod packages;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::config::Location;
use crate::output;

pub(crate) use packages::{Consent, ensure_packages};

/// Check that this host can run sandboxes
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    location: Location,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) check: &'static str,
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// What to do about it; empty when nothing needs doing.
    pub(crate) fix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Good,
    /// Sandboxes run, but a promise is weaker; they report it themselves.
    Weak,
    /// No sandbox can run.
    Missing,
}

impl Doctor {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let findings = examine(&self.location.data_dir);
        if self.json {
            output::line(serde_json::to_string_pretty(&findings)?);
        } else {
            findings
                .iter()
                .for_each(|finding| output::line(finding.to_line()));
        }
        let missing = findings
            .iter()
            .any(|finding| finding.verdict == Verdict::Missing);
        Ok(if missing {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}

/// Looks at everything; never stops at the first problem.
pub(crate) fn examine(data_dir: &std::path::Path) -> Vec<Finding> {
    let existing: PathBuf = data_dir
        .ancestors()
        .find(|folder| folder.exists())
        .map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let mut findings = checks::host();
    findings.push(checks::disk_space(&existing));
    findings.push(packages::finding());
    findings
}

impl Finding {
    pub(crate) fn to_line(&self) -> String {
        let mark = match self.verdict {
            Verdict::Good => "ok     ",
            Verdict::Weak => "weak   ",
            Verdict::Missing => "MISSING",
        };
        let fix = if self.fix.is_empty() {
            String::new()
        } else {
            format!("\n          → {}", self.fix)
        };
        format!("{mark} {}: {}{fix}", self.check, self.found)
    }
}
