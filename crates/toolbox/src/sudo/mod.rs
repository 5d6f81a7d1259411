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
mod terminal;
mod wire;

/// Name of the abstract socket; it belongs to the sandbox's own network namespace.
pub(crate) const SOCKET_NAME: &str = "sebring-sudo";
/// Where a client looks for another name; for tests, which share a namespace.
const SOCKET_VARIABLE: &str = "SEBRING_SUDO_SOCKET";
