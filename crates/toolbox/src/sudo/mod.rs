//! `sudo` inside the sandbox, without set-user-id: nothing there may gain privileges by executing
//! a file, so the one process that is root already, the toolbox, runs the command instead.
//!
//! The client ([`client`]) is this same executable under the name `sudo`. It sends what to run,
//! its environment and its three standard descriptors over a unix socket; the broker ([`broker`])
//! checks who is asking and starts the command in the asker's cgroup, so that whatever ends the
//! asker's process tree ends the command as well.
//!
//! "Root" is the sandbox's: the runner took from it, before anything ran, whatever could reach
//! beyond. Passwordless for the sandbox's user, as images of this kind have it.

mod arguments;
pub(crate) mod broker;
pub(crate) mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handover;
mod terminal;
mod wire;

use std::sync::{Arc, OnceLock};

use rustix::process::Pid;
use tokio::net::{UnixListener, UnixStream};

use crate::process::Tree;
use crate::process::registry::Registry;

/// Name of the abstract socket; it belongs to the sandbox's own network namespace.
pub(crate) const SOCKET_NAME: &str = "sebring-sudo";
/// Where a client looks for another name; for tests, which share a namespace.
const SOCKET_VARIABLE: &str = "SEBRING_SUDO_SOCKET";

pub(crate) use handover::take_up;

/// What is open while `sudo` is served.
#[derive(Debug, Default)]
pub(crate) struct Sudo {
    listener: OnceLock<Arc<UnixListener>>,
    callers: Registry<Caller>,
}

/// Somebody who waits for a command.
#[derive(Debug)]
struct Caller {
    pid: Pid,
    tree: Arc<Tree>,
    stream: UnixStream,
}
