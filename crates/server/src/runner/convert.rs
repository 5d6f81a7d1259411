//! Between the words of the runner protocol and those of the domain, without wildcard arms.

use std::collections::BTreeMap;

use sebring_api::runner as wire;
use sebring_core::clock::Timestamp;
use sebring_core::lifecycle::{Failure, FailureCode, Goal, Report, Reported, StopMode, StopReason};
use sebring_core::network::Policy;
use sebring_core::sandbox::Sandbox;

use crate::view::DEFAULT_USER;

/// What to tell the runner so that the sandbox becomes as `goal` says.
pub(crate) fn command(sandbox: &Sandbox, goal: Goal) -> wire::Command {
    let goal = match goal {
        Goal::Running => wire::Goal::Running {
            spec: spec(sandbox),
        },
        Goal::Stopped(mode) => wire::Goal::Stopped {
            spec: spec(sandbox),
            stop: match mode {
                StopMode::Graceful => wire::StopMode::Graceful,
                StopMode::Force => wire::StopMode::Force,
            },
        },
        Goal::Deleted => wire::Goal::Deleted,
    };
    wire::Command {
        generation: sandbox.life.generation,
        goal,
    }
}

fn spec(sandbox: &Sandbox) -> wire::SandboxSpec {
    wire::SandboxSpec {
        snapshot: sandbox.template.clone(),
        resources: wire::ResourceSpec {
            cpus: sandbox.resources.cpus,
            memory_gib: sandbox.resources.memory_gib,
            disk_gib: sandbox.resources.disk_gib,
        },
        user: sandbox.user.clone(),
        env: environment(sandbox),
        network: match &sandbox.network {
            Policy::Open => wire::NetworkSpec::Open,
            Policy::BlockAll => wire::NetworkSpec::BlockAll,
            Policy::Allow(cidrs) => wire::NetworkSpec::Allow {
                cidrs: cidrs.iter().map(ToString::to_string).collect(),
            },
        },
    }
}

/// What a spare must be to become this sandbox; `None` when none can.
pub(crate) fn shape(sandbox: &Sandbox) -> Option<wire::Shape> {
    wire::Shape::of(&spec(sandbox))
}

/// The owner's variables and those by which a program learns where it runs. The latter are facts
/// and win over an owner's variable of the same name.
fn environment(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let mut env = sandbox.env.clone();
    let user = sandbox
        .user
        .clone()
        .unwrap_or_else(|| DEFAULT_USER.to_owned());
    env.extend([
        ("DAYTONA_SANDBOX_ID".to_owned(), sandbox.id.to_string()),
        (
            "DAYTONA_SANDBOX_SNAPSHOT".to_owned(),
            sandbox.snapshot.clone(),
        ),
        ("DAYTONA_SANDBOX_USER".to_owned(), user),
        (
            "DAYTONA_ORGANIZATION_ID".to_owned(),
            sandbox.organization.to_string(),
        ),
        ("DAYTONA_REGION_ID".to_owned(), sandbox.region.clone()),
    ]);
    env
}

/// What the runner said.
pub(crate) fn report(observation: &wire::Observation) -> Report {
    let state = match &observation.state {
        wire::ObservedState::Absent => Reported::Absent,
        wire::ObservedState::Building { until_unix } => Reported::Building {
            until: Timestamp::from_unix_ms(until_unix.saturating_mul(1_000)),
        },
        wire::ObservedState::Running {
            toolbox_socket,
            unenforced,
        } => Reported::Running {
            toolbox_socket: toolbox_socket.clone(),
            unenforced: unenforced.clone(),
        },
        wire::ObservedState::Stopped { why } => Reported::Stopped(match why {
            wire::StopReason::Asked => StopReason::Asked,
            wire::StopReason::Exited => StopReason::Exited,
            wire::StopReason::OomKilled => StopReason::OomKilled,
            wire::StopReason::HostLost => StopReason::HostLost,
        }),
        wire::ObservedState::Failed { code, message } => Reported::Failed(Failure {
            code: failure_code(*code),
            message: message.clone(),
        }),
    };
    Report {
        generation: observation.generation,
        state,
    }
}

fn failure_code(code: wire::FailureCode) -> FailureCode {
    match code {
        wire::FailureCode::SnapshotMissing => FailureCode::SnapshotMissing,
        wire::FailureCode::DiskFull => FailureCode::DiskFull,
        wire::FailureCode::OutOfProcesses => FailureCode::OutOfProcesses,
        wire::FailureCode::OutOfAddresses => FailureCode::OutOfAddresses,
        wire::FailureCode::DoesNotFit => FailureCode::DoesNotFit,
        wire::FailureCode::HostError => FailureCode::HostError,
    }
}
