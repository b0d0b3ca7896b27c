//! Alerts, as far as they have to do with what is outside the hub: rules come from the configuration, and as long as there
//! are any, the numbers that they are about are read once a second.

use super::meter::Exposed;
use crate::clock::{Now, Tick};
use crate::config;
use crate::model::alert::{Alert, Bound, Look, Reading, Rule};
use crate::model::event::{Body, Event};
use crate::model::hub::Hub;
use crate::model::pool::PoolView;
use crate::telemetry::{Distribution, MetricError, Points, Series};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Who looks, and when.
pub(super) struct Lookout {
    exposed: Arc<Exposed>,
    next: Tick,
    /// Each is said once in a run.
    told_of_crowd: bool,
    told_of_error: bool,
}

impl Lookout {
    pub(super) fn new(exposed: Arc<Exposed>, now: Tick) -> Lookout {
        Lookout { exposed, next: now.after(LOOK_INTERVAL), told_of_crowd: false, told_of_error: false }
    }

    /// `None` while there is nothing to be looked at.
    pub(super) fn due(&self, hub: &Hub) -> Option<Tick> {
        hub.alert_metrics().next().map(|_| self.next)
    }

    /// Counts as of when it was due, so that ten of them are ten seconds, unless that is too long ago.
    pub(super) fn look(&mut self, now: Now, hub: &Hub) -> Option<Look> {
        let is_late = now.tick.since(self.next) >= LOOK_INTERVAL;
        let tick = if is_late { now.tick } else { self.next };
        self.next = tick.after(LOOK_INTERVAL);
        if hub.alert_series_left_out() > 0 && !std::mem::replace(&mut self.told_of_crowd, true) {
            log::warn!(
                "alerts are about too many series, of which {} are left out; have their rules name labels",
                hub.alert_series_left_out()
            );
        }
        let wanted: BTreeSet<&str> = hub.alert_metrics().collect();
        match self.exposed.read(&wanted, &hub.pool_views()) {
            Ok(metrics) => Some(Look { at: Now { tick, ..now }, metrics }),
            Err(error) => {
                if !std::mem::replace(&mut self.told_of_error, true) {
                    log::error!("the numbers for alerts could not be put together: {error}");
                }
                None
            }
        }
    }
}

impl Exposed {
    /// The series of these names, which are those of the text's lines; a counter that gets its `_total` only there goes by
    /// its own name too.
    fn read(&self, wanted: &BTreeSet<&str>, pools: &[PoolView]) -> Result<BTreeMap<String, Vec<Reading>>, MetricError> {
        let parts = |name: &str| ["", "_sum", "_count", "_total"].map(|ending| format!("{name}{ending}"));
        let is_wanted = |name: &str| parts(name).iter().any(|part| wanted.contains(part.as_str()));
        let mut metrics: BTreeMap<String, Vec<Reading>> = BTreeMap::new();
        let mut add = |name: String, readings: Vec<Reading>| {
            if wanted.contains(name.as_str()) {
                metrics.entry(name).or_default().extend(readings);
            }
        };
        for family in self.families(pools, &is_wanted)? {
            let [name, sum, count, total] = parts(family.name.exported());
            match &family.points {
                Points::Counters(series) => {
                    let readings = readings(series, |number| number.as_f64());
                    if family.exposed_name() == total {
                        add(total, readings.clone());
                    }
                    add(name, readings);
                }
                Points::Gauges(series) => add(name, readings(series, |number| *number)),
                Points::Histograms(series) => {
                    add(sum, readings(series, Distribution::sum));
                    add(count, readings(series, |all| all.count() as f64));
                }
            }
        }
        Ok(metrics)
    }
}

fn readings<T>(series: &[Series<T>], value: impl Fn(&T) -> f64) -> Vec<Reading> {
    let reading = |one: &Series<T>| {
        let labels = one.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        Reading { labels: Arc::new(labels.collect()), value: value(&one.value) }
    };
    series.iter().map(reading).collect()
}

pub(super) fn rules(alerts: &[config::Alert]) -> Vec<Rule> {
    let rule = |alert: &config::Alert| Rule {
        name: alert.name.as_str().into(),
        metric: alert.metric.as_str().into(),
        labels: Arc::new(alert.labels.clone()),
        bound: match alert.bound {
            config::Bound::Above(threshold) => Bound::Above(threshold),
            config::Bound::Below(threshold) => Bound::Below(threshold),
        },
        clear: alert.clear,
        hold: alert.hold,
    };
    alerts.iter().map(rule).collect()
}

/// Writes into the log what a batch that is durable has told of alerts.
pub(super) fn note(events: &[Event], hub: &Hub) {
    for event in events {
        match &event.body {
            Body::AlertRaised(alert) => log::warn!("{}", raised(alert)),
            Body::AlertCleared { alert, value } => log::info!("{}", cleared(alert, *value, hub.is_ruled(alert))),
            _ => {}
        }
    }
}

fn raised(alert: &Alert) -> String {
    let (bound, threshold) = (alert.bound.as_str(), alert.bound.threshold());
    format!("alert {} is raised: {} is {}, {bound} {threshold}", alert.rule, series(alert), alert.value)
}

/// `is_ruled`: whether there still is a rule about it.
fn cleared(alert: &Alert, value: Option<f64>, is_ruled: bool) -> String {
    let (rule, series) = (&alert.rule, series(alert));
    match value {
        Some(value) => format!("alert {rule} is cleared: {series} is {value}"),
        None if is_ruled => format!("alert {rule} is cleared: {series} is not there any more"),
        None => format!("alert {rule} is cleared: the rule about {series} is gone, or about something else now"),
    }
}

/// As Prometheus writes it.
fn series(alert: &Alert) -> String {
    if alert.labels.is_empty() {
        return alert.metric.to_string();
    }
    let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{}{{{}}}", alert.metric, labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::resilience::Metrics;
    use crate::telemetry::Registry;

    #[test]
    fn numbers_are_found_by_the_names_of_the_lines_of_the_text() {
        let registry = Registry::new();
        registry.counter("asks.total", "", &[("pool", "a")]).unwrap().add(3);
        let seconds = registry.histogram("took_seconds", "", &[1.0], &[]).unwrap();
        seconds.observe(0.5);
        seconds.observe(2.0);
        registry.gauge("unwanted", "", &[]).unwrap().set(1.0);
        let exposed = Exposed { registry, breakers: Metrics::new() };
        let wanted = BTreeSet::from(["asks_total", "took_seconds_sum", "claude_comms_threads", "nothing"]);
        let found = exposed.read(&wanted, &[]).unwrap();
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(names, ["asks_total", "claude_comms_threads", "took_seconds_sum"]);
        let labels = Arc::new(BTreeMap::from([("pool".to_owned(), "a".to_owned())]));
        assert_eq!(found["asks_total"], [Reading { labels, value: 3.0 }]);
        assert_eq!(found["took_seconds_sum"][0].value, 2.5);
        // With and without what the text adds to it.
        exposed.registry.counter("asks.failed", "", &[]).unwrap().add(2);
        let failed = exposed.read(&BTreeSet::from(["asks_failed", "asks_failed_total"]), &[]).unwrap();
        assert_eq!((failed.len(), failed["asks_failed"][0].value), (2, 2.0));
        assert_eq!(failed["asks_failed"], failed["asks_failed_total"]);
        assert!(exposed.read(&BTreeSet::from(["asks_total_total"]), &[]).unwrap().is_empty());
        let counted = exposed.read(&BTreeSet::from(["took_seconds_count"]), &[]).unwrap();
        assert_eq!((counted.len(), counted["took_seconds_count"][0].value), (1, 2.0));
    }
    #[test]
    fn the_log_says_which_series_and_why_an_alert_is_over() {
        let labels = Arc::new(BTreeMap::from([("pool".to_owned(), "a".to_owned())]));
        let alert = Alert {
            rule: "busy".into(),
            metric: "cpu".into(),
            labels,
            bound: Bound::Above(90.0),
            value: 91.5,
            since: Timestamp::default(),
            raised_at: Timestamp::default(),
        };
        assert_eq!(raised(&alert), "alert busy is raised: cpu{pool=\"a\"} is 91.5, above 90");
        assert_eq!(cleared(&alert, Some(3.0), true), "alert busy is cleared: cpu{pool=\"a\"} is 3");
        assert!(cleared(&alert, None, true).ends_with("cpu{pool=\"a\"} is not there any more"));
        assert!(cleared(&alert, None, false).contains("the rule about cpu{pool=\"a\"} is gone"));
    }
}
