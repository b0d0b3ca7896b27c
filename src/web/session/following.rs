//! What a session follows: subscriptions begin and end, each where it was left.

use super::{Awaited, Session};
use crate::feed::Filter;
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
    /// What comes behind this number was told already, as far as it is told.
    pub(super) from: u64,
    pub(super) period_micros: u64,
    pub(super) strict: bool,
}

/// A subscription that began behind the others: what it has missed is told first.
#[derive(Debug)]
pub(super) struct CatchUp {
    pub(super) filters: Vec<Filter>,
    pub(super) channels: Vec<String>,
    pub(super) seq: u64,
    pub(super) until: u64,
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
        } else if from < self.seq {
            let (filters, channels) = (subscribe.filters.clone(), subscribe.channels.clone());
            self.catching_up.push_back(CatchUp { filters, channels, seq: from, until: self.seq });
        } else if from > self.seq {
            // The others are further behind: they are told up to there of what the new one has heard already.
            let (channels, filters) = self.followed();
            self.catching_up.push_back(CatchUp { filters, channels, seq: self.seq, until: from });
            self.seq = from;
        }
        if self.subscriptions.is_empty() {
            // Most say once what they follow, and that is one channel.
            self.subscriptions.reserve_exact(subscribe.channels.len());
        }
        for (channel, filter) in subscribe.channels.iter().zip(&subscribe.filters) {
            let subscription = Subscription {
                channel: channel.clone(),
                filter: filter.clone(),
                from,
                period_micros: subscribe.period_micros,
                strict: subscribe.strict,
            };
            match self.position(channel) {
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
        self.catching_up.retain_mut(|behind| {
            let both = std::mem::take(&mut behind.channels).into_iter().zip(std::mem::take(&mut behind.filters));
            (behind.channels, behind.filters) = both.filter(|(channel, _)| !channels.contains(channel)).unzip();
            !behind.channels.is_empty()
        });
        self.review(shared);
        let data = json!({"status": "unsubscribed", "channel": channels.first()});
        let text = reply::response(event, correlation, data, shared.now.wall);
        self.say(text);
    }

    pub(super) fn followed(&self) -> (Vec<String>, Vec<Filter>) {
        self.subscriptions.iter().map(|it| (it.channel.clone(), it.filter.clone())).unzip()
    }

    fn review(&mut self, shared: &mut Shared) {
        let filters: Vec<Filter> = self.subscriptions.iter().map(|subscription| subscription.filter.clone()).collect();
        self.interest = (!filters.is_empty()).then(|| shared.batches.interest(filters));
    }
}
