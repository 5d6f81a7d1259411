//! `sebring down`: the opposite of `up`, whatever state things are in.
//!
//! Must not: lose anything: disks, snapshots, keys and the database stay.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::config::Location;
use crate::{output, roles, up};

/// Longer than the supervisor allows its two roles together.
const SUPERVISOR_STOPS_WITHIN: Duration = Duration::from_secs(25);

/// Stop the server and every sandbox, and take back what it set up on the host
#[derive(Debug, Args)]
#[command(after_help = "Nothing stored is lost: `sebring up` finds every sandbox again, stopped.")]
pub(crate) struct Down {
    #[command(flatten)]
    location: Location,
    /// Leave running sandboxes running, and what they need on the host
    #[arg(long)]
    keep_sandboxes: bool,
}

impl Down {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let layout = self.location.find()?;
        match up::holder(&layout)? {
            Some(pid) => {
                up::stop(pid, SUPERVISOR_STOPS_WITHIN)?;
                output::note(format!("Stopped the server (process {pid})."));
            }
            None => output::note("No server was running."),
        }
        drop(std::fs::remove_file(layout.endpoint_file()));
        if !self.keep_sandboxes {
            let config = roles::runner_config(&layout)?;
            roles::runtime()?
                .block_on(sebring_runner::teardown(config))
                .context("take back what the host was given")?;
            output::note("Stopped every sandbox and removed its network, limits and mounts.");
        }
        Ok(ExitCode::SUCCESS)
    }
}
