//! `sebring up --demo`: one sandbox from birth to deletion, with the measured time of each phase.
//!
//! Must not: use anything that a user's own program could not: it is an ordinary client.

use std::time::{Duration, Instant};

use anyhow::ensure;
use sebring_client::{Client, NewSandbox};

use crate::output;

const PROGRAM: &str = "python3 -c 'import platform; print(\"Hello from Python\", \
     platform.python_version(), \"on\", platform.node()[:8], \"-\", 6 * 7)'";

pub(super) async fn run(api_url: &str, key: &str) -> anyhow::Result<()> {
    let client = Client::new(api_url, key)?;
    let (created, create_took) = timed(client.create_sandbox_timed(&NewSandbox::default())).await;
    let (sandbox, phases) = created?;
    let (executed, execute_took) = timed(client.execute(&sandbox, PROGRAM)).await;
    let (deleted, delete_took) = timed(client.delete_sandbox(&sandbox.id)).await;
    let executed = executed?;
    deleted?;
    ensure!(
        executed.exit_code == 0,
        "Python ended with {}: {}",
        executed.exit_code,
        executed.result
    );
    output::line("");
    output::line(executed.result.trim_end());
    output::line("");
    show("create", create_took);
    for (name, took_ms) in phases.as_deref().map(server_timing).unwrap_or_default() {
        output::line(format!("    {name:<10} {took_ms:>8.2} ms"));
    }
    show("run python", execute_took);
    show("delete", delete_took);
    output::line("");
    Ok(())
}

fn show(what: &str, took: Duration) {
    output::line(format!("  {what:<12} {:>8.2} ms", took.as_secs_f64() * 1e3));
}

async fn timed<F: Future>(work: F) -> (F::Output, Duration) {
    let start = Instant::now();
    let output = work.await;
    (output, start.elapsed())
}

/// Names and milliseconds of a `Server-Timing` header; parts without a duration are left out.
pub(crate) fn server_timing(header: &str) -> Vec<(String, f64)> {
    header
        .split(',')
        .filter_map(|part| {
            let (name, parameters) = part.trim().split_once(';')?;
            let value = parameters
                .split(';')
                .find_map(|one| one.trim().strip_prefix("dur="))?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_read_from_server_timing() {
        let phases = server_timing("rootfs;dur=1.25, network;desc=x;dur=0.5, total");
        assert_eq!(
            phases,
            [("rootfs".to_owned(), 1.25), ("network".to_owned(), 0.5)]
        );
    }
}
