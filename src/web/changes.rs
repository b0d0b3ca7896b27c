//! A stream of MCP that tells which resources have changed: a position in the feed, and what is looked for from there.

use super::shared::Shared;
use crate::feed::Filter;
use crate::mcp::server::Listening;

#[derive(Debug)]
pub(super) struct Changes {
    pub(super) listening: Box<Listening>,
    /// In the order of what is followed; `None` for a channel that there cannot be.
    filters: Vec<Option<Filter>>,
    seq: u64,
}

impl Changes {
    /// From here on.
    pub(super) fn new(listening: Box<Listening>, shared: &Shared) -> Changes {
        let filter = |channel: &String| Filter::new(vec![channel.clone()], Vec::new()).ok();
        let filters = listening.followed.iter().map(|(_, channel)| filter(channel)).collect();
        Changes { listening, filters, seq: shared.last_seq }
    }

    pub(super) fn is_behind(&self, shared: &Shared) -> bool {
        self.seq < shared.last_seq && !self.filters.is_empty()
    }

    /// What is to be told of the events up to now: each resource at most once.
    pub(super) fn take(&mut self, shared: &mut Shared) -> Vec<Vec<u8>> {
        let mut has_changed = vec![false; self.filters.len()];
        while self.is_behind(shared) {
            let Some(events) = shared.batches.page(self.seq) else {
                // Nobody knows any more; to look once too often does no harm.
                has_changed.fill(true);
                self.seq = shared.last_seq;
                break;
            };
            for (changed, filter) in has_changed.iter_mut().zip(&self.filters) {
                let lets_through = |filter: &Filter| events.iter().any(|event| filter.lets_through(event));
                *changed |= filter.as_ref().is_some_and(lets_through);
            }
            let Some(last) = events.last() else { break };
            self.seq = last.seq;
        }
        let followed = self.listening.followed.iter().zip(has_changed).filter(|(_, changed)| *changed);
        followed.map(|((uri, _), _)| self.listening.changed(uri)).collect()
    }
}
