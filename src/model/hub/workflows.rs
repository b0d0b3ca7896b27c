//! Workflows: running the tasks of one together, and drawing from how they end what becomes of it. A workflow is a fold
//! of its tasks: what is stored of it beside them is what they cannot tell, such as that somebody cancelled it.

use super::dependencies::Need;
use super::parking::Wait;
use super::{Effects, Hub, check_wait};
use crate::clock::Now;
use crate::model::command::{Code, Destination, Refusal, Reply, Submit};
use crate::model::event::Body;
use crate::model::id::{AskId, PoolId, TaskId, TaskSeq, WorkflowId};
use crate::model::pool::ExecutorKind;
use crate::model::rows::{Rows, RowsError, Write};
use crate::model::task::Task;
use crate::model::workflow::{Definition, RunWorkflow, StageRow, StageTask, Step, Tally, WorkflowRow, WorkflowStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

type Answer = Result<Reply, Refusal>;

/// A workflow in memory, until it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) row: WorkflowRow,
    /// One for each stage.
    pub(super) tallies: Vec<Tally>,
    /// Its open tasks.
    pub(super) tasks: BTreeSet<TaskSeq>,
    /// Stages that have been told to be done.
    told: Vec<bool>,
}

#[derive(Debug, Default)]
pub(super) struct Workflows {
    pub(super) open: BTreeMap<WorkflowId, Open>,
    /// Those to be looked at before the batch ends.
    touched: BTreeSet<WorkflowId>,
}

impl Open {
    fn new(row: WorkflowRow) -> Open {
        let stages = row.stages.len();
        Open { row, tallies: vec![Tally::default(); stages], tasks: BTreeSet::new(), told: vec![false; stages] }
    }

    fn count(&mut self, task: &Task) {
        let Some(stage) = task.step.as_ref().and_then(|step| self.row.position(&step.stage)) else { return };
        self.tallies[stage].count(task.status);
        if !task.status.is_final() {
            self.tasks.insert(task.seq);
        }
    }

    fn total(&self) -> Tally {
        self.tallies.iter().fold(Tally::default(), |sum, one| Tally {
            open: sum.open + one.open,
            completed: sum.completed + one.completed,
            failed: sum.failed + one.failed,
            cancelled: sum.cancelled + one.cancelled,
        })
    }
}

impl Hub {
    pub(super) fn restore_workflows(&mut self, rows: Vec<WorkflowRow>, tasks: &[Task]) {
        self.workflows = Workflows::default();
        for row in rows {
            self.workflows.open.insert(row.id.clone(), Open::new(row));
        }
        for task in tasks {
            let workflow = task.step.as_ref().and_then(|step| self.workflows.open.get_mut(&step.workflow));
            if let Some(open) = workflow {
                open.count(task);
            }
        }
        for open in self.workflows.open.values_mut().filter(|open| open.row.status == WorkflowStatus::Running) {
            // The batch that ends the last task of a stage tells of the stage too.
            open.told = open.tallies.iter().map(|tally| tally.is_done()).collect();
        }
    }

    /// Takes all tasks of a workflow, or none of them.
    pub(super) fn run_workflow(
        &mut self,
        now: Now,
        run: RunWorkflow,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        if let Some(key) = &run.key
            && let Some(row) = self.workflow_by_key(key, rows)?
        {
            return Ok(Ok(Reply::Started { workflow: row.id, status: row.status, duplicate: true, seq: None }));
        }
        let destinations = match self.plan(&run.definition, out) {
            Ok(destinations) => destinations,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let row = WorkflowRow {
            id: run.id.clone(),
            name: run.definition.name.clone(),
            stages: stage_rows(&run.definition),
            status: WorkflowStatus::Running,
            stages_completed: 0,
            error: None,
            key: run.key,
            created_at: now.wall,
            ended_at: None,
        };
        out.writes.push(Write::PutWorkflow(Box::new(row.clone())));
        let started = Body::WorkflowStarted {
            workflow: row.id.clone(),
            name: row.name.clone(),
            stages: row.stages.iter().map(|stage| Arc::clone(&stage.name)).collect(),
        };
        let seq = self.emit(now, started, out);
        self.workflows.open.insert(row.id.clone(), Open::new(row));
        self.accept_all(now, &run.id, run.definition, run.tasks, destinations, out)?;
        let status = WorkflowStatus::Running;
        Ok(Ok(Reply::Started { workflow: run.id, status, duplicate: false, seq: Some(seq) }))
    }

    fn workflow_by_key(&self, key: &str, rows: &mut dyn Rows) -> Result<Option<WorkflowRow>, RowsError> {
        let open = self.workflows.open.values().find(|open| open.row.key.as_deref() == Some(key));
        open.map_or_else(|| rows.workflow_by_key(key), |open| Ok(Some(open.row.clone())))
    }

    /// Finds a pool for every task, as if those before it were there already; nothing is taken yet.
    fn plan(&mut self, definition: &Definition, out: &mut Effects) -> Result<Vec<PoolId>, Refusal> {
        let mut destinations = Vec::with_capacity(definition.tasks());
        let mut refused = None;
        for stage in &definition.stages {
            for task in &stage.tasks {
                match self.plan_one(task, stage.needs.is_empty(), out) {
                    Ok(id) => destinations.push(id),
                    Err(refusal) if refusal.code == Code::QueueFull => {
                        let message = format!("{}; the workflow has {} tasks", refusal.message, definition.tasks());
                        refused = refused.or(Some(Refusal { message, ..refusal }));
                    }
                    Err(refusal) => refused = refused.or(Some(refusal)),
                }
            }
        }
        for pool in self.pools.values_mut() {
            (pool.planned_ready, pool.planned_waiting) = (0, 0);
        }
        refused.map_or(Ok(destinations), Err)
    }

    fn plan_one(&mut self, task: &StageTask, can_run: bool, out: &mut Effects) -> Result<PoolId, Refusal> {
        let id = match &task.to {
            Destination::Pool(id) => id.clone(),
            Destination::Route { selector, group } => {
                self.route(*selector, group.as_deref(), can_run, task.input.directory.is_some(), out)?
            }
        };
        let pool = self.room_in(&id, can_run)?;
        let placeless = task.input.directory.is_none() && pool.row.directory.is_none();
        if placeless && pool.row.executor == ExecutorKind::Command {
            let message = format!("pool {id} has no directory; give the workflow one (--dir, or dir in its file)");
            return Err(Refusal::bad_request(message));
        }
        if can_run {
            pool.planned_ready += 1;
        } else {
            pool.planned_waiting += 1;
        }
        Ok(id)
    }

    fn accept_all(
        &mut self,
        now: Now,
        id: &WorkflowId,
        definition: Definition,
        ids: Vec<TaskId>,
        destinations: Vec<PoolId>,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let mut members: Vec<Vec<TaskSeq>> = Vec::with_capacity(definition.stages.len());
        let mut places = ids.into_iter().zip(destinations);
        for stage in definition.stages {
            let needed = stage.needs.iter().filter_map(|stage| members.get(*stage)).flatten();
            let needs: Vec<Need> = needed.map(|seq| Need { seq: *seq, is_open: true }).collect();
            let mut seqs = Vec::with_capacity(stage.tasks.len());
            for task in stage.tasks {
                let Some((task_id, pool)) = places.next() else { break };
                let step = Step { workflow: id.clone(), stage: Arc::clone(&stage.name), name: Arc::clone(&task.name) };
                let accepted = self.accept(now, submit(task_id, pool, task), needs.clone(), None, out);
                // It was found to fit; should it not, no part of the batch may stand.
                let seq = accepted.map_err(|refusal| RowsError(refusal.message))?;
                if let Some(task) = self.tasks.get_mut(seq) {
                    task.step = Some(step);
                    if let Some(open) = self.workflows.open.get_mut(id) {
                        open.count(task);
                    }
                }
                seqs.push(seq);
            }
            members.push(seqs);
        }
        Ok(())
    }

    /// A task has ended; what that means for its workflow is settled before the batch ends.
    pub(super) fn step_ended(&mut self, task: &Task) {
        let Some(step) = &task.step else { return };
        let Some(open) = self.workflows.open.get_mut(&step.workflow) else { return };
        if !open.tasks.remove(&task.seq) {
            return;
        }
        if let Some(stage) = open.row.position(&step.stage) {
            open.tallies[stage].open -= 1;
            open.tallies[stage].count(task.status);
        }
        if let Some(error) = open.row.failure(task) {
            open.row.status = WorkflowStatus::Failing;
            open.row.error = Some(error);
        }
        self.workflows.touched.insert(step.workflow.clone());
    }

    /// Tells of stages that are done, calls off what is in vain, and ends what has nothing open any more.
    pub(super) fn settle_workflows(
        &mut self,
        now: Now,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        self.settle_ended(now, rows, out)?;
        while let Some(id) = self.workflows.touched.pop_first() {
            let Some(open) = self.workflows.open.get_mut(&id) else { continue };
            if open.row.status == WorkflowStatus::Running {
                self.tell_stages(now, &id, out);
            } else {
                let tasks: Vec<TaskSeq> = open.tasks.iter().copied().collect();
                let sentence = match open.row.status {
                    WorkflowStatus::Cancelling => "cancelled with its workflow",
                    _ => "cancelled because another task of its workflow failed",
                };
                self.call_off(now, tasks, sentence, rows, out)?;
            }
            self.end_workflow(now, &id, out);
        }
        Ok(())
    }

    fn tell_stages(&mut self, now: Now, id: &WorkflowId, out: &mut Effects) {
        let Some(open) = self.workflows.open.get_mut(id) else { return };
        let mut bodies = Vec::new();
        for (position, tally) in open.tallies.iter().enumerate() {
            if tally.is_done() && !std::mem::replace(&mut open.told[position], true) {
                open.row.stages_completed += 1;
                bodies.push(Body::WorkflowStageCompleted {
                    workflow: id.clone(),
                    stage: Arc::clone(&open.row.stages[position].name),
                    tally: *tally,
                    stages_completed: open.row.stages_completed,
                    total_stages: open.row.stages.len(),
                });
            }
        }
        for body in bodies {
            self.emit(now, body, out);
        }
    }

    fn call_off(
        &mut self,
        now: Now,
        tasks: Vec<TaskSeq>,
        sentence: &str,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        for seq in tasks {
            if self.tasks.get(seq).is_some_and(|task| !task.cancel_requested) {
                self.cancel_open(now, seq, sentence, rows, out)?;
            }
        }
        self.settle_ended(now, rows, out)
    }

    /// Writes how a workflow stands, and ends it when none of its tasks is open.
    fn end_workflow(&mut self, now: Now, id: &WorkflowId, out: &mut Effects) {
        let Some(open) = self.workflows.open.get_mut(id) else { return };
        if !open.tasks.is_empty() {
            out.writes.push(Write::PutWorkflow(Box::new(open.row.clone())));
            return;
        }
        let Some(mut open) = self.workflows.open.remove(id) else { return };
        open.row.status = open.row.status.at_the_end();
        open.row.ended_at = Some(now.wall);
        let ended = Body::WorkflowEnded {
            workflow: id.clone(),
            status: open.row.status,
            tally: open.total(),
            stages_completed: open.row.stages_completed,
            total_stages: open.row.stages.len(),
            error: open.row.error.clone(),
        };
        self.emit(now, ended, out);
        out.writes.push(Write::PutWorkflow(Box::new(open.row)));
        for ask in self.waiting_for_workflow(id) {
            out.replies.push((ask, Ok(Reply::Workflow(id.clone()))));
        }
    }

    pub(super) fn wait_workflow(
        &mut self,
        now: Now,
        ask: AskId,
        id: WorkflowId,
        timeout: Option<Duration>,
        rows: &mut dyn Rows,
    ) -> Result<Option<Answer>, RowsError> {
        if self.workflows.open.contains_key(&id) {
            self.park(now, ask, Wait::Workflow(id), check_wait(timeout));
            return Ok(None);
        }
        let known = rows.workflow(&id)?.is_some();
        Ok(Some(if known { Ok(Reply::Workflow(id)) } else { Err(no_workflow(&id)) }))
    }

    pub(super) fn cancel_workflow(&mut self, id: WorkflowId, rows: &mut dyn Rows) -> Result<Answer, RowsError> {
        let Some(open) = self.workflows.open.get_mut(&id) else {
            let Some(row) = rows.workflow(&id)? else { return Ok(Err(no_workflow(&id))) };
            if row.status == WorkflowStatus::Cancelled {
                return Ok(Ok(Reply::Workflow(id)));
            }
            let message = format!("workflow {id} is {} already", row.status.as_str());
            return Ok(Err(Refusal::new(Code::Conflict, message)));
        };
        // One that is failing is being ended as it is.
        if open.row.status == WorkflowStatus::Running {
            open.row.status = WorkflowStatus::Cancelling;
            open.row.error = Some("cancelled".to_owned());
            self.workflows.touched.insert(id.clone());
        }
        Ok(Ok(Reply::Workflow(id)))
    }
}

fn stage_rows(definition: &Definition) -> Vec<StageRow> {
    let row = |stage: &crate::model::workflow::Stage| StageRow {
        name: Arc::clone(&stage.name),
        on_failure: stage.on_failure,
    };
    definition.stages.iter().map(row).collect()
}

fn submit(id: TaskId, pool: PoolId, task: StageTask) -> Submit {
    Submit {
        id,
        to: Destination::Pool(pool),
        input: task.input,
        priority: task.priority,
        timeout: task.timeout,
        key: None,
        lock: task.lock,
        after: Vec::new(),
        delay: Duration::ZERO,
        retries_max: task.retries_max,
        on_crash: None,
    }
}

fn no_workflow(id: &WorkflowId) -> Refusal {
    Refusal::not_found(format!("there is no workflow {id}"))
}
