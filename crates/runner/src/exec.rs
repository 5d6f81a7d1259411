//! Starting programs of the host: with a clean environment and a fixed search path.
//!
//! Must not: take arguments from inside a sandbox. Nothing runs through a shell.

use std::process::{Command, Stdio};

/// `program` found on the system's own path, with nothing of our environment.
pub(crate) fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("LC_ALL", "C")
        .stdin(Stdio::null());
    command
}
