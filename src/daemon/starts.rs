//! Since when each series counts: most since the daemon's start, some since before it, and some of what came later since
//! then. A collector takes another start than before for a reset, and the same for none.

use crate::clock::Timestamp;
use crate::model::id::UpstreamName;
use crate::model::pool::PoolView;
use crate::telemetry::{Family, Kind, Labels};
use std::collections::BTreeMap;

/// When the pools and upstreams came into being that series are about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Starts {
    pools: BTreeMap<String, Timestamp>,
    upstreams: BTreeMap<String, Timestamp>,
}

impl Starts {
    pub(super) fn new(pools: &[PoolView], upstreams: &[(UpstreamName, Timestamp)]) -> Starts {
        Starts {
            pools: pools.iter().map(|view| (view.row.id.to_string(), view.row.created_at)).collect(),
            upstreams: upstreams.iter().map(|(name, since)| (name.to_string(), *since)).collect(),
        }
    }

    /// Of a daemon that was started then. The epoch, which stands for unknown, where a total is older than the daemon and its
    /// owner is not there.
    pub(super) fn of(&self, started: Timestamp, family: &Family, labels: &Labels) -> Timestamp {
        let since = self.owner_since(labels);
        if outlives_the_daemon(family) { since.unwrap_or_default() } else { started.max(since.unwrap_or_default()) }
    }

    fn owner_since(&self, labels: &Labels) -> Option<Timestamp> {
        let (pool, upstream) = match labels.get("breaker_name").and_then(|name| name.split_once(':')) {
            Some(("pool", pool)) => (Some(pool), None),
            Some(("upstream", upstream)) => (None, Some(upstream)),
            _ => (labels.get("pool"), labels.get("upstream")),
        };
        let of_pool = pool.and_then(|pool| self.pools.get(pool));
        of_pool.or_else(|| self.upstreams.get(upstream?)).copied()
    }
}

/// What is stored: how many tasks a pool had, and the totals that upstreams tell.
fn outlives_the_daemon(family: &Family) -> bool {
    let name = family.name.as_str();
    let is_told = name.starts_with("session_buddy.") && family.kind() == Kind::Counter;
    is_told || name.starts_with("claude_comms_pool_tasks_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Registry;

    #[test]
    fn each_series_counts_since_its_own_beginning() {
        let at = Timestamp::from_micros;
        let starts = Starts {
            pools: BTreeMap::from([("old".to_owned(), at(10)), ("new".to_owned(), at(90))]),
            upstreams: BTreeMap::from([("u".to_owned(), at(20)), ("late".to_owned(), at(95))]),
        };
        let registry = Registry::new();
        for (name, label, value, expected) in [
            ("claude_comms_events_total", "", "", 50),
            ("claude_comms_pool_tasks_failed_total", "pool", "old", 10),
            ("claude_comms_pool_tasks_failed_total", "pool", "new", 90),
            // Unknown.
            ("claude_comms_pool_tasks_failed_total", "pool", "gone", 0),
            ("session_buddy.sessions.total", "upstream", "u", 20),
            ("session_buddy_poller.poll_cycles_total", "upstream", "u", 50),
            ("session_buddy_poller.poll_cycles_total", "upstream", "late", 95),
            ("circuit_breaker_calls_total", "breaker_name", "pool:old", 50),
            ("circuit_breaker_calls_total", "breaker_name", "upstream:late", 95),
        ] {
            let labels: &[(&str, &str)] = if label.is_empty() { &[] } else { &[(label, value)] };
            registry.counter(name, "", labels).unwrap();
            let wanted = name.replace('.', "_");
            let family = registry.snapshot_of(|other| other == wanted).remove(0);
            let labels = Labels::new(labels).unwrap();
            assert_eq!(starts.of(at(50), &family, &labels), at(expected), "{name} {value}");
        }
        // An average is counted into its buckets by this process.
        registry.histogram("session_buddy.session.duration", "", &[1.0], &[("upstream", "u")]).unwrap();
        let family = registry.snapshot_of(|name| name == "session_buddy_session_duration").remove(0);
        assert_eq!(starts.of(at(50), &family, &Labels::new(&[("upstream", "u")]).unwrap()), at(50));
    }
}
