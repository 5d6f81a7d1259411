//! What a sandbox used over time, as the published clients plot it.
//!
//! Must not: keep anything; the runner has the samples of a day.

use http::Method;
use sebring_api::public::{MetricDataPoint, MetricSeries, MetricsResponse};
use sebring_api::runner::{UsageSample, UsageSpan};
use sebring_core::clock::Timestamp;
use sebring_core::resources::Resources;
use sebring_tasks::chain;
use tracing::warn;

use super::call::Call;
use super::error::ApiError;
use super::query::invalid;
use super::reply::Reply;
use super::sandboxes::named;
use super::table::{Access, Answer, QueryKind, QueryParameter, Route};
use crate::app::App;
use crate::sandboxes::Error;

/// Samples further apart have a stop between them, or say nothing of a moment.
const GAP_SECONDS_MAX: u64 = 60;
const GIB: u64 = 1 << 30;
const CPU: &str = "daytona.sandbox.cpu.utilization";

const PARAMETERS: [QueryParameter; 3] = [
    QueryParameter {
        name: "from",
        kind: QueryKind::Instant,
        description: "Required.",
    },
    QueryParameter {
        name: "to",
        kind: QueryKind::Instant,
        description: "Required.",
    },
    QueryParameter {
        name: "metricNames",
        kind: QueryKind::Texts,
        description: "All when left out; names that nobody knows have no series.",
    },
];

pub(super) fn routes() -> Vec<Route> {
    let path = "/sandbox/{sandboxIdOrName}/telemetry/metrics";
    let answer = Answer::Json(200, "MetricsResponse");
    vec![
        Route::new(
            Method::GET,
            path,
            "getSandboxMetrics",
            Access::AnyKey,
            answer,
            |app, call| Box::pin(metrics(app, call)),
        )
        .query(&PARAMETERS),
    ]
}

async fn metrics(app: App, call: Call) -> Result<Reply, ApiError> {
    let sandbox = named(&app, &call)?;
    let (from, to) = (required(&call, "from")?, required(&call, "to")?);
    if from > to {
        let expected = format!("must not be after to, {to}");
        return Err(invalid("from", &from.to_string(), &expected));
    }
    let span = UsageSpan {
        from_unix: unix(from),
        to_unix: unix(to),
    };
    let samples = app.runner.usage(sandbox.id, span).await.map_err(|error| {
        // What the runner says is for the operator: it can name paths of the host.
        warn!(sandbox_id = %sandbox.id, error = %chain(&error), "use of a sandbox not known");
        Error::NoRunner
    })?;
    let names = call.query.texts("metricNames");
    let is_wanted = |name: &str| names.is_empty() || names.contains(&name);
    let series = curves(&samples, sandbox.resources, is_wanted)
        .into_iter()
        .map(|curve| curve.between(from, to))
        .filter(|series| !series.data_points.is_empty())
        .collect();
    Reply::json(&MetricsResponse { series })
}

fn required(call: &Call, name: &str) -> Result<Timestamp, ApiError> {
    let found = call.query.instant(name)?;
    found.ok_or_else(|| ApiError::invalid(format!("{name} is required: an ISO-8601 instant")))
}

struct Curve {
    name: &'static str,
    points: Vec<(Timestamp, f64)>,
}

impl Curve {
    fn between(self, from: Timestamp, to: Timestamp) -> MetricSeries {
        let points = self.points.into_iter();
        let points = points.filter(|(at, _)| (from..=to).contains(at));
        MetricSeries {
            metric_name: self.name.to_owned(),
            data_points: points
                .map(|(at, value)| MetricDataPoint {
                    timestamp: at.to_string(),
                    value,
                })
                .collect(),
        }
    }
}

/// Of one series: what a sample says.
type Value<'a> = (&'static str, &'a dyn Fn(&UsageSample) -> f64);

/// Limits are those of now, also for what was before a resize.
fn curves(
    samples: &[UsageSample],
    limits: Resources,
    is_wanted: impl Fn(&str) -> bool,
) -> Vec<Curve> {
    let memory = float(u64::from(limits.memory_gib) * GIB);
    let disk = float(u64::from(limits.disk_gib) * GIB);
    let values: [Value<'_>; 6] = [
        ("daytona.sandbox.cpu.limit", &|_| f64::from(limits.cpus)),
        ("daytona.sandbox.memory.usage", &|sample| {
            float(sample.memory_bytes).min(memory)
        }),
        ("daytona.sandbox.memory.limit", &|_| memory),
        ("daytona.sandbox.memory.cache", &|sample| {
            float(sample.memory_cache_bytes).min(memory)
        }),
        ("daytona.sandbox.filesystem.usage", &|sample| {
            float(sample.disk_bytes).min(disk)
        }),
        ("daytona.sandbox.filesystem.total", &|_| disk),
    ];
    let cpu = is_wanted(CPU).then(|| Curve {
        name: CPU,
        points: cpu_points(samples, limits.cpus),
    });
    let wanted = values.into_iter().filter(|(name, _)| is_wanted(name));
    let rest = wanted.map(|(name, value)| {
        let points = samples.iter().map(|sample| (at(sample), value(sample)));
        let points = points.collect();
        Curve { name, points }
    });
    cpu.into_iter().chain(rest).collect()
}

/// Percent of the limit between a sample and the one before; the first has none, nor has one
/// after a stop, when counting starts again.
fn cpu_points(samples: &[UsageSample], cpus: u32) -> Vec<(Timestamp, f64)> {
    let pairs = samples.array_windows().filter_map(|[before, sample]| {
        let seconds = sample.at_unix.checked_sub(before.at_unix)?;
        let used_us = sample.cpu_us.checked_sub(before.cpu_us)?;
        if !(1..=GAP_SECONDS_MAX).contains(&seconds) {
            return None;
        }
        let share_us = seconds * 1_000_000 * u64::from(cpus.max(1));
        let percent = 100.0 * float(used_us) / float(share_us);
        Some((at(sample), percent.min(100.0)))
    });
    pairs.collect()
}

fn at(sample: &UsageSample) -> Timestamp {
    let unix_ms = sample.at_unix.saturating_mul(1_000);
    Timestamp::from_unix_ms(i64::try_from(unix_ms).unwrap_or(i64::MAX))
}

/// The second that `at` is in; before 1970 there are no samples.
fn unix(at: Timestamp) -> u64 {
    u64::try_from(at.unix_ms().div_euclid(1_000)).unwrap_or(0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "the wire has floats; exact up to eight petabytes"
)]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO_CPUS: Resources = Resources {
        cpus: 2,
        memory_gib: 1,
        disk_gib: 3,
    };

    fn sample(at_unix: u64, cpu_us: u64) -> UsageSample {
        UsageSample {
            at_unix,
            cpu_us,
            memory_bytes: 5,
            memory_cache_bytes: 3 * GIB,
            disk_bytes: 7,
        }
    }

    fn values(curve: &Curve) -> Vec<(i64, f64)> {
        let points = curve.points.iter();
        points.map(|(at, value)| (at.unix_ms(), *value)).collect()
    }

    #[test]
    fn processor_use_is_the_part_of_the_share_since_the_sample_before() {
        let samples = [
            sample(100, 0),
            sample(110, 5_000_000),
            // Started again, then stopped for a while.
            sample(125, 1_000_000),
            sample(1_000, 2_000_000),
            sample(1_010, 99_000_000),
        ];
        let curves = curves(&samples, TWO_CPUS, |name| name == CPU);
        assert_eq!(curves.len(), 1);
        assert_eq!(values(&curves[0]), [(110_000, 25.0), (1_010_000, 100.0)]);
    }

    #[test]
    fn a_curve_is_cut_to_the_time_asked_for_both_ends_included() {
        let samples = [sample(1, 0), sample(2, 0), sample(3, 0), sample(4, 0)];
        let usage = curves(&samples, TWO_CPUS, |_| true).swap_remove(2);
        let from = Timestamp::from_unix_ms(2_000);
        let cut = usage.between(from, Timestamp::from_unix_ms(3_000));
        let times: Vec<&str> = cut
            .data_points
            .iter()
            .map(|point| &*point.timestamp)
            .collect();
        assert_eq!(
            times,
            ["1970-01-01T00:00:02.000Z", "1970-01-01T00:00:03.000Z"]
        );
        assert_eq!(cut.metric_name, "daytona.sandbox.memory.usage");
    }

    #[test]
    fn nothing_is_shown_above_its_limit() {
        let curves = curves(&[sample(1, 0)], TWO_CPUS, |_| true);
        let cache = curves.iter().find(|curve| curve.name.ends_with("cache"));
        assert_eq!(values(cache.unwrap()), [(1_000, float(GIB))]);
    }
}
