//! The one task that makes spares and ends them, as `plan` decides.
//!
//! Must not: keep a goal waiting. It steps back as soon as one comes, at the latest after the one
//! bring-up that it has begun.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sebring_api::runner::{FailureCode, Shape};
use sebring_core::id::SandboxId;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Ready;
use super::plan::{Next, Room};
use crate::host;
use crate::runner::Shared;
use crate::sandbox::{self, Failure, Live, watch_end};

/// What others are ending takes so long only when it does not end.
const LEAVE_WAIT: Duration = Duration::from_secs(10);
/// Memory that sandboxes must find free, as a share of the host's.
const MEMORY_FREE_PERCENT: u64 = 10;
/// The same for process numbers, of those that all sandboxes together may have.
const PIDS_FREE_PERCENT: u64 = 50;

/// Runs until the runner stops, and takes all spares with it: nobody could claim them.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let stop = shared.tasks.stop_token();
    let mut watched = Vec::new();
    while !stop.is_cancelled() {
        match shared.spares.next(|| room(&shared)) {
            Next::Fill(shape) => fill(&shared, shape, &mut watched).await,
            Next::End(ids) => end(&shared, ids).await,
            Next::Wait(until) => {
                watched.retain(|spare: &Watched| shared.spares.ids().contains(&spare.id));
                // All only wait, for levels that are looked at again.
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = shared.spares.wake.notified() => {}
                    id = first_death(&watched) => end(&shared, vec![id]).await,
                    () = reached(until) => {}
                }
            }
        }
    }
    end(&shared, shared.spares.ids()).await;
}

/// Ends all spares, because a sandbox needs what they hold. Says whether there were any, be it
/// that somebody else was ending them already.
pub(crate) async fn make_room(shared: &Arc<Shared>) -> bool {
    let any = shared.spares.hold_something();
    end(shared, shared.spares.ids()).await;
    let left = tokio::time::timeout(LEAVE_WAIT, shared.spares.have_left()).await;
    if left.is_err() {
        warn!("spares that a sandbox needs the room of do not end");
    }
    any
}

/// Ends a spare that somebody took and cannot use. When it does not end, its id cannot be used.
pub(crate) async fn discard(
    shared: &Arc<Shared>,
    id: SandboxId,
    live: Live,
) -> Result<(), Failure> {
    let Err(live) = sandbox::end_unowned(shared, id, live).await else {
        return Ok(());
    };
    shared.spares.keep_stuck(id, live);
    let text = "its spare does not end; try again";
    Err(Failure::new(FailureCode::HostError, "claim", text))
}

async fn fill(shared: &Arc<Shared>, shape: Shape, watched: &mut Vec<Watched>) {
    let id = SandboxId::random();
    let begun = Instant::now();
    match sandbox::bring_up_spare(shared, id, shape).await {
        Ok(ready) => {
            match Watched::new(id, &ready) {
                Ok(spare) => watched.push(spare),
                // A claim finds out whether it lives.
                Err(error) => warn!(sandbox_id = %id, error = %error, "cannot watch a spare"),
            }
            shared.spares.add(id, ready);
            let elapsed_ms = begun.elapsed().as_millis();
            debug!(sandbox_id = %id, elapsed_ms, "spare ready");
        }
        Err(failure) => {
            warn!(sandbox_id = %id, error = failure.message(), "cannot make a spare");
            shared.spares.back_off();
        }
    }
}

async fn end(shared: &Arc<Shared>, ids: Vec<SandboxId>) {
    for id in ids {
        // Somebody may have claimed it this instant.
        if let Some(ready) = shared.spares.dismiss(id) {
            match discard(shared, id, ready.live).await {
                Ok(()) => {
                    shared.spares.gone(id);
                    debug!(sandbox_id = %id, "spare ended");
                }
                Err(_) => warn!(sandbox_id = %id, "a spare does not end; left to the next start"),
            }
        }
    }
}

/// Whether spares take nothing that sandboxes need.
fn room(shared: &Shared) -> Room {
    let memory = host::memory_free_percent();
    let pids = shared.cgroups.pids_free_percent();
    let enough = |free: std::io::Result<u64>, least: u64| free.is_ok_and(|free| free >= least);
    if !enough(memory, MEMORY_FREE_PERCENT) || !enough(pids, PIDS_FREE_PERCENT) {
        Room::Short
    } else if shared.network.has_free_seats() {
        Room::Free
    } else {
        Room::NoSeat
    }
}

async fn reached(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// A spare's first process, seen through a descriptor of our own: the other goes to who claims it.
#[derive(Debug)]
struct Watched {
    id: SandboxId,
    process: AsyncFd<OwnedFd>,
}

impl Watched {
    fn new(id: SandboxId, ready: &Ready) -> std::io::Result<Self> {
        let process = watch_end(ready.live.process.get_ref().try_clone()?)?;
        Ok(Self { id, process })
    }

    async fn ended(&self) -> SandboxId {
        match self.process.readable().await {
            Ok(_) => self.id,
            // Only when the runtime is shutting down.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Which of them ends first; never, when none does.
async fn first_death(watched: &[Watched]) -> SandboxId {
    let ends: FuturesUnordered<_> = watched.iter().map(Watched::ended).collect();
    let first = ends.into_future().await.0;
    match first {
        Some(id) => id,
        None => std::future::pending().await,
    }
}
