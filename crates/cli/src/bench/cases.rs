//! Commands, bursts, files and requests, one function each, all as an ordinary client on the same host.
//!
//! Must not: leave sandboxes behind, whatever fails.

use std::time::Instant;

use anyhow::{Context, bail};
use bytes::Bytes;
use futures_util::future::join_all;
use sebring_client::{Client, NewSandbox};

use super::sandboxes::{create_and_hello, delete_all, get_many, hello, with_sandbox};
use super::stats::{Row, Samples};

/// Concurrent clients of `proxy`.
const CLIENTS: usize = 32;
const GIB: u64 = 1 << 30;
const CHUNK_BYTES: usize = 1 << 20;
const ROUNDS: usize = 3;

pub(super) async fn exec(client: &Client, count: usize) -> anyhow::Result<Vec<Row>> {
    with_sandbox(client, async |sandbox| {
        let mut samples = Samples::default();
        for _ in 0..count {
            let start = Instant::now();
            let done = hello(client, sandbox).await;
            samples.note(done.map(|()| start.elapsed()));
        }
        Ok(vec![samples.row("exec round trip")])
    })
    .await
}

pub(super) async fn burst(client: &Client, count: usize) -> anyhow::Result<Vec<Row>> {
    let (mut walls, mut each, mut deleting) =
        (Samples::default(), Samples::default(), Samples::default());
    let usual = NewSandbox::default();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        let results = join_all((0..count).map(|_| create_and_hello(client, &usual))).await;
        walls.add(start.elapsed());
        let mut made = Vec::new();
        for (sandbox, outcome) in results {
            each.note(outcome);
            made.extend(sandbox);
        }
        let start = Instant::now();
        delete_all(client, &made).await;
        deleting.add(start.elapsed());
    }
    Ok(vec![
        walls.row(&format!("burst of {count}: wall")),
        each.row(&format!("burst of {count}: each")),
        deleting.row("deleting them"),
    ])
}

/// Streams the same mebibyte over and over: what is measured is neither the client's disk nor its
/// memory. The file does not fit into the memory of a default sandbox together with anything else.
pub(super) async fn files(client: &Client) -> anyhow::Result<Vec<Row>> {
    with_sandbox(client, async |sandbox| {
        let chunk = Bytes::from(vec![0x5a; CHUNK_BYTES]);
        let chunks = usize::try_from(GIB).context("1 GiB fits")? / CHUNK_BYTES;
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let start = Instant::now();
            client
                .upload_repeated(sandbox, "/home/daytona/big", &chunk, chunks)
                .await?;
            up.push(1.0 / start.elapsed().as_secs_f64());
            let start = Instant::now();
            let length = client.download_length(sandbox, "/home/daytona/big").await?;
            down.push(1.0 / start.elapsed().as_secs_f64());
            if length != GIB {
                bail!("downloaded {length} bytes instead of {GIB}");
            }
        }
        Ok(vec![
            Row::rates("upload of 1 GiB", "GiB/s", up),
            Row::rates("download of 1 GiB", "GiB/s", down),
        ])
    })
    .await
}

pub(super) async fn proxy(client: &Client, count: usize) -> anyhow::Result<Vec<Row>> {
    with_sandbox(client, async |sandbox| {
        let url = format!("{}/{}/version", sandbox.toolbox_proxy_url, sandbox.id);
        let start = Instant::now();
        let each = join_all((0..CLIENTS).map(|_| get_many(client, &url, count))).await;
        let wall = start.elapsed();
        let requests = u32::try_from(CLIENTS * count).context("fewer requests, please")?;
        let rate = f64::from(requests) / wall.as_secs_f64();
        let all = each.into_iter().reduce(Samples::and).unwrap_or_default();
        Ok(vec![
            Row::single("proxied requests", "1/s", rate),
            all.row(&format!("proxied request, {CLIENTS} clients")),
        ])
    })
    .await
}
