//! The tool about workflows: how one stands.

use super::Served;
use super::desk::{Desk, named, refused};
use super::schemas::{self, list, number_or_null, text, text_or_null, whole, whole_or_null};
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Step, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

pub(super) fn tools() -> Vec<Served> {
    vec![Served::new(get_workflow_status(), status)]
}

fn get_workflow_status() -> Tool {
    Tool {
        name: "get_workflow_status",
        title: "Show a workflow",
        description: "\
How a workflow stands that was started with `claude-comms workflow run`: its stages and its tasks. A task's result: get_task.",
        input: schemas::arguments(vec![("workflow_id", schemas::id("Its id"))], &["workflow_id"]),
        output: Some(schemas::answer(vec![("workflow_id", text("")), ("workflow", workflow())], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

fn workflow() -> Value {
    let stage = schemas::object(
        "",
        vec![
            ("name", text("")),
            ("status", text("pending, running, completed, failed or cancelled")),
            ("started_at", text_or_null("")),
            ("completed_at", text_or_null("")),
        ],
        &[],
    );
    let task = schemas::object(
        "",
        vec![
            ("stage", text("")),
            ("name", text("")),
            ("task_id", text("")),
            ("pool_id", text("")),
            ("status", text("")),
            ("reason", text_or_null("")),
            ("attempt", whole("")),
            ("exit_code", whole_or_null("")),
            ("exit_signal", whole_or_null("")),
            ("started_at", text_or_null("")),
            ("completed_at", text_or_null("")),
            ("duration_seconds", number_or_null("")),
        ],
        &[],
    );
    schemas::object(
        "",
        vec![
            ("workflow_id", text("")),
            ("name", text("")),
            ("status", text("running, completed, failed or cancelled")),
            ("current_stage", text_or_null("")),
            ("stages_completed", whole("")),
            ("total_stages", whole("")),
            ("error", text_or_null("")),
            ("created_at", text("")),
            ("ended_at", text_or_null("")),
            ("stages", list("", stage)),
            ("tasks", list("", task)),
        ],
        &[],
    )
}

#[derive(Deserialize)]
struct Named {
    workflow_id: String,
}

fn status(desk: &Desk, args: Named) -> Step {
    let known = json!({"workflow_id": args.workflow_id});
    let request = Request::WorkflowShow(wire::WorkflowId { workflow_id: args.workflow_id });
    desk.request(request, move |outcome| match outcome {
        Ok(found) => named("workflow_id", "workflow", &found),
        Err(refusal) => refused(&refusal, known),
    })
}
