//! Alerts: a rule says which number of which metric is too high or too low, and for how long. Here is what becomes of one
//! number under one rule; the hub has them all.

use super::limits::ALERT_GAP_MAX;
use crate::clock::{Now, Tick, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// What tells the series of one metric apart. Cheap to clone.
pub type Labels = Arc<BTreeMap<String, String>>;

/// What somebody wants to be told of.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Unique.
    pub name: Arc<str>,
    /// As Prometheus has it.
    pub metric: Arc<str>,
    /// What a series must have to be meant.
    pub labels: Labels,
    pub bound: Bound,
    /// How far the number must come back; never beyond the bound.
    pub clear: f64,
    /// How long the bound must be crossed without a break.
    pub hold: Duration,
}

/// What a number should not cross. Always finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    Above(f64),
    Below(f64),
}

impl Bound {
    pub fn threshold(self) -> f64 {
        match self {
            Bound::Above(threshold) | Bound::Below(threshold) => threshold,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Bound::Above(_) => "above",
            Bound::Below(_) => "below",
        }
    }

    fn is_crossed_by(self, value: f64) -> bool {
        match self {
            Bound::Above(threshold) => value > threshold,
            Bound::Below(threshold) => value < threshold,
        }
    }
}

/// The numbers that rules are about, all read at one time.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    pub at: Now,
    /// By metric. One that is not there has no series.
    pub metrics: BTreeMap<String, Vec<Reading>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub labels: Labels,
    pub value: f64,
}

/// One series under one rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub rule: Arc<str>,
    pub labels: Labels,
}

/// One that is raised, as stored and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub rule: Arc<str>,
    pub metric: Arc<str>,
    pub labels: Labels,
    pub bound: Bound,
    /// The number that raised it; where alerts are listed, the last one that was read.
    pub value: f64,
    /// When the bound was crossed.
    pub since: Timestamp,
    pub raised_at: Timestamp,
}

impl Alert {
    pub fn key(&self) -> Key {
        Key { rule: Arc::clone(&self.rule), labels: Arc::clone(&self.labels) }
    }
}

/// What this process has seen of one series under one rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// When it was last there.
    pub at: Tick,
    /// And what it was then: finite, as whoever shows it needs it.
    pub value: f64,
    /// Since when the bound has been crossed at every look.
    pub crossed: Option<Now>,
}

/// What becomes of an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// The bound was crossed then, and ever since.
    Raise { since: Timestamp },
    /// The number has come back.
    Clear,
}

impl Rule {
    /// Whether the rule is about this series of its metric. A label that is missing is an empty one, as Prometheus has it.
    pub fn means(&self, labels: &Labels) -> bool {
        let value = |name: &String| labels.get(name).map_or("", String::as_str);
        self.labels.iter().all(|(name, wanted)| value(name) == wanted)
    }

    /// Whether an alert that was raised is about what this rule is about.
    pub fn stands_behind(&self, alert: &Alert) -> bool {
        (&self.name, &self.metric, self.bound) == (&alert.rule, &alert.metric, alert.bound) && self.means(&alert.labels)
    }

    /// Takes in a number. Looks that lie too far apart do not show what was in between.
    pub fn see(&self, before: Option<Sighting>, at: Now, value: f64) -> Sighting {
        let crossed =
            before.filter(|before| at.tick.since(before.at) <= ALERT_GAP_MAX).and_then(|before| before.crossed);
        let crossed = self.bound.is_crossed_by(value).then(|| crossed.unwrap_or(at));
        Sighting { at: at.tick, value: value.clamp(f64::MIN, f64::MAX), crossed }
    }

    /// What follows from what was just seen.
    pub fn judge(&self, seen: Sighting, is_raised: bool) -> Option<Verdict> {
        if is_raised {
            return self.is_back(seen.value).then_some(Verdict::Clear);
        }
        let since = seen.crossed.filter(|since| seen.at.since(since.tick) >= self.hold)?;
        Some(Verdict::Raise { since: since.wall })
    }

    fn is_back(&self, value: f64) -> bool {
        match self.bound {
            Bound::Above(_) => value <= self.clear,
            Bound::Below(_) => value >= self.clear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        Arc::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn rule(bound: Bound, clear: f64, wanted: &[(&str, &str)]) -> Rule {
        Rule { name: "r".into(), metric: "m".into(), labels: labels(wanted), bound, clear, hold: Duration::ZERO }
    }

    #[test]
    fn a_rule_means_what_has_its_labels() {
        let means = |wanted: &[(&str, &str)], series| rule(Bound::Above(1.0), 1.0, wanted).means(&labels(series));
        assert!(means(&[], &[("pool", "a")]));
        assert!(means(&[("pool", "a")], &[("pool", "a"), ("kind", "x")]));
        assert!(!means(&[("pool", "a")], &[("pool", "b")]));
        assert!(!means(&[("pool", "a")], &[]));
        assert!(means(&[("pool", "")], &[]));
        assert!(!means(&[("pool", "")], &[("pool", "a")]));
    }

    #[test]
    fn a_number_on_the_threshold_has_not_crossed_it() {
        let now = Now::default();
        for (bound, crossed) in [(Bound::Above(5.0), 5.1), (Bound::Below(5.0), 4.9)] {
            let rule = rule(bound, 5.0, &[]);
            let judged = |value, is_raised| rule.judge(rule.see(None, now, value), is_raised);
            assert_eq!(judged(5.0, false), None);
            assert_eq!(judged(crossed, false), Some(Verdict::Raise { since: now.wall }));
            assert_eq!(judged(crossed, true), None);
            assert_eq!(judged(5.0, true), Some(Verdict::Clear));
            assert_eq!(judged(f64::NAN, false), None);
            assert_eq!(judged(f64::NAN, true), None);
        }
    }

    #[test]
    fn what_is_shown_is_finite() {
        let seen = rule(Bound::Above(5.0), 5.0, &[]).see(None, Now::default(), f64::INFINITY);
        assert_eq!((seen.value, seen.crossed), (f64::MAX, Some(Now::default())));
    }
}
