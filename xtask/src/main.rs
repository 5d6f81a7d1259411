//! `cargo xtask`: the one door to checking and testing this repository.
//!
//! Must not: be needed to build or run the product.
//! Next: `ci` for what a change must pass, `conformance` for how the published SDKs are driven.
#![forbid(unsafe_code)]

mod cargo_tests;
mod ci;
mod conformance;
mod error_codes;
mod fuzz;
mod openapi;
mod packages;
mod run;
mod tally;
mod tidy;
mod vm;

use std::process::ExitCode;

use anyhow::bail;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  test                 install what the tests need, build, run every test; the README's command
  ci                   the checks (format, lints, docs, tidy), then `test`; the same as .ci/run
  tidy                 the rules about files that no compiler knows
  openapi              write the OpenAPI document anew from the types
  conformance [ARGS]   drive the published SDKs against a server that is started for it
      --only TEXT      only clients whose name contains TEXT, such as `async` or `@daytona/sdk`
      --server         use the server named by DAYTONA_API_URL and DAYTONA_API_KEY
      -- ARGS          pass ARGS to pytest and leave out the other suites
  resilience [ARGS]    kill, fill and abuse an installation of its own; ARGS go to pytest
  vm [NAME…]           the runner's tests on Debian 12's own kernel, in an emulated machine; all of
                       them or those named, such as `limits`
  fuzz [--seconds N] [TARGET]  feed each parser of hostile bytes for so long (60) with what reaches
                       more of it; a failure prints its input
      --keep           add to fuzz/corpus what reaches more than is there
  torture [--minutes N] the part of it about sessions, with torments at random for so long (30)
";

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(code) => code,
        Err(error) => {
            run::note(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn dispatch(mut args: Vec<String>) -> anyhow::Result<ExitCode> {
    if args.is_empty() {
        bail!("no command\n\n{USAGE}");
    }
    let command = args.remove(0);
    if !["conformance", "resilience", "torture", "vm", "fuzz"].contains(&command.as_str())
        && !args.is_empty()
    {
        bail!("{command} takes no arguments\n\n{USAGE}");
    }
    match command.as_str() {
        "test" => ci::test(),
        "ci" => ci::everything(),
        "tidy" => tidy::check().map(|()| ExitCode::SUCCESS),
        "openapi" => openapi::write().map(|()| ExitCode::SUCCESS),
        "conformance" => conformance::run(&conformance::Choice::parse(args)?).map(tally::conclude),
        "resilience" => conformance::resilience::run(&args).map(tally::conclude),
        "fuzz" => fuzz::run(&fuzz::Choice::parse(&args)?).map(tally::conclude),
        "torture" => conformance::resilience::torture(&args).map(tally::conclude),
        "vm" => vm::run(&args).map(tally::conclude),
        "help" | "--help" | "-h" => {
            run::line(USAGE);
            Ok(ExitCode::SUCCESS)
        }
        other => bail!("no command {other}\n\n{USAGE}"),
    }
}
