//! `sebring down`: ends every sandbox of an instance and gives the host back what it lent.
//!
//! Works from what the kernel and the records say, whether or not a server or runner was running.
//!
//! Must not: delete a disk or a record; the next start finds every sandbox again, stopped.

use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use sebring_api::runner::ObservedState;
use sebring_core::id::SandboxId;
use tokio::sync::broadcast::error::RecvError;
use tracing::warn;

use crate::config::RunnerConfig;
use crate::runner::{Error, Runner};

/// For processes that want to put things away; the toolbox itself allows two seconds.
const GRACE: Duration = Duration::from_secs(3);
/// After SIGKILL, for the kernel to put away what is left of all of them.
const END_WAIT: Duration = Duration::from_secs(30);

/// Ends all sandboxes, gently at first, and takes everything of this instance off the host.
///
/// # Errors
/// When another runner has the instance, or the host cannot be looked at.
pub async fn teardown(config: RunnerConfig) -> Result<(), Error> {
    let run_dir = config.run_dir.clone();
    let runner = Runner::start(config).await?;
    running(&runner)
        .into_iter()
        .for_each(|id| ask_to_end(&runner, id));
    if tokio::time::timeout(GRACE, all_ended(&runner))
        .await
        .is_err()
    {
        for id in running(&runner) {
            if let Err(error) = runner.shared.cgroups.group(id).kill() {
                warn!(sandbox_id = %id, error = %error, "cannot kill a sandbox");
            }
        }
        if tokio::time::timeout(END_WAIT, all_ended(&runner))
            .await
            .is_err()
        {
            warn!("some sandboxes did not end; the next start looks again");
        }
    }
    runner.stop().await;
    crate::http::remove_socket(&run_dir);
    runner.leave_host();
    Ok(())
}

fn ask_to_end(runner: &Runner, id: SandboxId) {
    let Some(running) = runner.shared.records.running(id) else {
        return;
    };
    // It may have ended meanwhile, which is what is wanted.
    if let Ok(process) = sebring_sys::userns::pidfd_of(running.pid) {
        pidfd_send_signal(&process, Signal::TERM).ok();
    }
}

fn running(runner: &Runner) -> Vec<SandboxId> {
    let is_running = |state: &ObservedState| matches!(state, ObservedState::Running { .. });
    let sandboxes = runner.inventory().sandboxes.into_iter();
    sandboxes
        .filter(|seen| is_running(&seen.state))
        .map(|seen| seen.id)
        .collect()
}

/// Waits on the level: every change is a reason to look again.
async fn all_ended(runner: &Runner) {
    let mut changes = runner.observations();
    while !running(runner).is_empty() {
        match changes.recv().await {
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
