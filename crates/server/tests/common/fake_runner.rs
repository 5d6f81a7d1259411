//! A runner that speaks the real protocol on a real socket and keeps its sandboxes in a map. Tests
//! make it slow, absent, forgetful or refusing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Path as PathOf, Query, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use futures_util::StreamExt;
use parking_lot::Mutex;
use sebring_api::runner::{
    Command, FailureCode, Goal, Host, Inventory, Observation, ObservedState, Phase, SandboxSpec,
    SnapshotFacts, SnapshotStage, Spare, StopReason, UsageSample, UsageSpan,
};
use sebring_core::id::{Generation, IncarnationId, SandboxId};
use tokio::net::UnixListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

#[derive(Clone)]
pub(crate) struct FakeRunner {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    state: Mutex<State_>,
    changes: broadcast::Sender<Observation>,
    spares: watch::Sender<Vec<Spare>>,
    /// Commands are carried out only while this is true.
    gate: watch::Sender<bool>,
    server: Mutex<Option<JoinHandle<()>>>,
}

struct State_ {
    incarnation: IncarnationId,
    sandboxes: HashMap<SandboxId, Observation>,
    specs: HashMap<SandboxId, SandboxSpec>,
    commands: Vec<(SandboxId, Command)>,
    fail_next: Option<(FailureCode, String)>,
    /// What the last question about use was for.
    usage_asked: Option<UsageSpan>,
    usage_fails: Option<String>,
    /// When the build of `desktop` that goes on ends at the latest.
    build_until_unix: Option<i64>,
}

impl FakeRunner {
    pub(crate) fn new(path: &Path) -> Self {
        let state = State_ {
            incarnation: IncarnationId::random(),
            sandboxes: HashMap::new(),
            specs: HashMap::new(),
            commands: Vec::new(),
            fail_next: None,
            usage_asked: None,
            usage_fails: None,
            build_until_unix: None,
        };
        let shared = Shared {
            path: path.to_owned(),
            state: Mutex::new(state),
            changes: broadcast::Sender::new(1_024),
            gate: watch::Sender::new(true),
            spares: watch::Sender::default(),
            server: Mutex::new(None),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    #[allow(clippy::disallowed_methods, reason = "owned and ended by `stop`")]
    pub(crate) async fn start(&self) {
        self.stop().await;
        let listener = UnixListener::bind(&self.shared.path).unwrap();
        let router = Router::new()
            .route("/v1/sandboxes", get(inventory))
            .route("/v1/sandboxes/{id}", get(observation).put(command))
            .route("/v1/sandboxes/{id}/usage", get(usage))
            .route("/v1/observations", get(observations))
            .route("/v1/spares", get(spares))
            .route("/v1/host", get(host))
            .route("/v1/snapshots", get(snapshots))
            .with_state(self.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        *self.shared.server.lock() = Some(server);
    }

    /// As if killed: connections break, sandboxes stay.
    pub(crate) async fn stop(&self) {
        let server = self.shared.server.lock().take();
        if let Some(server) = server {
            server.abort();
            server.await.ok();
        }
        {
            let mut state = self.shared.state.lock();
            let incarnation = IncarnationId::random();
            state.incarnation = incarnation;
            for observation in state.sandboxes.values_mut() {
                observation.incarnation = incarnation;
            }
        }
        // Ends the streams of connections that outlive the listener.
        self.shared.changes.send(self.farewell()).ok();
        std::fs::remove_file(&self.shared.path).ok();
    }

    fn farewell(&self) -> Observation {
        Observation {
            id: SandboxId::from_uuid(uuid::Uuid::nil()),
            generation: Generation(0),
            incarnation: self.shared.state.lock().incarnation,
            state: ObservedState::Absent,
            phases: vec![],
        }
    }

    /// Has these spares from now on.
    pub(crate) fn announce(&self, spares: Vec<Spare>) {
        self.shared.spares.send_replace(spares);
    }

    /// Commands wait from now on.
    pub(crate) fn hold(&self) {
        self.shared.gate.send_replace(false);
    }

    pub(crate) fn release(&self) {
        self.shared.gate.send_replace(true);
    }

    /// The next command that wants something to run or be stopped fails like this.
    pub(crate) fn fail_next(&self, code: FailureCode, message: &str) {
        self.shared.state.lock().fail_next = Some((code, message.to_owned()));
    }

    /// From now on it cannot read what a sandbox used.
    pub(crate) fn fail_usage(&self, message: &str) {
        self.shared.state.lock().usage_fails = Some(message.to_owned());
    }

    pub(crate) fn usage_asked(&self) -> Option<UsageSpan> {
        self.shared.state.lock().usage_asked
    }

    /// Sandboxes of `desktop` wait for a build from now on.
    pub(crate) fn build(&self, until_unix: i64) {
        self.shared.state.lock().build_until_unix = Some(until_unix);
    }

    /// What is said before a command for a sandbox of `desktop` is carried out.
    fn say_building(&self, id: SandboxId, command: &Command) {
        let state = self.shared.state.lock();
        let waits = matches!(&command.goal, Goal::Running { spec } if spec.snapshot == "desktop");
        if let Some(until_unix) = state.build_until_unix.filter(|_| waits) {
            let building = Observation {
                id,
                generation: command.generation,
                incarnation: state.incarnation,
                state: ObservedState::Building { until_unix },
                phases: vec![],
            };
            self.shared.changes.send(building).ok();
        }
    }

    /// The sandbox's first process ends by itself.
    pub(crate) fn end(&self, id: &str, why: StopReason) {
        let id = id.parse().unwrap();
        let mut state = self.shared.state.lock();
        let observation = state.sandboxes.get_mut(&id).unwrap();
        observation.state = ObservedState::Stopped { why };
        let changed = observation.clone();
        drop(state);
        self.shared.changes.send(changed).ok();
    }

    /// As if its disk had been lost while nobody looked.
    pub(crate) fn forget(&self, id: &str) {
        let id = id.parse().unwrap();
        self.shared.state.lock().sandboxes.remove(&id);
    }

    /// A sandbox that no server asked for.
    pub(crate) fn plant(&self, id: SandboxId) {
        let mut state = self.shared.state.lock();
        let incarnation = state.incarnation;
        let planted = Observation {
            id,
            generation: Generation(1),
            incarnation,
            state: running(id),
            phases: vec![],
        };
        state.sandboxes.insert(id, planted);
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        let state = self.shared.state.lock();
        state.sandboxes.keys().map(ToString::to_string).collect()
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.ids().iter().any(|known| known == id)
    }

    pub(crate) fn spec(&self, id: &str) -> SandboxSpec {
        self.shared.state.lock().specs[&id.parse().unwrap()].clone()
    }

    pub(crate) fn commands(&self, id: &str) -> Vec<Command> {
        let id: SandboxId = id.parse().unwrap();
        let state = self.shared.state.lock();
        let sent = state.commands.iter().filter(|(to, _)| *to == id);
        sent.map(|(_, command)| command.clone()).collect()
    }

    pub(crate) fn command_count(&self) -> usize {
        self.shared.state.lock().commands.len()
    }

    fn obey(&self, id: SandboxId, command: &Command) -> Observation {
        let mut state = self.shared.state.lock();
        let known = state.sandboxes.get(&id);
        if let Some(known) = known.filter(|known| known.generation > command.generation) {
            return known.clone();
        }
        let failure = match command.goal {
            Goal::Running { .. } | Goal::Stopped { .. } => state.fail_next.take(),
            Goal::Deleted => None,
        };
        let observed = match (&command.goal, failure) {
            (Goal::Deleted, _) => ObservedState::Absent,
            (_, Some((code, message))) => ObservedState::Failed { code, message },
            (Goal::Running { spec }, None) => {
                state.specs.insert(id, spec.clone());
                running(id)
            }
            (Goal::Stopped { spec, .. }, None) => {
                state.specs.insert(id, spec.clone());
                ObservedState::Stopped {
                    why: StopReason::Asked,
                }
            }
        };
        let observation = Observation {
            id,
            generation: command.generation,
            incarnation: state.incarnation,
            state: observed,
            phases: vec![Phase {
                name: "rootfs".into(),
                elapsed_us: 1_500,
            }],
        };
        if observation.state == ObservedState::Absent {
            state.sandboxes.remove(&id);
        } else {
            state.sandboxes.insert(id, observation.clone());
        }
        drop(state);
        self.shared.changes.send(observation.clone()).ok();
        observation
    }
}

fn running(id: SandboxId) -> ObservedState {
    ObservedState::Running {
        toolbox_socket: format!("/run/sebring/test/{id}.sock"),
        unenforced: vec![],
    }
}

async fn command(
    State(runner): State<FakeRunner>,
    PathOf(id): PathOf<SandboxId>,
    Json(command): Json<Command>,
) -> Json<Observation> {
    runner
        .shared
        .state
        .lock()
        .commands
        .push((id, command.clone()));
    runner.say_building(id, &command);
    let mut gate = runner.shared.gate.subscribe();
    // Carried out even when the server no longer waits for the answer.
    #[allow(
        clippy::disallowed_methods,
        reason = "ends with the runtime of its test"
    )]
    let obeyed = tokio::spawn(async move {
        gate.wait_for(|open| *open).await.unwrap();
        runner.obey(id, &command)
    });
    Json(obeyed.await.unwrap())
}

async fn observation(
    State(runner): State<FakeRunner>,
    PathOf(id): PathOf<SandboxId>,
) -> Json<Observation> {
    let state = runner.shared.state.lock();
    let absent = Observation {
        id,
        generation: Generation(0),
        incarnation: state.incarnation,
        state: ObservedState::Absent,
        phases: vec![],
    };
    Json(state.sandboxes.get(&id).cloned().unwrap_or(absent))
}

async fn inventory(State(runner): State<FakeRunner>) -> Json<Inventory> {
    let state = runner.shared.state.lock();
    Json(Inventory {
        incarnation: state.incarnation,
        sandboxes: state.sandboxes.values().cloned().collect(),
    })
}

async fn spares(State(runner): State<FakeRunner>) -> Body {
    let mut changes = runner.shared.spares.subscribe();
    changes.mark_changed();
    let lists = futures_util::stream::unfold(changes, |mut changes| async {
        changes.changed().await.ok()?;
        let list = changes.borrow_and_update().clone();
        Some((list, changes))
    });
    let lines = lists.map(|list| {
        let mut line = serde_json::to_vec(&list).unwrap();
        line.push(b'\n');
        Ok::<_, std::io::Error>(line)
    });
    Body::from_stream(lines)
}

async fn observations(State(runner): State<FakeRunner>) -> Body {
    let changes = runner.shared.changes.subscribe();
    let (first, incarnation) = {
        let state = runner.shared.state.lock();
        let all: Vec<_> = state.sandboxes.values().cloned().collect();
        (all, state.incarnation)
    };
    let changes = futures_util::stream::unfold(changes, |mut changes| async {
        Some((changes.recv().await.ok()?, changes))
    });
    let all = futures_util::stream::iter(first).chain(changes);
    let lines = all.map(move |observation| {
        if observation.incarnation != incarnation {
            return Err(std::io::Error::other("the runner was restarted"));
        }
        let mut line = serde_json::to_vec(&observation).unwrap();
        line.push(b'\n');
        Ok(Bytes::from(line))
    });
    Body::from_stream(lines)
}

/// Half a processor was busy between these.
async fn usage(
    State(runner): State<FakeRunner>,
    Query(span): Query<UsageSpan>,
) -> Result<Json<Vec<UsageSample>>, (StatusCode, String)> {
    let mut state = runner.shared.state.lock();
    state.usage_asked = Some(span);
    if let Some(message) = &state.usage_fails {
        return Err((StatusCode::INTERNAL_SERVER_ERROR, message.clone()));
    }
    let sample = |at_unix, cpu_us| UsageSample {
        at_unix,
        cpu_us,
        memory_bytes: 1,
        memory_cache_bytes: 0,
        disk_bytes: 1,
    };
    Ok(Json(vec![sample(15, 0), sample(30, 7_500_000)]))
}

async fn host(State(runner): State<FakeRunner>) -> Json<Host> {
    Json(Host {
        incarnation: runner.shared.state.lock().incarnation,
        cpus: 4,
        memory_bytes: 16 << 30,
        disk_bytes: 100 << 30,
        disk_free_bytes: 90 << 30,
        unenforced: vec![],
    })
}

async fn snapshots() -> Json<Vec<SnapshotFacts>> {
    let names = [
        "sebring-small",
        "sebring-medium",
        "sebring-large",
        "team/base:1",
        "desktop",
    ];
    let facts = names.map(|name| SnapshotFacts {
        name: name.into(),
        size_bytes: 1 << 29,
        entrypoint: vec!["sleep".into(), "infinity".into()],
        created_at: "2026-11-01T00:00:00.000Z".into(),
        stage: match name {
            "desktop" => SnapshotStage::Building,
            _ => SnapshotStage::Ready,
        },
    });
    Json(facts.to_vec())
}
