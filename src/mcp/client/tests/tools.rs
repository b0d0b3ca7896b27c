//! What tools answer, and how they fail.

use super::*;

fn answer(result: Value) -> Result<ToolAnswer, CallError> {
    ToolAnswer::read("numbers", &result)
}

fn text(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

#[test]
fn data_is_found_wherever_it_stands() {
    let three = || Ok(json!({"active": 3}));
    let found = |result: Value| match answer(result) {
        Ok(ToolAnswer::Object(object)) => Ok(Value::Object(object)),
        other => Err(format!("{other:?}")),
    };
    assert_eq!(found(numbers()), three());
    assert_eq!(found(json!({"structuredContent": {"result": {"active": 3}}})), three());
    assert_eq!(found(json!({"structuredContent": {"result": "{\"active\":3}"}})), three());
    assert_eq!(found(json!({"content": [text("{\"active\": 3}")]})), three());
    assert_eq!(found(json!({"content": [text("see:"), {"type": "image"}, text("{\"active\": 3}")]})), three());
    assert_eq!(found(json!({"structuredContent": null, "content": [text("{\"active\": 3}")]})), three());
    assert_eq!(found(json!({"structuredContent": {"result": 1, "more": 2}})), Ok(json!({"result": 1, "more": 2})));
    assert_eq!(found(json!({"isError": false, "structuredContent": {"success": true}})), Ok(json!({"success": true})));
}

#[test]
fn what_is_no_object_is_said_to_be_none() {
    let only = |text: &str| ToolAnswer::TextOnly(text.to_owned());
    assert_eq!(answer(json!({"content": [text("hello"), text("world")]})).unwrap(), only("hello"));
    assert_eq!(answer(json!({"structuredContent": {"result": "hello"}})).unwrap(), only("hello"));
    assert_eq!(answer(json!({"content": [text("[1]")]})).unwrap(), only("[1]"));
    assert_eq!(answer(json!({"structuredContent": {"result": [1]}})).unwrap(), ToolAnswer::Value(json!([1])));
}

#[test]
fn a_tool_that_fails_does_not_speak_against_the_server() {
    let failing = |result: Value| move |seen: &Seen| Reaction::json(&seen.result(&result));
    let failed = ignored("tool_failed");
    let said = json!({"isError": true, "content": [text("division"), text("by zero")]});
    let error = check("isError", failing(said), &failed);
    assert!(error.to_string().ends_with("failed: division by zero"), "{error}");
    let said = json!({"structuredContent": {"success": false, "error": "no database"}});
    let error = check("success:false", failing(said), &failed);
    assert!(error.to_string().ends_with("no database"), "{error}");
    check("success:false", failing(json!({"content": [text("{\"success\": false}")]})), &failed);
    check("success:false", failing(json!({"structuredContent": {"success": false, "error": {"a": 1}}})), &failed);
    check("isError, silent", failing(json!({"isError": true})), &failed);
}

#[test]
fn a_tool_that_is_missing_is_known_as_such() {
    let missing = ignored("tool_missing");
    let said = json!({"isError": true, "content": [text("Unknown tool: 'numbers'")]});
    check("as a tool error", move |seen| Reaction::json(&seen.result(&said)), &missing);
    check("as a bad parameter", |seen| Reaction::json(&seen.error(-32602, "Unknown tool: numbers")), &missing);
    check("in other words", |seen| Reaction::json(&seen.error(-32602, "Tool numbers not found")), &missing);
}

#[test]
fn an_answer_of_no_known_shape_is_the_tools_affair() {
    let shapes = [
        json!({}),
        json!({"content": []}),
        json!({"content": [{"type": "image", "data": "aaaa"}]}),
        json!({"content": "text"}),
        json!({"structuredContent": 7}),
        json!({"resultType": "input_required", "inputRequests": {}}),
        json!(null),
        json!([1]),
    ];
    for shape in shapes {
        let fault = shape.to_string();
        check(&fault, move |seen| Reaction::json(&seen.result(&shape)), &ignored("tool_unreadable"));
    }
}

#[test]
fn a_list_is_read_page_by_page() {
    let server = FaultyServer::legacy(|seen| {
        Reaction::json(&seen.result(&match seen.body["params"]["cursor"].as_str() {
            None => json!({"tools": [{"name": "a", "inputSchema": {}}, {"broken": true}], "nextCursor": "2"}),
            Some(_) => json!({"tools": [{"name": "b", "description": "B"}], "nextCursor": ""}),
        }))
    });
    let tools = client(&server).list_tools(TIMEOUT).unwrap();
    assert_eq!(tools.iter().map(|tool| tool.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(server.count("tools/list"), 2);
}

#[test]
fn a_list_without_end_is_given_up() {
    let server = FaultyServer::legacy(|seen| Reaction::json(&seen.result(&json!({"tools": [], "nextCursor": "on"}))));
    let error = client(&server).list_tools(Duration::from_secs(10)).unwrap_err();
    assert!(error.to_string().ends_with("it is not what tools/list answers: it does not end"), "{error}");
    assert_eq!(server.count("tools/list"), 64);
    let server = FaultyServer::legacy(|seen| Reaction::json(&seen.result(&json!({"tools": 5}))));
    assert_eq!(client(&server).list_tools(TIMEOUT).unwrap_err().verdict().kind, "malformed");
}
