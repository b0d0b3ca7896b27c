//! What must hold of alerts: whoever has kept every number knows which are raised, and that is what was told.

use super::oracle::{Verdict, ensure};
use super::random::Random;
use super::world::World;
use crate::clock::{Clock, Now};
use crate::model::alert::{Bound, Key, Labels, Look, Reading, Rule};
use crate::model::event::Body;
use crate::model::hub::driver::Fate;
use crate::model::hub::{Hub, Input};
use crate::model::limits::{ALERT_GAP_MAX, ALERT_RETURN_MAX};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const METRIC: &str = "numbers";
/// `NaN` is there and no number.
const NUMBERS: [f64; 6] = [1.0, 3.0, 5.0, 7.0, 9.0, f64::NAN];

/// Remembers all, and works out anew each time what follows from it.
pub(super) struct Watchful {
    /// Of its own, so that all the rest goes on as if nobody looked.
    random: Random,
    rules: Vec<Rule>,
    /// By name of the rule: how many looks there were before it asked what it asks.
    since: BTreeMap<Arc<str>, usize>,
    /// Since the daemon has started.
    looks: Vec<Arc<Look>>,
    /// What should be raised, and of what.
    raised: BTreeMap<Key, Bound>,
    /// What the log tells of.
    told: BTreeMap<Key, Bound>,
    /// Said to the hub, and not committed yet.
    pending: Vec<Input>,
    /// What the numbers are just now; they stay so for a while.
    numbers: BTreeMap<&'static str, f64>,
}

impl Watchful {
    pub(super) fn new(seed: u64) -> Watchful {
        Watchful {
            random: Random::new(!seed),
            rules: Vec::new(),
            since: BTreeMap::new(),
            looks: Vec::new(),
            raised: BTreeMap::new(),
            told: BTreeMap::new(),
            pending: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }
}

fn rules(variant: usize) -> Vec<Rule> {
    let rule = |name: &str, bound, clear, hold| Rule {
        name: name.into(),
        metric: METRIC.into(),
        labels: Labels::default(),
        bound,
        clear,
        hold: Duration::from_millis(hold),
    };
    let patient = rule("patient", Bound::Below(4.0), 6.0, 1_000);
    match variant {
        0 => vec![rule("eager", Bound::Above(6.0), 4.0, 0)],
        1 => vec![rule("eager", Bound::Above(8.0), 8.0, 0), patient],
        _ => vec![rule("eager", Bound::Above(6.0), 4.0, 0), patient],
    }
}

fn labels(name: &str) -> Labels {
    Arc::new(BTreeMap::from([("name".to_owned(), name.to_owned())]))
}

impl World {
    /// Somebody reads the numbers, or changes the rules; nobody does while nothing can be written.
    pub(super) fn look(&mut self) -> Option<Input> {
        let random = &mut self.watchful.random;
        if random.percent(50) {
            return None;
        }
        if random.percent(3) {
            let input = Input::AlertRules(rules(random.below(4)));
            self.watchful.pending.push(input.clone());
            return Some(input);
        }
        if !self.is_well {
            return None;
        }
        for name in ["a", "b", "c"] {
            match random.below(100) {
                0..20 => drop(self.watchful.numbers.insert(name, NUMBERS[random.below(NUMBERS.len())])),
                20..25 => drop(self.watchful.numbers.remove(name)),
                _ => {}
            }
        }
        let numbers = self.watchful.numbers.iter();
        let readings = numbers.map(|(name, value)| Reading { labels: labels(name), value: *value }).collect();
        let look = Look { at: self.driver.clock.now(), metrics: BTreeMap::from([(METRIC.to_owned(), readings)]) };
        let is_news = self.driver.hub.is_news(&look);
        let input = Input::Looked(Arc::new(look));
        self.watchful.pending.push(input.clone());
        if is_news {
            return Some(input);
        }
        self.driver.note(input);
        None
    }

    /// The rules of the configuration that another daemon starts with.
    pub(super) fn alerts_taken_over(&mut self) -> Verdict {
        let Watchful { random, looks, since, pending, .. } = &mut self.watchful;
        looks.clear();
        since.clear();
        pending.clear();
        let input = Input::AlertRules(rules(random.below(4)));
        pending.push(input.clone());
        self.batch(vec![input], Fate::Committed)
    }

    /// What was told is what should be.
    pub(super) fn follow_alerts(&mut self) -> Verdict {
        let watchful = &mut self.watchful;
        for event in &self.driver.events {
            let what = match &event.body {
                Body::AlertRaised(alert) => {
                    let new = watchful.told.insert(alert.key(), alert.bound).is_none();
                    ensure(new, || format!("alert: {:?} was raised twice", alert.key()))?;
                    "alert raised"
                }
                Body::AlertCleared { alert, value } => {
                    let known = watchful.told.remove(&alert.key()).is_some();
                    ensure(known, || format!("alert: {:?} was cleared and was not raised", alert.key()))?;
                    if value.is_some() { "alert cleared" } else { "alert gone" }
                }
                _ => continue,
            };
            self.oracle.count(what.to_owned());
        }
        for input in std::mem::take(&mut watchful.pending) {
            match input {
                Input::AlertRules(rules) => watchful.rule(rules),
                Input::Looked(look) => watchful.see(look),
                _ => {}
            }
        }
        let (told, expected) = (&watchful.told, &watchful.raised);
        ensure(told == expected, || format!("alert: told of are {told:?}, not {expected:?}"))
    }
}

impl Watchful {
    fn rule(&mut self, rules: Vec<Rule>) {
        for rule in &rules {
            let before = self.rules.iter().find(|before| before.name == rule.name);
            if before.is_none_or(|before| before.bound != rule.bound) {
                self.since.insert(Arc::clone(&rule.name), self.looks.len());
            }
        }
        self.raised.retain(|key, bound| rules.iter().any(|rule| rule.name == key.rule && rule.bound == *bound));
        self.rules = rules;
    }

    fn see(&mut self, look: Arc<Look>) {
        self.looks.push(look);
        for rule in self.rules.clone() {
            for name in ["a", "b", "c"] {
                let key = Key { rule: Arc::clone(&rule.name), labels: labels(name) };
                let should_be =
                    if self.raised.contains_key(&key) { !self.is_over(&rule, &key) } else { self.is_held(&rule, &key) };
                if should_be {
                    self.raised.insert(key, rule.bound);
                } else {
                    self.raised.remove(&key);
                }
            }
        }
    }

    /// The looks that count for a rule, and what was there of one series, the last one first.
    fn seen<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (Now, Option<f64>)> + 'a {
        let looks = self.looks[self.since.get(&key.rule).copied().unwrap_or(0)..].iter().rev();
        looks.map(|look| {
            let reading = look.metrics[METRIC].iter().find(|reading| reading.labels == key.labels);
            (look.at, reading.map(|reading| reading.value).filter(|value| !value.is_nan()))
        })
    }

    fn is_held(&self, rule: &Rule, key: &Key) -> bool {
        let Some(last) = self.looks.last() else { return false };
        let crosses = |value: f64| match rule.bound {
            Bound::Above(threshold) => value > threshold,
            Bound::Below(threshold) => value < threshold,
        };
        let mut first = None;
        for (at, value) in self.seen(key) {
            let next: Now = first.unwrap_or(last.at);
            if !value.is_some_and(crosses) || next.tick.since(at.tick) > ALERT_GAP_MAX {
                break;
            }
            first = Some(at);
        }
        first.is_some_and(|first| last.at.tick.since(first.tick) >= rule.hold)
    }

    fn is_over(&self, rule: &Rule, key: &Key) -> bool {
        let (Some(first), Some(last)) = (self.looks.first(), self.looks.last()) else { return false };
        let (now, newest) = (last.at.tick, self.seen(key).next().and_then(|(_, value)| value));
        if let Some(value) = newest {
            return match rule.bound {
                Bound::Above(_) => value <= rule.clear,
                Bound::Below(_) => value >= rule.clear,
            };
        }
        match self.seen(key).find(|(_, value)| value.is_some()) {
            Some((at, _)) => now.since(at.tick) > ALERT_GAP_MAX,
            None => now.since(first.at.tick) > ALERT_RETURN_MAX,
        }
    }
}

pub(super) fn check_agreement(fresh: &Hub, hub: &Hub) -> Verdict {
    let (stored, known) = (&fresh.alerts.raised, &hub.alerts.raised);
    ensure(stored == known, || format!("disagree: raised are {known:?}, stored are {stored:?}"))
}
