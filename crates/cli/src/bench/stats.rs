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

    /// One way or the other.
    pub(super) fn note<E: std::fmt::Display>(&mut self, outcome: Result<Duration, E>) {
        match outcome {
            Ok(took) => self.add(took),
            Err(error) => self.fail(&error),
        }
    }

    /// Both together.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.took.extend(other.took);
        self.failed += other.failed;
        self.first_failure = self.first_failure.or(other.first_failure);
        self
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
    /// A few values where more is better: p95, p99 and worst are the smallest.
    pub(super) fn rates(what: &str, unit: &'static str, mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(|one, other| other.total_cmp(one));
        Self::few(what, unit, &values)
    }

    /// A few values where less is better: p95, p99 and worst are the largest.
    pub(super) fn costs(what: &str, unit: &'static str, mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        Self::few(what, unit, &values)
    }

    /// From the best to the worst.
    fn few(what: &str, unit: &'static str, values: &[f64]) -> Self {
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let worst = at(values.len().saturating_sub(1));
        Self {
            tried: values.len(),
            p95: worst,
            p99: worst,
            max: worst,
            ..Self::single(what, unit, at(values.len() / 2))
        }
    }

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
    fn of_few_values_the_middle_and_the_worst_are_shown() {
        let is = |value: f64, expected: f64| (value - expected).abs() < f64::EPSILON;
        let rate = Row::rates("x", "GiB/s", vec![0.5, 2.0, 1.0]);
        assert!(is(rate.p50, 1.0) && is(rate.max, 0.5) && rate.tried == 3);
        let cost = Row::costs("x", "MiB", vec![0.5, 2.0, 1.0]);
        assert!(is(cost.p50, 1.0) && is(cost.max, 2.0));
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
