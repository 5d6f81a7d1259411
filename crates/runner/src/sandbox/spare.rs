//! How a sandbox begins as a spare, and how a spare becomes a sandbox.
//!
//! What a spare lacks, it is given before anybody hears that it runs; if that fails, or it is not
//! what was asked for, it is ended and the sandbox comes up as any other, under the same id.
//!
//! Must not: give anything to a spare that another owner's sandbox could have seen.
//! Next: `crate::spares` for how many there are; `claim` in the toolbox is the other end.

use std::sync::Arc;
use std::time::Duration;

use sebring_api::boot::Claim;
use sebring_api::runner::{FailureCode, SandboxSpec, Shape};
use sebring_core::id::{Generation, SandboxId};
use tracing::{info, warn};

use super::bring_up::{self, Owned, Phases, find_snapshot, merged_env, socket_path};
use super::failure::{Failure, in_phase};
use super::{Actor, Life, Live, blocking, hold_root, kill, live_of, tear_down, tell};
use crate::fault;
use crate::runner::Shared;
use crate::spares::{Ready, Taken, keep};

/// A killed process ends as soon as the kernel runs it; one that waits for a disk may not.
const END_WAIT: Duration = Duration::from_secs(10);

impl Actor {
    /// Becomes what the spare of its id is, if there is one that `spec` can be made of.
    pub(super) async fn claim(
        &mut self,
        generation: Generation,
        spec: &SandboxSpec,
    ) -> Result<bool, Failure> {
        let mut phases = Phases::start();
        let ready = match self.shared.spares.take(self.id).await {
            None => return Ok(false),
            Some(Taken::Stuck(live)) => {
                keep::discard(&self.shared, self.id, *live).await?;
                return Ok(false);
            }
            Some(Taken::Ready(ready)) => ready,
        };
        if let Err(failure) = hand_over(&self.shared, self.id, &ready, spec).await {
            warn!(sandbox_id = %self.id, error = failure.message(), "spare not used");
            keep::discard(&self.shared, self.id, ready.live).await?;
            return Ok(false);
        }
        phases.mark("claim");
        let live = Live {
            spec: spec.clone(),
            ..ready.live
        };
        self.life = Life::Running(Box::new(live));
        self.record(generation)?;
        phases.mark("record");
        self.phases = phases.done();
        info!(sandbox_id = %self.id, %generation, "sandbox running, was a spare");
        Ok(true)
    }

    /// Ends the spare of its id, which is not to run.
    pub(super) async fn end_spare(&self) -> Result<(), Failure> {
        let live = match self.shared.spares.take(self.id).await {
            None => return Ok(()),
            Some(Taken::Stuck(live)) => *live,
            Some(Taken::Ready(ready)) => ready.live,
        };
        keep::discard(&self.shared, self.id, live).await
    }
}

async fn hand_over(
    shared: &Shared,
    id: SandboxId,
    ready: &Ready,
    spec: &SandboxSpec,
) -> Result<(), Failure> {
    let snapshot = find_snapshot(shared, &spec.snapshot)?;
    if Shape::of(spec).as_ref() != Some(&ready.shape) || snapshot != ready.snapshot {
        let text = "the sandbox is to be different";
        return Err(Failure::new(FailureCode::HostError, "claim", text));
    }
    fault::at("claim.tell").map_err(in_phase("claim"))?;
    let claim = Claim {
        env: merged_env(&snapshot, spec),
    };
    let told = tell::claim(&socket_path(shared, id), &claim).await;
    told.map_err(in_phase("claim"))
}

/// A sandbox that is nobody's yet, complete and warm.
pub(crate) async fn bring_up_spare(
    shared: &Arc<Shared>,
    id: SandboxId,
    shape: Shape,
) -> Result<Ready, Failure> {
    let marked = shared.records.mark_spare(id);
    marked.map_err(in_phase("record"))?;
    let (own, spec) = (Arc::clone(shared), shape.bare_spec());
    let wanted = spec.clone();
    let permit = shared.bring_ups.acquire().await;
    let started = blocking(move || {
        let started = bring_up::bring_up(&own, id, &wanted, Owned::Later, &mut Phases::start());
        if started.is_err() {
            tear_down::forget(&own, id);
        }
        started
    });
    let started = started.await??;
    drop(permit);
    let snapshot = started.snapshot.clone();
    let live = live_of(started, spec);
    let warmed = match fault::at("spare.warm_up") {
        Ok(()) => tell::warm_up(&socket_path(shared, id)).await,
        Err(error) => Err(error),
    };
    if let Err(error) = warmed {
        if end_unowned(shared, id, live).await.is_err() {
            warn!(sandbox_id = %id, "a spare does not end; left to the next start");
        }
        return Err(in_phase("warm up")(error));
    }
    Ok(Ready {
        shape,
        snapshot,
        live,
    })
}

/// Takes away all that there is of a running spare. The mark goes last: until then, the next start
/// would do the rest. Gives back one whose first process does not end: it has all that it had.
pub(crate) async fn end_unowned(
    shared: &Arc<Shared>,
    id: SandboxId,
    live: Live,
) -> Result<(), Box<Live>> {
    let root = hold_root(live.pid);
    let killed = tokio::time::timeout(END_WAIT, kill(&live)).await;
    if killed.is_err() || fault::at("spare.end").is_err() {
        return Err(Box::new(live));
    }
    // Has deadlines of its own, and must not go on when somebody else uses the id.
    let own = Arc::clone(shared);
    let taken = blocking(move || {
        tear_down::discard_disk(&own, id);
        tear_down::release(&own, id, live.slot, &live.group, &live.spec.network);
        tear_down::forget(&own, id);
        drop(root);
        own.trash.notify_one();
    });
    if let Err(failure) = taken.await {
        warn!(sandbox_id = %id, error = failure.message(), "spare not ended");
    }
    Ok(())
}
