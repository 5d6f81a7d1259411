//! What is measured, one function each, all as an ordinary client on the same host.
//!
//! Must not: leave sandboxes behind, whatever fails.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use sebring_client::{Client, Error, NewSandbox, Sandbox};

use super::stats::{Row, Samples};
use crate::up::server_timing;

const HELLO: &str = "echo hello";
/// Concurrent clients of `proxy`.
const CLIENTS: usize = 32;
const GIB: u64 = 1 << 30;
const CHUNK_BYTES: usize = 1 << 20;
/// Enough to drown the noise of the rest of the host.
const MEMORY_SANDBOXES: usize = 50;
/// `density` creates this many at a time.
const DENSITY_STEP: usize = 20;

pub(super) async fn create(client: &Client, count: usize) -> anyhow::Result<Vec<Row>> {
    let (mut created, mut usable, mut deleted) =
        (Samples::default(), Samples::default(), Samples::default());
    let mut phases: Vec<(String, Samples)> = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        let (sandbox, timing) = match client.create_sandbox_timed(&NewSandbox::default()).await {
            Ok(made) => made,
            Err(error) => {
                created.fail(&error);
                continue;
            }
        };
        created.add(start.elapsed());
        match hello(client, &sandbox).await {
            Ok(()) => usable.add(start.elapsed()),
            Err(error) => usable.fail(&error),
        }
        for (name, took_ms) in timing.as_deref().map(server_timing).unwrap_or_default() {
            add_phase(&mut phases, name, took_ms);
        }
        let start = Instant::now();
        match client.delete_sandbox(&sandbox.id).await {
            Ok(()) => deleted.add(start.elapsed()),
            Err(error) => deleted.fail(&error),
        }
    }
    let mut rows = vec![
        created.row("create"),
        usable.row("create → first command done"),
    ];
    rows.extend(
        phases
            .into_iter()
            .map(|(name, took)| took.row(&format!("  phase {name}"))),
    );
    rows.push(deleted.row("delete"));
    Ok(rows)
}

fn add_phase(phases: &mut Vec<(String, Samples)>, name: String, took_ms: f64) {
    let took = Duration::from_secs_f64(took_ms.max(0.0) / 1e3);
    if let Some((_, samples)) = phases.iter_mut().find(|(known, _)| *known == name) {
        samples.add(took);
        return;
    }
    let mut samples = Samples::default();
    samples.add(took);
    phases.push((name, samples));
}

pub(super) async fn exec(client: &Client, count: usize) -> anyhow::Result<Vec<Row>> {
    with_sandbox(client, async |sandbox| {
        let mut samples = Samples::default();
        for _ in 0..count {
            let start = Instant::now();
            match hello(client, sandbox).await {
                Ok(()) => samples.add(start.elapsed()),
                Err(error) => samples.fail(&error),
            }
        }
        Ok(vec![samples.row("exec round trip")])
    })
    .await
}

pub(super) async fn burst(client: &Client, count: usize) -> anyhow::Result<Vec<Row>> {
    let start = Instant::now();
    let results = join_all((0..count).map(|_| create_and_hello(client))).await;
    let wall = start.elapsed();
    let mut samples = Samples::default();
    let mut made = Vec::new();
    for (sandbox, outcome, took) in results {
        match outcome {
            Ok(()) => samples.add(took),
            Err(error) => samples.fail(&error),
        }
        made.extend(sandbox);
    }
    let deleting = Instant::now();
    delete_all(client, &made).await;
    Ok(vec![
        Row::single(
            &format!("burst of {count}: wall"),
            "ms",
            wall.as_secs_f64() * 1e3,
        ),
        samples.row(&format!("burst of {count}: each")),
        Row::single(
            "deleting them",
            "ms",
            deleting.elapsed().as_secs_f64() * 1e3,
        ),
    ])
}

async fn create_and_hello(client: &Client) -> (Option<Sandbox>, Result<(), Error>, Duration) {
    let start = Instant::now();
    match client.create_sandbox(&NewSandbox::default()).await {
        Ok(sandbox) => {
            let outcome = hello(client, &sandbox).await;
            (Some(sandbox), outcome, start.elapsed())
        }
        Err(error) => (None, Err(error), start.elapsed()),
    }
}

pub(super) async fn files(client: &Client) -> anyhow::Result<Vec<Row>> {
    with_sandbox(client, async |sandbox| {
        let chunk = Bytes::from(vec![0x5a; CHUNK_BYTES]);
        let chunks = usize::try_from(GIB).context("1 GiB fits")? / CHUNK_BYTES;
        let mut rows = Vec::new();
        for round in 1..=3 {
            let start = Instant::now();
            client
                .upload_repeated(sandbox, "/home/daytona/big", &chunk, chunks)
                .await?;
            rows.push(rate(
                &format!("upload 1 GiB, round {round}"),
                start.elapsed(),
            ));
            let start = Instant::now();
            let length = client.download_length(sandbox, "/home/daytona/big").await?;
            rows.push(rate(
                &format!("download 1 GiB, round {round}"),
                start.elapsed(),
            ));
            if length != GIB {
                bail!("downloaded {length} bytes instead of {GIB}");
            }
        }
        Ok(rows)
    })
    .await
}

fn rate(what: &str, took: Duration) -> Row {
    Row::single(what, "GiB/s", 1.0 / took.as_secs_f64())
}

pub(super) async fn proxy(client: &Client, count: usize) -> anyhow::Result<Vec<Row>> {
    with_sandbox(client, async |sandbox| {
        let url = format!("{}/{}/version", sandbox.toolbox_proxy_url, sandbox.id);
        let start = Instant::now();
        let each = join_all((0..CLIENTS).map(|_| get_many(client, &url, count))).await;
        let wall = start.elapsed();
        let mut all = Samples::default();
        for outcome in each.into_iter().flatten() {
            match outcome {
                Ok(took) => all.add(took),
                Err(error) => all.fail(&error),
            }
        }
        let requests = u32::try_from(CLIENTS * count).context("fewer requests, please")?;
        Ok(vec![
            Row::single(
                "proxied requests",
                "1/s",
                f64::from(requests) / wall.as_secs_f64(),
            ),
            all.row(&format!("proxied request, {CLIENTS} clients")),
        ])
    })
    .await
}

async fn get_many(client: &Client, url: &str, count: usize) -> Vec<Result<Duration, Error>> {
    let mut results = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        let sent = client
            .send(Method::GET, url, "application/json", Bytes::new())
            .await;
        results.push(sent.map(|_| start.elapsed()));
    }
    results
}

pub(super) async fn memory(client: &Client) -> anyhow::Result<Vec<Row>> {
    let used = || meminfo_kib("MemTotal").saturating_sub(meminfo_kib("MemAvailable"));
    let before_kib = used();
    let made = create_many(client, MEMORY_SANDBOXES).await;
    let after_kib = used();
    delete_all(client, &made).await;
    if made.len() < MEMORY_SANDBOXES {
        bail!(
            "only {} of {MEMORY_SANDBOXES} sandboxes were created",
            made.len()
        );
    }
    let each_kib =
        u32::try_from(after_kib.saturating_sub(before_kib))? / u32::try_from(made.len())?;
    Ok(vec![Row::single(
        "idle sandbox, all in",
        "MiB",
        f64::from(each_kib) / 1024.0,
    )])
}

pub(super) async fn density(
    client: &Client,
    live: usize,
    count: usize,
) -> anyhow::Result<Vec<Row>> {
    let before = list_latency(client, count).await;
    let mut made = Vec::new();
    while made.len() < live {
        let step = DENSITY_STEP.min(live - made.len());
        let more = create_many(client, step).await;
        if more.len() < step {
            delete_all(client, &made).await;
            delete_all(client, &more).await;
            bail!("creation failed with {} sandboxes alive", made.len());
        }
        made.extend(more);
    }
    let during = list_latency(client, count).await;
    delete_all(client, &made).await;
    Ok(vec![
        before.row("GET /sandbox, none alive"),
        during.row(&format!("same, {live} alive")),
    ])
}

async fn list_latency(client: &Client, count: usize) -> Samples {
    let url = format!("{}/sandbox?limit=20", client.url());
    let mut samples = Samples::default();
    for outcome in get_many(client, &url, count).await {
        match outcome {
            Ok(took) => samples.add(took),
            Err(error) => samples.fail(&error),
        }
    }
    samples
}

async fn hello(client: &Client, sandbox: &Sandbox) -> Result<(), Error> {
    let done = client.execute(sandbox, HELLO).await?;
    if done.exit_code == 0 && done.result == "hello\n" {
        return Ok(());
    }
    let message = format!("{HELLO:?} answered {done:?}");
    Err(Error::Refused {
        status: http::StatusCode::OK,
        message,
    })
}

async fn create_many(client: &Client, count: usize) -> Vec<Sandbox> {
    let new = NewSandbox::default();
    join_all((0..count).map(|_| client.create_sandbox(&new)))
        .await
        .into_iter()
        .flatten()
        .collect()
}

async fn delete_all(client: &Client, sandboxes: &[Sandbox]) {
    // Best effort: what a failed delete leaves behind is visible in `sebring status`.
    drop(join_all(sandboxes.iter().map(|one| client.delete_sandbox(&one.id))).await);
}

/// Lends a fresh sandbox and deletes it whatever happens.
async fn with_sandbox(
    client: &Client,
    work: impl AsyncFnOnce(&Sandbox) -> anyhow::Result<Vec<Row>>,
) -> anyhow::Result<Vec<Row>> {
    let sandbox = client.create_sandbox(&NewSandbox::default()).await?;
    let outcome = work(&sandbox).await;
    client.delete_sandbox(&sandbox.id).await?;
    outcome
}

/// A line of /proc/meminfo in KiB; zero when it is absent.
pub(super) fn meminfo_kib(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
