//! The result log of a suite: one JSON object per line and test.

use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::tally::Tally;

/// How one test of one client ended.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Outcome {
    /// The package, its version and mode, as the matrix shows it.
    pub(super) client: String,
    pub(super) area: String,
    test: String,
    pub(super) outcome: Verdict,
    #[serde(default)]
    detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Passed,
    Failed,
    Skipped,
}

impl Outcome {
    /// A suite that broke outside its tests.
    pub(super) fn suite_failure(client: &str) -> Self {
        Self {
            client: client.to_owned(),
            area: "suite".to_owned(),
            test: "the suite runs to its end".to_owned(),
            outcome: Verdict::Failed,
            detail: "it ended badly without a failed test; see its output above".to_owned(),
        }
    }

    pub(super) fn failed(&self) -> bool {
        self.outcome == Verdict::Failed
    }

    /// The line that must not be overlooked, unless all is well.
    pub(super) fn loud(&self) -> Option<String> {
        let word = match self.outcome {
            Verdict::Passed => return None,
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "SKIPPED",
        };
        let (client, area, test) = (&self.client, &self.area, &self.test);
        Some(format!(
            "{word} {client} · {area} · {test}: {}",
            self.reason()
        ))
    }

    /// The line that says most: pytest marks it with `E`, node puts it first.
    fn reason(&self) -> &str {
        let mut lines = self.detail.lines().filter(|line| !line.trim().is_empty());
        let first = lines.clone().next().unwrap_or("");
        lines
            .find_map(|line| line.strip_prefix("E  "))
            .unwrap_or(first)
            .trim()
    }
}

pub(super) fn read(log: &Path) -> anyhow::Result<Vec<Outcome>> {
    if !log.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    let parsed: Result<Vec<Outcome>, _> = text.lines().map(serde_json::from_str).collect();
    parsed.with_context(|| format!("understand {}", log.display()))
}

pub(super) fn tally(outcomes: &[Outcome]) -> Tally {
    let mut tally = Tally::default();
    for outcome in outcomes {
        match outcome.outcome {
            Verdict::Passed => tally.passed += 1,
            Verdict::Failed => tally.failed += 1,
            Verdict::Skipped => tally.skipped += 1,
        }
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"client":"c 1.0","area":"files","test":"t","outcome":"skipped",
        "seconds":0.1,"detail":"('x.py', 3, 'Skipped: why')"}"#;

    #[test]
    fn a_skip_is_counted_and_told_with_its_reason() {
        let outcome: Outcome = serde_json::from_str(LINE).unwrap();
        assert_eq!(tally(std::slice::from_ref(&outcome)).skipped, 1);
        assert!(outcome.loud().unwrap().contains("Skipped: why"));
    }

    #[test]
    fn the_marked_line_of_a_failure_is_its_reason() {
        let mut outcome: Outcome = serde_json::from_str(LINE).unwrap();
        outcome.detail = "x.py:3: in test\nE   assert 1 == 2\nE    +  where 1 = f()".to_owned();
        assert_eq!(outcome.reason(), "assert 1 == 2");
        outcome.detail = "TypeError: no\n    at f (x.mjs:1:2)".to_owned();
        assert_eq!(outcome.reason(), "TypeError: no");
    }
}
