//! The engine, asked what clients ask.

use super::*;
use crate::mcp::protocol::{MODERN_VERSION, TASKS_EXTENSION, code};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

struct Sample {
    card: Card,
    tools: Vec<Tool>,
}

impl Offer for Sample {
    fn card(&self) -> &Card {
        &self.card
    }

    fn tools(&self) -> &[Tool] {
        &self.tools
    }

    fn prompts(&self) -> &[Prompt] {
        const ARGUMENTS: [Argument; 1] = [Argument { name: "module", description: "whom", required: true }];
        const PROMPTS: [Prompt; 1] =
            [Prompt { name: "ask", title: "Ask", description: "asks", tool: Some("run"), arguments: &ARGUMENTS }];
        &PROMPTS
    }

    fn templates(&self) -> &[Template] {
        const TEMPLATES: [Template; 1] = [Template {
            uri: "comms://pools/{id}",
            name: "pool",
            title: "A pool",
            description: "as it is",
            mime_type: "application/json",
        }];
        &TEMPLATES
    }

    fn begin(&self, order: Order) -> Step {
        Step::answered(&json!({"order": format!("{order:?}")}))
    }

    fn channel(&self, uri: &str) -> Option<String> {
        uri.strip_prefix("comms://pools/").map(|id| format!("pool:{id}"))
    }
}

fn engine() -> Engine {
    let card =
        Card { name: "sample", title: "Sample", version: "1", instructions: "Begin.", instructions_reading: "Read." };
    let tool = |name, effect| Tool {
        name,
        title: "T",
        description: "d",
        input: json!({"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}),
        output: None,
        effect,
        open_world: false,
        waits: name == "run",
    };
    let tools = vec![tool("look", Effect::Reads), tool("run", Effect::Adds { again: false })];
    Engine::new(Arc::new(Sample { card, tools }))
}

fn of(taken: Taken) -> (u16, Value) {
    match taken {
        Taken::Answer(answer) => (answer.status, serde_json::from_slice(&answer.body).unwrap()),
        other => panic!("{other:?}"),
    }
}

fn legacy(method: &str, params: Value) -> Taken {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    engine().take(body.as_bytes(), Via::Lines, May::Act)
}

fn modern_params(mut params: Value, capabilities: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    });
    params
}

fn modern(method: &str, params: Value, capabilities: Value) -> Taken {
    legacy(method, modern_params(params, capabilities))
}

/// Over HTTP with the headers that belong to the request, but for those that are given.
fn http(method: &str, params: Value, other: &[(&str, Option<&str>)]) -> Taken {
    let params = modern_params(params, json!({}));
    let name = params["name"].as_str().or(params["uri"].as_str()).unwrap_or_default();
    let mut headers: BTreeMap<&str, &str> =
        [("mcp-protocol-version", MODERN_VERSION), ("mcp-method", method), ("mcp-name", name)].into();
    for (name, value) in other {
        match value {
            Some(value) => drop(headers.insert(name, value)),
            None => drop(headers.remove(name)),
        }
    }
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let text = |name: &str| headers.get(name).map(|&value| value.to_owned());
    engine().take(body.as_bytes(), Via::Http(&text), May::Act)
}

#[test]
fn the_legacy_era_begins_with_a_version() {
    for (wanted, spoken) in
        [("2025-11-25", "2025-11-25"), ("2025-06-18", "2025-06-18"), ("2024-11-05", "2025-06-18"), ("x", "2025-06-18")]
    {
        let (status, answer) = of(legacy("initialize", json!({"protocolVersion": wanted, "capabilities": {}})));
        assert_eq!((status, &answer["result"]["protocolVersion"]), (200, &json!(spoken)), "{wanted}");
        assert_eq!(answer["result"]["serverInfo"]["name"], "sample");
        assert_eq!(answer["result"]["instructions"], "Begin.");
    }
    assert_eq!(of(legacy("initialize", json!({}))).1["error"]["code"], code::INVALID_PARAMS);
    assert_eq!(of(legacy("ping", json!({}))).1, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));
    let initialized = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
    assert!(matches!(engine().take(initialized, Via::Lines, May::Act), Taken::Nothing));
    let unknown = of(legacy("server/discover", json!({})));
    assert_eq!((unknown.0, &unknown.1["error"]["code"]), (200, &json!(code::METHOD_NOT_FOUND)));
}

#[test]
fn the_modern_era_says_everything_with_each_request() {
    let (status, answer) = of(modern("server/discover", json!({}), json!({})));
    let result = &answer["result"];
    assert_eq!((status, &result["supportedVersions"]), (200, &json!([MODERN_VERSION])));
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "sample");
    assert!(result["capabilities"]["extensions"][TASKS_EXTENSION].is_object());
    for gone in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "tasks/result", "tasks/list", "x/y"] {
        let (status, answer) = of(modern(gone, json!({}), json!({"extensions": {TASKS_EXTENSION: {}}})));
        assert_eq!((status, &answer["error"]["code"]), (404, &json!(code::METHOD_NOT_FOUND)), "{gone}");
    }
}

#[test]
fn headers_say_what_the_body_says() {
    let is_taken = |taken: &Taken| matches!(taken, Taken::Order(..));
    let call = |headers: &[(&str, Option<&str>)]| http("tools/call", json!({"name": "look"}), headers);
    assert!(is_taken(&call(&[])));
    assert!(is_taken(&call(&[("mcp-name", Some("  look "))])));
    assert!(is_taken(&call(&[("mcp-name", Some("=?base64?bG9vaw==?="))])));
    for headers in [
        ("mcp-protocol-version", None),
        ("mcp-method", None),
        ("mcp-method", Some("TOOLS/CALL")),
        ("mcp-method", Some("tools/list")),
        ("mcp-name", None),
        ("mcp-name", Some("run")),
        ("mcp-name", Some("=?base64?bG9v!?=")),
        ("mcp-param-Region", Some("eu")),
    ] {
        let (status, answer) = of(call(&[headers]));
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code::HEADER_MISMATCH)), "{headers:?}");
        assert_eq!(answer["id"], 1);
    }
    let (status, answer) = of(call(&[("mcp-protocol-version", Some("2025-11-25"))]));
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(code::HEADER_MISMATCH)));
}

#[test]
fn a_version_that_is_not_spoken_is_refused_with_those_that_are() {
    let with = |version: &str, in_body: bool| {
        let mut params = json!({});
        if in_body {
            params = modern_params(params, json!({}));
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = version.into();
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": params}).to_string();
        let text = |name: &str| (name == "mcp-protocol-version").then(|| version.to_owned());
        of(engine().take(body.as_bytes(), Via::Http(&text), May::Act))
    };
    for in_body in [true, false] {
        let (status, answer) = with("v999", in_body);
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code::UNSUPPORTED_VERSION)));
        assert_eq!(answer["error"]["data"]["requested"], "v999");
        assert!(answer["error"]["data"]["supported"].as_array().unwrap().contains(&json!(MODERN_VERSION)));
    }
    assert_eq!(with("2025-11-25", false).0, 200);
    // The modern header asks for what the modern era must have.
    let (status, answer) = with(MODERN_VERSION, false);
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(code::INVALID_PARAMS)));
}

#[test]
fn a_token_for_reading_sees_and_calls_what_only_reads() {
    let ask = |method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        engine().take(body.as_bytes(), Via::Lines, May::Read)
    };
    let (_, listed) = of(ask("tools/list", json!({})));
    assert_eq!(listed["result"]["tools"].as_array().unwrap().len(), 1);
    assert!(matches!(ask("tools/call", json!({"name": "look"})), Taken::Order(..)));
    let (_, refused) = of(ask("tools/call", json!({"name": "run"})));
    assert!(refused["error"]["message"].as_str().unwrap().contains("full"), "{refused}");
    // What it could not follow is not offered either.
    let (_, prompts) = of(ask("prompts/list", json!({})));
    assert_eq!(prompts["result"]["prompts"], json!([]));
    let (_, refused) = of(ask("prompts/get", json!({"name": "ask", "arguments": {"module": "b"}})));
    assert!(refused["error"]["message"].as_str().unwrap().contains("full"), "{refused}");
    let (_, welcome) = of(ask("initialize", json!({"protocolVersion": "2025-11-25"})));
    assert_eq!(welcome["result"]["instructions"], "Read.");
}

#[test]
fn what_cannot_be_ordered_is_an_error_of_its_parameters() {
    for (method, params) in [
        ("tools/call", json!({})),
        ("tools/call", json!({"name": "gone"})),
        ("tools/call", json!({"name": "look", "arguments": []})),
        ("tools/list", json!({"cursor": "x"})),
        ("resources/list", json!({"cursor": "x"})),
        ("tools/list", json!({"_meta": {"io.modelcontextprotocol/protocolVersion": 5}})),
        ("resources/read", json!({})),
        ("prompts/get", json!({"name": "gone"})),
        ("prompts/get", json!({"name": "ask"})),
        ("prompts/get", json!({"name": "ask", "arguments": {"module": 7}})),
    ] {
        let (_, answer) = of(legacy(method, params.clone()));
        assert_eq!(answer["error"]["code"], code::INVALID_PARAMS, "{method} {params}");
    }
    let Taken::Order(_, order) = legacy("prompts/get", json!({"name": "ask", "arguments": {"module": "b"}})) else {
        panic!("no order");
    };
    assert!(matches!(order, Order::Prompt { name: "ask", .. }));
}

#[test]
fn tasks_are_for_those_who_know_them() {
    let knows = json!({"extensions": {TASKS_EXTENSION: {}}});
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let (status, answer) = of(modern(method, json!({"taskId": "t"}), json!({})));
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(code::MISSING_CAPABILITY)), "{method}");
        let required = &answer["error"]["data"]["requiredCapabilities"]["extensions"];
        assert!(required[TASKS_EXTENSION].is_object());
    }
    let order = |taken: Taken| match taken {
        Taken::Order(_, order) => order,
        other => panic!("{other:?}"),
    };
    assert_eq!(order(modern("tasks/get", json!({"taskId": "t"}), knows.clone())), Order::Task { id: "t".into() });
    let called = order(modern("tools/call", json!({"name": "run"}), knows.clone()));
    assert!(matches!(called, Order::Call { as_task: true, .. }));
    let called = order(modern("tools/call", json!({"name": "run"}), json!({})));
    assert!(matches!(called, Order::Call { as_task: false, .. }));
    assert_eq!(of(modern("tasks/get", json!({}), knows)).1["error"]["code"], code::INVALID_PARAMS);
}

#[test]
fn a_stream_tells_of_what_was_asked_for_and_nothing_else() {
    let wanted = json!({"notifications": {"toolsListChanged": true,
        "resourceSubscriptions": ["comms://pools/local", "comms://other/x"]}});
    let Taken::Listen(listening) = modern("subscriptions/listen", wanted, json!({})) else { panic!("no stream") };
    assert_eq!(listening.followed, [("comms://pools/local".to_owned(), "pool:local".to_owned())]);
    let opening: Value = serde_json::from_slice(&listening.opening).unwrap();
    assert_eq!(opening["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(opening["params"]["notifications"], json!({"resourceSubscriptions": ["comms://pools/local"]}));
    let changed: Value = serde_json::from_slice(&listening.changed("comms://pools/local")).unwrap();
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    let end: Value = serde_json::from_slice(&engine().farewell(&listening)).unwrap();
    assert_eq!((&end["id"], &end["result"]["resultType"]), (&json!(1), &json!("complete")));
    for wrong in [json!({}), json!({"notifications": {"resourceSubscriptions": [7]}})] {
        assert_eq!(of(modern("subscriptions/listen", wrong, json!({}))).0, 400);
    }
}

#[test]
fn progress_is_told_to_who_asked_and_only_grows() {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "run", "_meta": {"progressToken": "p"}}});
    let taken = engine().take(body.to_string().as_bytes(), Via::Lines, May::Act);
    let Taken::Order(mut request, _) = taken else { panic!("{taken:?}") };
    assert!(request.waits);
    let mut tell = |done| request.progress(&Progress { done, total: None, message: None });
    let told: Value = serde_json::from_slice(&tell(1.0).unwrap()).unwrap();
    assert_eq!(told["params"], json!({"progressToken": "p", "progress": 1}));
    assert!(tell(1.0).is_none() && tell(0.0).is_none() && tell(2.0).is_some());
    let told: Value = serde_json::from_slice(&tell(2.5).unwrap()).unwrap();
    assert_eq!(told["params"]["progress"], 2.5);
    let silent = legacy("tools/call", json!({"name": "run"}));
    let Taken::Order(mut silent, _) = silent else { panic!("{silent:?}") };
    assert!(silent.progress(&Progress { done: 1.0, total: None, message: None }).is_none());
}

#[test]
fn a_cancellation_names_its_request() {
    let cancel = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"a"}}"#;
    let Taken::Cancel(id) = engine().take(cancel, Via::Lines, May::Act) else { panic!("not taken") };
    assert_eq!(id.to_string(), "\"a\"");
    let nothing = br#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":{}}}"#;
    assert!(matches!(engine().take(nothing, Via::Lines, May::Act), Taken::Nothing));
}
