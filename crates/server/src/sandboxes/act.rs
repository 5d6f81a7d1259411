//! The lifecycle verbs: start, stop, delete, recover, resize.
//!
//! Each writes a wish and waits until it is fulfilled, refused, or the wait is over; then the
//! caller gets the sandbox as it truly is.

use std::sync::Arc;
use std::time::Duration;

use sebring_api::public::ResizeSandbox;
use sebring_core::clock::Timestamp;
use sebring_core::id::SandboxId;
use sebring_core::lifecycle::{
    AfterRecovery, Intent, Record, Shown, StopMode, ask_delete, ask_recover, ask_resize, ask_start,
    ask_stop,
};
use sebring_core::resources::{Kind, Resize, While, check, resized};
use sebring_core::sandbox::Sandbox;
use sebring_store::CommitNumber;

use super::wait::{Waited, act_then_wait};
use super::{Error, change, create};
use crate::app::App;
use crate::reconcile::moved;

/// Most deletes are over by then; the rest are answered `destroying`.
const DELETE_WAIT_MAX: Duration = Duration::from_millis(200);

pub(crate) async fn start(app: &App, id: SandboxId) -> Result<Arc<Sandbox>, Error> {
    let waited = act(
        app,
        id,
        app.config.wait_max,
        |sandbox, now| {
            let life = ask_start(&sandbox.life, now)?;
            Ok(life.map(|life| Sandbox {
                auth_token: create::new_auth_token(),
                ..moved(sandbox, life, now)
            }))
        },
        |shown| !is_coming_up(shown),
    );
    create::started(waited.await?.sandbox)
}

pub(crate) async fn stop(app: &App, id: SandboxId, mode: StopMode) -> Result<Arc<Sandbox>, Error> {
    let waited = act(
        app,
        id,
        app.config.wait_max,
        move |sandbox, now| {
            let life = if sandbox.is_ephemeral() {
                ask_delete(&sandbox.life)
            } else {
                ask_stop(&sandbox.life, mode)?
            };
            Ok(life.map(|life| moved(sandbox, life, now)))
        },
        |shown| !matches!(shown, Shown::Stopping | Shown::Destroying),
    );
    Ok(waited.await?.sandbox)
}

pub(crate) async fn delete(app: &App, id: SandboxId) -> Result<Arc<Sandbox>, Error> {
    let waited = act(
        app,
        id,
        DELETE_WAIT_MAX,
        |sandbox, now| {
            let life = ask_delete(&sandbox.life);
            Ok(life.map(|life| moved(sandbox, life, now)))
        },
        |shown| shown == Shown::Destroyed,
    );
    Ok(waited.await?.sandbox)
}

pub(crate) async fn recover(
    app: &App,
    id: SandboxId,
    then: AfterRecovery,
) -> Result<Arc<Sandbox>, Error> {
    let waited = act(
        app,
        id,
        app.config.wait_max,
        move |sandbox, now| {
            let life = ask_recover(&sandbox.life, then, now)?;
            Ok(Some(Sandbox {
                auth_token: create::new_auth_token(),
                ..moved(sandbox, life, now)
            }))
        },
        |shown| !is_coming_up(shown) && shown != Shown::Stopping,
    );
    create::started(waited.await?.sandbox)
}

pub(crate) async fn resize(
    app: &App,
    id: SandboxId,
    body: ResizeSandbox,
) -> Result<Arc<Sandbox>, Error> {
    let limits = app.config.limits;
    let amount =
        |kind, asked: Option<i64>| asked.map(|asked| check(kind, asked, &limits)).transpose();
    let resize = Resize {
        cpus: amount(Kind::Cpu, body.cpu)?,
        memory_gib: amount(Kind::Memory, body.memory)?,
        disk_gib: amount(Kind::Disk, body.disk)?,
    };
    let waited = act(
        app,
        id,
        app.config.wait_max,
        move |sandbox, now| {
            let life = ask_resize(&sandbox.life, sandbox.resources)?;
            let resources = resized(sandbox.resources, resize, state_of(&life))?;
            Ok(Some(Sandbox {
                resources,
                ..moved(sandbox, life, now)
            }))
        },
        |shown| shown != Shown::Resizing,
    );
    let Waited { sandbox, note } = waited.await?;
    let kept = |asked: Option<u32>, has| asked.is_none_or(|asked| asked == has);
    let fulfilled = kept(resize.cpus, sandbox.resources.cpus)
        && kept(resize.memory_gib, sandbox.resources.memory_gib)
        && kept(resize.disk_gib, sandbox.resources.disk_gib);
    match note.refusal {
        Some(reason) if !fulfilled => Err(Error::ResizeRefused(reason)),
        Some(_) | None => Ok(sandbox),
    }
}

fn is_coming_up(shown: Shown) -> bool {
    matches!(
        shown,
        Shown::Creating | Shown::BuildingSnapshot | Shown::Starting
    )
}

fn state_of(life: &Record) -> While {
    match life.intent {
        Intent::Running(_) => While::Running,
        Intent::Stopped(_) | Intent::Deleted => While::Stopped,
    }
}

/// A sandbox whose network policy was changed, once the runner has applied it.
pub(super) async fn apply_settings(
    app: &App,
    id: SandboxId,
    edit: impl FnOnce(&Sandbox, Timestamp) -> Result<Option<Sandbox>, Error> + Send + 'static,
) -> Result<Arc<Sandbox>, Error> {
    let mut at = None;
    let write = write(app, id, edit, &mut at);
    let done = |sandbox: &Sandbox| sandbox.life.is_answered();
    let waited = act_then_wait(app, id, app.config.wait_max, write, done).await?;
    durable(app, at).await?;
    create::started(waited.sandbox)
}

async fn act(
    app: &App,
    id: SandboxId,
    limit: Duration,
    edit: impl FnOnce(&Sandbox, Timestamp) -> Result<Option<Sandbox>, Error> + Send + 'static,
    done: impl Fn(Shown) -> bool,
) -> Result<Waited, Error> {
    let mut at = None;
    let write = write(app, id, edit, &mut at);
    let waited = act_then_wait(app, id, limit, write, |sandbox| done(sandbox.shown())).await?;
    durable(app, at).await?;
    Ok(waited)
}

async fn write(
    app: &App,
    id: SandboxId,
    edit: impl FnOnce(&Sandbox, Timestamp) -> Result<Option<Sandbox>, Error> + Send + 'static,
    at: &mut Option<CommitNumber>,
) -> Result<Arc<Sandbox>, Error> {
    let committed = change(app, id, edit).await?;
    *at = Some(committed.at);
    Ok(committed.value)
}

async fn durable(app: &App, at: Option<CommitNumber>) -> Result<(), Error> {
    if let Some(at) = at {
        app.store.durable(at).await?;
    }
    Ok(())
}
