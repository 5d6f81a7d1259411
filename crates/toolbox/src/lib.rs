//! What lives inside every sandbox: its first process, which reaps, runs commands, and serves the
//! toolbox API on a unix socket that the runner listened on before it was born.
//!
//! Must not: mount, configure networks, resolve names, trust its callers with more than the
//! sandbox user's rights, or depend on anything being installed in the image.
//! Next: `boot` for how it starts, `http` for what it serves, `process` for what it runs.
#![forbid(unsafe_code)]

mod boot;
mod claim;
mod clock;
mod computer;
mod entrypoint;
mod environment;
mod files;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod git;
mod http;
mod info;
mod interpreter;
mod limits;
mod lsp;
mod meminfo;
mod memory;
mod network;
mod passwd;
mod process;
mod stand_in;
mod sudo;
mod toolbox;
mod upgrade;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Chooses the role by the name the executable was called by.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let mut args = args;
    let name = args.next().unwrap_or_default();
    if Path::new(&name)
        .file_name()
        .is_some_and(|name| name == "sudo")
    {
        return sudo::client::main(args);
    }
    match boot::main(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("toolbox: {}", sebring_tasks::chain(&error));
            ExitCode::FAILURE
        }
    }
}
