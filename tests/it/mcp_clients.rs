//! The clients that agents are built on list and call every tool, over HTTP and on standard input and output. CLAUDE_COMMS_FASTMCP3
//! and CLAUDE_COMMS_FASTMCP4 name a Python that has FastMCP of that version, and with it the official client; CLAUDE_COMMS_NPM names
//! a folder with those of TypeScript and the Inspector. What is missing on a machine is said and skipped.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use claude_comms::thread::Joined;
use serde_json::{Value, json};

use crate::mcp::{Agent, token};
use crate::support::Daemon;
use crate::web::start;

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";

/// A call, and what must be in its answer; one that names an error is to fail with it in its text.
struct Call {
    tool: &'static str,
    arguments: Value,
    answer: Result<(&'static str, Value), &'static str>,
}

fn call(tool: &'static str, arguments: Value, at: &'static str, value: impl Into<Value>) -> Call {
    Call { tool, arguments, answer: Ok((at, value.into())) }
}

/// A daemon with something to be seen of everything, and every tool to be called.
struct Scene {
    daemon: Daemon,
    address: String,
    token: String,
}

impl Scene {
    fn new() -> Scene {
        let (daemon, address) = start("");
        daemon.run(&["pool", "create", "echo", "--executor", "echo", "--group", "echoes"]).good();
        daemon.run(&["pool", "create", "sleepers", "--dir", "/", "--", "sleep", "600"]).good();
        for name in ["here", "there"] {
            let directory = daemon.path(name);
            fs::create_dir(&directory).unwrap();
            daemon.run(&["module", "add", name, &directory]).good();
        }
        let token = token(&daemon);
        Scene { daemon, address, token }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    fn program(&self) -> Vec<String> {
        let command = self.daemon.command(&["mcp"]);
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        words.map(|word| word.to_str().unwrap().to_owned()).collect()
    }

    /// Every tool, each with what it can be called with once. Whoever calls them has a name of its own.
    fn calls(&self, caller: &str) -> Vec<Call> {
        let mut agent = Agent::start(&self.daemon);
        let message = |agent: &mut Agent| {
            let send = json!({"from": "here", "to": "there", "content": "is it you?"});
            agent.call("send_message", send)["message_id"].clone()
        };
        let (unanswered, answered) = (message(&mut agent), message(&mut agent));
        agent.call("reply_to_message", json!({"message_id": answered, "content": "it is"}));
        let done = agent.call("execute_on_pool", json!({"pool_id": "echo", "prompt": "x"}))["task_id"].clone();
        let waiting = agent.call("submit_task", json!({"pool_id": "sleepers", "prompt": "x"}))["task_id"].clone();
        let file = self.daemon.path(&format!("{caller}.toml"));
        let stage = "pool = 'echo'\n[[stage]]\nname = 'a'\ntask = [{name = 'one', prompt = 'x'}]\n";
        fs::write(&file, format!("name = '{caller}'\n{stage}")).unwrap();
        let workflow = self.daemon.run(&["workflow", "run", &file, "--json"]).json()["workflow_id"].clone();
        agent.end();
        vec![
            call("list_pools", json!({}), "/pools/0/workers_count", 3),
            call("create_pool", json!({"pool_id": caller, "executor": "echo"}), "/status", "running"),
            call("get_pool_status", json!({"pool_id": caller}), "/status/workers_count", 3),
            call("check_pool_health", json!({"pool_id": caller}), "/health/status", "healthy"),
            call("get_pool_manager_status", json!({}), "/manager_running", true),
            call(
                "execute_on_pool",
                json!({"pool_id": caller, "prompt": "a wörd", "context": {"x": [1]}}),
                "/result",
                "a wörd",
            ),
            call(
                "execute_batch_on_pool",
                json!({"pool_id": caller, "prompts": ["1", "2", "3", "4"]}),
                "/results_count",
                4,
            ),
            call("route_to_pool", json!({"prompt": "x", "selector": "random", "group": "echoes"}), "/success", true),
            call("delete_pool", json!({"pool_id": caller, "timeout": 5.0}), "/deleted", true),
            call("submit_task", json!({"pool_id": "echo", "prompt": "x", "priority": 3}), "/status", "pending"),
            call("get_task", json!({"task_id": done}), "/task/status", "completed"),
            call("wait_for_task", json!({"task_id": done}), "/result", "x"),
            call("get_task_log", json!({"task_id": done}), "/next", 0),
            call("list_tasks", json!({"pool_id": "echo", "limit": 1}), "/tasks_count", 1),
            call("cancel_task", json!({"task_id": waiting}), "/task_id", waiting.clone()),
            call(
                "send_message",
                json!({"from": "here", "to": "there", "content": "x", "metadata": {}}),
                "/success",
                true,
            ),
            call("reply_to_message", json!({"message_id": unanswered, "content": "x"}), "/success", true),
            call("get_message", json!({"message_id": answered}), "/message/status", "complete"),
            call("list_messages", json!({"module": "there", "limit": 2}), "/messages_count", 2),
            call("wait_for_message", json!({"message_id": answered, "timeout": 30}), "/success", true),
            call(
                "ask_module",
                json!({"from": "here", "to": "there", "prompt": "why?", "pool_id": "echo"}),
                "/content",
                "why?",
            ),
            call("list_modules", json!({}), "/success", true),
            call("get_workflow_status", json!({"workflow_id": workflow}), "/workflow/status", "completed"),
            call("get_upstream_status", json!({}), "/upstreams_count", 1),
            Call { tool: "poll_upstream", arguments: json!({"name": "nowhere"}), answer: Err("nowhere") },
        ]
    }
}

/// Checks one answer: the same in the structure and in the text.
#[track_caller]
fn check(who: &str, call: &Call, structured: &Value, text: &str, is_error: bool) {
    let said = format!("{who}, {}: {structured} {text}", call.tool);
    match &call.answer {
        Ok((at, value)) => {
            assert!(!is_error, "{said}");
            assert_eq!(structured.pointer(at), Some(value), "{said}");
            assert!(is_same(&serde_json::from_str(text).unwrap(), structured), "{said}");
        }
        Err(word) => assert!(is_error && text.contains(word), "{said}"),
    }
}

/// Whether two are the same to a language that has one kind of number.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has = |(key, one): (&String, &Value)| other.get(key).is_some_and(|other| is_same(one, other));
            one.len() == other.len() && one.iter().all(has)
        }
        (one, other) => one == other,
    }
}

/// A script that has a client of one of the libraries.
struct Script {
    program: PathBuf,
    file: &'static str,
    node_path: OsString,
}

impl Script {
    fn python(variable: &str) -> Option<Script> {
        let program = env::var_os(variable).map(PathBuf::from).filter(|python| python.exists());
        if program.is_none() {
            println!("skipped: {variable} names no Python that has FastMCP");
        }
        Some(Script { program: program?, file: "mcp_client.py", node_path: OsString::new() })
    }

    fn node(package: &str) -> Option<Script> {
        let (program, modules) = node(package)?;
        Some(Script { program, file: "mcp_client.cjs", node_path: modules.into() })
    }

    /// Everything that the client has to say, of which nothing is a complaint.
    #[track_caller]
    fn run(&self, who: &str, order: &Value, directory: &str) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign").join(self.file);
        let mut command = Command::new(&self.program);
        command.arg(script).env("NODE_PATH", &self.node_path).current_dir(directory);
        let ran = crate::support::spawn(&mut command, order.to_string().as_bytes()).wait();
        // Python's asyncio says this of its own when a client has waited for the end of its server in two places at once.
        let complaints: Vec<&str> =
            ran.stderr.lines().filter(|line| !line.starts_with("Unknown child process pid ")).collect();
        assert_eq!((ran.code, complaints), (0, vec![]), "{who}: {}", ran.stdout);
        ran.json()
    }
}

/// A Node.js, and the folder of packages in which there is this one.
fn node(package: &str) -> Option<(PathBuf, PathBuf)> {
    let modules = env::var_os("CLAUDE_COMMS_NPM").map(|folder| Path::new(&folder).join("node_modules"));
    let Some(modules) = modules.filter(|modules| modules.join(package).is_dir()) else {
        println!("skipped: CLAUDE_COMMS_NPM names no folder with {package}");
        return None;
    };
    let modules = fs::canonicalize(modules).unwrap();
    let own = modules.join(".bin/node");
    Some((if own.exists() { own } else { PathBuf::from("node") }, modules))
}

/// Lists and calls everything both ways. `modes` are how the client is told to find the era, each with what it comes to.
fn everything(script: &Script, library: &str, modes: &[(&str, &str)]) {
    let scene = Scene::new();
    let tools: Vec<Value> = {
        let listed = scene.calls("listing");
        listed.iter().map(|call| call.tool.into()).collect()
    };
    for (mode, version) in modes {
        for way in ["http", "stdio"] {
            let who = format!("{library}-{mode}-{way}");
            let calls = scene.calls(&who);
            let shown: Vec<Value> =
                calls.iter().map(|call| json!({"tool": call.tool, "arguments": call.arguments})).collect();
            let mut order = json!({"library": library, "mode": mode, "calls": shown});
            if way == "http" {
                (order["url"], order["token"]) = (scene.url().into(), scene.token.as_str().into());
            } else {
                order["command"] = scene.program().into();
            }
            let seen = script.run(&who, &order, &scene.daemon.path(""));
            // The older client of TypeScript does not say what was agreed on where no header needs it.
            assert!(seen["version"] == *version || (library == "sdk" && way == "stdio"), "{who}: {}", seen["version"]);
            let listed = seen["tools"].as_array().unwrap();
            assert_eq!(listed.len(), tools.len(), "{who}: {listed:?}");
            assert!(tools.iter().all(|tool| listed.contains(tool)), "{who}: {listed:?}");
            for (call, answer) in calls.iter().zip(seen["answers"].as_array().unwrap()) {
                let text = answer["text"][0].as_str().unwrap();
                check(&who, call, &answer["structured"], text, answer["is_error"] == true);
            }
        }
    }
}

const BOTH: [(&str, &str); 3] = [("legacy", LEGACY), ("auto", MODERN), (MODERN, MODERN)];

#[test]
fn fastmcp_3_and_its_official_client_call_every_tool() {
    let Some(script) = Script::python("CLAUDE_COMMS_FASTMCP3") else { return };
    everything(&script, "fastmcp", &BOTH[..1]);
    everything(&script, "mcp", &BOTH[..1]);
}

#[test]
fn fastmcp_4_calls_every_tool_in_both_eras() {
    Script::python("CLAUDE_COMMS_FASTMCP4").iter().for_each(|script| everything(script, "fastmcp", &BOTH));
}

#[test]
fn the_official_client_of_python_calls_every_tool_in_both_eras() {
    Script::python("CLAUDE_COMMS_FASTMCP4").iter().for_each(|script| everything(script, "mcp", &BOTH));
}

#[test]
fn the_typescript_client_calls_every_tool() {
    Script::node("@modelcontextprotocol/sdk").iter().for_each(|script| everything(script, "sdk", &BOTH[..1]));
}

#[test]
fn the_second_typescript_client_calls_every_tool_in_both_eras() {
    Script::node("@modelcontextprotocol/client").iter().for_each(|script| everything(script, "client", &BOTH));
}

/// The Inspector on the command line, once for each call: standard output, standard error, exit code.
struct Inspector {
    node: PathBuf,
    script: PathBuf,
    home: String,
    /// How it finds the server, and the era.
    target: Vec<String>,
    /// What stands behind everything else.
    program: Vec<String>,
}

impl Inspector {
    fn run(&self, words: &[&str]) -> (String, String, i32) {
        let mut command = Command::new(&self.node);
        command.arg(&self.script).arg("--cli").args(&self.target).args(words).args(&self.program);
        let output = command.env("HOME", &self.home).stdin(Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&output.stdout), text(&output.stderr), output.status.code().unwrap())
    }

    fn list(&self, who: &str, calls: &[Call]) {
        let (out, complaints, code) = self.run(&["--method", "tools/list", "--strict"]);
        assert_eq!(code, 0, "{who}: {complaints}");
        let listed: Value = serde_json::from_str(&out).unwrap();
        let names: Vec<&Value> = listed["tools"].as_array().unwrap().iter().map(|tool| &tool["name"]).collect();
        assert!(names.len() == calls.len() && calls.iter().all(|call| names.contains(&&json!(call.tool))), "{names:?}");
        // What other programs store beside a message, and a task's context, may be anything: no schema says more.
        let paths = complaints.lines().filter_map(|line| line.trim().strip_prefix("Path: "));
        let others: Vec<&str> = paths.filter(|it| !it.ends_with(".metadata") && !it.ends_with(".context")).collect();
        assert!(others.is_empty(), "{who}: {complaints}");
    }

    fn call(&self, who: &str, call: &Call) {
        let arguments = call.arguments.to_string();
        let words = ["--method", "tools/call", "--tool-name", call.tool, "--tool-args-json", &arguments];
        let (out, complaints, code) = self.run(&[&words[..], &["--format", "json", "--quiet"]].concat());
        let fails = call.answer.is_err();
        assert_eq!(code, if fails { 5 } else { 0 }, "{who}, {}: {out}{complaints}", call.tool);
        assert!(fails || complaints.is_empty(), "{who}, {}: {complaints}", call.tool);
        let result = &serde_json::from_str::<Value>(&out).unwrap()["result"];
        let text = result["content"][0]["text"].as_str().unwrap();
        check(who, call, &result["structuredContent"], text, result["isError"] == true);
    }
}

#[test]
fn the_inspector_lists_and_calls_every_tool_in_each_era() {
    let Some((node, modules)) = node("@modelcontextprotocol/inspector") else { return };
    let scene = Scene::new();
    let script = modules.join("@modelcontextprotocol/inspector/clients/launcher/build/index.js");
    let running = ["legacy", "auto", "modern"].map(|era| {
        let (calls, way) = (scene.calls(era), ["--protocol-era", era].map(str::to_owned));
        let at_url = ["--transport", "http", "--server-url", &scene.url(), "--header"].map(str::to_owned);
        let header = format!("Authorization: Bearer {}", scene.token);
        let over_http = Inspector {
            node: node.clone(),
            script: script.clone(),
            home: scene.daemon.path(""),
            target: [&way[..], &at_url, &[header]].concat(),
            program: Vec::new(),
        };
        let on_stdio = Inspector {
            node: node.clone(),
            script: script.clone(),
            home: scene.daemon.path(""),
            target: way.to_vec(),
            program: scene.program(),
        };
        Joined::spawn(era, move || {
            on_stdio.list(&format!("{era} on stdio"), &calls);
            on_stdio.call(&format!("{era} on stdio"), &calls[0]);
            over_http.list(&format!("{era} over HTTP"), &calls);
            calls.iter().for_each(|call| over_http.call(&format!("{era} over HTTP"), call));
        })
        .unwrap()
    });
    let failed = running.map(|era| era.join().is_none());
    assert_eq!(failed, [false; 3]);
}
