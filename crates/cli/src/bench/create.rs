//! From the request for a sandbox to the end of a first command in it: cold, and from the warm pool.
//!
//! Cold asks for what no spare can become. Warm asks for the usual, after a pause in which the
//! server can make a spare; how many were served by one is a row of its own, and the others count
//! as well.
//!
//! Must not: leave sandboxes behind, whatever fails.

use std::time::{Duration, Instant};

use sebring_client::{Client, NewSandbox, Sandbox};

use super::sandboxes::hello;
use super::stats::{Row, Samples};
use crate::up::server_timing;

/// What a client that thinks, or waits for a model, leaves between two creates at the least.
const PAUSE: Duration = Duration::from_millis(250);
/// The phase that only a sandbox has which was a spare.
const CLAIM: &str = "runner-claim";
/// The default snapshot's own user. Whoever names one gets no spare, whichever it is.
const USER: &str = "daytona";

#[derive(Debug, Default)]
struct Creates {
    created: Samples,
    usable: Samples,
    deleted: Samples,
    phases: Vec<(String, Samples)>,
    from_spares: u32,
}

/// As [`NewSandbox::default`], but never a spare.
pub(super) fn cold() -> NewSandbox {
    NewSandbox {
        user: Some(USER.to_owned()),
        ..NewSandbox::default()
    }
}

pub(super) async fn create(client: &Client, count: usize) -> anyhow::Result<Vec<Row>> {
    let mut cold_ones = Creates::default();
    for _ in 0..count {
        cold_ones.one(client, &cold()).await;
    }
    let mut warm_ones = Creates::default();
    for _ in 0..count {
        tokio::time::sleep(PAUSE).await;
        warm_ones.one(client, &NewSandbox::default()).await;
    }
    let from_spares = f64::from(warm_ones.from_spares);
    let mut rows = cold_ones.rows("cold");
    rows.extend(warm_ones.rows("after a pause"));
    rows.push(Row::single("of these, from the warm pool", "", from_spares));
    Ok(rows)
}

impl Creates {
    async fn one(&mut self, client: &Client, new: &NewSandbox) {
        let start = Instant::now();
        match client.create_sandbox_timed(new).await {
            Ok((sandbox, timing)) => {
                self.created.add(start.elapsed());
                let said = hello(client, &sandbox).await;
                self.usable.note(said.map(|()| start.elapsed()));
                self.add_phases(timing.as_deref());
                self.delete(client, &sandbox).await;
            }
            Err(error) => self.created.fail(&error),
        }
    }

    async fn delete(&mut self, client: &Client, sandbox: &Sandbox) {
        let start = Instant::now();
        let gone = client.delete_sandbox(&sandbox.id).await;
        self.deleted.note(gone.map(|()| start.elapsed()));
    }

    fn add_phases(&mut self, timing: Option<&str>) {
        for (name, took_ms) in timing.map(server_timing).unwrap_or_default() {
            self.from_spares += u32::from(name == CLAIM);
            let took = Duration::from_secs_f64(took_ms.max(0.0) / 1e3);
            let known = self.phases.iter_mut().find(|(known, _)| *known == name);
            if let Some((_, samples)) = known {
                samples.add(took);
            } else {
                let mut samples = Samples::default();
                samples.add(took);
                self.phases.push((name, samples));
            }
        }
    }

    fn rows(self, how: &str) -> Vec<Row> {
        let mut rows = vec![
            self.created.row(&format!("create, {how}")),
            self.usable
                .row(&format!("create → first command done, {how}")),
        ];
        let phases = self.phases.into_iter();
        rows.extend(phases.map(|(name, took)| took.row(&format!("  phase {name}"))));
        rows.push(self.deleted.row("delete"));
        rows
    }
}
