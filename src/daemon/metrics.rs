//! What the resilience module counts, as families for the same text as all other metrics. The two rooms do not know
//! each other; whoever asks for the text brings them together.

use crate::resilience::metrics::{BUCKETS_SECONDS, Kind, Sample, Value};
use crate::telemetry::{Buckets, Distribution, Family, Labels, MetricError, Name, Number, Points, Series};

/// Names of the resilience module and what they mean. Those of counters that do not end in `_total` do so in the text.
const HELP: &[(&str, &str)] = &[
    ("circuit_breaker_call_seconds", "How long calls took that a circuit breaker admitted."),
    ("circuit_breaker_calls_total", "Calls by what became of them; rejected ones were not made."),
    ("circuit_breaker_failures", "Failures that a circuit breaker has on record."),
    ("circuit_breaker_state", "Which state a circuit breaker is in: 1 for that state, 0 for each of the others."),
    ("circuit_breaker_transitions_total", "Changes of a circuit breaker's state."),
    ("resilience_events_dropped", "Events of circuit breakers beyond the number that is told apart."),
    ("retry_attempts", "Attempts after the first one, by the kind of error that led to them."),
    ("retry_exhausted_total", "Operations that were given up, by reason."),
    ("retry_success", "Operations that succeeded after they had failed at least once."),
    ("retry_wait_seconds", "How long was waited before an operation was tried again."),
];
/// For what the table above has yet to name.
const HELP_OTHERWISE: &str = "A number of the resilience module.";

/// One family for each name among the samples.
///
/// Counts of histograms are by bucket on both sides; the text makes them cumulative. A sample of another kind than the
/// first of its name is left out, and so is, with a line in the log, a name that Prometheus does not allow: there is
/// neither, but should there be, the other numbers are worth having without it.
pub fn families(mut samples: Vec<Sample>) -> Vec<Family> {
    samples.sort_by_key(|sample| sample.name);
    let mut families = Vec::new();
    for same_name in samples.chunk_by(|one, next| one.name == next.name) {
        let [first, ..] = same_name else { continue };
        match family(first, same_name) {
            Ok(family) => families.push(family),
            Err(error) => log::error!("left a metric out: {error}"),
        }
    }
    families
}

fn family(first: &Sample, same_name: &[Sample]) -> Result<Family, MetricError> {
    let points = match first.kind {
        Kind::Counter => Points::Counters(series(same_name, |value| Ok(number(value).map(Number::Whole)))?),
        Kind::Gauge => Points::Gauges(series(same_name, |value| Ok(number(value).map(|number| number as f64)))?),
        Kind::Histogram => {
            let buckets = Buckets::new(&BUCKETS_SECONDS)?;
            Points::Histograms(series(same_name, |value| distribution(&buckets, value))?)
        }
    };
    let help = HELP.iter().find(|(name, _)| *name == first.name).map_or(HELP_OTHERWISE, |(_, help)| help);
    Ok(Family { name: Name::new(first.name)?, help: help.into(), points })
}

fn number(value: &Value) -> Option<u64> {
    if let Value::Number(number) = value { Some(*number) } else { None }
}

fn distribution(buckets: &Buckets, value: &Value) -> Result<Option<Distribution>, MetricError> {
    let Value::Histogram(histogram) = value else { return Ok(None) };
    Distribution::new(buckets.clone(), histogram.counts.to_vec(), histogram.sum_seconds).map(Some)
}

fn series<T>(
    samples: &[Sample],
    read: impl Fn(&Value) -> Result<Option<T>, MetricError>,
) -> Result<Vec<Series<T>>, MetricError> {
    let mut series = Vec::with_capacity(samples.len());
    for sample in samples {
        let labels: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if let Some(value) = read(&sample.value)? {
            series.push(Series { labels: Labels::new(&labels)?, value });
        }
    }
    Ok(series)
}

#[cfg(test)]
mod tests;
