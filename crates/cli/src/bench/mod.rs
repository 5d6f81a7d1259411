//! `sebring bench`: what this server does on this host, measured from outside as a client.
//!
//! Honest by construction: every operation is counted, failures too; sandboxes are fresh each time;
//! nothing is warmed up apart from the one HTTP connection and what the server itself keeps ready; host, kernel and load are printed with
//! the numbers, and so is the number of samples.
//!
//! Must not: talk to the runner or the database; only what a client can see, and what /proc says
//! of this host and of our processes.
//! Next: `create`, `cases`, `many` and `restarts` for what is measured, `stats` for how it is summed up,
//! `runc` for the comparison.

mod cases;
mod create;
mod many;
mod processes;
mod report;
mod restarts;
mod runc;
mod sandboxes;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};
use processes::Roles;
use sebring_client::Client;

use crate::config::{Layout, Location};
use crate::endpoint::{self, Endpoint};
use crate::output;

/// Fewer samples say nothing about a 99th percentile.
const COUNT_DEFAULT: usize = 200;

/// Measure a running server honestly
#[derive(Debug, Args)]
pub(crate) struct Bench {
    /// What to measure [default: create exec burst files proxy]
    #[arg(value_enum)]
    what: Vec<What>,
    #[command(flatten)]
    location: Location,
    /// Samples of each kind
    #[arg(long, default_value_t = COUNT_DEFAULT, value_name = "N")]
    count: usize,
    /// Sandboxes created at once by `burst`
    #[arg(long, default_value_t = 100, value_name = "N")]
    burst: usize,
    /// Sandboxes kept alive by `density` [default: 1000] and `adopt` [default: 500]
    #[arg(long, value_name = "N")]
    live: Option<usize>,
    /// Also start a process with runc on the same root file system, in the same run
    #[arg(long)]
    runc: bool,
    /// Write the results as JSON to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// From the request to the output of a first command, a fresh sandbox each time: without help
    /// of the warm pool, and with a pause before each in which the pool can be filled
    Create,
    /// Round trip of one command in a running sandbox
    Exec,
    /// Many creates at the same moment, each followed by a command
    Burst,
    /// 1 GiB up and down through the edge
    Files,
    /// Small requests through the edge with 32 clients
    Proxy,
    /// What an idle sandbox costs in memory
    Memory,
    /// The server and its answers with many sandboxes alive
    Density,
    /// Size of the executable and memory of the roles as they are now
    Size,
    /// Kills server and runner while sandboxes run, and waits for each to answer again
    Adopt,
    /// Stops the server and starts it again in the background, ten times
    Startup,
}

const DENSITY_DEFAULT: usize = 1000;
const ADOPT_DEFAULT: usize = 500;

const USUAL: [What; 5] = [
    What::Create,
    What::Exec,
    What::Burst,
    What::Files,
    What::Proxy,
];

impl Bench {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let layout = self.location.find()?;
        let endpoint = Endpoint::read(&layout)?;
        let client = Client::new(&endpoint.api_url, &endpoint::admin_key(&layout)?)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("start the runtime")?;
        let what = if self.what.is_empty() {
            USUAL.to_vec()
        } else {
            self.what.clone()
        };
        let load_before = report::load();
        let mut rows = Vec::new();
        for one in what {
            output::note(format!("measuring {one:?}…"));
            rows.extend(runtime.block_on(self.measure(one, &client, &layout, &endpoint))?);
        }
        if self.runc {
            output::note("measuring runc…");
            rows.push(runc::run_hello(&layout, self.count.min(runc::COUNT_MAX))?);
        }
        let report = report::Report::new(rows, load_before);
        report.print();
        if let Some(file) = &self.json {
            let text = serde_json::to_string_pretty(&report)?;
            std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
        }
        Ok(if report.all_succeeded() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    async fn measure(
        &self,
        what: What,
        client: &Client,
        layout: &Layout,
        endpoint: &Endpoint,
    ) -> anyhow::Result<Vec<stats::Row>> {
        let live = |default| self.live.unwrap_or(default);
        match what {
            What::Create => create::create(client, self.count).await,
            What::Exec => cases::exec(client, self.count).await,
            What::Burst => cases::burst(client, self.burst).await,
            What::Files => cases::files(client).await,
            What::Proxy => cases::proxy(client, self.count).await,
            What::Memory => many::memory(client).await,
            What::Density => {
                let roles = Roles::find(layout)?;
                many::density(client, &roles, live(DENSITY_DEFAULT), self.count).await
            }
            What::Size => many::size(&Roles::find(layout)?),
            What::Adopt => restarts::adopt(client, layout, live(ADOPT_DEFAULT)).await,
            What::Startup => restarts::startup(layout, endpoint),
        }
    }
}
