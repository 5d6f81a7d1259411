//! The in-sandbox executable: toolbox when run as itself, `sudo` when run under that name.
//!
//! Must not: contain anything but the choice; see the library.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    sebring_toolbox::main(std::env::args_os())
}
