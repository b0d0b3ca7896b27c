//! The tool about modules: whom there is to be asked.

use super::Served;
use super::desk::{Desk, counted, refused};
use super::pools::Nothing;
use super::schemas::{self, list, text, whole};
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Step, Tool};
use serde_json::json;

pub(super) fn tools() -> Vec<Served> {
    vec![Served::new(list_modules(), all)]
}

fn list_modules() -> Tool {
    let module = schemas::object(
        "",
        vec![("name", text("")), ("directory", text("where its agent works")), ("added_at", text(""))],
        &[],
    );
    Tool {
        name: "list_modules",
        title: "List modules",
        description: "\
The modules that have a name here: each is a directory in which an agent can be asked. Use a name as `from` and `to` of \
ask_module and send_message; the absolute path of any directory will do as well.",
        input: schemas::arguments(Vec::new(), &[]),
        output: Some(schemas::answer(vec![("modules_count", whole("")), ("modules", list("", module))], &[])),
        effect: Effect::Reads,
        open_world: false,
        waits: false,
    }
}

fn all(desk: &Desk, _: Nothing) -> Step {
    desk.request(Request::ModuleList(wire::Empty {}), |outcome| match outcome {
        Ok(modules) => counted("modules_count", "modules", &modules),
        Err(refusal) => refused(&refusal, json!({})),
    })
}
