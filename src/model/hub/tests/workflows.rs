//! Workflows: what their tasks make of them.

use super::*;
use crate::model::command::Destination;
use crate::model::event::Body;
use crate::model::hub::driver::Fate;
use crate::model::id::WorkflowId;
use crate::model::workflow::{Definition, OnFailure, RunWorkflow, Stage, StageTask, WorkflowStatus};

/// A file in short: `a:1,2 b<a:3 c<:4!` are three stages, their needs behind `<`, their tasks behind `:`; `!` skips.
fn run(id: &str, stages: &str) -> RunWorkflow {
    let mut definition = Definition { name: format!("name of {id}"), stages: Vec::new() };
    for text in stages.split(' ') {
        let (head, tasks) = text.split_once(':').expect("a stage has tasks");
        let (name, needs) = head.split_once('<').unwrap_or((head, ""));
        let position = |need: &str| definition.stages.iter().position(|stage| *stage.name == *need);
        let needs = needs.split(',').filter_map(position).collect();
        let on_failure = if tasks.ends_with('!') { OnFailure::Skip } else { OnFailure::Fail };
        let tasks = tasks.trim_end_matches('!').split(',').map(stage_task).collect();
        definition.stages.push(Stage { name: name.into(), needs, on_failure, tasks });
    }
    let names = definition.stages.iter().flat_map(|stage| stage.tasks.iter().map(|task| TaskId::new(&task.name)));
    RunWorkflow { id: WorkflowId::new(id), tasks: names.collect(), key: None, definition }
}

fn stage_task(name: &str) -> StageTask {
    StageTask {
        name: name.into(),
        to: Destination::Pool(PoolId::new("local")),
        input: TaskInput { prompt: format!("do {name}"), directory: Some("/d".to_owned()), ..TaskInput::default() },
        priority: 0,
        timeout: None,
        retries_max: 0,
        lock: None,
    }
}

impl Driver {
    fn run_workflow(&mut self, stages: &str) -> AskId {
        self.ask(Command::RunWorkflow(Box::new(run("w", stages))))
    }

    fn wait_workflow(&mut self) -> AskId {
        self.ask(Command::WaitWorkflow { id: WorkflowId::new("w"), timeout: None })
    }

    fn cancel_workflow(&mut self) -> AskId {
        self.ask(Command::CancelWorkflow { id: WorkflowId::new("w") })
    }

    /// `status done/total` as it is stored, and why.
    fn workflow(&self) -> String {
        let row = &self.rows.tables.workflows[&WorkflowId::new("w")];
        let error = row.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        format!("{} {}/{}{error}", row.status.as_str(), row.stages_completed, row.stages.len())
    }

    /// Events of workflows since the last call, with what they tell of the stages.
    fn told(&mut self) -> String {
        let told = self.events.drain(..).filter_map(|event| match event.body {
            Body::WorkflowStarted { .. } => Some("started".to_owned()),
            Body::WorkflowStageCompleted { stage, stages_completed, total_stages, tally, .. } => {
                Some(format!("{stage} {} {stages_completed}/{total_stages}", tally.outcome()))
            }
            Body::WorkflowEnded { status, .. } => Some(status.as_str().to_owned()),
            _ => None,
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn stages_run_one_after_the_other_and_the_end_is_told() {
    let mut desk = desk();
    let started = desk.run_workflow("a:1,2 b<a:3");
    let answer = desk.answer(started).unwrap().clone();
    assert!(matches!(answer, Ok(Reply::Started { duplicate: false, seq: Some(_), .. })), "{answer:?}");
    let wait = desk.wait_workflow();
    assert_eq!((desk.dispatched(), desk.state("3")), (vec!["1".into(), "2".into()], "pending blocked".into()));
    desk.finish("1", Ending::Succeeded);
    assert_eq!((desk.workflow(), desk.told()), ("running 0/2".into(), "started".into()));
    desk.finish("2", Ending::Succeeded);
    assert_eq!((desk.workflow(), desk.told()), ("running 1/2".into(), "a completed 1/2".into()));
    assert!(desk.answer(wait).is_none());
    desk.finish("3", Ending::Succeeded);
    assert_eq!((desk.workflow(), desk.told()), ("completed 2/2".into(), "b completed 2/2, completed".into()));
    assert!(matches!(desk.answer(wait), Some(Ok(Reply::Workflow(_)))));
    let late = desk.wait_workflow();
    assert!(matches!(desk.answer(late), Some(Ok(Reply::Workflow(_)))));
}

/// What is done, task by task (`+` completed, `-` failed, `x` cancelled by hand, `C` the workflow cancelled, `!` the
/// daemon killed), and what becomes of the workflow and of each task.
#[test]
fn the_state_machine_is_this_table() {
    let table = [
        ("a:1", "1+", "completed 1/1", "1 completed"),
        ("a:1", "1-", "failed 0/1: task a.1 failed (error)", "1 failed error"),
        ("a:1", "1x", "failed 0/1: task a.1 was cancelled", "1 cancelled cancelled"),
        ("a:1,2 b<a:3", "1-", "failing 0/2: task a.1 failed (error)", "2 running"),
        ("a:1,2 b<a:3", "1- 2+", "failed 0/2: task a.1 failed (error)", "2 completed, 3 cancelled dependency"),
        ("a:1,2 b<a:3", "1- C 2x", "failed 0/2: task a.1 failed (error)", "2 cancelled cancelled"),
        ("a:1 b<a:2 c<:3", "1+ 2-", "failing 1/3: task b.2 failed (error)", "3 running"),
        ("a:1 b<a:2 c<:3", "1+ 2- 3x", "failed 1/3: task b.2 failed (error)", "3 cancelled cancelled"),
        ("a:1,2! b<a:3 c<:4", "1- 2+", "running 2/3", "3 cancelled dependency"),
        ("a:1,2! b<a:3 c<:4", "1- 2+ 4+", "completed 3/3", "3 cancelled dependency"),
        ("a:1! b<a:2 c<b:3", "1-", "completed 3/3", "2 cancelled dependency, 3 cancelled dependency"),
        ("a:1! b<:2", "1- 2-", "failed 1/2: task b.2 failed (error)", "1 failed error"),
        ("a:1 b<a:2", "C", "cancelling 0/2: cancelled", "1 running, 2 cancelled cancelled"),
        ("a:1 b<a:2", "C 1x", "cancelled 0/2: cancelled", "1 cancelled cancelled"),
        ("a:1 b<a:2", "C 1+", "cancelled 0/2: cancelled", "1 completed"),
        ("a:1 b<a:2", "C C !", "cancelled 0/2: cancelled", "1 cancelled cancelled"),
        ("a:1 b<a:2", "!", "failed 0/2: task a.1 failed (crashed)", "2 cancelled dependency"),
        ("a:1 b<a:2", "1+ ! ", "failed 1/2: task b.2 failed (crashed)", "1 completed"),
        ("a:1,2 b<a:3", "1- !", "failed 0/2: task a.1 failed (error)", "2 cancelled cancelled"),
        ("a:1! b<:2 c<b:3", "1- 2+ !", "failed 2/3: task c.3 failed (crashed)", "1 failed error"),
    ];
    for (stages, script, workflow, tasks) in table {
        let mut desk = desk();
        desk.run_workflow(stages);
        let wait = desk.wait_workflow();
        for step in script.split_whitespace() {
            match step.split_at(step.len() - 1) {
                (id, "+") => desk.finish(id, Ending::Succeeded),
                (id, "-") => desk.finish(id, Ending::Failed),
                (id, "x") => desk.finish(id, Ending::Cancelled),
                (_, "C") => drop(desk.cancel_workflow()),
                _ => desk.crash(),
            }
        }
        assert_eq!(desk.workflow(), workflow, "{stages} {script}");
        for task in tasks.split(", ") {
            let (id, state) = task.split_once(' ').unwrap();
            assert_eq!(desk.state(id), state, "{stages} {script}: {id}");
        }
        let is_final = !["running", "failing", "cancelling"].iter().any(|open| workflow.starts_with(open));
        // Whoever waited is gone with a daemon that was killed.
        assert!(script.contains('!') || desk.answer(wait).is_some() == is_final, "{stages} {script}");
        assert_eq!(desk.rows.violations, Vec::<String>::new());
    }
}

#[test]
fn what_is_blocked_is_cancelled_at_once_and_what_runs_is_ended() {
    let mut desk = desk();
    desk.run_workflow("a:1,2 b<:3 c<b:4");
    desk.finish("1", Ending::Failed);
    assert_eq!(
        (desk.state("2"), desk.state("3"), desk.state("4")),
        ("running".into(), "running".into(), "cancelled cancelled".into())
    );
    assert_eq!(desk.cancels.len(), 2);
    // Asked once is enough.
    desk.finish("2", Ending::Cancelled);
    assert_eq!(desk.cancels.len(), 2);
    desk.events.clear();
    desk.finish("3", Ending::Cancelled);
    assert_eq!(desk.told(), "failed");
}

#[test]
fn a_workflow_survives_the_daemon() {
    let mut desk = desk();
    let mut asked = run("w", "a:1,2 b<a:3");
    asked.definition.stages[0].tasks.iter_mut().for_each(|task| task.retries_max = 5);
    desk.ask(Command::RunWorkflow(Box::new(asked)));
    desk.finish("1", Ending::Succeeded);
    desk.events.clear();
    desk.crash();
    assert_eq!((desk.workflow(), desk.state("2")), ("running 0/2".into(), "pending retrying".into()));
    desk.pass(60 * SECOND);
    desk.finish("2", Ending::Succeeded);
    desk.crash();
    desk.pass(60 * SECOND);
    assert_eq!(desk.told(), "a completed 1/2, failed");
    assert_eq!(desk.workflow(), "failed 1/2: task b.3 failed (crashed)");
}

#[test]
fn all_tasks_are_taken_or_none() {
    let mut desk = desk();
    let many = (1..=14).map(|number| format!("t{number}")).collect::<Vec<_>>().join(",");
    let full = desk.run_workflow(&format!("a:{many}"));
    let Some(Err(refusal)) = desk.answer(full) else { panic!("{:?}", desk.answer(full)) };
    assert_eq!(refusal.code, Code::QueueFull);
    assert!(refusal.message.contains("the workflow has 14 tasks"), "{refusal}");
    let mut astray = run("w", "a:1 b<a:2");
    astray.definition.stages[1].tasks[0].to = Destination::Pool(PoolId::new("none"));
    let astray = desk.ask(Command::RunWorkflow(Box::new(astray)));
    assert!(matches!(desk.answer(astray), Some(Err(refusal)) if refusal.code == Code::NotFound));
    let mut placeless = run("w", "a:1");
    placeless.definition.stages[0].tasks[0].input.directory = None;
    let placeless = desk.ask(Command::RunWorkflow(Box::new(placeless)));
    assert!(matches!(desk.answer(placeless), Some(Err(refusal)) if refusal.code == Code::BadRequest));
    assert!(desk.rows.tables.tasks.is_empty() && desk.rows.tables.workflows.is_empty());
    // Three begin at once and ten wait: just enough.
    let just = (1..=13).map(|number| format!("t{number}")).collect::<Vec<_>>().join(",");
    let fits = desk.run_workflow(&format!("a:{just}"));
    assert!(matches!(desk.answer(fits), Some(Ok(Reply::Started { .. }))), "{:?}", desk.answer(fits));
}

#[test]
fn routed_tasks_are_spread() {
    let mut desk = desk();
    desk.ask(Command::CreatePool(pool("second")));
    desk.batch(Vec::new());
    let mut asked = run("w", "a:1,2,3,4");
    for task in &mut asked.definition.stages[0].tasks {
        task.to = Destination::Route { selector: crate::model::command::Selector::LeastLoaded, group: None };
    }
    desk.ask(Command::RunWorkflow(Box::new(asked)));
    let of = |pool: &str| desk.rows.running().filter(|task| task.pool.as_str() == pool).count();
    assert_eq!((of("local"), of("second")), (2, 2));
}

#[test]
fn the_same_key_is_the_same_workflow() {
    let mut desk = desk();
    let keyed = |id: &str| RunWorkflow { key: Some("k".to_owned()), ..run(id, &format!("a:{id}1")) };
    let (_, first) = desk.question(Command::RunWorkflow(Box::new(keyed("w"))));
    let (same, second) = desk.question(Command::RunWorkflow(Box::new(keyed("v"))));
    desk.batch(vec![first, second]);
    let is_w = |answer: Option<&Answer>, status: WorkflowStatus| {
        matches!(answer, Some(Ok(Reply::Started { workflow, duplicate: true, status: is, .. }))
            if workflow.as_str() == "w" && *is == status)
    };
    assert!(is_w(desk.answer(same), WorkflowStatus::Running));
    desk.finish("w1", Ending::Succeeded);
    let again = desk.ask(Command::RunWorkflow(Box::new(keyed("u"))));
    assert!(is_w(desk.answer(again), WorkflowStatus::Completed));
}

#[test]
fn verbs_that_make_no_sense_are_refused() {
    let mut desk = desk();
    for command in [
        Command::WaitWorkflow { id: WorkflowId::new("w"), timeout: None },
        Command::CancelWorkflow { id: WorkflowId::new("w") },
    ] {
        let ask = desk.ask(command);
        assert!(matches!(desk.answer(ask), Some(Err(refusal)) if refusal.code == Code::NotFound));
    }
    desk.run_workflow("a:1");
    desk.finish("1", Ending::Failed);
    for command in [Command::CancelWorkflow { id: WorkflowId::new("w") }, Command::RetryTask { id: TaskId::new("1") }] {
        let ask = desk.ask(command);
        assert!(matches!(desk.answer(ask), Some(Err(refusal)) if refusal.code == Code::Conflict));
    }
}

#[test]
fn deleting_its_pool_ends_a_workflow() {
    let mut desk = desk();
    desk.run_workflow("a:1 b<a:2");
    let wait = desk.wait_workflow();
    desk.ask(Command::DeletePool { id: PoolId::new("local"), timeout: SECOND });
    desk.pass(2 * SECOND);
    desk.finish("1", Ending::Cancelled);
    assert_eq!(desk.workflow().split(':').next(), Some("failed 0/2"));
    assert!(desk.answer(wait).is_some());
}

#[test]
fn a_batch_that_fails_leaves_a_workflow_as_it_was() {
    let mut desk = desk();
    desk.run_workflow("a:1,2");
    let wait = desk.wait_workflow();
    let (report, cancel) =
        (desk.report("1", Ending::Failed), desk.question(Command::CancelWorkflow { id: WorkflowId::new("w") }));
    desk.batch_with(vec![cancel.1], Fate::CommitFails);
    assert_eq!(desk.workflow(), "running 0/1");
    desk.batch_with(vec![report], Fate::NothingWorks);
    assert_eq!((desk.workflow(), desk.state("1")), ("running 0/1".into(), "running".into()));
    // The fact is stepped again.
    desk.batch(Vec::new());
    desk.finish("2", Ending::Cancelled);
    assert_eq!(desk.workflow(), "failed 0/1: task a.1 failed (error)");
    assert!(desk.answer(wait).is_some());
}
