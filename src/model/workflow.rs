//! A workflow: stages of tasks, of which the later ones need the earlier. Here is what its file asks for, what is
//! stored of it, and what its tasks say about its stages.

use super::command::Destination;
use super::id::{TaskId, WorkflowId};
use super::task::{Reason, Task, TaskInput, TaskStatus};
use crate::clock::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of the others when a task has failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// All that is open is cancelled, and the workflow has failed.
    #[default]
    Fail,
    /// What needs it is skipped, and the rest goes on.
    Skip,
}

impl OnFailure {
    pub fn as_str(self) -> &'static str {
        match self {
            OnFailure::Fail => "fail",
            OnFailure::Skip => "skip",
        }
    }

    pub fn parse(text: &str) -> Option<OnFailure> {
        [OnFailure::Fail, OnFailure::Skip].into_iter().find(|word| word.as_str() == text)
    }
}

/// What a workflow file asks for: checked, with no cycle in it and every name known.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    pub name: String,
    /// In an order in which each stands behind what it needs.
    pub stages: Vec<Stage>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub name: Arc<str>,
    /// Positions of the stages whose tasks must be completed before one of this stage may begin.
    pub needs: Vec<usize>,
    pub on_failure: OnFailure,
    /// At least one.
    pub tasks: Vec<StageTask>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StageTask {
    pub name: Arc<str>,
    pub to: Destination,
    pub input: TaskInput,
    pub priority: i32,
    /// `None`: the pool's own.
    pub timeout: Option<Duration>,
    pub retries_max: u32,
    pub lock: Option<String>,
}

impl Definition {
    pub fn tasks(&self) -> usize {
        self.stages.iter().map(|stage| stage.tasks.len()).sum()
    }
}

/// A workflow to be run, with the ids that the door chose.
#[derive(Clone, Debug, PartialEq)]
pub struct RunWorkflow {
    pub id: WorkflowId,
    /// One for each task, in the order of the definition.
    pub tasks: Vec<TaskId>,
    pub key: Option<String>,
    pub definition: Definition,
}

/// Where a task stands in a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub workflow: WorkflowId,
    pub stage: Arc<str>,
    pub name: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkflowStatus {
    Running,
    /// A task failed; what is open is being ended.
    Failing,
    /// Somebody cancelled it; what is open is being ended.
    Cancelling,
    Completed,
    Failed,
    Cancelled,
}

impl WorkflowStatus {
    pub const ALL: [WorkflowStatus; 6] = [
        WorkflowStatus::Running,
        WorkflowStatus::Failing,
        WorkflowStatus::Cancelling,
        WorkflowStatus::Completed,
        WorkflowStatus::Failed,
        WorkflowStatus::Cancelled,
    ];

    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            WorkflowStatus::Running => "running",
            WorkflowStatus::Failing => "failing",
            WorkflowStatus::Cancelling => "cancelling",
            WorkflowStatus::Completed => "completed",
            WorkflowStatus::Failed => "failed",
            WorkflowStatus::Cancelled => "cancelled",
        }
    }

    /// As everybody sees it: what is being ended still runs.
    pub fn shown(self) -> &'static str {
        if self.is_final() { self.as_str() } else { WorkflowStatus::Running.as_str() }
    }

    pub fn parse(text: &str) -> Option<WorkflowStatus> {
        WorkflowStatus::ALL.into_iter().find(|status| status.as_str() == text)
    }

    pub fn is_final(self) -> bool {
        matches!(self, WorkflowStatus::Completed | WorkflowStatus::Failed | WorkflowStatus::Cancelled)
    }

    /// What it is once none of its tasks is open.
    pub fn at_the_end(self) -> WorkflowStatus {
        match self {
            WorkflowStatus::Running => WorkflowStatus::Completed,
            WorkflowStatus::Failing => WorkflowStatus::Failed,
            WorkflowStatus::Cancelling => WorkflowStatus::Cancelled,
            ended => ended,
        }
    }
}

/// A workflow as stored. Everything else about it is said by its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkflowRow {
    pub id: WorkflowId,
    pub name: String,
    pub stages: Vec<StageRow>,
    pub status: WorkflowStatus,
    /// Stages that came to their end while it ran.
    pub stages_completed: usize,
    /// One sentence, without contents.
    pub error: Option<String>,
    pub key: Option<String>,
    pub created_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageRow {
    pub name: Arc<str>,
    pub on_failure: OnFailure,
}

impl WorkflowRow {
    /// Where a stage of that name stands.
    pub fn position(&self, stage: &str) -> Option<usize> {
        self.stages.iter().position(|row| *row.name == *stage)
    }

    /// What a task that ended makes of a running workflow; `None`: nothing.
    pub fn failure(&self, task: &Task) -> Option<String> {
        let step = task.step.as_ref()?;
        let stage = self.stages.get(self.position(&step.stage)?)?;
        // What was skipped failed elsewhere, where that was decided on.
        let fails = task.status == TaskStatus::Failed
            || (task.status == TaskStatus::Cancelled && task.reason == Some(Reason::Cancelled));
        if self.status != WorkflowStatus::Running || stage.on_failure != OnFailure::Fail || !fails {
            return None;
        }
        let reason = task.reason.filter(|_| task.status == TaskStatus::Failed);
        let reason = reason.map_or_else(String::new, |reason| format!(" ({})", reason.as_str()));
        let status = if task.status == TaskStatus::Failed { "failed" } else { "was cancelled" };
        Some(format!("task {}.{} {status}{reason}", step.stage, step.name))
    }
}

/// How many tasks of a stage are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub open: usize,
    pub completed: usize,
    pub failed: usize,
    pub cancelled: usize,
}

impl Tally {
    pub fn count(&mut self, status: TaskStatus) {
        match status {
            TaskStatus::Pending | TaskStatus::Running => self.open += 1,
            TaskStatus::Completed => self.completed += 1,
            TaskStatus::Failed => self.failed += 1,
            TaskStatus::Cancelled => self.cancelled += 1,
        }
    }

    /// All of them have ended, one way or another.
    pub fn is_done(self) -> bool {
        self.open == 0
    }

    /// How a stage that is done ended.
    pub fn outcome(self) -> &'static str {
        match self {
            Tally { failed: 0, cancelled: 0, .. } => "completed",
            Tally { failed: 0, completed: 0, .. } => "cancelled",
            _ => "failed",
        }
    }
}

/// A stage as its tasks have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageView {
    pub name: Arc<str>,
    /// pending, running, completed, failed or cancelled (also: skipped).
    pub status: &'static str,
    pub tally: Tally,
    pub started_at: Option<Timestamp>,
    pub completed_at: Option<Timestamp>,
}

/// The stages of a workflow, from all of its tasks.
pub fn stages(row: &WorkflowRow, tasks: &[Task]) -> Vec<StageView> {
    let of = |stage: &StageRow| {
        let members = || tasks.iter().filter(|task| task.step.as_ref().is_some_and(|step| step.stage == stage.name));
        let mut tally = Tally::default();
        members().for_each(|task| tally.count(task.status));
        let begun = members().any(|task| task.status != TaskStatus::Pending);
        StageView {
            name: Arc::clone(&stage.name),
            status: match (tally.is_done(), begun) {
                (true, _) => tally.outcome(),
                (false, true) => "running",
                (false, false) => "pending",
            },
            tally,
            started_at: members().filter_map(|task| task.started_at).min(),
            completed_at: members().filter_map(|task| task.completed_at).max().filter(|_| tally.is_done()),
        }
    };
    row.stages.iter().map(of).collect()
}

/// The first stage that is not done.
pub fn current(stages: &[StageView]) -> Option<&StageView> {
    stages.iter().find(|stage| stage.status == "running").or_else(|| stages.iter().find(|stage| !stage.tally.is_done()))
}
