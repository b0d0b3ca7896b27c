//! The tools before a real hub and a real store. Time stands still until a test lets it pass, and a task ends when a test
//! says how.

mod answers;
mod batches;
mod house;
mod messages;
mod resources;
mod runs;
mod schema;
mod table;
mod tasks;
mod walk;

use crate::mcp::protocol::RpcError;
use crate::mcp::server::{Done, Outcome, tool_result};
use house::House;
use serde_json::{Map, Value, json};

/// The members of a result.
fn complete(outcome: &Outcome) -> Value {
    match outcome {
        Ok(Done::Complete(result)) => Value::Object(result.clone()),
        Ok(Done::Answered(structured)) => tool_result(serde_json::from_str(structured.get()).unwrap()),
        other => panic!("not complete: {other:?}"),
    }
}

fn error(outcome: &Outcome) -> &RpcError {
    outcome.as_ref().expect_err("it should be an error of the protocol")
}

/// What a tool says in its text.
fn said(outcome: &Outcome) -> Value {
    let result = complete(outcome);
    serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap()
}

/// What a tool says that failed.
fn failure(outcome: &Outcome) -> Value {
    let result = complete(outcome);
    assert_eq!(result["isError"], true, "{result}");
    assert!(result.get("structuredContent").is_none(), "{result}");
    let said = said(outcome);
    assert_eq!(said["success"], false, "{said}");
    assert!(said["error"].as_str().is_some_and(|error| !error.is_empty()), "{said}");
    said
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("no object: {value}") };
    object
}
