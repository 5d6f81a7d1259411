//! `sebring up --detach`: the same server, left running by a parent that returns.
//!
//! Must not: daemonize by forking a threaded process; it starts itself anew in its own session.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, bail};

use crate::config::Layout;
use crate::output;

/// Starts the supervisor in the background and prints what it prints once it is ready.
pub(super) fn start(layout: &Layout) -> anyhow::Result<ExitCode> {
    let log_path = layout.log_dir().join("sebring.log");
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("open {}", log_path.display()))?;
    let itself = std::env::current_exe().context("find this executable")?;
    let mut child = Command::new(itself)
        .args(
            std::env::args_os()
                .skip(1)
                .filter(|word| word != "--detach"),
        )
        .arg("--detached")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .context("start the server in the background")?;
    let stdout = child.stdout.take().context("read from the server")?;
    // Two export lines mean ready; the end of the pipe before that means it failed.
    let lines: Vec<String> = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .take(2)
        .collect();
    if lines.len() < 2 {
        let status = child.wait().context("wait for the server")?;
        bail!(
            "the server did not start ({status}); see {}",
            log_path.display()
        );
    }
    lines.iter().for_each(output::line);
    output::note(format!(
        "Running in the background as process {}; log: {}",
        child.id(),
        log_path.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// A session of its own, so that closing the terminal does not end the server.
pub(super) fn leave_terminal() {
    // Fails only for a process group leader, which then has no parent waiting for it either.
    rustix::process::setsid().ok();
}
