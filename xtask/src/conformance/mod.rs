//! The published SDKs against a server that is started for them.
//!
//! ```text
//! clients: environments from the package registries (cached) ─┐
//! server:  build, `sebring up`, read its export lines ────────┼→ suites → results → matrix
//! ```
//!
//! Must not: know what the tests test; suites live in `conformance/`.
//! Next: `clients` for what is run, `server` for what it is run against.

mod clients;
mod environments;
mod golang;
mod matrix;
pub(crate) mod resilience;
mod results;
mod server;

use anyhow::{Context, bail};

use crate::run;
use crate::tally::Tally;
use clients::Client;
use results::Outcome;
use server::Server;

/// Which part of the suites to run; the default is everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choice {
    /// Part of the name of the clients to run.
    only: Option<String>,
    /// Use the server that the environment names.
    running_server: bool,
    /// Passed on to pytest.
    pytest: Vec<String>,
}

impl Choice {
    pub(crate) fn parse(args: Vec<String>) -> anyhow::Result<Self> {
        let mut choice = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--only" => choice.only = Some(args.next().context("--only needs a text")?),
                "--server" => choice.running_server = true,
                "--" => choice.pytest = args.by_ref().collect(),
                other => bail!("conformance does not know {other}"),
            }
        }
        Ok(choice)
    }

    fn is_everything(&self) -> bool {
        self.only.is_none() && self.pytest.is_empty()
    }

    fn includes(&self, client: &Client) -> bool {
        let named = self
            .only
            .as_ref()
            .is_none_or(|text| client.name.contains(text.as_str()));
        named && client.includes(&self.pytest)
    }
}

pub(crate) fn run(choice: &Choice) -> anyhow::Result<Tally> {
    let chosen: Vec<&Client> = clients::ALL
        .iter()
        .filter(|client| choice.includes(client))
        .collect();
    if chosen.is_empty() {
        bail!("no client has that in its name and is run with those files");
    }
    for client in &chosen {
        client
            .prepare()
            .with_context(|| format!("prepare {}", client.name))?;
    }
    let server = if choice.running_server {
        Server::from_environment()?
    } else {
        Server::start()?
    };
    let mut outcomes = Vec::new();
    let mut tally = Tally::default();
    for client in &chosen {
        let ran = run::step(client.name, || client.run(&server, &choice.pytest))?;
        tally += results::tally(&ran);
        outcomes.extend(ran);
    }
    server.stop()?;
    report(&outcomes);
    if choice.is_everything() {
        matrix::write(&outcomes)?;
    }
    Ok(tally)
}

/// What a person must see: each skip, and each failure once more at the end.
fn report(outcomes: &[Outcome]) {
    for outcome in outcomes {
        if let Some(loud) = outcome.loud() {
            run::line(&loud);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_chooses_clients() {
        let choice = Choice::parse(vec!["--only".into(), "async".into()]).unwrap();
        let names: Vec<_> = clients::ALL
            .iter()
            .filter(|client| choice.includes(client))
            .map(|c| c.name)
            .collect();
        assert!(!names.is_empty() && names.iter().all(|name| name.contains("async")));
        assert!(!choice.is_everything());
    }

    #[test]
    fn arguments_for_pytest_leave_out_the_others() {
        let choice = Choice::parse(vec!["--".into(), "-k".into(), "files".into()]).unwrap();
        let chosen = clients::ALL.iter().filter(|client| choice.includes(client));
        let names: Vec<_> = chosen.map(|client| client.name).collect();
        assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("python")));
    }
}
