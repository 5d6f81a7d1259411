//! The host's part of Sebring: one task per sandbox that makes it as it shall be, and everything
//! that takes privileges: disks, namespaces, control groups, firewall.
//!
//! Must not: know of organizations, keys or people; a host learns only what it must run.
//! Next: `sandbox` for the life of one, `setup` for what happens between clone and exec, `adopt`
//! for restarts, `disk` and `network` for what is shared.
#![forbid(unsafe_code)]

mod adopt;
pub mod builds;
mod cgroups;
mod config;
pub mod disk;
mod exec;
mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod history;
mod host;
mod http;
mod network;
pub mod recipe;
mod runner;
mod sandbox;
mod seccomp;
mod setup;
pub mod snapshots;
mod spares;
mod spawner;
mod stat;
mod teardown;
mod undo;
mod upgrade;
mod upkeep;

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tracing::info;

pub use config::{RUN_DIR_LENGTH_MAX, RunnerConfig, SEATS_READY, SpawnerProgram, instance_name};
pub use host::kernel;
pub use runner::{Error, Runner};
pub use spares::SPARES_MAX;
pub use teardown::teardown;

/// Runs until SIGTERM or SIGINT, and tells `ready` once commands are accepted. Sandboxes stay as
/// they are.
///
/// # Errors
/// When the host cannot be taken over, or the socket not be served.
pub async fn run(config: RunnerConfig, ready: impl FnOnce()) -> Result<(), Error> {
    let (run_dir, group) = (config.run_dir.clone(), config.server_group);
    let listen = |source| Error::Listen { source };
    let mut terminate = signal(SignalKind::terminate()).map_err(listen)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(listen)?;
    let runner = Runner::start(config).await?;
    let server = http::serve(runner.clone(), &run_dir, group, ready);
    // Dropping a wait for a signal loses nothing, and the server is dropped only to end.
    let served = tokio::select! {
        served = server => served,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    info!("runner is stopping");
    runner.stop().await;
    http::remove_socket(&run_dir);
    runner.leave_host();
    served.map_err(listen)
}

/// The spawner's whole life. Its socket is standard input. Call before anything starts a thread.
///
/// # Errors
/// When the process has threads, or the runner sent something else than requests.
pub fn spawner_main() -> io::Result<()> {
    let socket = sebring_sys::fds::inherited(0)?;
    spawner::serve::serve(&socket)
}
