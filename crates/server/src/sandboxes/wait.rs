//! Waiting for a wish to come true: on the level, with a deadline, and never without having
//! subscribed first.

use std::sync::Arc;
use std::time::Duration;

use sebring_api::runner::Phase;
use sebring_core::id::SandboxId;
use sebring_core::lifecycle::Observed;
use sebring_core::sandbox::Sandbox;
use tokio::time::Instant;

use crate::app::App;
use crate::directory::Note;

/// Where the time of a request went, for the `Server-Timing` header.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    begun: Instant,
    last: Instant,
    phases: Vec<Phase>,
}

impl Timing {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            last: now,
            phases: Vec::new(),
        }
    }

    /// Ends a phase of our own.
    pub(crate) fn mark(&mut self, name: &str) {
        let now = Instant::now();
        self.push(name, now - self.last);
        self.last = now;
    }

    /// Phases that the runner measured, inside one of ours.
    pub(crate) fn add_runner(&mut self, phases: Vec<Phase>) {
        self.phases.extend(phases.into_iter().map(|phase| Phase {
            name: format!("runner-{}", phase.name),
            ..phase
        }));
    }

    /// The header's value: milliseconds with three decimals.
    pub(crate) fn header(mut self) -> String {
        self.push("total", self.begun.elapsed());
        let entries = self.phases.iter().map(|phase| {
            let (whole, rest) = (phase.elapsed_us / 1_000, phase.elapsed_us % 1_000);
            format!("{};dur={whole}.{rest:03}", header_token(&phase.name))
        });
        entries.collect::<Vec<_>>().join(", ")
    }

    fn push(&mut self, name: &str, elapsed: Duration) {
        self.phases.push(Phase {
            name: name.to_owned(),
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        });
    }
}

fn header_token(name: &str) -> String {
    let keep = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
    name.chars()
        .map(|letter| if keep(letter) { letter } else { '-' })
        .collect()
}

/// How a wait ended.
pub(crate) struct Waited {
    /// The sandbox as of now; one that is gone says so in its life.
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) note: Note,
}

/// Does `act`, which returns the sandbox it wrote, then waits until `done` holds of the newest
/// committed record or `limit` has passed.
pub(super) async fn act_then_wait<E>(
    app: &App,
    id: SandboxId,
    limit: Duration,
    act: impl Future<Output = Result<Arc<Sandbox>, E>>,
    done: impl Fn(&Sandbox) -> bool,
) -> Result<Waited, E> {
    let mut watch = app.directory.watch(id);
    let mut sandbox = act.await?;
    let deadline = Instant::now() + limit;
    loop {
        sandbox = match app.directory.sandbox(id) {
            Some(newest) => newest,
            None => Arc::new(gone(&sandbox)),
        };
        if done(&sandbox) || matches!(sandbox.life.observed, Observed::Gone) {
            break;
        }
        // Dropping the wait loses nothing: the level is looked at again.
        if tokio::time::timeout_at(deadline, watch.changed())
            .await
            .is_err()
        {
            break;
        }
    }
    let note = app.directory.take_note(id);
    Ok(Waited { sandbox, note })
}

fn gone(sandbox: &Sandbox) -> Sandbox {
    let mut gone = sandbox.clone();
    gone.life.observed = Observed::Gone;
    gone
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_lists_phases_in_order_and_is_a_valid_token_list() {
        let mut timing = Timing::start();
        timing.mark("store");
        timing.add_runner(vec![Phase {
            name: "root fs".into(),
            elapsed_us: 1_234,
        }]);
        let header = timing.header();
        assert!(header.starts_with("store;dur="), "{header}");
        assert!(
            header.contains(", runner-root-fs;dur=1.234, total;dur="),
            "{header}"
        );
    }
}
