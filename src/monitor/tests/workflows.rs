//! The screen of a workflow.

use super::screens::{LOOK, Stage};
use crate::monitor::address::Address;
use crate::monitor::keys::Key;
use crate::monitor::settings::Settings;
use crate::monitor::tell::{Continuity, Tell, Why};
use serde_json::{Value, json};

fn workflow() -> Stage {
    Stage::new(&Settings::workflow("0199a0b1-release".to_owned(), Address::new("127.0.0.1", 8690), LOOK))
}

fn answer(stages: &[(&str, &str, Option<&str>, Option<&str>)]) -> Value {
    let time = |at: Option<&str>| at.map(|at| format!("2026-11-03T{at}+00:00"));
    let stages: Vec<Value> = stages
        .iter()
        .map(|(name, status, from, to)| {
            json!({"name": name, "status": status, "started_at": time(*from), "completed_at": time(*to)})
        })
        .collect();
    let done = stages.iter().filter(|stage| stage["status"] == "completed").count();
    json!({"workflow_id": "w", "name": "release", "status": "running", "current_stage": "test", "stages_completed": done,
        "total_stages": stages.len(), "created_at": "2026-11-03T10:19:00+00:00", "stages": stages, "tasks": [
            {"task_id": "task-unit", "status": "running", "worker_id": "local-worker-0", "started_at": "2026-11-03T10:20:11+00:00"},
            {"task_id": "task-lint", "status": "pending"}]})
}

fn running() -> Stage {
    let mut stage = workflow();
    stage.connect(0, Continuity::First);
    let build = ("build", "completed", Some("10:19:00"), Some("10:20:05"));
    let test = ("test", "running", Some("10:20:11"), None);
    stage.status(&answer(&[build, test, ("package", "pending", None, None), ("publish", "pending", None, None)]));
    stage.pass(1_000);
    let of_pool = |stage: &mut Stage, event: &str, worker: &str, task: &str| {
        stage.event_in(0, "pool:local", event, json!({"worker_id": worker, "task_id": task, "severity": "info"}));
    };
    of_pool(&mut stage, "task.assigned", "local-worker-1", "task-lint");
    // Of another workflow.
    of_pool(&mut stage, "task.assigned", "local-worker-2", "task-other");
    stage.pass(4_000);
    of_pool(&mut stage, "task.completed", "local-worker-1", "task-lint");
    stage.pass(1_000);
    stage
}

#[test]
fn a_workflow_on_its_way() {
    let stage = running();
    for (width, height) in [(80, 24), (120, 40), (40, 15)] {
        stage.shows("workflow_running", width, height);
    }
    assert!(!stage.screen(120, 40).contains("other"));
}

#[test]
fn a_workflow_that_is_over_has_a_closing_line() {
    let mut stage = running();
    let end = json!({"stages_completed": 1, "total_stages": 4, "error": "test: unit failed, exit code 1", "severity": "error"});
    stage.event_in(0, "workflow:w", "workflow.failed", end);
    stage.lose(0, Why::Closed(String::new()), 2);
    stage.pass(7_000);
    stage.shows("workflow_failed", 80, 24);
}

#[test]
fn a_workflow_that_only_tells_events() {
    let mut stage = workflow();
    stage.connect(0, Continuity::First);
    stage.shows("workflow_empty", 80, 24);
    let metadata = json!({"name": "wf_123"});
    stage.event_in(0, "workflow:w", "workflow.started", json!({"metadata": metadata, "total_stages": 3}));
    stage.pass(2_000);
    stage.event_in(0, "workflow:w", "workflow.stage_completed", json!({"stage_name": "plan", "result": {}}));
    stage.event_in(0, "workflow:w", "worker.status_changed", json!({"worker_id": "worker_1", "status": "error"}));
    stage.pass(2_000);
    stage.shows("workflow_events", 80, 24);
    stage.event_in(0, "workflow:w", "workflow.completed", json!({"result": {}}));
    let screen = stage.screen(80, 24);
    assert!(screen.contains("the workflow has completed after 4.0 s, 1 of 3 stages"), "{screen}");
}

#[test]
fn more_stages_than_rows_are_shown_around_the_current_one() {
    let mut stage = workflow();
    stage.connect(0, Continuity::First);
    let names: Vec<String> = (0..100).map(|number| format!("stage-{number:02}")).collect();
    let stages: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(number, name)| (name.as_str(), if number < 50 { "completed" } else { "pending" }, None, None))
        .collect();
    stage.status(&answer(&stages));
    let screen = stage.screen(80, 24);
    assert!(screen.contains("stage-50") && screen.contains(" of 100)") && !screen.contains("stage-10"), "{screen}");
}

#[test]
fn every_size_has_a_picture() {
    let mut stage = running();
    stage.event_in(0, "workflow:w", "workflow.failed", json!({"error": "e".repeat(300)}));
    stage.lose(0, Why::NobodyAnswers, 2);
    let mut unknown = workflow();
    unknown.tell(0, Tell::Unknown { known: vec!["k".repeat(64); 9] });
    unknown.press(&[Key::Char('/'), Key::Char('x')]);
    for height in 1..=60 {
        for width in 1..=200 {
            stage.paint(width, height);
            if width % 13 == 1 || width < 8 {
                unknown.paint(width, height);
            }
        }
    }
}
