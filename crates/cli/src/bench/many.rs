//! What many live sandboxes cost: memory of the host, memory and answers of the server.
//!
//! Must not: leave sandboxes behind, whatever fails.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use sebring_client::{Client, NewSandbox, Sandbox};

use super::create::cold;
use super::processes::{Roles, meminfo_kib};
use super::sandboxes::{create_and_hello, create_many, delete_all, get_many};
use super::stats::{Row, Samples};

/// Enough to drown the noise of a quiet host.
const MEMORY_SANDBOXES: usize = 200;
/// The middle of these is shown, and the worst: others take and give memory meanwhile.
const MEMORY_ROUNDS: usize = 3;
/// Creates while the others live.
const CREATES: usize = 50;
/// Memory is read once it has stopped moving by more than this, or after the longest wait.
const SETTLED_KIB: u64 = 1024;
const SETTLE_EVERY: Duration = Duration::from_millis(500);
const SETTLE_TURNS_MAX: usize = 30;

/// The whole difference on the host, kernel included: processes, namespaces, mounts, groups.
pub(super) async fn memory(client: &Client) -> anyhow::Result<Vec<Row>> {
    let sandboxes = f64::from(u32::try_from(MEMORY_SANDBOXES)?);
    let mut each = Vec::with_capacity(MEMORY_ROUNDS);
    for _ in 0..MEMORY_ROUNDS {
        let before_kib = settled_use_kib().await;
        let made = create_many(client, &NewSandbox::default(), MEMORY_SANDBOXES).await?;
        let after_kib = settled_use_kib().await;
        delete_all(client, &made).await;
        let used_kib = u32::try_from(after_kib.saturating_sub(before_kib))?;
        each.push(f64::from(used_kib) / sandboxes / 1024.0);
    }
    Ok(vec![Row::costs("idle sandbox, all in", "MiB", each)])
}

/// What is used and cannot be taken back: caches count as free.
async fn settled_use_kib() -> u64 {
    let used = || meminfo_kib("MemTotal").saturating_sub(meminfo_kib("MemAvailable"));
    let mut last = used();
    for _ in 0..SETTLE_TURNS_MAX {
        tokio::time::sleep(SETTLE_EVERY).await;
        let now = used();
        if now.abs_diff(last) < SETTLED_KIB {
            return now;
        }
        last = now;
    }
    last
}

pub(super) async fn density(
    client: &Client,
    roles: &Roles,
    live: usize,
    count: usize,
) -> anyhow::Result<Vec<Row>> {
    let before = list_latency(client, "/sandbox?limit=20", count).await;
    let memory_before = roles.server.memory_mib()?;
    let start = Instant::now();
    let labels = BTreeMap::from([("purpose".to_owned(), "density".to_owned())]);
    let new = NewSandbox {
        labels,
        ..NewSandbox::default()
    };
    let made = create_many(client, &new, live).await?;
    let filling = start.elapsed();
    let measured = with_many(client, roles, live, count).await;
    let start = Instant::now();
    delete_all(client, &made).await;
    let deleting = start.elapsed();
    let mut rows = vec![
        before.row("list a page, none alive"),
        Row::single("server memory, none alive", "MiB", memory_before),
        Row::single(&format!("creating {live}"), "s", filling.as_secs_f64()),
    ];
    rows.extend(measured?);
    let what = format!("deleting {live}");
    rows.push(Row::single(&what, "s", deleting.as_secs_f64()));
    Ok(rows)
}

async fn with_many(
    client: &Client,
    roles: &Roles,
    live: usize,
    count: usize,
) -> anyhow::Result<Vec<Row>> {
    let listed = list_latency(client, "/sandbox?limit=20", count).await;
    // {"purpose":"density"}
    let filter = "/sandbox/paginated?limit=20&labels=%7B%22purpose%22%3A%22density%22%7D";
    let filtered = list_latency(client, filter, count).await;
    let mut created = Samples::default();
    for _ in 0..CREATES {
        let (sandbox, outcome) = create_and_hello(client, &cold()).await;
        created.note(outcome);
        let made: Vec<Sandbox> = sandbox.into_iter().collect();
        delete_all(client, &made).await;
    }
    let with = |what: &str| format!("{what}, {live} alive");
    Ok(vec![
        listed.row(&with("list a page")),
        filtered.row(&with("list a page by label")),
        created.row(&with("create → first command, cold")),
        Row::single(&with("server memory"), "MiB", roles.server.memory_mib()?),
        Row::single(&with("runner memory"), "MiB", roles.runner.memory_mib()?),
    ])
}

async fn list_latency(client: &Client, path: &str, count: usize) -> Samples {
    get_many(client, &format!("{}{path}", client.url()), count).await
}

/// The executable, and what the idle roles hold in memory.
pub(super) fn size(roles: &Roles) -> anyhow::Result<Vec<Row>> {
    let exe = std::env::current_exe().context("find this executable")?;
    let bytes = exe.metadata().context("measure this executable")?.len();
    let kib = u32::try_from(bytes / 1024).context("an executable of a sane size")?;
    Ok(vec![
        Row::single("executable", "MiB", f64::from(kib) / 1024.0),
        Row::single("server memory", "MiB", roles.server.memory_mib()?),
        Row::single("runner memory", "MiB", roles.runner.memory_mib()?),
    ])
}
