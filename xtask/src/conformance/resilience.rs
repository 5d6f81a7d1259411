//! The suite that kills our processes, fills disks and misbehaves, on an installation of its own.
//!
//! It starts and stops the server by itself, so it shares nothing with the suites that drive the
//! published SDKs but the packages. Must not: run beside them; its figures would mean nothing.

use std::time::Duration;

use anyhow::Context;

use super::environments::{Python, suite};
use super::results::{self, Outcome};
use super::{report, server};
use crate::run;
use crate::tally::Tally;

/// A run takes less than five minutes once the default snapshot is there.
const LIMIT: Duration = Duration::from_secs(25 * 60);
const PACKAGES: Python = Python {
    requirements: "newest",
};

/// `pytest` are arguments for it, such as the name of a file.
pub(crate) fn run(pytest: &[String]) -> anyhow::Result<Tally> {
    PACKAGES.prepare()?;
    let binary = run::step("build the server", server::build)?;
    let log = run::cache().join("results/resilience.jsonl");
    drop(std::fs::remove_file(&log));
    let mut command = PACKAGES.pytest()?;
    command
        .current_dir(suite("resilience"))
        .env("SEBRING_BINARY", binary)
        .env("SEBRING_DATA_DIR", server::data_dir("resilience"))
        .args(["-q", "--tb=short", "--show-capture=no", "--results"])
        .arg(&log)
        .args(pytest);
    let success = run::watch(&mut command, LIMIT, |_| ()).context("run the resilience suite")?;
    let mut outcomes = results::read(&log)?;
    if !success && !outcomes.iter().any(Outcome::failed) {
        outcomes.push(Outcome::suite_failure("resilience"));
    }
    report(&outcomes);
    Ok(results::tally(&outcomes))
}
