//! `sebring up`: from a bare host to a server that answers, in one command.
//!
//! ```text
//! packages → folders → disk pool → default snapshot → listener → supervisor ─┬─ runner ── spawner
//!                                                                            └─ server
//! ```
//!
//! Must not: serve anything itself; it prepares, starts the roles, and restarts what dies.
//! Next: `prepare` for the host, `supervise` for the processes, `demo` for the demonstration.

mod demo;
mod detach;
mod listener;
mod lock;
mod prepare;
mod supervise;

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use clap::builder::BoolishValueParser;

pub(crate) use demo::server_timing;
pub(crate) use lock::{holder, stop};

use crate::config::{Layout, Listen, Location};
use crate::doctor::Consent;
use crate::endpoint::{self, Endpoint};
use crate::env::{Shell, export_lines};
use crate::output;
use crate::roles;

/// Prepare this host and start the server
#[derive(Debug, Args)]
#[command(
    after_help = "The first start builds the default snapshot, which takes about a minute.\n\
    Stop with Ctrl-C: sandboxes keep running and the next `up` finds them again.\n\
    `sebring down` stops everything."
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch on the command line"
)]
pub(crate) struct Up {
    #[command(flatten)]
    location: Location,
    #[command(flatten)]
    listen: Listen,
    #[command(flatten)]
    host: HostChoices,
    /// Show that it works: create a sandbox, run Python in it, delete it
    #[arg(long)]
    demo: bool,
    /// Return once the server answers, and leave it running
    #[arg(long, conflicts_with = "demo")]
    detach: bool,
    /// Install missing packages without asking
    #[arg(long, short)]
    yes: bool,
    /// Start with a new database although the disk pool holds sandboxes, and delete those
    #[arg(long)]
    discard_sandboxes: bool,
    /// This process is the one that a detaching parent left behind
    #[arg(long, hide = true)]
    detached: bool,
}

/// What the host gives to sandboxes.
#[derive(Debug, Clone, Args)]
pub(crate) struct HostChoices {
    /// Size of the disk pool in GiB; it occupies only what is used [default: 80 % of the free space]
    #[arg(long, env = "SEBRING_POOL_GIB", value_name = "GIB")]
    pub(crate) pool_gib: Option<u32>,
    /// IPv4 range for sandboxes [default: the first free 10.x.0.0/16 from 10.213.0.0/16]
    #[arg(long, env = "SEBRING_NETWORK", value_name = "CIDR")]
    pub(crate) network: Option<String>,
    /// Build the snapshot `desktop` now; otherwise the first sandbox from it waits for that
    #[arg(long, env = "SEBRING_DESKTOP", value_parser = BoolishValueParser::new())]
    pub(crate) desktop: bool,
    /// Sandboxes kept started for whoever creates one next, 0 for none, at most 64
    /// [default: 2 per processor]
    #[arg(long, env = "SEBRING_WARM_POOL", value_name = "N", value_parser = roles::spares())]
    pub(crate) warm_pool: Option<usize>,
}

impl Up {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let consent = if self.yes || !output::interactive() {
            Consent::Given
        } else {
            Consent::Ask
        };
        let layout = self.location.prepare()?;
        prepare::folders(&layout)?;
        if self.detached {
            return self.serve(&layout);
        }
        prepare::host(&self.location.data_dir, consent)?;
        let lock = lock::take(&layout)?;
        prepare::snapshots(&layout, &self.host, self.discard_sandboxes)?;
        if self.detach {
            drop(lock);
            return detach::start(&layout);
        }
        self.serve_locked(&layout, lock)
    }

    fn serve(&self, layout: &Layout) -> anyhow::Result<ExitCode> {
        detach::leave_terminal();
        let lock = lock::take(layout)?;
        self.serve_locked(layout, lock)
    }

    fn serve_locked(&self, layout: &Layout, lock: lock::Lock) -> anyhow::Result<ExitCode> {
        let listener = listener::bind(self.listen.listen)?;
        let bound = listener.local_addr().context("ask for the bound address")?;
        let public_url = self.listen.public_url(bound);
        let endpoint = Endpoint {
            api_url: format!("{public_url}/api"),
            supervisor_pid: std::process::id(),
        };
        let roles = supervise::Roles {
            layout: layout.clone(),
            host: self.host.clone(),
            listener,
            public_url,
            preview_domain: self.listen.preview_domain.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the runtime")?;
        let served = runtime.block_on(self.run_roles(roles, &endpoint, layout));
        drop(std::fs::remove_file(layout.endpoint_file()));
        drop(lock);
        served
    }

    async fn run_roles(
        &self,
        roles: supervise::Roles,
        endpoint: &Endpoint,
        layout: &Layout,
    ) -> anyhow::Result<ExitCode> {
        let mut supervisor = supervise::Supervisor::start(roles).await?;
        endpoint.write(layout)?;
        let key = endpoint::admin_key(layout)?;
        for line in export_lines(Shell::Bash, &endpoint.api_url, &key) {
            output::line(line);
        }
        if self.demo {
            demo::run(&endpoint.api_url, &key)
                .await
                .context("the demonstration failed")?;
        }
        if !self.detached {
            output::note("Ready. Ctrl-C stops the server; sandboxes keep running.");
        }
        supervisor.run_until_signal().await?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn command() -> clap::Command {
        Up::augment_args(clap::Command::new("up"))
    }

    #[test]
    fn a_switch_in_the_environment_can_be_written_as_people_write_them() {
        // A value of the variable takes the same way as one on the command line would.
        let taken = command().mut_arg("desktop", |arg| arg.action(ArgAction::Set).num_args(1));
        for (value, expected) in [("1", true), ("yes", true), ("true", true), ("0", false)] {
            let matches = taken
                .clone()
                .try_get_matches_from(["up", "--desktop", value]);
            let matches = matches.unwrap_or_else(|error| panic!("{value}: {error}"));
            assert_eq!(matches.get_one("desktop"), Some(&expected), "{value}");
        }
        let refused = taken.try_get_matches_from(["up", "--desktop", "perhaps"]);
        assert!(refused.is_err());
    }

    #[test]
    fn more_spares_than_there_can_be_are_refused_with_the_limit() {
        let most = ["up", "--warm-pool", "64"];
        let matches = command().try_get_matches_from(most).unwrap();
        assert_eq!(matches.get_one("warm_pool"), Some(&64_usize));
        let more = ["up", "--warm-pool", "65"];
        let refused = command().try_get_matches_from(more).unwrap_err();
        assert!(refused.to_string().contains("0..=64"), "{refused}");
    }
}
