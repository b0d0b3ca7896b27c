//! What a session follows: subscriptions begin and end, each where it was left.

use super::{Awaited, Session};
use crate::feed::Filter;
use crate::ports::StoredEvent;
use crate::web::reply;
use crate::web::request::{Fault, Subscribe};
use crate::web::shared::Shared;
use crate::web::work::Job;
use serde_json::{Value, json};

const CHANNELS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) channel: String,
    pub(super) filter: Filter,
    /// It began behind this number.
    pub(super) from: u64,
    /// The last number that it was told of, while it is behind the others.
    behind: Option<u64>,
    pub(super) period_micros: u64,
    pub(super) strict: bool,
}

impl Subscription {
    /// The last number that it was told of, on a connection that stands at `here`.
    fn told(&self, here: u64) -> u64 {
        self.behind.unwrap_or(here)
    }

    fn wants(&self, event: &StoredEvent) -> bool {
        self.from < event.seq && self.filter.lets_through(event)
    }
}

impl Session {
    pub(super) fn subscribe(&mut self, subscribe: Subscribe, event: String, correlation: Value, shared: &mut Shared) {
        let new = subscribe.channels.iter().filter(|channel| self.position(channel).is_none()).count();
        if self.subscriptions.len() + new > CHANNELS_MAX {
            let sentence = format!("a connection follows at most {CHANNELS_MAX} channels; use a wildcard like pool:*");
            return self.say_error(&event, &correlation, &Fault::new("INVALID_CHANNEL", sentence), shared);
        }
        let here = if self.subscriptions.is_empty() { shared.last_seq } else { self.seq };
        let (from, lost) = match &subscribe.since {
            None => (Some(here), false),
            Some((epoch, seq)) if epoch == shared.feed.epoch() && *seq <= shared.feed.last_seq() => {
                (shared.feed.holds_after(*seq).then_some(*seq), false)
            }
            Some(_) => (None, true),
        };
        if let Some(from) = from.filter(|_| !subscribe.snapshot) {
            return self.begin(&subscribe, from, true, &event, &correlation, shared);
        }
        let since = subscribe.since.as_ref().map(|(_, seq)| *seq).filter(|_| !lost);
        let (channels, filters) = (subscribe.channels.clone(), subscribe.filters.clone());
        // Without a place to go on from, a picture is the only beginning; one who has none asks for it, and lost nothing.
        let snapshot = subscribe.snapshot && !lost;
        self.awaited = Some(Awaited::Subscribe { correlation, event, subscribe: Box::new(subscribe) });
        shared.jobs.push_back((self.id, Job::Subscribe { since, channels, filters, snapshot }));
    }

    /// The answer goes out before any event of the subscription.
    pub(super) fn begin(
        &mut self,
        subscribe: &Subscribe,
        from: u64,
        recovered: bool,
        event: &str,
        correlation: &Value,
        shared: &mut Shared,
    ) {
        if self.subscriptions.is_empty() {
            self.seq = from;
        } else if from > self.seq {
            // The others are further behind: they are told up to there of what the new one has heard already.
            for other in &mut self.subscriptions {
                other.behind.get_or_insert(self.seq);
            }
            self.seq = from;
        }
        if self.subscriptions.is_empty() {
            // Most say once what they follow, and that is one channel.
            self.subscriptions.reserve_exact(subscribe.channels.len());
        }
        for (channel, filter) in subscribe.channels.iter().zip(&subscribe.filters) {
            let at = self.position(channel);
            let before = at.map(|at| &self.subscriptions[at]);
            // One that is said anew goes on where it was told up to, and forgets nothing of what it was told.
            let told = before.map_or(from, |before| before.told(self.seq).min(from));
            let known = before.filter(|before| before.filter == *filter).map_or(from, |before| before.from.min(from));
            let subscription = Subscription {
                channel: channel.clone(),
                filter: filter.clone(),
                from: known.min(told),
                behind: Some(told).filter(|told| *told < self.seq),
                period_micros: subscribe.period_micros,
                strict: subscribe.strict,
            };
            match at {
                Some(at) => self.subscriptions[at] = subscription,
                None => self.subscriptions.push(subscription),
            }
        }
        self.review(shared);
        let mut data = json!({
            "status": "subscribed",
            "channel": subscribe.channels.first(),
            "seq": from,
            "epoch": shared.feed.epoch(),
            "recovered": recovered,
        });
        if subscribe.channels.len() > 1 {
            data["channels"] = json!(subscribe.channels);
        }
        let text = reply::response(event, correlation, data, shared.now.wall);
        self.say(text);
    }

    fn position(&self, channel: &str) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| subscription.channel == channel)
    }

    pub(super) fn unsubscribe(&mut self, channels: &[String], event: &str, correlation: &Value, shared: &mut Shared) {
        self.subscriptions.retain(|subscription| !channels.contains(&subscription.channel));
        self.review(shared);
        let data = json!({"status": "unsubscribed", "channel": channels.first()});
        let text = reply::response(event, correlation, data, shared.now.wall);
        self.say(text);
    }

    /// Where the one stands that is furthest behind the others.
    pub(super) fn furthest_behind(&self) -> Option<u64> {
        self.subscriptions.iter().filter_map(|subscription| subscription.behind).min()
    }

    /// Whether one that is behind wants it that no other has told.
    pub(super) fn is_missed(&self, event: &StoredEvent) -> bool {
        let wanting = || self.subscriptions.iter().filter(|subscription| subscription.wants(event));
        wanting().next().is_some() && wanting().all(|subscription| subscription.told(self.seq) < event.seq)
    }

    /// All that were behind it have been told up to that number.
    pub(super) fn caught_up(&mut self, seq: u64) {
        for subscription in &mut self.subscriptions {
            if subscription.behind.is_some_and(|behind| behind < seq) {
                subscription.behind = Some(seq).filter(|seq| *seq < self.seq);
            }
        }
    }

    /// The channels of those that were not told up to that number.
    pub(super) fn behind(&self, seq: u64) -> (Vec<String>, Vec<Filter>) {
        let behind = self.subscriptions.iter().filter(|it| it.told(self.seq) < seq);
        behind.map(|it| (it.channel.clone(), it.filter.clone())).unzip()
    }

    fn review(&mut self, shared: &mut Shared) {
        let filters: Vec<Filter> = self.subscriptions.iter().map(|subscription| subscription.filter.clone()).collect();
        let interest = (!filters.is_empty()).then(|| shared.batches.interest(filters));
        if let Some(before) = std::mem::replace(&mut self.interest, interest) {
            shared.batches.let_go(before);
        }
    }
}
