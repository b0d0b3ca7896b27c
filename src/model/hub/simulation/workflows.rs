//! What must hold of workflows: each is what its tasks say.

use super::oracle::{Verdict, ensure};
use crate::model::hub::Hub;
use crate::model::hub::driver::Driver;
use crate::model::id::WorkflowId;
use crate::model::task::{Reason, Task, TaskStatus};
use crate::model::workflow::{OnFailure, WorkflowRow, WorkflowStatus, stages};

/// What was acknowledged is stored, with every task of it.
pub(super) fn is_whole(driver: &Driver, id: &WorkflowId) -> Verdict {
    let Some(row) = driver.rows.tables.workflows.get(id) else {
        return Err(format!("lost: workflow {id} was acknowledged and is not stored"));
    };
    let tasks = tasks_of(driver, id);
    let empty = row.stages.iter().find(|stage| tasks.iter().all(|task| !is_in(task, &stage.name)));
    ensure(empty.is_none(), || format!("lost: {empty:?} of workflow {id} has no task"))
}

pub(super) fn check(driver: &Driver) -> Verdict {
    driver.rows.tables.workflows.values().try_for_each(|row| check_one(row, &tasks_of(driver, &row.id)))
}

fn check_one(row: &WorkflowRow, tasks: &[Task]) -> Verdict {
    let open = tasks.iter().filter(|task| !task.status.is_final()).count();
    let ended = row.status.is_final() && row.ended_at.is_some();
    ensure(ended == (open == 0), || format!("workflow: {open} tasks of {row:?} are open"))?;
    let done = stages(row, tasks).iter().filter(|stage| stage.tally.is_done()).count();
    let counts = match row.status {
        WorkflowStatus::Running => row.stages_completed == done,
        WorkflowStatus::Completed => row.stages_completed == row.stages.len(),
        _ => row.stages_completed <= done,
    };
    ensure(counts, || format!("workflow: {done} stages of {row:?} are done"))?;
    let fatal = tasks.iter().find(|task| is_fatal(row, task));
    let in_vain = matches!(row.status, WorkflowStatus::Running | WorkflowStatus::Completed);
    ensure(!(in_vain && fatal.is_some()), || format!("workflow: {row:?} goes on without {fatal:?}"))?;
    // What is called off is ended as soon as it can be.
    let forgotten = tasks.iter().find(|task| match task.status {
        TaskStatus::Pending => true,
        TaskStatus::Running => !task.cancel_requested,
        _ => false,
    });
    let is_off = !in_vain && forgotten.is_some();
    ensure(!is_off, || format!("workflow: {row:?} is called off, {forgotten:?} is not"))
}

/// Whether the workflow cannot go on once this task has ended so.
fn is_fatal(row: &WorkflowRow, task: &Task) -> bool {
    let stage = row.stages.iter().find(|stage| is_in(task, &stage.name));
    let ended_badly = task.status == TaskStatus::Failed || task.reason == Some(Reason::Cancelled);
    ended_badly && stage.is_some_and(|stage| stage.on_failure == OnFailure::Fail)
}

fn is_in(task: &Task, stage: &str) -> bool {
    task.step.as_ref().is_some_and(|step| *step.stage == *stage)
}

fn tasks_of(driver: &Driver, id: &WorkflowId) -> Vec<Task> {
    let belongs = |task: &&Task| task.step.as_ref().is_some_and(|step| step.workflow == *id);
    driver.rows.tables.tasks.values().filter(belongs).cloned().collect()
}

pub(super) fn check_agreement(fresh: &Hub, hub: &Hub) -> Verdict {
    let (stored, known) = (&fresh.workflows.open, &hub.workflows.open);
    ensure(stored.keys().eq(known.keys()), || "disagree: not the same open workflows".to_owned())?;
    for (id, open) in known {
        let other = &stored[id];
        let same = open.row == other.row && open.tallies == other.tallies && open.tasks == other.tasks;
        ensure(same, || format!("disagree: known is {open:?}, stored is {other:?}"))?;
    }
    Ok(())
}
