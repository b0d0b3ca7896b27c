//! Which events a subscriber wants: channels, with wildcards, names of events, and how loud they are at least.

use crate::model::event::Severity;
use crate::ports::StoredEvent;
use std::sync::Arc;

/// Most channels, and most event names, that one subscriber may name.
const NAMES_MAX: usize = 1_000;
const CHANNEL_BYTES_MAX: usize = 320;
/// What is told of workers, on the channel of their pool.
const WORKER_EVENT: &str = "worker.status_changed";

/// Lets everything through unless told otherwise. Two that are equal let the same through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    channels: Vec<Channel>,
    /// Shared: a subscriber has a filter for each of its channels, all with the same names.
    names: Arc<[String]>,
    /// `None`: all of them.
    least: Option<Severity>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Channel {
    /// `*`
    All,
    /// `global`: whatever concerns pools and workflows.
    Global,
    /// `messages`, or `kind:*`
    Kind(String),
    /// `worker:ID` has no events of its own; those of its pool that name it are meant.
    Worker(String),
    /// `worker:*`: those of all pools.
    Workers,
    One(String),
}

impl Filter {
    /// No channels means all of them, no names likewise.
    ///
    /// # Errors
    /// A sentence saying which channel is none.
    pub fn new(channels: Vec<String>, names: impl Into<Arc<[String]>>) -> Result<Filter, String> {
        let names = names.into();
        if channels.len().max(names.len()) > NAMES_MAX {
            return Err(format!("more than {NAMES_MAX} channels or events"));
        }
        let channels = channels.iter().map(|channel| Channel::parse(channel)).collect::<Result<_, _>>()?;
        Ok(Filter { channels, names, least: None })
    }

    /// Only what is at least so loud.
    #[must_use]
    pub fn at_least(self, least: Severity) -> Filter {
        Filter { least: Some(least), ..self }
    }

    pub fn lets_through(&self, event: &StoredEvent) -> bool {
        (self.channels.is_empty() || self.channels.iter().any(|channel| channel.has(event)))
            && (self.names.is_empty() || self.names.iter().any(|name| **name == *event.name))
            && self.least.is_none_or(|least| event.severity() >= least)
    }
}

impl Channel {
    fn parse(text: &str) -> Result<Channel, String> {
        if text.len() > CHANNEL_BYTES_MAX {
            return Err(format!("a channel is at most {CHANNEL_BYTES_MAX} bytes long"));
        }
        match (text, text.split_once(':')) {
            ("*", _) => Ok(Channel::All),
            ("global", _) => Ok(Channel::Global),
            ("messages", _) => Ok(Channel::Kind("message:".to_owned())),
            ("alerts" | "insights", _) => Ok(Channel::One(text.to_owned())),
            ("worker:*", _) => Ok(Channel::Workers),
            (_, Some((kind, "*"))) if !kind.is_empty() => Ok(Channel::Kind(format!("{kind}:"))),
            // What the original calls its local pool.
            ("pool:pool_local", _) => Ok(Channel::One("pool:local".to_owned())),
            (_, Some(("worker", id))) if !id.is_empty() => Ok(Channel::Worker(format!("\"worker_id\":\"{id}\""))),
            (_, Some((kind, id))) if !kind.is_empty() && !id.is_empty() => Ok(Channel::One(text.to_owned())),
            _ => Err(format!("{text:?} is no channel: one is like pool:local, message:ID, messages, global or *")),
        }
    }

    fn has(&self, event: &StoredEvent) -> bool {
        match self {
            Channel::All => true,
            Channel::Global => event.channel.starts_with("pool:") || event.channel.starts_with("workflow:"),
            Channel::Kind(prefix) => event.channel.starts_with(prefix.as_str()),
            Channel::Workers => *event.name == *WORKER_EVENT,
            Channel::Worker(needle) => {
                *event.name == *WORKER_EVENT
                    && std::str::from_utf8(&event.frame).is_ok_and(|frame| frame.contains(needle.as_str()))
            }
            Channel::One(channel) => **channel == *event.channel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(channel: &str, event_channel: &str) -> bool {
        let event = StoredEvent {
            seq: 1,
            channel: event_channel.into(),
            name: "worker.status_changed".into(),
            frame: br#"{"data":{"worker_id":"local-worker-1"}}"#.as_slice().into(),
        };
        Filter::new(vec![channel.to_owned()], Vec::new()).unwrap().lets_through(&event)
    }

    #[test]
    fn channels_and_wildcards() {
        let table = [
            ("*", "message:1", true),
            ("messages", "message:1", true),
            ("messages", "pool:local", false),
            ("message:1", "message:1", true),
            ("message:1", "message:12", false),
            ("message:*", "message:12", true),
            ("global", "pool:local", true),
            ("global", "message:1", false),
            ("pool:pool_local", "pool:local", true),
            ("worker:local-worker-1", "pool:local", true),
            ("worker:local-worker-2", "pool:local", false),
            ("worker:*", "pool:local", true),
        ];
        for (channel, event, wanted) in table {
            assert_eq!(wants(channel, event), wanted, "{channel} {event}");
        }
    }

    #[test]
    fn all_workers_are_no_more_than_workers() {
        let event = |name: &str| StoredEvent { seq: 1, channel: "pool:p".into(), name: name.into(), frame: [].into() };
        let filter = Filter::new(vec!["worker:*".to_owned()], Vec::new()).unwrap();
        assert!(filter.lets_through(&event("worker.status_changed")) && !filter.lets_through(&event("task.assigned")));
    }

    #[test]
    fn what_is_not_loud_enough_stays_out() {
        let event = |severity: &str| StoredEvent {
            seq: 1,
            channel: "pool:p".into(),
            name: "x".into(),
            frame: format!(r#"{{"data":{{"note":"\"severity\":\"error\"","severity":"{severity}"}},"room":"pool:p"}}"#)
                .into_bytes()
                .into(),
        };
        let filter = Filter::default().at_least(Severity::Warning);
        let shown = ["info", "warning", "error", "x"].map(|severity| filter.lets_through(&event(severity)));
        assert_eq!(shown, [false, true, true, false]);
    }

    #[test]
    fn what_is_no_channel_is_said() {
        for bad in ["", "pool", ":x", "pool:"] {
            assert!(Filter::new(vec![bad.to_owned()], Vec::new()).is_err(), "{bad}");
        }
    }
}
