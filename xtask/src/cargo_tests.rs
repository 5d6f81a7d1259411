//! Running the Rust tests and counting them.

use std::time::Duration;

use anyhow::bail;

use crate::run;
use crate::tally::Tally;

/// A cold build on two cores and every test; beyond this something hangs.
const LIMIT: Duration = Duration::from_secs(30 * 60);

/// Every test of the workspace, including those in documentation.
pub(crate) fn run_all() -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut cargo = run::cargo();
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    let success = run::watch(&mut cargo, LIMIT, |line| tally += count(line))?;
    if !success && tally.failed == 0 {
        bail!("cargo test failed before its tests ran");
    }
    Ok(tally)
}

/// What one line of cargo's output adds: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
pub(crate) fn count(line: &str) -> Tally {
    let Some(numbers) = line.strip_prefix("test result: ") else {
        return Tally::default();
    };
    let number = |word: &str| {
        let before = numbers
            .split(word)
            .next()
            .filter(|before| before.len() < numbers.len())?;
        before.split_whitespace().last()?.parse().ok()
    };
    Tally {
        passed: number(" passed;").unwrap_or(0),
        failed: number(" failed;").unwrap_or(0),
        skipped: number(" ignored;").unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_line_of_a_test_binary_is_counted() {
        let line =
            "test result: FAILED. 12 passed; 3 failed; 4 ignored; 0 measured; 9 filtered out";
        assert_eq!(
            count(line),
            Tally {
                passed: 12,
                failed: 3,
                skipped: 4
            }
        );
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(
            count("test lifecycle::tests::a_test ... ok"),
            Tally::default()
        );
        assert_eq!(count("running 5 tests"), Tally::default());
    }
}
