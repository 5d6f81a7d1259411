//! `docs/compatibility.md`: which client passes what, generated from a run of everything.
//!
//! Must not: contain anything that differs between two runs with the same results, such as times.

use std::collections::BTreeMap;

use anyhow::Context;

use super::results::{Outcome, Verdict};
use crate::run;

const HEADER: &str = "\
# Compatibility

Which published client passes which part of our conformance suites. Written by
`cargo xtask conformance` from a run of everything; do not edit.

A cell says how many tests passed, of how many when they differ. A dash means that the area does
not apply: the release does not have it, or it does not depend on the client. `raw HTTP` are the
wire rules that no client shows directly.

";

/// Published clients that no suite drives, and why. Their absence from the table must not read as
/// a pass, so it is said beside it; whoever adds a suite takes its client out of here.
const NOT_DRIVEN: [(&str, &str); 3] = [
    (
        "Go, `github.com/daytonaio/daytona/libs/sdk-go` v0.175.0 and `github.com/daytona/clients/sdk-go`",
        "Go's checksum database did not know v0.175.0 and v0.201.0 on 2026-11-21, so Go does not \
         install them; v0.205.1 and v0.190.0 were not served",
    ),
    (
        "Java",
        "no package was found as `io.daytona:sdk` or `io.daytona:sdk-java` on 2026-11-21",
    ),
    ("Ruby", "no suite was written"),
];

type Cells<'a> = BTreeMap<(&'a str, &'a str), (u64, u64)>;

pub(super) fn write(outcomes: &[Outcome]) -> anyhow::Result<()> {
    let path = run::root().join("docs/compatibility.md");
    std::fs::write(&path, render(outcomes)).with_context(|| format!("write {}", path.display()))
}

fn render(outcomes: &[Outcome]) -> String {
    let mut clients: Vec<&str> = Vec::new();
    let mut areas: Vec<&str> = Vec::new();
    let mut cells = Cells::new();
    for outcome in outcomes {
        let (client, area) = (outcome.client.as_str(), outcome.area.as_str());
        if !clients.contains(&client) {
            clients.push(client);
        }
        if !areas.contains(&area) {
            areas.push(area);
        }
        let (passed, all) = cells.entry((area, client)).or_default();
        *all += 1;
        *passed += u64::from(outcome.outcome == Verdict::Passed);
    }
    clients.sort_unstable();
    areas.sort_unstable();
    let mut text = HEADER.to_owned();
    text += &row(&titles(&clients));
    text += &row(&vec!["---".to_owned(); clients.len() + 1]);
    for area in &areas {
        let mut line = vec![(*area).to_owned()];
        line.extend(
            clients
                .iter()
                .map(|client| cell(cells.get(&(*area, *client)))),
        );
        text += &row(&line);
    }
    let skips = outcomes
        .iter()
        .filter(|outcome| outcome.outcome == Verdict::Skipped)
        .count();
    if skips > 0 {
        text += &format!("\nSkipped on the host of this run: {skips}.\n");
    }
    text + &not_driven()
}

fn not_driven() -> String {
    let mut text =
        "\n## Not driven\n\nNothing is claimed for these clients; none of our tests runs them.\n\n"
            .to_owned();
    for (client, reason) in NOT_DRIVEN {
        text += &format!("- {client}: {reason}.\n");
    }
    text
}

fn row(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn titles(clients: &[&str]) -> Vec<String> {
    std::iter::once("area")
        .chain(clients.iter().copied())
        .map(str::to_owned)
        .collect()
}

fn cell(counted: Option<&(u64, u64)>) -> String {
    match counted {
        None => "–".to_owned(),
        Some((passed, all)) if passed == all => format!("{all} ✓"),
        Some((passed, all)) => format!("**{passed} of {all}**"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(client: &str, area: &str, verdict: &str) -> Outcome {
        let text =
            format!(r#"{{"client":"{client}","area":"{area}","test":"t","outcome":"{verdict}"}}"#);
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_matrix_shows_passes_gaps_and_what_does_not_apply() {
        let text = render(&[
            outcome("b 2", "files", "passed"),
            outcome("b 2", "files", "failed"),
            outcome("a 1", "files", "passed"),
            outcome("a 1", "events", "passed"),
        ]);
        assert!(text.contains("| area | a 1 | b 2 |"));
        assert!(text.contains("| files | 1 ✓ | **1 of 2** |"));
        assert!(text.contains("| events | 1 ✓ | – |"));
    }

    #[test]
    fn a_client_that_is_not_driven_is_named_below_the_table_and_has_no_column() {
        let text = render(&[outcome("a 1", "files", "passed")]);
        let (table, below) = text.split_once("## Not driven").unwrap();
        for (client, reason) in NOT_DRIVEN {
            assert!(below.contains(&format!("- {client}: {reason}.")));
            assert!(!table.contains(client));
        }
    }
}
