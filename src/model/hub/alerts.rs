//! Alerts: what the rules make of the numbers that somebody reads for them. What is raised is stored and told; what has been
//! seen on the way there is a fact of this process, which no batch that fails takes back.

use super::{Effects, Hub};
use crate::clock::{Now, Tick};
use crate::model::alert::{Alert, Key, Look, Reading, Rule, Sighting, Verdict};
use crate::model::event::Body;
use crate::model::limits::{ALERT_GAP_MAX, ALERT_RETURN_MAX, ALERT_SERIES_ALL_MAX, ALERT_SERIES_MAX};
use crate::model::rows::Write;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(super) struct Alerts {
    pub(super) rules: Vec<Rule>,
    pub(super) raised: BTreeMap<Key, Alert>,
    /// Of every series that was there at the last look, and of those that were raised then.
    sightings: BTreeMap<Key, Sighting>,
    /// The rules before this batch has changed them, and what had been seen for them; should it fail, they hold again.
    before: Option<(Vec<Rule>, BTreeMap<Key, Sighting>)>,
    /// When this process looked first.
    began: Option<Tick>,
    left_out: usize,
}

enum News {
    Raised(Alert),
    Cleared(Key, Option<f64>),
}

impl Hub {
    pub(super) fn restore_alerts(&mut self, rows: Vec<Alert>) {
        self.alerts.raised = rows.into_iter().map(|alert| (alert.key(), alert)).collect();
        if let Some((rules, sightings)) = self.alerts.before.take() {
            (self.alerts.rules, self.alerts.sightings) = (rules, sightings);
        }
    }

    pub(super) fn alerts_committed(&mut self) {
        self.alerts.before = None;
    }

    /// The metrics that rules are about; none when there is no rule.
    pub fn alert_metrics(&self) -> impl Iterator<Item = &str> {
        self.alerts.rules.iter().map(|rule| &*rule.metric)
    }

    /// Whether a look raises or clears anything: one that does not needs no write.
    pub fn is_news(&self, look: &Look) -> bool {
        !self.alerts.judged(look).news.is_empty()
    }

    /// Whether a rule stands behind that alert, raised or not.
    pub fn is_ruled(&self, alert: &Alert) -> bool {
        self.alerts.rules.iter().any(|rule| rule.stands_behind(alert))
    }

    /// Series that the last look did not heed because there were too many.
    pub fn alert_series_left_out(&self) -> usize {
        self.alerts.left_out
    }

    /// What is raised, with the numbers that were read last.
    pub(super) fn list_alerts(&self) -> Vec<Alert> {
        let shown = |(key, alert): (&Key, &Alert)| {
            let value = self.alerts.sightings.get(key).map_or(alert.value, |seen| seen.value);
            Alert { value, ..alert.clone() }
        };
        self.alerts.raised.iter().map(shown).collect()
    }

    /// From here on these are the rules. What none of them stands behind is cleared.
    pub(super) fn set_alert_rules(&mut self, now: Now, rules: Vec<Rule>, out: &mut Effects) {
        let before = std::mem::replace(&mut self.alerts.rules, rules);
        let Alerts { rules, raised, sightings, before: kept, .. } = &mut self.alerts;
        kept.get_or_insert_with(|| (before.clone(), sightings.clone()));
        // A rule that has changed in anything begins anew; of the series that it is still about the numbers stay known.
        let named = |rules: &[Rule], name: &str| rules.iter().find(|rule| *rule.name == *name).cloned();
        sightings.retain(|key, seen| match (named(&before, &key.rule), named(rules, &key.rule)) {
            (Some(before), Some(rule)) if before == rule => true,
            (Some(before), Some(rule)) => {
                seen.crossed = None;
                before.metric == rule.metric && rule.means(&key.labels)
            }
            _ => false,
        });
        let is_left = |alert: &&Alert| !rules.iter().any(|rule| rule.stands_behind(alert));
        let left: Vec<Key> = raised.values().filter(is_left).map(Alert::key).collect();
        for key in left {
            self.clear_alert(now, &key, None, out);
        }
    }

    pub(super) fn looked(&mut self, now: Now, look: &Look, out: &mut Effects) {
        let judged = self.alerts.judged(look);
        self.alerts.began.get_or_insert(look.at.tick);
        self.alerts.sightings = judged.sightings;
        self.alerts.left_out = judged.left_out;
        for news in judged.news {
            match news {
                News::Raised(alert) => {
                    out.writes.push(Write::PutAlert(Box::new(alert.clone())));
                    self.alerts.raised.insert(alert.key(), alert.clone());
                    self.emit(now, Body::AlertRaised(Box::new(alert)), out);
                }
                News::Cleared(key, value) => self.clear_alert(now, &key, value, out),
            }
        }
    }

    fn clear_alert(&mut self, now: Now, key: &Key, value: Option<f64>, out: &mut Effects) {
        let Some(alert) = self.alerts.raised.remove(key) else { return };
        out.writes.push(Write::DeleteAlert(key.clone()));
        self.emit(now, Body::AlertCleared { alert: Box::new(alert), value }, out);
    }
}

/// What a look comes to.
#[derive(Default)]
struct Judged {
    sightings: BTreeMap<Key, Sighting>,
    news: Vec<News>,
    /// How many series each rule has.
    series: BTreeMap<Arc<str>, usize>,
    series_all: usize,
    left_out: usize,
}

impl Judged {
    fn count(&mut self, key: &Key) {
        *self.series.entry(Arc::clone(&key.rule)).or_default() += 1;
        self.series_all += 1;
    }

    fn has_room(&self, key: &Key) -> bool {
        let of_rule = self.series.get(&key.rule).copied().unwrap_or(0);
        of_rule < ALERT_SERIES_MAX && self.series_all < ALERT_SERIES_ALL_MAX
    }
}

impl Alerts {
    /// Series that are known already go first: those that come later must not push them out.
    fn judged(&self, look: &Look) -> Judged {
        let mut judged = Judged::default();
        let is_known = |key: &Key| self.sightings.contains_key(key) || self.raised.contains_key(key);
        let found = self.rules.iter().flat_map(|rule| read_for(rule, look));
        let (known, new): (Vec<_>, Vec<_>) = found.partition(|(_, key, _)| is_known(key));
        for (rule, key, value) in known {
            self.judge(rule, key, value, look, &mut judged);
        }
        self.miss(look, &mut judged);
        for (rule, key, value) in new {
            if judged.has_room(&key) {
                self.judge(rule, key, value, look, &mut judged);
            } else {
                judged.left_out += 1;
            }
        }
        judged
    }

    fn judge(&self, rule: &Rule, key: Key, value: f64, look: &Look, judged: &mut Judged) {
        // Of two lines about one series the first counts, as in the text.
        if judged.sightings.contains_key(&key) {
            return;
        }
        judged.count(&key);
        let seen = rule.see(self.sightings.get(&key).copied(), look.at, value);
        match rule.judge(seen, self.raised.contains_key(&key)) {
            None => {}
            Some(Verdict::Clear) => judged.news.push(News::Cleared(key.clone(), Some(seen.value))),
            Some(Verdict::Raise { since }) => judged.news.push(News::Raised(Alert {
                rule: Arc::clone(&rule.name),
                metric: Arc::clone(&rule.metric),
                labels: Arc::clone(&key.labels),
                bound: rule.bound,
                value: seen.value,
                since,
                raised_at: look.at.wall,
            })),
        }
        judged.sightings.insert(key, seen);
    }

    /// What is raised and not there is gone after a while; where only the last daemon has seen it, after a long one.
    fn miss(&self, look: &Look, judged: &mut Judged) {
        for key in self.raised.keys() {
            if judged.sightings.contains_key(key) {
                continue;
            }
            judged.count(key);
            let (since, patience) = match self.sightings.get(key) {
                Some(seen) => (seen.at, ALERT_GAP_MAX),
                None => (self.began.unwrap_or(look.at.tick), ALERT_RETURN_MAX),
            };
            if let Some(seen) = self.sightings.get(key) {
                judged.sightings.insert(key.clone(), Sighting { crossed: None, ..*seen });
            }
            if look.at.tick.since(since) > patience {
                judged.news.push(News::Cleared(key.clone(), None));
            }
        }
    }
}

/// What a rule is about in a look. What is no number is not there.
fn read_for<'a>(rule: &'a Rule, look: &'a Look) -> impl Iterator<Item = (&'a Rule, Key, f64)> {
    let readings = look.metrics.get(&*rule.metric).into_iter().flatten();
    let meant = readings.filter(|reading: &&Reading| !reading.value.is_nan() && rule.means(&reading.labels));
    meant.map(move |Reading { labels, value }| {
        (rule, Key { rule: Arc::clone(&rule.name), labels: Arc::clone(labels) }, *value)
    })
}
