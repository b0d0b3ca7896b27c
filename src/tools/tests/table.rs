//! The table of tools as clients read it.

use super::*;
use crate::mcp::server::{Effect, Offer};

/// Every tool, whether it waits, and what it does.
const TOOLS: [(&str, bool, Effect); 25] = [
    ("create_pool", false, Effect::Adds { again: false }),
    ("list_pools", false, Effect::Reads),
    ("get_pool_status", false, Effect::Reads),
    ("check_pool_health", false, Effect::Reads),
    ("delete_pool", true, Effect::Ends),
    ("get_pool_manager_status", false, Effect::Reads),
    ("execute_on_pool", true, Effect::Adds { again: false }),
    ("execute_batch_on_pool", true, Effect::Adds { again: false }),
    ("route_to_pool", true, Effect::Adds { again: false }),
    ("submit_task", false, Effect::Adds { again: false }),
    ("wait_for_task", true, Effect::Reads),
    ("get_task", false, Effect::Reads),
    ("get_task_log", false, Effect::Reads),
    ("cancel_task", false, Effect::Ends),
    ("list_tasks", false, Effect::Reads),
    ("send_message", false, Effect::Adds { again: false }),
    ("reply_to_message", false, Effect::Adds { again: false }),
    ("get_message", false, Effect::Reads),
    ("list_messages", false, Effect::Reads),
    ("wait_for_message", true, Effect::Reads),
    ("ask_module", true, Effect::Adds { again: false }),
    ("list_modules", false, Effect::Reads),
    ("get_workflow_status", false, Effect::Reads),
    ("poll_upstream", true, Effect::Adds { again: true }),
    ("get_upstream_status", false, Effect::Reads),
];

#[test]
fn every_tool_is_there_and_says_what_it_does() {
    let house = House::new();
    let found: Vec<_> = house.toolbox.tools().iter().map(|tool| (tool.name, tool.waits, tool.effect)).collect();
    assert_eq!(found, TOOLS);
    for tool in house.toolbox.tools() {
        assert!(tool.description.len() >= 60 && tool.description.ends_with('.'), "{}: {}", tool.name, tool.description);
        assert!(!tool.title.is_empty() && !tool.title.ends_with('.'), "{}", tool.name);
        assert!(!tool.description.contains("  "), "{}: {}", tool.name, tool.description);
    }
}

#[test]
fn arguments_are_described_each_and_have_no_others_beside_them() {
    for tool in House::new().toolbox.tools() {
        let (name, input) = (tool.name, &tool.input);
        assert_eq!(input["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!((&input["type"], &input["additionalProperties"]), (&json!("object"), &json!(false)), "{name}");
        assert_eq!(schema::unknown_words(input), Vec::<String>::new(), "{name}");
        for (argument, property) in input["properties"].as_object().unwrap() {
            assert!(property["type"].is_string(), "{name} {argument}");
            assert!(property["description"].as_str().is_some_and(|about| about.ends_with('.')), "{name} {argument}");
            if property["type"] == "array" {
                assert_eq!(property["items"]["type"], "string", "{name} {argument}");
            }
            let default = &property["default"];
            assert!(default.is_null() || schema::complaints(property, default).is_empty(), "{name} {argument}");
        }
        for required in input["required"].as_array().unwrap() {
            assert!(input["properties"].get(required.as_str().unwrap()).is_some(), "{name} {required}");
        }
    }
}

#[test]
fn answers_have_schemas_that_say_success() {
    for tool in House::new().toolbox.tools() {
        let output = tool.output.as_ref().unwrap();
        assert_eq!(output["properties"]["success"]["const"], true, "{}", tool.name);
        assert!(output["required"].as_array().unwrap().contains(&json!("success")), "{}", tool.name);
        assert_eq!(schema::unknown_words(output), Vec::<String>::new(), "{}", tool.name);
        // Not every client takes a list of types.
        assert!(!output.to_string().contains(r#""type":["#), "{}: {output}", tool.name);
    }
}

#[test]
fn the_schemas_are_checked_by_something_that_finds_mistakes() {
    let schema = json!({
        "type": "object",
        "properties": {"a": {"type": ["string", "null"]}, "b": {"type": "array", "items": {"type": "integer", "minimum": 1}}},
        "required": ["a"],
    });
    let count = |value: Value| schema::complaints(&schema, &value).len();
    assert_eq!(count(json!({"a": null, "b": [1, 2]})), 0);
    assert_eq!(count(json!({"a": 7})), 1);
    assert_eq!(count(json!({"b": [0, "x"]})), 3);
    assert_eq!(count(json!({"a": "x", "c": 1})), 1);
    assert_eq!(count(json!([])), 1);
    assert_eq!(schema::unknown_words(&json!({"properties": {"a": {"pattern": "x"}}})), ["pattern"]);
}

/// Each kind of mistake, at each tool.
#[test]
fn wrong_arguments_are_named_and_nothing_is_done() {
    let mut house = House::new();
    for (tool, ..) in TOOLS {
        let found = house.toolbox.tools().iter().find(|it| it.name == tool).unwrap();
        let input = found.input.clone();
        let unknown = failure(&house.outcome(tool, json!({"nonsense": 1})));
        assert_eq!(unknown["code"], "bad_request", "{tool}");
        assert!(unknown["error"].as_str().unwrap().contains("\"nonsense\""), "{tool}: {unknown}");
        for argument in input["required"].as_array().unwrap() {
            let argument = argument.as_str().unwrap();
            assert!(
                unknown["error"].as_str().unwrap().contains(&format!("{argument} is missing")),
                "{tool}: {unknown}"
            );
        }
        for (argument, property) in input["properties"].as_object().unwrap() {
            let wrong = if property["type"] == "string" { json!(7) } else { json!("7") };
            let said = failure(&house.outcome(tool, json!({ argument: wrong })));
            let expected = format!("{argument} is {wrong}; it must be ");
            assert!(said["error"].as_str().unwrap().contains(&expected), "{tool} {argument}: {said}");
        }
    }
    assert!(house.runs.is_empty());
    assert_eq!(house.answer("list_tasks", json!({}))["tasks_count"], 0);
}
