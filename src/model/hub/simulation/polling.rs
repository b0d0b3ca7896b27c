//! What must hold of upstreams: pollers do as stored, totals count every number once, breakers are what the log tells.

use super::oracle::{Verdict, ensure};
use super::random::Random;
use super::world::World;
use crate::clock::{Clock, Timestamp};
use crate::model::breaker::{BreakerChange, BreakerState, Stands};
use crate::model::command::Command;
use crate::model::event::Body;
use crate::model::hub::{Hub, Input, PollerOrder, upstream_breaker_name};
use crate::model::id::UpstreamName;
use crate::model::upstream::{PollReport, Sample, SampleKind, UpstreamRow};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

const NAMES: [&str; 2] = ["u", "v"];
const METRIC: &str = "sessions.total";

/// The servers, the threads that poll them, and what whoever has seen all of it knows.
pub(super) struct Polling {
    /// Of its own, so that all the rest goes on as if nobody polled.
    random: Random,
    /// What each server has counted since it was started.
    servers: BTreeMap<&'static str, u32>,
    pollers: BTreeMap<UpstreamName, Played>,
    /// On their way to the hub, in order.
    letters: VecDeque<Input>,
    /// Said to the hub, and not committed yet.
    pending: Vec<Input>,
    /// What was reported of each upstream since it was added.
    reported: BTreeMap<UpstreamName, Vec<f64>>,
    /// What the log tells of breakers; closed ones are left out.
    told: BTreeMap<UpstreamName, BreakerState>,
}

/// A poller, as its thread would be.
struct Played {
    polling: bool,
    life: u64,
    /// Somebody has asked for a round, the last one with that number.
    owed: bool,
    order: u64,
    breaker: BreakerState,
    cycle: u64,
}

impl Played {
    fn new(life: u64, polling: bool, breaker: BreakerState) -> Played {
        Played { life, polling, owed: false, order: 0, breaker, cycle: 0 }
    }
}

impl Polling {
    pub(super) fn new(seed: u64) -> Polling {
        Polling {
            random: Random::new(seed.rotate_left(32)),
            servers: NAMES.map(|name| (name, 0)).into(),
            pollers: BTreeMap::new(),
            letters: VecDeque::new(),
            pending: Vec::new(),
            reported: BTreeMap::new(),
            told: BTreeMap::new(),
        }
    }

    fn obey(&mut self, name: UpstreamName, order: PollerOrder) {
        match order {
            PollerOrder::Begin(row, life) => {
                let played = Played::new(life, row.polling, BreakerState::Closed);
                self.pollers.insert(name.clone(), played);
                self.reported.insert(name, Vec::new());
                return;
            }
            PollerOrder::End => {
                self.pollers.remove(&name);
                self.reported.remove(&name);
                self.told.remove(&name);
                return;
            }
            _ => {}
        }
        let Some(poller) = self.pollers.get_mut(&name) else { return };
        match order {
            PollerOrder::Start => poller.polling = true,
            PollerOrder::Stop => poller.polling = false,
            PollerOrder::Poll(number) => (poller.owed, poller.order) = (true, number),
            PollerOrder::Reset => self.turn(&name, BreakerState::Closed),
            PollerOrder::Begin(..) | PollerOrder::End => {}
        }
    }

    /// A poller's breaker changes, and it says so.
    fn turn(&mut self, name: &UpstreamName, to: BreakerState) {
        let Some(poller) = self.pollers.get_mut(name) else { return };
        let from = std::mem::replace(&mut poller.breaker, to);
        if from != to {
            let stands = Stands { state: to, wait: Duration::ZERO };
            let snapshot = to.as_str().to_owned();
            let change = BreakerChange { from, to, wait: None, stands, snapshot };
            let (upstream, life) = (name.clone(), poller.life);
            self.letters.push_back(Input::UpstreamBreakerChanged { upstream, life, change });
        }
    }

    /// A round: the server has counted on, or begun anew.
    fn go_round(&mut self, name: &UpstreamName, at: Timestamp) {
        let (Some(poller), Some(count)) = (self.pollers.get_mut(name), self.servers.get_mut(name.as_str())) else {
            return;
        };
        if self.random.percent(15) {
            *count = 0;
        }
        *count += self.random.below(5) as u32;
        poller.cycle += 1;
        poller.owed = false;
        let value = f64::from(*count);
        let report = Box::new(PollReport {
            cycle: poller.cycle,
            at,
            took: Duration::from_millis(5),
            order: poller.order,
            metrics: Vec::new(),
            errors: Vec::new(),
            is_well: true,
            is_failed: false,
            is_called: true,
            last_error: None,
            samples: vec![Sample { metric: METRIC.to_owned(), kind: SampleKind::Counter, value }],
            forgotten: Vec::new(),
            tools: Vec::new(),
            era: None,
            consecutive_failures: 0,
            failures: 0,
            next_poll_at: None,
        });
        self.letters.push_back(Input::Polled { upstream: name.clone(), life: poller.life, report });
    }
}

impl World {
    /// What pollers have to say, or somebody of them.
    pub(super) fn poll(&mut self) -> Vec<Input> {
        let at = self.driver.clock.wall();
        let polling = &mut self.polling;
        let name = UpstreamName::new(NAMES[polling.random.below(NAMES.len())]);
        match polling.random.below(100) {
            0..10 if self.is_well => return self.about_upstream(name),
            10..40 if polling.pollers.get(&name).is_some_and(|poller| poller.polling || poller.owed) => {
                polling.go_round(&name, at);
            }
            40..50 => {
                let to = [BreakerState::Open, BreakerState::HalfOpen, BreakerState::Closed][polling.random.below(3)];
                polling.turn(&name, to);
            }
            _ => {}
        }
        let count = polling.random.below(3).min(polling.letters.len());
        let letters: Vec<Input> = polling.letters.drain(..count).collect();
        polling.pending.extend(letters.iter().cloned());
        letters
    }

    fn about_upstream(&mut self, name: UpstreamName) -> Vec<Input> {
        let polling = self.polling.random.percent(50);
        let command = match self.polling.random.below(8) {
            0..2 => Command::AddUpstream(UpstreamRow { polling, ..UpstreamRow::new(name, "http://localhost:1/mcp") }),
            2 => Command::RemoveUpstream { name },
            3..5 => Command::SetPolling { name, polling },
            5 => Command::ResetUpstream { name },
            _ => Command::PollUpstream { name, timeout: polling.then(|| Duration::from_secs(9)) },
        };
        let (ask, input) = self.driver.question(command);
        self.oracle.open.insert(ask);
        vec![input]
    }

    /// Once nothing new comes in: whoever waits for a round gets one.
    pub(super) fn poll_owed(&mut self) -> Vec<Input> {
        let at = self.driver.clock.wall();
        let polling = &mut self.polling;
        let owing = polling.pollers.iter().filter(|(_, poller)| poller.owed).map(|(name, _)| name.clone());
        for name in owing.collect::<Vec<_>>() {
            polling.go_round(&name, at);
        }
        let letters: Vec<Input> = polling.letters.drain(..).collect();
        polling.pending.extend(letters.iter().cloned());
        letters
    }

    /// Another daemon begins with what is stored.
    pub(super) fn upstreams_taken_over(&mut self) {
        self.driver.pollers.clear();
        let tables = &self.driver.rows.tables;
        let Polling { pollers, letters, pending, .. } = &mut self.polling;
        letters.clear();
        pending.clear();
        pollers.clear();
        for (name, row) in &tables.upstreams {
            let breaker = stored_breaker(tables.breakers.get(&upstream_breaker_name(name)));
            pollers.insert(name.clone(), Played::new(0, row.polling, breaker));
            let stands = Stands { state: breaker, wait: Duration::ZERO };
            self.driver.hub.upstream_stands(name, stands, self.driver.clock.wall());
        }
    }

    /// After a batch that is written.
    pub(super) fn follow_upstreams(&mut self) -> Verdict {
        let polling = &mut self.polling;
        for event in &self.driver.events {
            if let Body::UpstreamBreakerChanged { upstream, to, .. } = &event.body {
                self.oracle.count(format!("upstream {}", to.as_str()));
                if *to == BreakerState::Closed {
                    polling.told.remove(upstream);
                } else {
                    polling.told.insert(upstream.clone(), *to);
                }
            }
        }
        for (name, order) in std::mem::take(&mut self.driver.pollers) {
            polling.obey(name, order);
        }
        for input in std::mem::take(&mut polling.pending) {
            if let Input::Polled { upstream, life, report } = input
                && polling.pollers.get(&upstream).is_some_and(|poller| poller.life == life)
                && let Some(reported) = polling.reported.get_mut(&upstream)
            {
                self.oracle.count("upstream polled".to_owned());
                reported.extend(report.samples.iter().map(|sample| sample.value));
            }
        }
        self.check_pollers()
    }

    fn check_pollers(&self) -> Verdict {
        let (polling, tables, hub) = (&self.polling, &self.driver.rows.tables, &self.driver.hub);
        let played: Vec<_> = polling.pollers.iter().map(|(name, poller)| (name, poller.polling)).collect();
        let stored: Vec<_> = tables.upstreams.iter().map(|(name, row)| (name, row.polling)).collect();
        ensure(played == stored, || format!("pollers: there are {played:?}, stored are {stored:?}"))?;
        for name in tables.upstreams.keys() {
            let told = polling.told.get(name).copied().unwrap_or(BreakerState::Closed);
            let stored = stored_breaker(tables.breakers.get(&upstream_breaker_name(name)));
            let known = hub.upstreams[name].breaker;
            ensure(told == stored && told == known, || {
                format!("upstream: the breaker of {name} is told {told:?}, stored {stored:?}, known {known:?}")
            })?;
            // A server that has counted less than before has begun anew.
            let values = polling.reported.get(name).map_or(&[] as &[f64], Vec::as_slice);
            let before = [0.0].iter().chain(values);
            let rises =
                values.iter().zip(before).map(|(value, before)| value - if value < before { &0.0 } else { before });
            let total = tables.totals.get(&(name.clone(), METRIC.to_owned())).map_or(0.0, |total| total.total());
            let expected: f64 = rises.sum();
            ensure(total == expected, || format!("total: {total} of {name} is stored, reported were {values:?}"))?;
        }
        Ok(())
    }
}

fn stored_breaker(snapshot: Option<&String>) -> BreakerState {
    let word = snapshot.map_or("", String::as_str);
    let states = [BreakerState::Open, BreakerState::HalfOpen];
    states.into_iter().find(|state| state.as_str() == word).unwrap_or(BreakerState::Closed)
}

pub(super) fn check_agreement(fresh: &Hub, hub: &Hub) -> Verdict {
    ensure(fresh.upstreams.keys().eq(hub.upstreams.keys()), || "disagree: not the same upstreams".to_owned())?;
    for (name, upstream) in &hub.upstreams {
        let stored = &fresh.upstreams[name];
        // A total of nothing is not worth a row.
        let known = upstream.totals.iter().filter(|(_, total)| total.total() > 0.0);
        let same = stored.row == upstream.row && known.eq(&stored.totals);
        ensure(same, || format!("disagree: known is {upstream:?}, stored is {stored:?}"))?;
    }
    Ok(())
}
