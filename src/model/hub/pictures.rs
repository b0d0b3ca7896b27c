//! Pictures of a state, as opposed to facts: coalesced before they are numbered.
//!
//! At most one per subject in [`PICTURE_INTERVAL`]; the last state is always sent, and nothing when nothing changes.

use super::timers::Timer;
use super::{Effects, Hub};
use crate::clock::{Now, Tick};
use crate::model::event::Body;
use crate::model::id::{MessageId, PoolId, UpstreamName};
use crate::model::limits::PICTURE_INTERVAL;
use crate::model::rows::{Rows, RowsError};
use crate::model::upstream::ToolState;
use std::collections::BTreeMap;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    Pool(PoolId),
    Worker(PoolId, u8),
    Content(MessageId),
    /// A poller's last cycle.
    Upstream(UpstreamName),
}

/// Per subject whether something changed since its last picture. A subject is forgotten one interval after that.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    pub(super) changed: BTreeMap<Subject, bool>,
}

impl Hub {
    /// What a failed batch has shown was not shown, and what was held back still is to be: all of it once more.
    pub(super) fn restore_pictures(&mut self, now: Now) {
        for (subject, changed) in &mut self.pictures.changed {
            *changed = true;
            self.timers.set(now.tick.after(PICTURE_INTERVAL), Timer::Picture(subject.clone()));
        }
    }

    /// Notes that a subject looks different now.
    pub(super) fn picture(&mut self, now: Now, subject: Subject) {
        let Some(changed) = self.pictures.changed.get_mut(&subject) else {
            // The first change in a while is shown at the end of this batch.
            self.timers.set(now.tick, Timer::Picture(subject.clone()));
            self.pictures.changed.insert(subject, true);
            return;
        };
        *changed = true;
    }

    pub(super) fn draw(
        &mut self,
        now: Now,
        subject: Subject,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        if self.pictures.changed.get(&subject) != Some(&true) {
            self.pictures.changed.remove(&subject);
            return Ok(());
        }
        if let Some(body) = self.body(&subject, rows)? {
            self.emit(now, body, out);
        }
        let next: Tick = now.tick.after(PICTURE_INTERVAL);
        self.timers.set(next, Timer::Picture(subject.clone()));
        self.pictures.changed.insert(subject, false);
        Ok(())
    }

    /// The state of a subject; `None` when it is gone.
    fn body(&self, subject: &Subject, rows: &mut dyn Rows) -> Result<Option<Body>, RowsError> {
        Ok(match subject {
            Subject::Pool(id) => self.pools.get(id).map(|pool| {
                let active = pool.workers.iter().filter(|worker| !worker.claimed.is_empty()).count();
                Body::PoolStatus {
                    pool: id.clone(),
                    status: pool.row.status,
                    queue_size: pool.pending(),
                    active_workers: active,
                    idle_workers: pool.workers.len() - active,
                    completed: pool.row.completed,
                    failed: pool.row.failed,
                }
            }),
            Subject::Worker(id, slot) => self.pools.get(id).map(|pool| Body::WorkerStatus {
                pool: id.clone(),
                slot: *slot,
                status: pool.workers[usize::from(*slot)].status(),
            }),
            Subject::Upstream(name) => {
                let last = self.upstreams.get(name).and_then(|upstream| upstream.last.as_ref());
                last.map(|report| Body::UpstreamPolled {
                    upstream: name.clone(),
                    cycle: report.cycle,
                    metrics: report.metrics.clone(),
                    errors: report.tools.iter().filter(|tool| tool.state != "ok").map(tool_in_trouble).collect(),
                    is_well: report.is_well,
                })
            }
            Subject::Content(id) => rows.message(id)?.map(|message| Body::MessageContent {
                message_id: message.id,
                thread_id: Some(message.thread_id),
                status: message.status,
                content_length: message.content_length,
            }),
        })
    }
}

/// A tool and how it fares, without what it said.
fn tool_in_trouble(tool: &ToolState) -> String {
    format!("{} {}", tool.tool, tool.state)
}
