//! Tools about upstreams: servers that are polled for their metrics.

use super::Served;
use super::desk::{Desk, answered, counted, refused, value};
use super::schemas::{self, flag, list, number, text, text_or_null, whole};
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Step, Tool};
use serde::Deserialize;
use serde_json::{Value, json};

/// A cycle is given up after as long as the command line does.
const PATIENCE_SECONDS: f64 = 600.0;

pub(super) fn tools() -> Vec<Served> {
    vec![Served::new(poll_upstream(), poll), Served::new(get_upstream_status(), status)]
}

fn poll_upstream() -> Tool {
    let timeout = schemas::default(schemas::seconds("Seconds to wait.", 0.0, PATIENCE_SECONDS), PATIENCE_SECONDS);
    Tool {
        name: "poll_upstream",
        title: "Poll an upstream now",
        description: "\
Calls the tools of one upstream now, whether or not it is polled by schedule, and waits for the cycle to end. `errors` says what \
of it failed. get_upstream_status names the upstreams that there are.",
        input: schemas::arguments(vec![("name", text("The upstream's name.")), ("timeout", timeout)], &["name"]),
        output: Some(schemas::answer(
            vec![
                ("name", text("")),
                ("poll_cycle", whole("which one this was")),
                ("timestamp", text_or_null("")),
                ("metrics_collected", list("", text(""))),
                ("errors", list("as sentences", text(""))),
                ("healthy", flag("")),
                ("circuit_breaker", text("CLOSED, OPEN or HALF_OPEN")),
            ],
            &[],
        )),
        effect: Effect::Adds { again: true },
        open_world: true,
        waits: true,
    }
}

#[derive(Deserialize)]
struct Poll {
    name: String,
    timeout: Option<f64>,
}

fn poll(desk: &Desk, args: Poll) -> Step {
    let known = json!({"name": args.name});
    let timeout_seconds = Some(args.timeout.unwrap_or(PATIENCE_SECONDS));
    let request = Request::UpstreamPoll(wire::UpstreamPoll { name: args.name, timeout_seconds });
    desk.request(request, move |outcome| match outcome {
        Ok(upstream) => answered(polled(&value(&upstream))),
        Err(refusal) => refused(&refusal, known),
    })
}

fn polled(upstream: &Value) -> Value {
    json!({
        "name": upstream["name"],
        "poll_cycle": upstream["poll_cycles"],
        "timestamp": upstream["last_poll_time"],
        "metrics_collected": upstream["metrics_collected"],
        "errors": upstream["last_errors"],
        "healthy": upstream["healthy"],
        "circuit_breaker": upstream["circuit_breaker"],
    })
}

fn get_upstream_status() -> Tool {
    Tool {
        name: "get_upstream_status",
        title: "Show upstreams",
        description: "\
The servers that are polled for metrics, or the one of a name: whether it is polled and well, its last cycle, its circuit \
breaker, its tools.",
        input: schemas::arguments(vec![("name", text("The upstream's name; else all of them."))], &[]),
        output: Some(schemas::answer(vec![("upstreams_count", whole("")), ("upstreams", list("", upstream()))], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

fn upstream() -> Value {
    let tool = schemas::object(
        "",
        vec![
            ("state", text("ok, failing, missing, unmapped or untried")),
            ("error", text_or_null("")),
            ("at", text_or_null("")),
        ],
        &[],
    );
    schemas::object(
        "",
        vec![
            ("name", text("")),
            ("endpoint", text("")),
            ("running", flag("whether it is polled by schedule")),
            ("configured", flag("")),
            ("healthy", flag("by its last cycle")),
            ("interval_seconds", number("")),
            ("timeout_seconds", number("")),
            ("max_retries", whole("")),
            ("retry_delay_seconds", number("")),
            ("circuit_breaker_threshold", whole("")),
            ("poll_cycles", whole("")),
            ("errors", whole("")),
            ("last_poll_time", text_or_null("")),
            ("last_round_failed", flag("")),
            ("last_error", text_or_null("")),
            ("last_error_time", text_or_null("")),
            ("next_poll_at", text_or_null("")),
            ("circuit_breaker", text("CLOSED, OPEN or HALF_OPEN")),
            ("circuit_breaker_open", flag("")),
            ("retry_at", text_or_null("")),
            ("consecutive_failures", whole("")),
            ("era", text_or_null("of MCP: legacy or modern")),
            ("metrics_collected", list("in the last cycle", text(""))),
            ("last_errors", list("of the last cycle", text(""))),
            ("tools", json!({"type": "object", "additionalProperties": tool})),
        ],
        &[],
    )
}

#[derive(Deserialize)]
struct NamedOrAll {
    name: Option<String>,
}

fn status(desk: &Desk, args: NamedOrAll) -> Step {
    let known = args.name.as_ref().map_or_else(|| json!({}), |name| json!({"name": name}));
    let is_all = args.name.is_none();
    let request = match args.name {
        Some(name) => Request::UpstreamStatus(wire::UpstreamName { name }),
        None => Request::UpstreamList(wire::Empty {}),
    };
    desk.request(request, move |outcome| match outcome {
        Ok(all) if is_all => counted("upstreams_count", "upstreams", &all),
        Ok(one) => answered(json!({"upstreams_count": 1, "upstreams": [value(&one)]})),
        Err(refusal) => refused(&refusal, known),
    })
}
