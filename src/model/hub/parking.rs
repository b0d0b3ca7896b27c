//! Askers whose answer is yet to come: what they wait for, and until when.

use super::timers::Timer;
use super::{Effects, Hub};
use crate::clock::{Now, Tick};
use crate::model::command::{Answer, Code, Refusal, Reply, Written};
use crate::model::id::{AskId, PoolId, TaskSeq, UpstreamName, WatchId, WorkflowId};
use crate::model::message::Status;
use crate::model::rows::{Rows, RowsError};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What an asker waits for.
#[derive(Clone, Debug)]
pub(super) enum Wait {
    Watch(WatchId),
    Task(TaskSeq),
    /// The end of the first of several tasks.
    AnyTask(Box<[TaskSeq]>),
    /// The end of a task, or more output than this.
    Output(TaskSeq, Written),
    /// The end of a pool.
    Pool(PoolId),
    /// The end of a workflow.
    Workflow(WorkflowId),
    /// The end of a cycle that begins after the order of that number.
    Upstream(UpstreamName, u64),
    /// The answer to a question; as it stands, without content, should the wait end first.
    Answer(TaskSeq, Box<Answer>),
}

#[derive(Clone, Debug)]
pub(super) struct Parked {
    wait: Wait,
    pub(super) deadline: Option<Tick>,
}

#[derive(Debug, Default)]
pub(super) struct Parking {
    pub(super) parked: HashMap<AskId, Parked>,
    on_watch: BTreeMap<WatchId, Vec<AskId>>,
    on_task: BTreeMap<TaskSeq, Vec<AskId>>,
    on_pool: BTreeMap<PoolId, Vec<AskId>>,
    on_workflow: BTreeMap<WorkflowId, Vec<AskId>>,
    on_upstream: BTreeMap<UpstreamName, Vec<AskId>>,
    /// Taken out by the batch at hand. Should it fail, they have not been answered and wait on.
    taken: Vec<(AskId, Parked)>,
}

impl Hub {
    pub(super) fn waits_committed(&mut self) {
        self.parking.taken.clear();
    }

    /// The batch never was: whoever it would have answered waits again.
    pub(super) fn restore_waits(&mut self) {
        for (ask, parked) in std::mem::take(&mut self.parking.taken) {
            self.put(ask, parked);
        }
    }

    /// Whoever asked is gone, whatever becomes of the batch.
    pub(super) fn forget(&mut self, ask: AskId) {
        self.unpark(ask);
        self.parking.taken.retain(|(other, _)| *other != ask);
    }

    pub(super) fn park(&mut self, now: Now, ask: AskId, wait: Wait, timeout: Option<Duration>) {
        let deadline = timeout.map(|timeout| now.tick.after(timeout));
        self.put(ask, Parked { wait, deadline });
    }

    fn put(&mut self, ask: AskId, parked: Parked) {
        if let Some(at) = parked.deadline {
            self.timers.set(at, Timer::Wait(ask));
        }
        match &parked.wait {
            Wait::Watch(id) => self.parking.on_watch.entry(*id).or_default().push(ask),
            Wait::Task(seq) | Wait::Output(seq, _) | Wait::Answer(seq, _) => {
                self.parking.on_task.entry(*seq).or_default().push(ask)
            }
            Wait::AnyTask(seqs) => {
                seqs.iter().for_each(|seq| self.parking.on_task.entry(*seq).or_default().push(ask));
            }
            Wait::Pool(id) => self.parking.on_pool.entry(id.clone()).or_default().push(ask),
            Wait::Workflow(id) => self.parking.on_workflow.entry(id.clone()).or_default().push(ask),
            Wait::Upstream(name, _) => self.parking.on_upstream.entry(name.clone()).or_default().push(ask),
        }
        self.parking.parked.insert(ask, parked);
    }

    /// Takes an asker out, wherever it waits.
    pub(super) fn unpark(&mut self, ask: AskId) -> Option<Wait> {
        let parked = self.parking.parked.remove(&ask)?;
        if let Some(at) = parked.deadline {
            self.timers.cancel(at, Timer::Wait(ask));
        }
        match &parked.wait {
            Wait::Watch(id) => leave(&mut self.parking.on_watch, id, ask),
            Wait::Task(seq) | Wait::Output(seq, _) | Wait::Answer(seq, _) => leave(&mut self.parking.on_task, seq, ask),
            Wait::AnyTask(seqs) => seqs.iter().for_each(|seq| leave(&mut self.parking.on_task, seq, ask)),
            Wait::Pool(id) => leave(&mut self.parking.on_pool, id, ask),
            Wait::Workflow(id) => leave(&mut self.parking.on_workflow, id, ask),
            Wait::Upstream(name, _) => leave(&mut self.parking.on_upstream, name, ask),
        }
        self.parking.taken.push((ask, parked.clone()));
        Some(parked.wait)
    }

    /// Takes out all who wait for a watch.
    pub(super) fn waiting_for_watch(&mut self, id: WatchId) -> Vec<AskId> {
        let asks = self.parking.on_watch.get(&id).cloned().unwrap_or_default();
        for ask in &asks {
            self.unpark(*ask);
        }
        asks
    }

    /// Takes out all who wait for a task, with what they wait for.
    pub(super) fn waiting_for_task(&mut self, seq: TaskSeq) -> Vec<(AskId, Wait)> {
        let asks = self.parking.on_task.get(&seq).cloned().unwrap_or_default();
        asks.into_iter().filter_map(|ask| self.unpark(ask).map(|wait| (ask, wait))).collect()
    }

    /// Takes out those who wait for a task to write more than it had, now that it has written so much.
    pub(super) fn waiting_for_output(&mut self, seq: TaskSeq, written: Written) -> Vec<AskId> {
        let asks = self.parking.on_task.get(&seq).cloned().unwrap_or_default();
        let is_told = |ask: &AskId| match self.parking.parked.get(ask).map(|parked| &parked.wait) {
            Some(Wait::Output(_, beyond)) => written.is_beyond(*beyond),
            _ => false,
        };
        let told: Vec<AskId> = asks.into_iter().filter(is_told).collect();
        told.into_iter().filter(|ask| self.unpark(*ask).is_some()).collect()
    }

    /// Takes out all who wait for the end of a pool.
    pub(super) fn waiting_for_pool(&mut self, id: &PoolId) -> Vec<AskId> {
        let asks = self.parking.on_pool.get(id).cloned().unwrap_or_default();
        for ask in &asks {
            self.unpark(*ask);
        }
        asks
    }

    /// Takes out all who wait for the end of a workflow.
    pub(super) fn waiting_for_workflow(&mut self, id: &WorkflowId) -> Vec<AskId> {
        let asks = self.parking.on_workflow.get(id).cloned().unwrap_or_default();
        for ask in &asks {
            self.unpark(*ask);
        }
        asks
    }

    /// Takes out those who wait for a cycle of an upstream and have asked with this number or before.
    pub(super) fn waiting_for_upstream(&mut self, name: &UpstreamName, order: u64) -> Vec<AskId> {
        let asks = self.parking.on_upstream.get(name).cloned().unwrap_or_default();
        let has_come = |ask: &AskId| match self.parking.parked.get(ask).map(|parked| &parked.wait) {
            Some(Wait::Upstream(_, wanted)) => *wanted <= order,
            _ => false,
        };
        let come: Vec<AskId> = asks.into_iter().filter(has_come).collect();
        come.into_iter().filter(|ask| self.unpark(*ask).is_some()).collect()
    }

    /// Answers those whose wait is over outside of any batch: for when nothing can be written.
    pub fn expire_waits(&mut self, now: Now, rows: &mut dyn Rows, out: &mut Effects) {
        for (at, ask) in self.timers.due_waits(now.tick) {
            self.timers.cancel(at, Timer::Wait(ask));
            if self.wait_timed_out(ask, rows, out).is_err() {
                out.replies.push((ask, Err(timed_out())));
            }
        }
        // They have been answered, whatever becomes of the next batch.
        self.parking.taken.clear();
    }

    pub(super) fn wait_timed_out(
        &mut self,
        ask: AskId,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let answer = match self.unpark(ask) {
            None => return Ok(()),
            Some(
                Wait::Watch(_)
                | Wait::Task(_)
                | Wait::AnyTask(_)
                | Wait::Output(..)
                | Wait::Pool(_)
                | Wait::Workflow(_)
                | Wait::Upstream(..),
            ) => Err(timed_out()),
            Some(Wait::Answer(_, mut answer)) => {
                let status = rows.message(&answer.question)?.map_or(Status::Unknown, |question| question.status);
                let error = format!(
                    "no answer in time, the question is {status}; wait for it with: claude-comms task wait {}",
                    answer.task
                );
                answer.error = Some(error.into());
                answer.status = Status::Expired;
                Ok(Reply::Asked(*answer))
            }
        };
        out.replies.push((ask, answer));
        Ok(())
    }
}

fn timed_out() -> Refusal {
    Refusal::new(Code::TimedOut, "the wait timed out; what was waited for goes on")
}

fn leave<K: Ord>(waiting: &mut BTreeMap<K, Vec<AskId>>, key: &K, ask: AskId) {
    if let Some(asks) = waiting.get_mut(key) {
        asks.retain(|other| *other != ask);
        if asks.is_empty() {
            waiting.remove(key);
        }
    }
}
