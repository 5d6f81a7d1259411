//! `sebring status`: what runs from this installation, at a glance.
//!
//! Must not: change anything; exit code 3, as `systemctl status` has it, means not running.

use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::Method;
use sebring_client::Client;
use serde::{Deserialize, Serialize};

use crate::config::Location;
use crate::endpoint::{self, Endpoint};
use crate::{output, up};

/// What `systemctl status` answers for a unit that is not running.
const NOT_RUNNING: u8 = 3;

/// Show what is running
#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    location: Location,
    /// Print as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    running: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    process: Option<i32>,
    /// The runner answers and the database takes writes.
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandboxes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    total: u64,
}

impl Status {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let layout = self.location.find()?;
        let mut report = Report {
            running: false,
            api_url: None,
            process: up::holder(&layout)?,
            ready: false,
            sandboxes: None,
            problem: None,
        };
        if report.process.is_some() {
            report.running = true;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("start the runtime")?;
            let endpoint = Endpoint::read(&layout)?;
            let key = endpoint::admin_key(&layout)?;
            if let Err(error) = runtime.block_on(ask(&mut report, &endpoint.api_url, &key)) {
                report.problem = Some(format!("{error:#}"));
            }
            report.api_url = Some(endpoint.api_url);
        }
        self.print(&report)?;
        Ok(if report.running {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(NOT_RUNNING)
        })
    }

    fn print(&self, report: &Report) -> anyhow::Result<()> {
        if self.json {
            output::line(serde_json::to_string_pretty(report)?);
            return Ok(());
        }
        let Some(pid) = report.process else {
            output::line("not running");
            return Ok(());
        };
        let ready = if report.ready { "ready" } else { "not ready" };
        output::line(format!("{ready}, process {pid}"));
        output::line(format!(
            "API        {}",
            report.api_url.as_deref().unwrap_or("?")
        ));
        if let Some(count) = report.sandboxes {
            output::line(format!("Sandboxes  {count}"));
        }
        if let Some(problem) = &report.problem {
            output::line(format!("Problem    {problem}"));
        }
        Ok(())
    }
}

async fn ask(report: &mut Report, api_url: &str, key: &str) -> anyhow::Result<()> {
    let client = Client::new(api_url, key)?;
    let get = |path: &str| {
        let url = format!("{api_url}{path}");
        let client = client.clone();
        async move {
            client
                .send(Method::GET, &url, "application/json", Bytes::new())
                .await
        }
    };
    get("/health/ready")
        .await
        .context("ask whether the server is ready")?;
    report.ready = true;
    let page = get("/sandbox/paginated?limit=1")
        .await
        .context("count sandboxes")?;
    report.sandboxes = Some(serde_json::from_slice::<Page>(&page.body)?.total);
    Ok(())
}
