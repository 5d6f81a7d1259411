//! Waiting for a snapshot that is built when it is needed.
//!
//! The build has a deadline of its own, which is told at once, so that nobody takes a sandbox that
//! waits for one that is stuck.
//! Must not: hold up a runner that stops, or a newer goal. Next: `crate::builds`.

use sebring_api::runner::{Command, FailureCode, Goal, Observation, ObservedState};
use sebring_core::id::Generation;

use super::{Actor, Ends, Failure, Life};

/// How waiting for a snapshot ended.
pub(super) enum Awaited {
    Usable,
    Failed(Failure),
    /// By something newer, which is to be looked at instead.
    Overtaken,
}

impl Actor {
    /// A snapshot that is built when it is needed takes minutes, in which a newer goal may come.
    pub(super) async fn await_snapshot(&self, command: &Command, ends: &mut Ends) -> Awaited {
        let Goal::Running { spec } = &command.goal else {
            return Awaited::Usable;
        };
        if !matches!(self.life, Life::Absent) {
            return Awaited::Usable;
        }
        let Some(build) = self.shared.builds.needed(&spec.snapshot) else {
            return Awaited::Usable;
        };
        self.say(ends, self.waiting(command.generation, build.until_unix));
        // Every branch only waits; the build goes on without us.
        tokio::select! {
            biased;
            built = build.ended() => match built {
                Ok(()) => Awaited::Usable,
                Err(error) => {
                    Awaited::Failed(Failure::new(FailureCode::HostError, "snapshot", error))
                }
            },
            // Whoever asks the next runner is told how it is then.
            () = self.shared.tasks.stopped() => Awaited::Overtaken,
            _ = ends.goal.changed() => Awaited::Overtaken,
        }
    }

    fn waiting(&self, generation: Generation, until_unix: i64) -> Observation {
        Observation {
            generation,
            state: ObservedState::Building { until_unix },
            ..self.observation()
        }
    }
}
