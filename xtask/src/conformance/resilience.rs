//! The suite that kills our processes, fills disks and misbehaves, on an installation of its own.
//!
//! It starts and stops the server by itself, so it shares nothing with the suites that drive the
//! published SDKs but the packages. Must not: run beside them; its figures would mean nothing.

use std::time::Duration;

use anyhow::{Context, bail};

use super::environments::{Python, suite};
use super::results::{self, Outcome};
use super::{report, server};
use crate::run;
use crate::tally::Tally;

/// A run takes less than eight minutes once the default snapshot is there.
const LIMIT: Duration = Duration::from_secs(25 * 60);
const PACKAGES: Python = Python {
    requirements: "newest",
};

/// Sessions under everything that programs do, and what they cost.
const TORTURE: [&str; 2] = ["test_torture.py", "test_torture_figures.py"];
const TORTURE_MINUTES: u32 = 30;

/// `pytest` are arguments for it, such as the name of a file.
pub(crate) fn run(pytest: &[String]) -> anyhow::Result<Tally> {
    run_for(pytest, LIMIT)
}

/// A part of it for as long as one likes: `--minutes N`.
pub(crate) fn torture(args: &[String]) -> anyhow::Result<Tally> {
    let minutes = match args {
        [] => TORTURE_MINUTES,
        [name, value] if name == "--minutes" => {
            value.parse().context("--minutes needs a number")?
        }
        _ => bail!("torture takes only --minutes N"),
    };
    let minutes_text = minutes.to_string();
    let pytest = TORTURE.into_iter().chain(["--minutes", &minutes_text]);
    let pytest: Vec<String> = pytest.map(str::to_owned).collect();
    run_for(
        &pytest,
        LIMIT + Duration::from_secs(u64::from(minutes) * 60),
    )
}

fn run_for(pytest: &[String], limit: Duration) -> anyhow::Result<Tally> {
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
    let success = run::watch(&mut command, limit, |_| ()).context("run the resilience suite")?;
    let mut outcomes = results::read(&log)?;
    if !success && !outcomes.iter().any(Outcome::failed) {
        outcomes.push(Outcome::suite_failure("resilience"));
    }
    report(&outcomes);
    Ok(results::tally(&outcomes))
}
