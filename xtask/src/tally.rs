//! Counting: how many tests passed, failed and were skipped, over every kind of test.
//!
//! Must not: know where the numbers come from.

use std::fmt;
use std::ops::AddAssign;
use std::process::ExitCode;

use crate::run;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// A check or a build step that went wrong before it could count anything.
    pub(crate) const ONE_FAILURE: Self = Self {
        passed: 0,
        failed: 1,
        skipped: 0,
    };
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// Prints the one line that a run ends with. Nothing at all having run is a failure too.
pub(crate) fn conclude(tally: Tally) -> ExitCode {
    run::line(&tally.to_string());
    if tally.failed == 0 && tally.passed > 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_are_told_only_when_there_are_any() {
        let mut tally = Tally {
            passed: 3,
            ..Tally::default()
        };
        assert_eq!(tally.to_string(), "3 passed, 0 failed");
        tally += Tally {
            passed: 1,
            failed: 2,
            skipped: 4,
        };
        assert_eq!(tally.to_string(), "4 passed, 2 failed, 4 skipped");
    }
}
