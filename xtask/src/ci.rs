//! What a change must pass, in the order that fails soonest.
//!
//! A failed check does not hide the others: everything runs, the failures are listed at the end,
//! and the last line is the sum. Must not: retry.

use std::process::ExitCode;

use crate::tally::{self, Tally};
use crate::{cargo_tests, conformance, packages, run, tidy};

/// The checks, then every test.
pub(crate) fn everything() -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    checks(&mut report);
    tests(&mut report);
    Ok(report.conclude())
}

/// Every test; what the README's second command does.
pub(crate) fn test() -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    tests(&mut report);
    Ok(report.conclude())
}

fn checks(report: &mut Report) {
    report.check("format", || {
        run::check(run::cargo().args(["fmt", "--all", "--check"]))
    });
    report.check("tidy", tidy::check);
    report.check("clippy", || {
        let mut cargo = run::cargo();
        cargo.args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ]);
        run::check(&mut cargo)
    });
    report.check("documentation", || {
        let mut cargo = run::cargo();
        cargo.args([
            "doc",
            "--workspace",
            "--no-deps",
            "--document-private-items",
            "--locked",
        ]);
        // Read by those who work on it, so module headers may point at private parts.
        let flags = "-D warnings -A rustdoc::private_intra_doc_links";
        run::check(cargo.env("RUSTDOCFLAGS", flags))
    });
}

fn tests(report: &mut Report) {
    report.check("packages", packages::ensure);
    report.count("Rust tests", cargo_tests::run_all);
    report.count("conformance", || {
        conformance::run(&conformance::Choice::default())
    });
    report.count("resilience", || conformance::resilience::run(&[]));
}

/// What happened so far.
#[derive(Default)]
struct Report {
    tally: Tally,
    failures: Vec<String>,
}

impl Report {
    fn check(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<()>) {
        if let Err(error) = run::step(name, work) {
            self.fail(name, &error);
        }
    }

    fn count(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<Tally>) {
        match run::step(name, work) {
            Ok(tally) => {
                if tally.failed > 0 {
                    self.failures.push(format!("{name}: {tally}"));
                }
                self.tally += tally;
            }
            Err(error) => self.fail(name, &error),
        }
    }

    fn fail(&mut self, name: &str, error: &anyhow::Error) {
        self.tally += Tally::ONE_FAILURE;
        self.failures.push(format!("{name}: {error:#}"));
    }

    fn conclude(self) -> ExitCode {
        for failure in &self.failures {
            run::line(&format!("FAILED {failure}"));
        }
        tally::conclude(self.tally)
    }
}
