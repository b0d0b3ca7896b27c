//! `workflow.*`: files parsed into commands, and workflows as they are shown.

use super::intake::{Defaults, Ids, absolute, bounded, duration, random, resolve};
use super::wire;
use crate::clock::new_id;
use crate::model::command::{Code, Command, Refusal};
use crate::model::id::{TaskId, WorkflowId};
use crate::model::limits;
use crate::model::task::{Reason, Task};
use crate::model::workflow::{self, RunWorkflow, StageView, WorkflowRow, WorkflowStatus};
use crate::ports::{IdKind, Reader, WorkflowDetail, WorkflowFilter};
use crate::workflow_file::{self, Around, Format};

pub(super) fn run(args: &wire::WorkflowRun, defaults: &Defaults) -> Result<Command, Refusal> {
    if args.source.len() > limits::WORKFLOW_BYTES_MAX {
        let (given, most) = (args.source.len(), limits::WORKFLOW_BYTES_MAX);
        return Err(Refusal::new(Code::TooLarge, format!("source has {given} bytes; at most {most} are")));
    }
    let word = args.format.as_deref().unwrap_or("toml");
    let format =
        Format::parse(word).ok_or_else(|| Refusal::bad_request(format!("format is {word:?}; it is toml or json")))?;
    let around = Around {
        pool: defaults.pool.clone(),
        directory: args.dir.as_deref().map(|dir| absolute("dir", dir)).transpose()?,
        random: random(),
    };
    let definition = workflow_file::parse(&args.source, format, &around).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Refusal::bad_request(format!("the workflow file is wrong at {}", problems.join("; ")))
    })?;
    Ok(Command::RunWorkflow(Box::new(RunWorkflow {
        id: WorkflowId::from(new_id()),
        tasks: (0..definition.tasks()).map(|_| TaskId::from(new_id())).collect(),
        key: bounded("key", args.key.clone(), limits::ID_BYTES_MAX)?,
        definition,
    })))
}

pub(super) fn wait(args: &wire::WorkflowWait, ids: &mut Ids<'_>) -> Result<Command, Refusal> {
    Ok(Command::WaitWorkflow {
        id: id(&args.workflow_id, ids)?,
        timeout: args.timeout_seconds.map(|seconds| duration("timeout_seconds", seconds)).transpose()?,
    })
}

pub(super) fn cancel(args: &wire::WorkflowId, ids: &mut Ids<'_>) -> Result<Command, Refusal> {
    Ok(Command::CancelWorkflow { id: id(&args.workflow_id, ids)? })
}

fn id(text: &str, ids: &mut Ids<'_>) -> Result<WorkflowId, Refusal> {
    Ok(WorkflowId::from(ids.resolve(IdKind::Workflow, text)?))
}

pub(super) fn show(text: &str, reader: &mut dyn Reader) -> Result<wire::Workflow, Refusal> {
    let id = resolve(reader, IdKind::Workflow, text)?;
    let found = reader.workflow(&WorkflowId::new(&id))?;
    Ok(shown(&found.ok_or_else(|| Refusal::not_found(format!("there is no workflow {id}")))?))
}

pub(super) fn list(
    args: &wire::WorkflowList,
    rows_max: usize,
    reader: &mut dyn Reader,
) -> Result<wire::Workflows, Refusal> {
    let statuses = match args.status.as_deref() {
        None => Vec::new(),
        Some(word) => {
            let shown_so = |status: &WorkflowStatus| status.shown() == word;
            WorkflowStatus::ALL.into_iter().filter(shown_so).collect()
        }
    };
    if let Some(word) = args.status.as_deref().filter(|_| statuses.is_empty()) {
        let sentence = format!("status is {word:?}; it is one of running, completed, failed and cancelled");
        return Err(Refusal::bad_request(sentence));
    }
    let page = reader.workflows(&WorkflowFilter { statuses, before: args.before, rows_max })?;
    Ok(wire::Workflows { workflows: page.rows.iter().map(summary).collect(), next: page.next })
}

fn summary(row: &WorkflowRow) -> wire::WorkflowSummary {
    wire::WorkflowSummary {
        workflow_id: row.id.to_string(),
        name: row.name.clone(),
        status: row.status.shown().to_owned(),
        stages_completed: row.stages_completed,
        total_stages: row.stages.len(),
        error: row.error.clone(),
        created_at: row.created_at.to_string(),
        ended_at: row.ended_at.map(|at| at.to_string()),
    }
}

fn shown(detail: &WorkflowDetail) -> wire::Workflow {
    let row = &detail.row;
    let stages = workflow::stages(row, &detail.tasks);
    let current = if row.status.is_final() { None } else { workflow::current(&stages) };
    wire::Workflow {
        workflow_id: row.id.to_string(),
        name: row.name.clone(),
        status: row.status.shown().to_owned(),
        current_stage: current.map(|stage| stage.name.to_string()),
        stages_completed: row.stages_completed,
        total_stages: row.stages.len(),
        error: row.error.clone(),
        created_at: row.created_at.to_string(),
        ended_at: row.ended_at.map(|at| at.to_string()),
        stages: stages.iter().map(stage).collect(),
        tasks: detail.tasks.iter().filter_map(task).collect(),
    }
}

fn stage(stage: &StageView) -> wire::WorkflowStage {
    wire::WorkflowStage {
        name: stage.name.to_string(),
        status: stage.status.to_owned(),
        started_at: stage.started_at.map(|at| at.to_string()),
        completed_at: stage.completed_at.map(|at| at.to_string()),
    }
}

fn task(task: &Task) -> Option<wire::WorkflowTask> {
    let step = task.step.as_ref()?;
    Some(wire::WorkflowTask {
        stage: step.stage.to_string(),
        name: step.name.to_string(),
        task_id: task.id.to_string(),
        pool_id: task.pool.to_string(),
        status: task.status.as_str().to_owned(),
        reason: task.reason.map(|reason| Reason::as_str(reason).to_owned()),
        attempt: task.attempt,
        exit_code: task.exit_code,
        exit_signal: task.exit_signal,
        started_at: task.started_at.map(|at| at.to_string()),
        completed_at: task.completed_at.map(|at| at.to_string()),
        duration_seconds: task.duration().map(|duration| duration.as_secs_f64()),
    })
}
