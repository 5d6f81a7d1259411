//! The process that the sandbox was configured to run from its start.
//!
//! Its end ends nothing else.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::process::{Launch, Place, RunAs, code_run};
use crate::toolbox::Toolbox;

/// Starts the entrypoint, unless it only waits: the toolbox itself keeps the sandbox alive, and
/// a process that does nothing would be most of what an idle sandbox costs.
pub(crate) fn start(toolbox: &Arc<Toolbox>, argv: &[String]) {
    if only_waits(argv) {
        return;
    }
    let toolbox = Arc::clone(toolbox);
    let argv = argv.to_vec();
    let running = Arc::clone(&toolbox);
    // A failure is the image's affair and must not keep the sandbox from being used.
    toolbox.tasks.spawn(
        "entrypoint",
        async move { run(&running, argv).await.is_some() },
    );
}

fn only_waits(argv: &[String]) -> bool {
    let words: Vec<&str> = argv.iter().map(String::as_str).collect();
    matches!(
        words.as_slice(),
        [] | ["sleep" | "/bin/sleep" | "/usr/bin/sleep", "infinity"]
    )
}

async fn run(toolbox: &Arc<Toolbox>, argv: Vec<String>) -> Option<()> {
    let env = toolbox.environment.get();
    let first = argv.first()?.clone();
    let programs = code_run::programs(&first, &env);
    let argv = argv
        .into_iter()
        .map(CString::new)
        .collect::<Result<Vec<_>, _>>()
        .ok()?;
    let null = |write| {
        File::options()
            .read(true)
            .write(write)
            .open("/dev/null")
            .map(OwnedFd::from)
            .ok()
    };
    let mut child = toolbox
        .processes
        .start(Launch {
            programs,
            argv,
            env: &env,
            cwd: &toolbox.work_dir,
            stdin: null(false)?,
            stdout: null(true)?,
            stderr: None,
            run_as: RunAs::User,
            place: Place::OwnTree,
            terminal: false,
        })
        .ok()?;
    let _exit = (&mut child.exit).await;
    child.release();
    Some(())
}
