//! What the cases share: sandboxes made for a measurement and taken away after it.
//!
//! Must not: leave sandboxes behind, whatever fails.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use sebring_client::{Client, Error, NewSandbox, Sandbox};

use super::stats::{Row, Samples};

const HELLO: &str = "echo hello";
/// Created at a time where how fast is not the question.
const STEP: usize = 20;

/// Runs a first or a next command and checks what it said.
pub(super) async fn hello(client: &Client, sandbox: &Sandbox) -> Result<(), Error> {
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

/// Makes `count` sandboxes, a few at a time; on failure none is left.
pub(super) async fn create_many(
    client: &Client,
    new: &NewSandbox,
    count: usize,
) -> anyhow::Result<Vec<Sandbox>> {
    let mut made = Vec::with_capacity(count);
    while made.len() < count {
        let step = STEP.min(count - made.len());
        let results = join_all((0..step).map(|_| client.create_sandbox(new))).await;
        let mut failure = None;
        for result in results {
            match result {
                Ok(sandbox) => made.push(sandbox),
                Err(error) => failure = Some(error),
            }
        }
        if let Some(error) = failure {
            delete_all(client, &made).await;
            return Err(anyhow::Error::new(error).context(format!(
                "creation failed with {} sandboxes alive",
                made.len()
            )));
        }
    }
    Ok(made)
}

pub(super) async fn delete_all(client: &Client, sandboxes: &[Sandbox]) {
    // Best effort: what a failed delete leaves behind is visible in `sebring status`.
    drop(join_all(sandboxes.iter().map(|one| client.delete_sandbox(&one.id))).await);
}

/// Lends a fresh sandbox and deletes it whatever happens.
pub(super) async fn with_sandbox(
    client: &Client,
    work: impl AsyncFnOnce(&Sandbox) -> anyhow::Result<Vec<Row>>,
) -> anyhow::Result<Vec<Row>> {
    let sandbox = client.create_sandbox(&NewSandbox::default()).await?;
    let outcome = work(&sandbox).await;
    client.delete_sandbox(&sandbox.id).await?;
    outcome
}

/// One GET after the other.
pub(super) async fn get_many(client: &Client, url: &str, count: usize) -> Samples {
    let mut samples = Samples::default();
    for _ in 0..count {
        let start = Instant::now();
        let sent = client.send(Method::GET, url, "application/json", Bytes::new());
        samples.note(sent.await.map(|_| start.elapsed()));
    }
    samples
}

/// Creates, runs a first command, deletes; how long until the command was done.
pub(super) async fn create_and_hello(
    client: &Client,
    new: &NewSandbox,
) -> (Option<Sandbox>, Result<Duration, Error>) {
    let start = Instant::now();
    match client.create_sandbox(new).await {
        Ok(sandbox) => {
            let outcome = hello(client, &sandbox).await;
            (Some(sandbox), outcome.map(|()| start.elapsed()))
        }
        Err(error) => (None, Err(error)),
    }
}
