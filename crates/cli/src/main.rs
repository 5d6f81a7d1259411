//! The `sebring` command: every role of the system and every tool around it, by subcommand.
//!
//! Must not: contain logic; each subcommand is one module.
//! Next: `up` for what happens when a server starts, `roles` for what each process runs.
#![forbid(unsafe_code)]

mod bench;
mod clock;
mod config;
mod doctor;
mod down;
mod endpoint;
mod env;
mod output;
mod roles;
mod status;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

/// Sandboxes for AI agents on your own machine.
#[derive(Debug, Parser)]
#[command(name = "sebring", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prepare this host and start the server
    Up(up::Up),
    /// Stop the server and every sandbox, and take back what it set up on the host
    Down(down::Down),
    /// Print the variables that clients need, ready for a shell
    Env(env::Env),
    /// Show what is running
    Status(status::Status),
    /// Check that this host can run sandboxes, and say how to fix what is missing
    Doctor(doctor::Doctor),
    /// Measure a running server honestly
    Bench(bench::Bench),
    /// Print a completion script, for example: source <(sebring completion bash)
    Completion {
        #[arg(value_enum)]
        shell: Shell,
    },
    /// The host's side of sandboxes (started by `up`)
    #[command(hide = true)]
    Runner(roles::RunnerRole),
    /// The public side (started by `up`)
    #[command(hide = true)]
    Server(roles::ServerRole),
    /// Makes processes for the runner (started by it)
    #[command(hide = true)]
    Spawner(roles::SpawnerRole),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(up) => up.run(),
        Command::Down(down) => down.run(),
        Command::Env(env) => env.run(),
        Command::Status(status) => status.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Bench(bench) => bench.run(),
        Command::Completion { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "sebring",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
        Command::Runner(role) => role.run(),
        Command::Server(role) => role.run(),
        Command::Spawner(role) => role.run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn completion_knows_every_public_command() {
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "sebring", &mut script);
        let script = String::from_utf8(script).unwrap();
        for public in [
            "up",
            "down",
            "env",
            "status",
            "doctor",
            "bench",
            "completion",
        ] {
            assert!(
                script.contains(&format!("sebring__subcmd__{public}")),
                "{public}"
            );
        }
    }
}
