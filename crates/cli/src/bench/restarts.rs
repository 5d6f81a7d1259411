//! How long an installation takes to come back: after its processes were killed, and after `up`.
//!
//! Must not: be run where others depend on the server: it is away for a moment.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, Uri};
use sebring_client::{Client, NewSandbox, Sandbox};

use super::processes::Roles;
use super::sandboxes::{create_many, delete_all, hello};
use super::stats::{Row, Samples};
use crate::config::Layout;
use crate::endpoint::Endpoint;
use crate::up;

/// A sandbox that has not answered by then counts as lost.
const BACK_WITHIN: Duration = Duration::from_secs(60);
const ASK_EVERY: Duration = Duration::from_millis(2);
const STARTS: usize = 10;
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Kills server and runner at one instant with `live` sandboxes running, and waits for each.
pub(super) async fn adopt(
    client: &Client,
    layout: &Layout,
    live: usize,
) -> anyhow::Result<Vec<Row>> {
    let made = create_many(client, &NewSandbox::default(), live).await?;
    let measured = kill_and_wait(client, layout, &made).await;
    delete_all(client, &made).await;
    measured
}

async fn kill_and_wait(
    client: &Client,
    layout: &Layout,
    made: &[Sandbox],
) -> anyhow::Result<Vec<Row>> {
    let roles = Roles::find(layout)?;
    let start = Instant::now();
    roles.runner.kill()?;
    roles.server.kill()?;
    let (ready, answers) = tokio::join!(
        until_answered(client, format!("{}/health/ready", client.url()), start),
        join_all(made.iter().map(|sandbox| {
            let base = sandbox.toolbox_proxy_url.trim_end_matches('/');
            until_answered(client, format!("{base}/{}/version", sandbox.id), start)
        })),
    );
    let mut back = Samples::default();
    answers.into_iter().for_each(|answer| back.note(answer));
    let mut alive = Samples::default();
    for sandbox in made {
        let start = Instant::now();
        alive.note(hello(client, sandbox).await.map(|()| start.elapsed()));
    }
    let mut all_ready = Samples::default();
    all_ready.note(ready);
    let count = made.len();
    Ok(vec![
        all_ready.row("both killed → ready"),
        back.row(&format!("both killed → each of {count} answers")),
        alive.row("a command in each afterwards"),
    ])
}

async fn until_answered(
    client: &Client,
    url: String,
    start: Instant,
) -> Result<Duration, sebring_client::Error> {
    loop {
        let asked = client.send(Method::GET, &url, "application/json", Bytes::new());
        match asked.await {
            Ok(_) => return Ok(start.elapsed()),
            Err(error) if start.elapsed() > BACK_WITHIN => return Err(error),
            Err(_) => tokio::time::sleep(ASK_EVERY).await,
        }
    }
}

/// Stops the server and starts it again on the same address, in the background.
pub(super) fn startup(layout: &Layout, endpoint: &Endpoint) -> anyhow::Result<Vec<Row>> {
    let url: Uri = endpoint
        .api_url
        .parse()
        .context("read the server's address")?;
    let address = url
        .authority()
        .context("the server's address has a host")?
        .as_str();
    let itself = std::env::current_exe().context("find this executable")?;
    let mut samples = Samples::default();
    for _ in 0..STARTS {
        up::stop(Roles::find(layout)?.supervisor, STOP_WITHIN)?;
        let start = Instant::now();
        let status = Command::new(&itself)
            .args(["up", "--detach", "--yes", "--listen", address, "--data-dir"])
            .arg(&layout.data_dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("start the server")?;
        if !status.success() {
            bail!("`sebring up --detach` ended with {status}; its log says why");
        }
        samples.add(start.elapsed());
    }
    Ok(vec![samples.row("up on a prepared host → ready")])
}
