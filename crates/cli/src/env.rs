//! `sebring env`: the variables that every published client reads, in the caller's shell language.
//!
//! Must not: print anything but those lines on standard output, so that `eval` is safe.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::config::Location;
use crate::endpoint::{self, Endpoint};
use crate::output;

/// Print the variables that clients need
#[derive(Debug, Args)]
#[command(after_help = "Example: eval \"$(sebring env)\"")]
pub(crate) struct Env {
    #[command(flatten)]
    location: Location,
    /// Shell to write for
    #[arg(long, value_enum, default_value_t = Shell::Bash)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    /// bash, zsh and every POSIX shell
    Bash,
    Fish,
    #[value(name = "powershell", alias = "pwsh")]
    Power,
}

impl Env {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let layout = self.location.find()?;
        let endpoint = Endpoint::read(&layout)?;
        let key = endpoint::admin_key(&layout)?;
        for line in export_lines(self.shell, &endpoint.api_url, &key) {
            output::line(line);
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The two lines; values are URL text and hex, so single quotes are always enough.
pub(crate) fn export_lines(shell: Shell, api_url: &str, key: &str) -> [String; 2] {
    [("DAYTONA_API_URL", api_url), ("DAYTONA_API_KEY", key)].map(|(name, value)| match shell {
        Shell::Bash => format!("export {name}='{value}'"),
        Shell::Fish => format!("set -gx {name} '{value}'"),
        Shell::Power => format!("$env:{name} = '{value}'"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_shell_gets_its_own_assignment() {
        let first = |shell| export_lines(shell, "http://127.0.0.1:1/api", "dtn_0")[0].clone();
        assert_eq!(
            first(Shell::Bash),
            "export DAYTONA_API_URL='http://127.0.0.1:1/api'"
        );
        assert_eq!(
            first(Shell::Fish),
            "set -gx DAYTONA_API_URL 'http://127.0.0.1:1/api'"
        );
        assert_eq!(
            first(Shell::Power),
            "$env:DAYTONA_API_URL = 'http://127.0.0.1:1/api'"
        );
    }
}
