//! Every tool once, in the order in which somebody might use them.

use super::*;
use crate::control::wire::{self, Request};
use crate::mcp::server::{Offer, Order, Step};
use crate::model::hub::{Input, PollerOrder};
use crate::model::id::UpstreamName;
use crate::model::task::Ending;
use crate::model::upstream::{PollReport, ToolState};
use std::collections::BTreeSet;

struct Walk {
    house: House,
    walked: BTreeSet<String>,
}

impl Walk {
    fn to(&mut self, tool: &str, arguments: Value) -> Value {
        self.walked.insert(tool.to_owned());
        self.house.answer(tool, arguments)
    }

    /// One that waits, until what happens meanwhile has happened.
    fn wait_at(&mut self, tool: &str, arguments: Value, meanwhile: impl FnOnce(&mut House)) -> Value {
        self.walked.insert(tool.to_owned());
        let mut calling = self.house.call(tool, arguments);
        assert!(!calling.is_over(), "{tool} does not wait");
        meanwhile(&mut self.house);
        self.house.go_on(&mut calling);
        self.house.answered(tool, &calling.outcome())
    }
}

fn end(house: &mut House) {
    house.end_first(Ending::Succeeded, "yes");
}

/// What each of them answers is held to its schema by the house.
#[test]
fn every_tool_answers_as_its_schema_says() {
    let mut walk = Walk { house: House::new(), walked: BTreeSet::new() };
    let directory = walk.house.directory.path().display().to_string();
    walk.to("list_modules", json!({}));
    walk.to("create_pool", json!({"pool_id": "p", "command": ["cat"], "dir": directory}));
    walk.to("list_pools", json!({}));
    walk.to("get_pool_status", json!({"pool_id": "p"}));
    walk.to("check_pool_health", json!({}));
    walk.to("get_pool_manager_status", json!({}));
    walk.wait_at("execute_on_pool", json!({"pool_id": "p", "prompt": "x", "context": {"repo": directory}}), end);
    walk.wait_at("execute_batch_on_pool", json!({"pool_id": "p", "prompts": ["x"]}), end);
    walk.wait_at("route_to_pool", json!({"prompt": "x", "selector": "random"}), end);
    let task = walk.to("submit_task", json!({"prompt": "x", "pool_id": "p"}))["task_id"].clone();
    walk.to("get_task", json!({"task_id": task}));
    walk.to("get_task_log", json!({"task_id": task}));
    walk.wait_at("wait_for_task", json!({"task_id": task}), end);
    let task = walk.to("submit_task", json!({"prompt": "x", "pool_id": "p"}))["task_id"].clone();
    walk.to("cancel_task", json!({"task_id": task}));
    walk.house.end_first(Ending::Cancelled, "cancelled");
    walk.to("list_tasks", json!({}));
    walk.wait_at("ask_module", json!({"from": directory, "to": directory, "prompt": "x"}), end);
    let sent =
        walk.to("send_message", json!({"from": directory, "to": directory, "content": "x"}))["message_id"].clone();
    let reply = json!({"message_id": sent, "content": "y"});
    walk.wait_at("wait_for_message", json!({"message_id": sent}), |house| {
        drop(house.answer("reply_to_message", reply))
    });
    walk.walked.insert("reply_to_message".to_owned());
    walk.to("get_message", json!({"message_id": sent}));
    walk.to("list_messages", json!({}));
    walk.to("delete_pool", json!({"pool_id": "p"}));
    let source = "name = \"w\"\n[[stage]]\nname = \"s\"\n[[stage.task]]\nname = \"t\"\nprompt = \"x\"\n".to_owned();
    let run = wire::WorkflowRun { source, ..wire::WorkflowRun::default() };
    let workflow = walk.house.control(&Request::WorkflowRun(run))["workflow_id"].clone();
    walk.to("get_workflow_status", json!({"workflow_id": workflow}));
    let endpoint = "http://localhost:8678/mcp".to_owned();
    let add = wire::UpstreamAdd { name: "u".to_owned(), endpoint, ..wire::UpstreamAdd::default() };
    walk.house.control(&Request::UpstreamAdd(add));
    walk.wait_at("poll_upstream", json!({"name": "u"}), |house| {
        let polled = polled(house, "u");
        house.batch(vec![polled]);
    });
    walk.to("get_upstream_status", json!({}));
    let all: BTreeSet<String> = walk.house.toolbox.tools().iter().map(|tool| tool.name.to_owned()).collect();
    assert_eq!(walk.walked, all);
}

/// A first cycle of an upstream, half of which went well.
pub(super) fn polled(house: &House, upstream: &str) -> Input {
    let mut ordered = (0, 0);
    for (_, order) in house.orders.iter().filter(|(name, _)| name.as_str() == upstream) {
        match order {
            PollerOrder::Begin(_, life) => ordered.0 = *life,
            PollerOrder::Poll(number) => ordered.1 = *number,
            _ => {}
        }
    }
    let (life, order) = ordered;
    Input::Polled { upstream: UpstreamName::new(upstream), life, report: Box::new(report(house, order)) }
}

fn report(house: &House, order: u64) -> PollReport {
    PollReport {
        cycle: 1,
        at: crate::clock::Clock::wall(&house.clock),
        took: std::time::Duration::from_secs(1),
        order,
        is_failed: true,
        is_called: true,
        last_error: Some("get_session_analytics failed".to_owned()),
        forgotten: Vec::new(),
        metrics: vec!["session_buddy.sessions.active".to_owned()],
        errors: vec!["get_session_analytics failed".to_owned()],
        is_well: false,
        samples: Vec::new(),
        tools: vec![ToolState {
            tool: "get_activity_summary".to_owned(),
            state: "ok",
            error: None,
            at: Some(crate::clock::Clock::wall(&house.clock)),
        }],
        era: Some("legacy"),
        consecutive_failures: 1,
        failures: 1,
        next_poll_at: None,
    }
}

/// Whoever takes the first step serves other connections as well: disks are looked at where the store is.
#[test]
fn directories_are_not_looked_at_in_the_first_step() {
    let house = House::new();
    for (tool, arguments) in [
        ("execute_on_pool", json!({"pool_id": "local", "prompt": "x", "context": {"repo": "/"}})),
        ("submit_task", json!({"prompt": "x", "context": {"repo": "/"}})),
        ("send_message", json!({"from": "/tmp", "to": "b", "content": "x"})),
        ("ask_module", json!({"from": "a", "to": "/tmp", "prompt": "x"})),
    ] {
        let step = house.toolbox.begin(Order::Call { tool, arguments: object(arguments), as_task: false });
        assert!(matches!(step, Step::Look(_)), "{tool}");
    }
}
