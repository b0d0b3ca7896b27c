//! Upstreams: which there are, whether they are polled, and what their pollers report.

use super::parking::Wait;
use super::pictures::Subject;
use super::{Effects, Hub, PollerOrder};
use crate::clock::{Now, Timestamp};
use crate::model::breaker::{BreakerChange, BreakerRow, BreakerState, Stands};
use crate::model::command::{Code, Refusal, Reply};
use crate::model::event::Body;
use crate::model::id::{AskId, UpstreamName};
use crate::model::limits::UPSTREAMS_MAX;
use crate::model::measure::Measure;
use crate::model::rows::Write;
use crate::model::upstream::{CounterFold, PollReport, SampleKind, Upstream, UpstreamRow};
use std::time::Duration;

/// The one that has a section of the configuration of its own, and is there without it.
const SESSION_BUDDY: &str = "session-buddy";

type Answer = Result<Reply, Refusal>;

/// The name under which an upstream's breaker is stored and shown.
pub fn upstream_breaker_name(upstream: &UpstreamName) -> String {
    format!("upstream:{upstream}")
}

impl Hub {
    pub(super) fn restore_upstreams(
        &mut self,
        rows: Vec<UpstreamRow>,
        totals: Vec<(UpstreamName, String, CounterFold)>,
    ) {
        let mut before = std::mem::take(&mut self.upstreams);
        before.append(&mut self.upstreams_before);
        for row in rows {
            // What its poller has told is a fact of this process, not of the store.
            let mut upstream = before.remove(&row.name).unwrap_or_else(|| Upstream::new(row.clone()));
            upstream.row = row;
            upstream.totals.clear();
            self.upstreams.insert(upstream.row.name.clone(), upstream);
        }
        for (name, metric, total) in totals {
            if let Some(upstream) = self.upstreams.get_mut(&name) {
                upstream.totals.insert(metric, total);
            }
        }
    }

    /// That one, to be changed: should the batch fail, it is again as it is now.
    fn upstream_mut(&mut self, name: &UpstreamName) -> Result<&mut Upstream, Refusal> {
        let upstream = self.upstreams.get_mut(name).ok_or_else(|| no_upstream(name))?;
        self.upstreams_before.entry(name.clone()).or_insert_with(|| upstream.clone());
        Ok(upstream)
    }

    /// The upstreams as they are, for whoever starts their pollers.
    pub fn upstream_rows(&self) -> impl Iterator<Item = &UpstreamRow> {
        self.upstreams.values().map(|upstream| &upstream.row)
    }

    /// Since when each upstream is there.
    pub fn upstreams_since(&self) -> Vec<(UpstreamName, Timestamp)> {
        self.upstream_rows().map(|row| (row.name.clone(), row.since)).collect()
    }

    pub(super) fn is_upstream(&self, name: &UpstreamName, life: u64) -> bool {
        self.upstreams.get(name).is_some_and(|upstream| upstream.life == life)
    }

    pub(super) fn show_upstream(&self, name: &UpstreamName) -> Answer {
        let upstream = self.upstreams.get(name).ok_or_else(|| no_upstream(name))?;
        Ok(Reply::Upstream(Box::new(upstream.clone())))
    }

    pub(super) fn add_upstream(&mut self, now: Now, row: UpstreamRow, out: &mut Effects) -> Answer {
        let row = UpstreamRow { since: now.wall, ..row };
        if self.upstreams.contains_key(&row.name) {
            return Err(Refusal::new(Code::Conflict, format!("Upstream {} already exists", row.name)));
        }
        if self.upstreams.len() >= UPSTREAMS_MAX {
            let message = format!("there are {UPSTREAMS_MAX} upstreams, and more are not possible; remove one");
            return Err(Refusal::new(Code::Conflict, message));
        }
        // Never told twice, whatever becomes of this batch.
        self.upstream_lives += 1;
        let life = self.upstream_lives;
        out.writes.push(Write::PutUpstream(row.clone()));
        out.pollers.push((row.name.clone(), PollerOrder::Begin(Box::new(row.clone()), life)));
        let upstream = Upstream { life, ..Upstream::new(row) };
        let shown = Box::new(upstream.clone());
        self.upstreams.insert(upstream.row.name.clone(), upstream);
        Ok(Reply::Upstream(shown))
    }

    pub(super) fn remove_upstream(&mut self, name: &UpstreamName, out: &mut Effects) -> Answer {
        if self.upstream_mut(name)?.row.configured {
            let message = if name.as_str() == SESSION_BUDDY {
                format!("upstream {name} is always there, as [session_buddy_polling] has it; stop it instead")
            } else {
                format!("upstream {name} stands in the configuration; remove it there, or stop it")
            };
            return Err(Refusal::new(Code::Conflict, message));
        }
        self.upstreams.remove(name);
        out.writes.push(Write::DeleteUpstream(name.clone()));
        out.writes.push(Write::DeleteBreaker(upstream_breaker_name(name)));
        out.pollers.push((name.clone(), PollerOrder::End));
        for ask in self.waiting_for_upstream(name, u64::MAX) {
            out.replies.push((ask, Err(no_upstream(name))));
        }
        Ok(Reply::Done)
    }

    /// Switches the schedule, which stays so over restarts.
    pub(super) fn set_polling(&mut self, name: &UpstreamName, polling: bool, out: &mut Effects) -> Answer {
        let upstream = self.upstream_mut(name)?;
        if upstream.row.polling != polling {
            upstream.row.polling = polling;
            upstream.next_poll_at = None;
            out.writes.push(Write::PutUpstream(upstream.row.clone()));
            out.pollers.push((name.clone(), if polling { PollerOrder::Start } else { PollerOrder::Stop }));
        }
        self.show_upstream(name)
    }

    /// One cycle now, whether or not it is polled by schedule; the asker is answered when it is over.
    pub(super) fn poll_upstream(
        &mut self,
        now: Now,
        ask: AskId,
        name: &UpstreamName,
        timeout: Option<Duration>,
        out: &mut Effects,
    ) -> Option<Answer> {
        if !self.upstreams.contains_key(name) {
            return Some(Err(no_upstream(name)));
        }
        self.poll_orders += 1;
        out.pollers.push((name.clone(), PollerOrder::Poll(self.poll_orders)));
        self.park(now, ask, Wait::Upstream(name.clone(), self.poll_orders), super::check_wait(timeout));
        None
    }

    /// Closes its breaker.
    pub(super) fn reset_upstream(&mut self, now: Now, name: &UpstreamName, out: &mut Effects) -> Answer {
        let upstream = self.upstream_mut(name)?;
        let from = std::mem::replace(&mut upstream.breaker, BreakerState::Closed);
        upstream.retry_at = None;
        out.pollers.push((name.clone(), PollerOrder::Reset));
        out.writes.push(Write::DeleteBreaker(upstream_breaker_name(name)));
        out.measures.push(Measure::PollerBreaker { upstream: name.clone(), state: BreakerState::Closed });
        if from != BreakerState::Closed {
            let body = Body::UpstreamBreakerChanged { upstream: name.clone(), from, to: BreakerState::Closed };
            self.emit(now, body, out);
        }
        self.show_upstream(name)
    }

    pub(super) fn upstream_breaker_changed(
        &mut self,
        now: Now,
        name: &UpstreamName,
        change: BreakerChange,
        out: &mut Effects,
    ) {
        let Ok(upstream) = self.upstream_mut(name) else { return };
        let before = std::mem::replace(&mut upstream.breaker, change.to);
        upstream.retry_at = change.wait.map(|wait| now.wall.after(wait));
        let stored = upstream_breaker_name(name);
        out.writes.push(match change.to {
            BreakerState::Closed => Write::DeleteBreaker(stored),
            _ => Write::PutBreaker(BreakerRow { name: stored, snapshot: change.snapshot, saved_at: now.wall }),
        });
        out.measures.push(Measure::PollerBreaker { upstream: name.clone(), state: change.to });
        // What somebody has reset was told then.
        if before != change.to {
            let body = Body::UpstreamBreakerChanged { upstream: name.clone(), from: change.from, to: change.to };
            self.emit(now, body, out);
        }
    }

    /// How a breaker stands that goes on where that of the last daemon stopped: no news.
    pub fn upstream_stands(&mut self, name: &UpstreamName, stands: Stands, retry_at: Timestamp) {
        if let Some(upstream) = self.upstreams.get_mut(name) {
            upstream.breaker = stands.state;
            upstream.retry_at = (stands.state == BreakerState::Open).then_some(retry_at);
        }
    }

    pub(super) fn polled(&mut self, now: Now, name: &UpstreamName, report: PollReport, out: &mut Effects) {
        let Some(upstream) = self.upstreams.get_mut(name) else { return };
        for metric in &report.forgotten {
            out.measures.push(Measure::Forgotten { upstream: name.clone(), metric: metric.clone() });
        }
        for sample in &report.samples {
            let value = match sample.kind {
                SampleKind::Counter => {
                    let total = upstream.totals.entry(sample.metric.clone()).or_default();
                    let before = *total;
                    // What cannot be a total changes nothing.
                    let _ = total.fold(sample.value);
                    if *total != before {
                        out.writes.push(Write::PutTotal {
                            upstream: name.clone(),
                            metric: sample.metric.clone(),
                            total: *total,
                        });
                    }
                    total.total()
                }
                SampleKind::Gauge | SampleKind::Histogram => sample.value,
            };
            out.measures.push(Measure::Sampled {
                upstream: name.clone(),
                metric: sample.metric.clone(),
                kind: sample.kind,
                value,
            });
            out.writes.push(Write::InsertSample {
                upstream: name.clone(),
                at: report.at,
                metric: sample.metric.clone(),
                value,
            });
        }
        let took = report.is_called.then_some(report.took);
        out.measures.push(Measure::Polled { upstream: name.clone(), took, failed: !report.is_well });
        out.measures.push(Measure::PollerBreaker { upstream: name.clone(), state: upstream.breaker });
        // That nothing was called does not say why; what was said before that does.
        let why_not_called = report.errors.last().filter(|_| upstream.last_error.is_none());
        if let Some(error) = report.last_error.as_ref().or(why_not_called) {
            (upstream.last_error, upstream.last_error_at) = (Some(error.clone()), Some(report.at));
        }
        upstream.next_poll_at = report.next_poll_at.filter(|_| upstream.row.polling);
        let order = report.order;
        upstream.last = Some(report);
        self.picture(now, Subject::Upstream(name.clone()));
        // Whoever has asked since it began waits for the next one.
        for ask in self.waiting_for_upstream(name, order) {
            out.replies.push((ask, self.show_upstream(name)));
        }
    }
}

fn no_upstream(name: &UpstreamName) -> Refusal {
    Refusal::not_found(format!("Upstream {name} not found"))
}
