//! The client that the MCP conformance suite drives: it is given the address of a server, and in the environment the name
//! of a scenario and the version of the protocol to begin with.
//!
//! `conformance client --command target/debug/examples/mcp_conformance_client --scenario tools_call`
#![allow(clippy::print_stdout, reason = "this is a program for people who look at what a client does")]

use claude_comms::mcp::client::{Client, ClientSettings};
use claude_comms::mcp::protocol::{Era, MODERN_VERSION, Tool};
use serde_json::{Map, Value, json};
use std::env;
use std::error::Error;
use std::time::Duration;

type Call = (String, Map<String, Value>);

const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    let endpoint = env::args().nth(1).ok_or("usage: mcp_conformance_client URL")?;
    let modern = env::var("MCP_CONFORMANCE_PROTOCOL_VERSION").is_ok_and(|version| version == MODERN_VERSION);
    let first = if modern { Era::Modern } else { Era::Legacy };
    let client = Client::new(&endpoint, &ClientSettings::default().first_era(first))?;
    let tools = client.list_tools(TIMEOUT)?;
    for (tool, arguments) in calls(&tools)? {
        let answer = client.call_tool(&tool, &arguments, TIMEOUT);
        println!("{tool}: {answer:?}");
    }
    client.close(TIMEOUT);
    Ok(())
}

/// The calls that the scenario asks for; otherwise each tool with arguments made up by its schema.
fn calls(tools: &[Tool]) -> Result<Vec<Call>, Box<dyn Error>> {
    let context: Value = serde_json::from_str(&env::var("MCP_CONFORMANCE_CONTEXT").unwrap_or("null".to_owned()))?;
    if let Some(calls) = context["toolCalls"].as_array() {
        let call = |call: &Value| Some((call["name"].as_str()?.to_owned(), call["arguments"].as_object()?.clone()));
        return Ok(calls.iter().filter_map(call).collect());
    }
    Ok(tools.iter().map(|tool| (tool.name.clone(), made_up(&tool.input_schema))).collect())
}

fn made_up(schema: &Value) -> Map<String, Value> {
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let value = |schema: &Value| match schema["type"].as_str() {
        Some("number" | "integer") => json!(2),
        Some("boolean") => json!(true),
        _ => json!("text"),
    };
    properties.iter().map(|(name, schema)| (name.clone(), value(schema))).collect()
}
