//! Starting programs of the host, with a clean environment and a fixed search path, and waiting
//! for what the kernel gives no event for.
//!
//! Must not: take arguments from inside a sandbox. Nothing runs through a shell.

use std::process::{Command, Stdio};
use std::time::Duration;

/// Between two looks at something that cannot be polled.
const LOOK_WAIT: Duration = Duration::from_millis(2);

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

/// A short wait of a blocking thread between two looks, for v1 control groups and unmounting.
/// Loops around it have a deadline.
pub(crate) fn pause() {
    let wait = rustix::thread::Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(LOOK_WAIT.subsec_nanos()),
    };
    // Waking early only means looking sooner.
    let _ = rustix::thread::nanosleep(&wait);
}
