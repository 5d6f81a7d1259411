//! `POST /sandbox`: parse, one transaction, wait until it runs.
//!
//! The rest of the story: the commit wakes an owner (`crate::reconcile`), which tells the runner,
//! whose answer is committed in turn, which ends the wait here. A caller that leaves takes nothing
//! with it; the owner goes on.

use std::collections::BTreeMap;
use std::sync::Arc;

use sebring_api::public::CreateSandbox;
use sebring_core::clock::Timestamp;
use sebring_core::id::{OrganizationId, SandboxId};
use sebring_core::labels::Labels;
use sebring_core::lifecycle::{self, FailureCode, Observed, Shown};
use sebring_core::name::Name;
use sebring_core::network::{self, Policy, parse_allow_list};
use sebring_core::resources::{self, Kind, Limits};
use sebring_core::sandbox::{ENV_BYTES_MAX, ENV_VARS_MAX, Sandbox};
use sebring_core::secret::Secret;
use sebring_core::timers::{
    self, Timers, parse_auto_archive, parse_auto_delete, parse_auto_stop, parse_ttl,
};
use sebring_store::Error as StoreError;
use tokio::time::Instant;

use super::{Error, Timing, settings, wait};
use crate::app::App;
use crate::config::Config;
use crate::snapshots::{self, Named};
use crate::{random, reconcile, runner};

/// The one region of one host.
pub(crate) const REGION: &str = "us";
const USER_BYTES_MAX: usize = 64;

/// Creates a sandbox and waits until it runs, or until the wait is over.
pub(crate) async fn create(
    app: &App,
    organization: OrganizationId,
    body: CreateSandbox,
    timing: &mut Timing,
) -> Result<Arc<Sandbox>, Error> {
    let busy = app.reconciler.busy();
    if busy >= reconcile::BUSY_MAX {
        return Err(Error::Overloaded(busy));
    }
    let new = NewSandbox::parse(body, &app.config, app.now())?;
    let snapshot = choose_snapshot(app, &new).await?;
    let sandbox = new.into_sandbox(organization, snapshot, app.now());
    let sandbox = with_spare(app, sandbox);
    timing.mark("parse");

    let id = sandbox.id;
    let mut committed_at = None;
    let insert = async {
        let name = sandbox.name.to_string();
        let write = app.store.write(|tx| tx.insert_sandbox(sandbox));
        let committed = write.await.map_err(|error| {
            app.spares.give_back(id);
            match error {
                StoreError::NameTaken => Error::NameTaken(name),
                other => Error::Store(other),
            }
        })?;
        app.store.begin_sync(committed.at);
        committed_at = Some(committed.at);
        timing.mark("store");
        Ok::<_, Error>(committed.value)
    };
    let waits = |shown| matches!(shown, Shown::Creating | Shown::BuildingSnapshot);
    let done = |sandbox: &Sandbox| !waits(sandbox.shown());
    let waited = wait::act_then_wait(app, id, app.config.wait_max, insert, done).await?;
    timing.mark("run");
    timing.add_runner(waited.note.phases);
    if let Some(at) = committed_at {
        app.store.durable(at).await?;
    }
    timing.mark("sync");
    started(waited.sandbox)
}

/// Under the id of a spare, when the runner has one that fits: it is up already.
fn with_spare(app: &App, sandbox: Sandbox) -> Sandbox {
    let is_known = |id| app.directory.sandbox(id).is_some();
    let now = Instant::now();
    let spare = runner::shape(&sandbox).and_then(|shape| app.spares.take(&shape, now, is_known));
    let Some(id) = spare else {
        return sandbox;
    };
    let name = if sandbox.name == own_name(sandbox.id) {
        own_name(id)
    } else {
        sandbox.name
    };
    Sandbox {
        id,
        name,
        ..sandbox
    }
}

/// Of a sandbox that was given none.
fn own_name(id: SandboxId) -> Name {
    Name::parse(&id.to_string()).expect("the text of an id is a name")
}

/// A bring-up that failed is an error for the caller; one that goes on is not.
pub(super) fn started(sandbox: Arc<Sandbox>) -> Result<Arc<Sandbox>, Error> {
    match (&sandbox.life.observed, sandbox.shown()) {
        (Observed::Failed(failure), Shown::Error) => {
            Err(if failure.code == FailureCode::SnapshotMissing {
                Error::UnknownSnapshot(sandbox.snapshot.clone())
            } else {
                Error::FailedToStart(failure.clone())
            })
        }
        (_, _) => Ok(sandbox),
    }
}

async fn choose_snapshot(app: &App, new: &NewSandbox) -> Result<Named, Error> {
    let reference = match &new.snapshot {
        Some(reference) => reference,
        None => &app.config.default_snapshot,
    };
    match snapshots::find(app, reference).await {
        Some(found) => Ok(found),
        None if app.catalog.is_known() => Err(Error::UnknownSnapshot(reference.clone())),
        None => Err(Error::NoRunner),
    }
}

/// A request that can be carried out.
struct NewSandbox {
    name: Option<Name>,
    snapshot: Option<String>,
    user: Option<String>,
    env: BTreeMap<String, String>,
    labels: Labels,
    public: bool,
    network: Policy,
    timers: Timers,
}

impl NewSandbox {
    fn parse(body: CreateSandbox, config: &Config, now: Timestamp) -> Result<Self, Error> {
        refuse_unavailable(&body)?;
        check_amounts(&body, &config.limits)?;
        if body
            .target
            .as_deref()
            .is_some_and(|target| !target.is_empty() && target != REGION)
        {
            return Err(Error::UnknownRegion);
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(Self {
            name: given(body.name)
                .map(|name| Name::parse(&name))
                .transpose()?,
            snapshot: given(body.snapshot),
            user: given(body.user).map(parse_user).transpose()?,
            env: parse_env(body.env.unwrap_or_default())?,
            labels: Labels::parse(body.labels.unwrap_or_default())?,
            public: body.public.unwrap_or(false),
            network: Policy::Open.changed(network::Change {
                block_all: body.network_block_all.filter(|block| *block),
                allow: given(body.network_allow_list)
                    .map(|list| parse_allow_list(&list))
                    .transpose()?,
            })?,
            timers: Timers {
                auto_stop_minutes: match body.auto_stop_interval {
                    Some(asked) => parse_auto_stop(asked)?,
                    None => Some(timers::AUTO_STOP_MINUTES_DEFAULT),
                },
                auto_archive_minutes: match body.auto_archive_interval {
                    Some(asked) => parse_auto_archive(asked)?,
                    None => timers::AUTO_ARCHIVE_MINUTES_DEFAULT,
                },
                auto_delete: parse_auto_delete(body.auto_delete_interval.unwrap_or(-1))?,
                destroy_at: parse_ttl(body.ttl_minutes.unwrap_or(0), now)?,
            },
        })
    }

    fn into_sandbox(
        self,
        organization: OrganizationId,
        snapshot: Named,
        now: Timestamp,
    ) -> Sandbox {
        let id = SandboxId::random();
        Sandbox {
            id,
            organization,
            name: self.name.unwrap_or_else(|| own_name(id)),
            snapshot: snapshot.name,
            template: snapshot.facts.name,
            user: self.user,
            env: self.env,
            labels: self.labels,
            public: self.public,
            region: REGION.into(),
            resources: snapshot.resources,
            network: self.network,
            timers: self.timers,
            auth_token: new_auth_token(),
            signing_key: settings::new_signing_key(),
            life: lifecycle::created(now),
            created_at: now,
            updated_at: now,
            last_active_at: now,
        }
    }
}

pub(super) fn new_auth_token() -> Secret<String> {
    const CHARACTERS: usize = 32;
    Secret::new(random::token(CHARACTERS))
}

/// What the contract knows and this server cannot do yet is refused, never ignored.
fn refuse_unavailable(body: &CreateSandbox) -> Result<(), Error> {
    let later = |what: &str| Err(Error::NotAvailable(format!("{what} is not available yet")));
    let given = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if body.build_info.is_some() {
        return later("buildInfo: building a sandbox from an image");
    }
    if body
        .volumes
        .as_ref()
        .is_some_and(|volumes| !volumes.is_empty())
    {
        return later("volumes: mounting volumes");
    }
    if body
        .secrets
        .as_ref()
        .is_some_and(|secrets| !secrets.is_empty())
    {
        return later("secrets: giving a sandbox secrets");
    }
    if given(&body.linked_sandbox) {
        return later("linkedSandbox: linking sandboxes");
    }
    if given(&body.outbound_proxy_url) {
        return later("outboundProxyUrl: an outbound proxy");
    }
    if given(&body.otel_endpoint_override) {
        return later("otelEndpointOverride: telemetry export");
    }
    if body.kvm == Some(true) {
        return later("kvm: nested virtualization");
    }
    if body.spot == Some(true) {
        return later("spot: evictable sandboxes");
    }
    if body.queue_timeout.is_some_and(|seconds| seconds > 0) {
        return later("queueTimeout: waiting for capacity");
    }
    settings::refuse_domains(body.domain_allow_list.as_deref())?;
    settings::refuse_auto_pause(body.auto_pause_interval)
}

fn check_amounts(body: &CreateSandbox, limits: &Limits) -> Result<(), Error> {
    let amounts = [
        (Kind::Cpu, body.cpu),
        (Kind::Memory, body.memory),
        (Kind::Disk, body.disk),
    ];
    for (kind, asked) in amounts {
        if let Some(asked) = asked {
            resources::check(kind, asked, limits)?;
        }
    }
    let gpu = body.gpu.unwrap_or(0);
    if gpu != 0 {
        let text = format!("gpu {gpu}: maximum 0; this host offers no GPUs");
        return Err(Error::Invalid(text));
    }
    if body.gpu_type.as_ref().is_some_and(names_a_gpu) {
        let text = "gpuType: this host offers no GPUs; leave it out".into();
        return Err(Error::Invalid(text));
    }
    if amounts.iter().any(|(_, asked)| asked.is_some()) {
        let text = "Cannot specify Sandbox resources when using a snapshot";
        return Err(Error::Invalid(text.into()));
    }
    Ok(())
}

fn names_a_gpu(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Array(types) => !types.is_empty(),
        serde_json::Value::String(name) => !name.is_empty(),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Object(_) => false,
    }
}

/// As login names are: nothing that a shell or `/etc/passwd` could mistake.
fn parse_user(user: String) -> Result<String, Error> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let starts_well = !user.starts_with(['-', '.']);
    if user.len() <= USER_BYTES_MAX && starts_well && user.bytes().all(legal) {
        return Ok(user);
    }
    Err(Error::Invalid(format!(
        "user {user:?}: 1 to {USER_BYTES_MAX} letters, digits, '_', '-' and '.', \
         not beginning with '-' or '.'"
    )))
}

fn parse_env(env: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Error> {
    let invalid = |text: String| Err(Error::Invalid(text));
    if env.len() > ENV_VARS_MAX {
        let count = env.len();
        return invalid(format!("env: {count} variables; at most {ENV_VARS_MAX}"));
    }
    let bytes: usize = env
        .iter()
        .map(|(key, value)| key.len() + value.len() + 2)
        .sum();
    if bytes > ENV_BYTES_MAX {
        return invalid(format!("env: {bytes} bytes; at most {ENV_BYTES_MAX} bytes"));
    }
    for (key, value) in &env {
        if key.is_empty() || key.contains(|c: char| c == '=' || c.is_control()) {
            return invalid(format!("env: {key:?} cannot be the name of a variable"));
        }
        if value.contains('\0') {
            return invalid(format!("env: the value of {key:?} contains a NUL"));
        }
    }
    Ok(env)
}
