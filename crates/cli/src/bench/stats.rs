//! From samples to the row of a table.
//!
//! Must not: drop outliers or failures.

use std::time::Duration;

use serde::Serialize;

/// Durations of one kind of operation, successes and failures counted apart.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples {
    took: Vec<Duration>,
    failed: usize,
    first_failure: Option<String>,
}

/// One line of the result.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) what: String,
    pub(super) unit: &'static str,
    /// How many were tried.
    pub(super) tried: usize,
    pub(super) failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_failure: Option<String>,
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

impl Samples {
    pub(super) fn add(&mut self, took: Duration) {
        self.took.push(took);
    }

    pub(super) fn fail(&mut self, why: &dyn std::fmt::Display) {
        self.failed += 1;
        self.first_failure.get_or_insert_with(|| why.to_string());
    }

    /// Sums up in milliseconds.
    pub(super) fn row(mut self, what: &str) -> Row {
        self.took.sort_unstable();
        let at = |per_mille| ms(quantile(&self.took, per_mille));
        Row {
            what: what.to_owned(),
            unit: "ms",
            tried: self.took.len() + self.failed,
            failed: self.failed,
            first_failure: self.first_failure.clone(),
            p50: at(500),
            p95: at(950),
            p99: at(990),
            max: at(1000),
        }
    }
}

impl Row {
    /// A single measured value, for things that are not a distribution.
    pub(super) fn single(what: &str, unit: &'static str, value: f64) -> Self {
        Self {
            what: what.to_owned(),
            unit,
            tried: 1,
            failed: 0,
            first_failure: None,
            p50: value,
            p95: value,
            p99: value,
            max: value,
        }
    }
}

/// Nearest-rank quantile of sorted samples; zero when there are none.
fn quantile(sorted: &[Duration], per_mille: usize) -> Duration {
    let rank = (sorted.len() * per_mille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_measured_values_not_guesses_between_them() {
        let sorted: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(quantile(&sorted, 500), Duration::from_millis(100));
        assert_eq!(quantile(&sorted, 990), Duration::from_millis(198));
        assert_eq!(quantile(&sorted, 1000), Duration::from_millis(200));
        assert_eq!(quantile(&[], 500), Duration::ZERO);
    }

    #[test]
    fn a_failure_counts_as_tried_and_keeps_its_reason() {
        let mut samples = Samples::default();
        samples.add(Duration::from_millis(3));
        samples.fail(&"refused");
        let row = samples.row("x");
        assert_eq!((row.tried, row.failed), (2, 1));
        assert_eq!(row.first_failure.as_deref(), Some("refused"));
    }
}
