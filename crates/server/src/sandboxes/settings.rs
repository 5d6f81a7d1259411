//! Everything about a sandbox that is changed without changing what it does: labels, timers,
//! visibility, keys, activity; and the network policy, which the runner applies at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use sebring_api::public::NetworkSettings;
use sebring_core::clock::Timestamp;
use sebring_core::id::SandboxId;
use sebring_core::labels::Labels;
use sebring_core::lifecycle::ask_settings;
use sebring_core::network::{self, parse_allow_list};
use sebring_core::sandbox::Sandbox;
use sebring_core::secret::Secret;
use sebring_core::timers::{parse_auto_archive, parse_auto_delete, parse_auto_stop, parse_ttl};

use super::{Error, act, change, refuse_deleted};
use crate::app::App;
use crate::random;
use crate::reconcile::moved;
use crate::timers::ACTIVITY_THROTTLE;

/// A timer that can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    AutoStop,
    AutoArchive,
    AutoDelete,
    AutoPause,
    TimeToLive,
}

/// Applies `edit` durably.
async fn edit(
    app: &App,
    id: SandboxId,
    edit: impl FnOnce(&mut Sandbox, Timestamp) -> Result<(), Error> + Send + 'static,
) -> Result<Arc<Sandbox>, Error> {
    let changed = change(app, id, |sandbox, now| {
        refuse_deleted(sandbox)?;
        let mut after = sandbox.clone();
        edit(&mut after, now)?;
        if after != *sandbox {
            after.updated_at = now;
        }
        Ok(Some(after))
    });
    let committed = changed.await?;
    app.store.durable(committed.at).await?;
    Ok(committed.value)
}

pub(crate) async fn replace_labels(
    app: &App,
    id: SandboxId,
    labels: BTreeMap<String, String>,
) -> Result<Arc<Sandbox>, Error> {
    let labels = Labels::parse(labels)?;
    edit(app, id, |sandbox, _| {
        sandbox.labels = labels;
        Ok(())
    })
    .await
}

pub(crate) async fn set_public(
    app: &App,
    id: SandboxId,
    public: bool,
) -> Result<Arc<Sandbox>, Error> {
    edit(app, id, move |sandbox, _| {
        sandbox.public = public;
        Ok(())
    })
    .await
}

pub(crate) async fn set_timer(
    app: &App,
    id: SandboxId,
    timer: Timer,
    minutes: i64,
) -> Result<Arc<Sandbox>, Error> {
    edit(app, id, move |sandbox, now| {
        let timers = &mut sandbox.timers;
        match timer {
            Timer::AutoStop => timers.auto_stop_minutes = parse_auto_stop(minutes)?,
            Timer::AutoArchive => timers.auto_archive_minutes = parse_auto_archive(minutes)?,
            Timer::AutoDelete => timers.auto_delete = parse_auto_delete(minutes)?,
            Timer::AutoPause => refuse_auto_pause(Some(minutes))?,
            Timer::TimeToLive => timers.destroy_at = parse_ttl(minutes, now)?,
        }
        Ok(())
    })
    .await
}

pub(crate) async fn set_network(
    app: &App,
    id: SandboxId,
    body: NetworkSettings,
) -> Result<Arc<Sandbox>, Error> {
    let said = [
        body.network_block_all.is_some(),
        body.network_allow_list.is_some(),
        body.domain_allow_list.is_some(),
    ];
    if !said.contains(&true) {
        let text = "give at least one of networkBlockAll, networkAllowList and domainAllowList";
        return Err(Error::Invalid(text.into()));
    }
    refuse_domains(body.domain_allow_list.as_deref())?;
    let allow = body.network_allow_list.as_deref().map(parse_allow_list);
    let wished = network::Change {
        block_all: body.network_block_all,
        allow: allow.transpose()?,
    };
    act::apply_settings(app, id, |sandbox, now| {
        refuse_deleted(sandbox)?;
        let network = sandbox.network.changed(wished)?;
        if network == sandbox.network {
            return Ok(None);
        }
        let after = match ask_settings(&sandbox.life, now)? {
            Some(life) => moved(sandbox, life, now),
            None => sandbox.clone(),
        };
        Ok(Some(Sandbox {
            network,
            updated_at: now,
            ..after
        }))
    })
    .await
}

pub(crate) async fn rotate_signing_key(app: &App, id: SandboxId) -> Result<Arc<Sandbox>, Error> {
    edit(app, id, |sandbox, _| {
        sandbox.signing_key = new_signing_key();
        Ok(())
    })
    .await
}

pub(crate) fn new_signing_key() -> Secret<String> {
    Secret::new(random::hex::<32>())
}

/// Notes that the sandbox is in use. Written down within seconds; in effect at once.
pub(crate) fn touch(app: &App, id: SandboxId) {
    if app.directory.touch(id, app.now(), ACTIVITY_THROTTLE) {
        app.timers.note_activity(id);
    }
}

/// A policy that cannot be enforced must not look as if it were.
pub(super) fn refuse_domains(list: Option<&str>) -> Result<(), Error> {
    match list {
        None | Some("") => Ok(()),
        Some(list) => Err(Error::Invalid(format!(
            "domainAllowList {list:?}: domain rules are not available yet; use networkAllowList"
        ))),
    }
}

pub(super) fn refuse_auto_pause(minutes: Option<i64>) -> Result<(), Error> {
    match minutes {
        None | Some(0) => Ok(()),
        Some(_) => Err(Error::NotAvailable(
            "autoPauseInterval: Pausing is not supported for this sandbox".into(),
        )),
    }
}
