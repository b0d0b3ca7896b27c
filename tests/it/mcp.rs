//! MCP as agents use it: over HTTP with the token, and on standard input and output.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use crate::support::{Daemon, LIMIT, Ran, processes_of, wait_until};
use crate::web::{http, start};

const MODERN: &str = "2026-07-28";

/// `claude-comms mcp`, and an agent that has started it.
pub(crate) struct Agent {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    next_id: u64,
}

impl Agent {
    pub(crate) fn start(daemon: &Daemon) -> Agent {
        let mut command = daemon.command(&["mcp"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Agent { child, input, output, next_id: 1 }
    }

    fn send(&mut self, message: &Value) {
        self.input.as_mut().unwrap().write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    /// Asks, and returns the id.
    fn ask(&mut self, method: &str, params: &Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        id
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        assert!(self.output.read_line(&mut line).unwrap() > 0, "the output has ended");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// What a tool answers.
    pub(crate) fn call(&mut self, tool: &str, arguments: Value) -> Value {
        let id = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        let answer = self.next();
        assert_eq!(answer["id"], id, "{answer}");
        answer["result"]["structuredContent"].clone()
    }

    /// Ends the input, and returns what else was said.
    pub(crate) fn end(mut self) -> (i32, String) {
        drop(self.input.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code().unwrap(), rest)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn token(daemon: &Daemon) -> String {
    daemon.run(&["config", "token"]).good().trim().to_owned()
}

fn head(token: &str, more: &str, length: usize) -> String {
    format!(
        "POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n{more}Content-Length: {length}\r\n\r\n"
    )
}

/// Posts one message on a connection of its own; the whole answer.
fn post(address: &str, token: &str, body: &str) -> String {
    let mut stream = open(address, token, body, "Connection: close\r\n");
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

fn open(address: &str, token: &str, body: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(format!("{}{body}", head(token, more, body.len())).as_bytes()).unwrap();
    stream
}

fn request(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// The JSON that an answer carries.
fn body(answer: &str) -> Value {
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}"))
}

/// The messages of a stream of events.
fn events(answer: &str) -> Vec<Value> {
    let data = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|text| serde_json::from_str(text).unwrap()).collect()
}

fn modern(mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    params
}

/// With a pool whose tasks sleep.
fn with_sleepers(daemon: &Daemon) {
    daemon.run(&["pool", "create", "sleepers", "--", "sh", "-c", "echo begun; exec sleep 600"]).good();
}

fn sleepers(daemon: &Daemon) -> usize {
    let epoch = daemon.status()["epoch"].as_str().unwrap().to_owned();
    processes_of(&epoch).len()
}

#[test]
fn an_agent_asks_another_module_and_gets_the_answer() {
    let daemon = Daemon::start();
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let mut agent = Agent::start(&daemon);
    let id = agent.ask("initialize", &json!({"protocolVersion": "2025-11-25", "capabilities": {}}));
    let welcome = agent.next();
    assert_eq!((&welcome["id"], &welcome["result"]["protocolVersion"]), (&json!(id), &json!("2025-11-25")));
    agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));

    for name in ["here", "there"] {
        let directory = daemon.path(name);
        std::fs::create_dir(&directory).unwrap();
        daemon.run(&["module", "add", name, &directory]).good();
    }
    let modules = agent.call("list_modules", json!({}));
    assert!(modules.to_string().contains("there"), "{modules}");
    let asked = agent.call("ask_module", json!({"from": "here", "to": "there", "prompt": "why?", "pool_id": "echo"}));
    assert_eq!((&asked["success"], &asked["content"]), (&json!(true), &json!("why?")), "{asked}");
    let thread = agent.call("list_messages", json!({"thread_id": asked["thread_id"]}));
    assert_eq!(thread["messages"].as_array().unwrap().len(), 2, "{thread}");
    assert_eq!(agent.end(), (0, String::new()));
}

#[test]
fn nothing_but_the_protocol_is_on_the_output_and_the_end_of_the_input_is_the_end() {
    let daemon = Daemon::start();
    let input = [
        "this is no JSON",
        "",
        "[]",
        r#"{"jsonrpc":"2.0","id":"x","method":"nothing/known"}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"list_pools"}}"#,
    ];
    // The last line has no end.
    let ran = daemon.run_with_input(&["mcp"], input.join("\n").as_bytes());
    assert_eq!(ran.code, 0, "{ran:?}");
    let answers: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let codes: Vec<&Value> = answers.iter().map(|answer| &answer["error"]["code"]).collect();
    assert_eq!(codes, [&json!(-32700), &json!(-32600), &json!(-32601), &Value::Null]);
    assert_eq!(answers[3]["result"]["structuredContent"]["pools_count"], 1);
}

#[test]
fn whatever_has_come_before_the_end_is_answered() {
    const PINGS: usize = 1_000;
    let daemon = Daemon::start();
    let pings: String =
        (0..PINGS).map(|id| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n")).collect();
    let ran = daemon.run_with_input(&["mcp"], pings.as_bytes());
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, PINGS));
}

#[test]
fn what_is_refused_at_once_is_answered_after_the_end_and_what_waits_is_not() {
    let daemon = Daemon::start();
    with_sleepers(&daemon);
    let call = |id: u64, arguments: Value| {
        let params = json!({"name": "execute_on_pool", "arguments": arguments});
        let message = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": modern(params)});
        format!("{message}\n")
    };
    let input = [
        call(1, json!({"prompt": "x"})),
        call(2, json!({"pool_id": "nowhere", "prompt": "x"})),
        call(3, json!({"pool_id": "sleepers", "prompt": "x"})),
    ];
    let ran = daemon.run_with_input(&["mcp"], input.concat().as_bytes());
    let mut answers: Vec<Value> = ran.good().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    answers.sort_by_key(|answer| answer["id"].as_u64());
    let told: Vec<(&Value, &Value)> = answers.iter().map(|it| (&it["id"], &it["result"]["isError"])).collect();
    assert_eq!(told, [(&json!(1), &json!(true)), (&json!(2), &json!(true))], "{answers:?}");
    wait_until("the end of what was begun", || sleepers(&daemon) == 0);
}

#[test]
fn a_line_that_is_too_long_is_passed_over() {
    let daemon = Daemon::start();
    let long = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(9 << 20));
    let ran = daemon.run_with_input(&["mcp"], format!("{long}\n{}\n", request("ping", json!({}))).as_bytes());
    let answers: Vec<Value> = ran.good().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [refused, answered] = &answers[..] else { panic!("{answers:?}") };
    assert!(refused["id"].is_null() && refused["error"]["message"].as_str().unwrap().contains("8388608 bytes"));
    assert_eq!((&answered["id"], &answered["result"]), (&json!(1), &json!({})));
}

#[test]
fn nobody_who_reads_the_output_ends_it() {
    let daemon = Daemon::start();
    let mut command = daemon.command(&["mcp"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    let mut input = child.stdin.take().unwrap();
    input.write_all(format!("{}\n", request("ping", json!({}))).as_bytes()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(141));
}

#[test]
fn a_daemon_that_stops_tells_those_who_wait() {
    let (daemon, address) = start("");
    with_sleepers(&daemon);
    let full = token(&daemon);
    let mut agent = Agent::start(&daemon);
    let mut waits = || {
        let sent = agent.call("send_message", json!({"from": "/tmp", "to": "/usr", "content": "x"}));
        let id = sent["message_id"].as_str().unwrap().to_owned();
        (json!({"name": "wait_for_message", "arguments": {"message_id": id, "timeout": 600}}), id)
    };
    let ((one, first), (other, second)) = (waits(), waits());
    let mut stream = open(&address, &full, &request("tools/call", one).to_string(), "");
    let id = agent.ask("tools/call", &other);
    wait_until("both to wait", || {
        let watched = daemon.json(&["poll", "list"]).to_string();
        [&first, &second].iter().all(|id| watched.contains(id.as_str()))
    });
    daemon.run(&["poll", "stop"]).good();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("\r\n0\r\n\r\n"), "{text}");
    let told = [events(&text).pop().unwrap_or_else(|| panic!("{text}")), agent.next()];
    assert_eq!([&told[0]["id"], &told[1]["id"]], [&json!(1), &json!(id)]);
    for told in told {
        let said = told["error"]["message"].as_str().unwrap_or_else(|| panic!("{told}"));
        assert!(said.contains("stop"), "{said}");
    }
}

#[test]
fn without_a_daemon_there_is_a_sentence_and_no_output() {
    let daemon = Daemon::none();
    let Ran { code, stdout: out, stderr: err } = daemon.run_with_input(&["mcp"], b"{}\n");
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("poll start"), "{err}");
    let Ran { stderr: err, .. } = daemon.run_with_input(&["mcp", "--socket", "/no/where"], b"{}\n");
    assert!(err.contains("poll start") && err.contains(" --socket /no/where"), "{err}");
}

#[test]
fn a_daemon_that_goes_is_told_and_one_that_comes_back_is_found() {
    let mut daemon = Daemon::start();
    with_sleepers(&daemon);
    let mut agent = Agent::start(&daemon);
    let id = agent
        .ask("tools/call", &json!({"name": "execute_on_pool", "arguments": {"pool_id": "sleepers", "prompt": "x"}}));
    wait_until("the task", || sleepers(&daemon) > 0);
    daemon.kill9();
    let lost = agent.next();
    assert_eq!(lost["id"], id);
    let said = lost["error"]["message"].as_str().unwrap();
    assert!(said.contains("gone") && said.contains("on_crash") && said.contains("poll start"), "{said}");
    let id = agent.ask("tools/call", &json!({"name": "list_pools"}));
    let refused = agent.next();
    assert_eq!(refused["id"], id);
    assert!(refused["error"]["message"].as_str().unwrap().contains("poll start"), "{refused}");
    daemon.restart();
    assert_eq!(agent.call("list_pools", json!({}))["pools_count"], 2);
}

#[test]
fn calls_do_not_wait_for_one_another_and_giving_one_up_ends_its_processes() {
    let daemon = Daemon::start();
    with_sleepers(&daemon);
    let mut agent = Agent::start(&daemon);
    let long = agent.ask(
        "tools/call",
        &json!({"name": "execute_on_pool", "arguments": {"pool_id": "sleepers", "prompt": "x"},
            "_meta": {"progressToken": "p"}}),
    );
    let told = agent.next();
    assert_eq!((&told["method"], &told["params"]["progressToken"]), (&json!("notifications/progress"), &json!("p")));
    wait_until("the task", || sleepers(&daemon) > 0);
    assert_eq!(agent.call("list_pools", json!({}))["success"], true);
    agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": long}}));
    wait_until("the end of its processes", || sleepers(&daemon) == 0);
    // Again, when it is over, and for what never was: nothing.
    agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": long}}));
    agent.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "never"}}));
    wait_until("its end in the books", || {
        let tasks = agent.call("list_tasks", json!({"pool_id": "sleepers"}));
        tasks["tasks"][0]["status"] == "cancelled"
    });
    assert_eq!(agent.end(), (0, String::new()));
}

#[test]
fn whoever_shows_no_token_gets_nothing_and_what_is_no_message_is_said() {
    let (daemon, address) = start("");
    let full = token(&daemon);
    let ping = request("ping", json!({})).to_string();
    assert!(post(&address, &full, &ping).starts_with("HTTP/1.1 200 "));
    assert!(post(&address, "wrong", &ping).starts_with("HTTP/1.1 401 "));
    for (request, status) in [
        ("POST /mcp HTTP/1.1; Host: localhost", "401"),
        ("POST /mcp HTTP/1.1; Host: evil.example", "403"),
        ("POST /mcp HTTP/1.1; Host: localhost; Origin: http://evil.example", "403"),
    ] {
        assert!(http(&address, request).starts_with(&format!("HTTP/1.1 {status} ")), "{request}");
    }
    let bearer = format!("Host: localhost; Authorization: Bearer {full}");
    for (first, more, status) in [
        ("GET", "", "405"),
        ("DELETE", "", "405"),
        ("POST", "", "411"),
        ("POST", "; Content-Type: text/plain; Content-Length: 2", "415"),
        ("POST", "; Content-Length: 8388609", "413"),
        ("POST", "; Transfer-Encoding: gzip", "501"),
        ("POST", "; Content-Length: -1", "400"),
        ("POST", "; Content-Length: 0", "400"),
    ] {
        let answer = http(&address, &format!("{first} /mcp HTTP/1.1; {bearer}{more}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{first} {more}: {answer}");
    }
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    assert!(post(&address, &full, &notification).starts_with("HTTP/1.1 202 "));
    for (text, code) in [("{", -32700), ("[]", -32600), ("{}", -32600)] {
        let answer = post(&address, &full, text);
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert_eq!(body(&answer)["error"]["code"], code);
    }
}

#[test]
fn a_token_for_reading_reads() {
    let (daemon, address) = start("");
    let reading = daemon.run(&["config", "token", "--read-only"]).good().trim().to_owned();
    let call = |name: &str, arguments: Value| {
        let message = request("tools/call", json!({"name": name, "arguments": arguments}));
        body(&post(&address, &reading, &message.to_string()))
    };
    assert_eq!(call("list_pools", json!({}))["result"]["structuredContent"]["success"], true);
    let refused = call("create_pool", json!({"pool_id": "p"}));
    assert!(refused["error"]["message"].as_str().unwrap().contains("full"), "{refused}");
    assert_eq!(daemon.status()["pools"], 1);
    let id = daemon.run(&["message", "send", "--to", ".", "x"]).good().trim().to_owned();
    daemon.run(&["message", "reply", &id, "y"]).good();
    let wait = request("tools/call", json!({"name": "wait_for_message", "arguments": {"message_id": id}}));
    let waited = events(&post(&address, &reading, &wait.to_string())).pop().unwrap();
    assert_eq!(waited["result"]["structuredContent"]["reply"]["content"], "y", "{waited}");
    let listed = body(&post(&address, &reading, &request("prompts/list", json!({})).to_string()));
    assert_eq!(listed["result"]["prompts"], json!([]));
}

#[test]
fn messages_come_whole_in_chunks_and_one_behind_the_other() {
    let (daemon, address) = start("");
    let full = token(&daemon);
    let ping = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "ping"}).to_string();
    let mut stream = open(&address, &full, &ping(1), "Expect: 100-continue\r\n");
    // Two more on the same connection, of which one is cut in pieces.
    let chunked = head(&full, "", 0).replace("Content-Length: 0", "Transfer-Encoding: chunked");
    let second = ping(2);
    let (front, back) = second.split_at(7);
    let text = format!("{chunked}{:x}\r\n{front}\r\n{:x};x\r\n{back}\r\n0\r\n\r\n", front.len(), back.len());
    stream.write_all(text.as_bytes()).unwrap();
    let last = ping(3);
    stream.write_all(format!("{}{last}", head(&full, "Connection: close\r\n", last.len())).as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"), "{answer}");
    for id in 1..4 {
        assert!(answer.contains(&format!(r#""id":{id},"result":{{}}"#)), "{answer}");
    }
}

#[test]
fn a_long_call_streams_its_progress_and_ends_with_the_answer() {
    let (daemon, address) = start("");
    daemon
        .run(&["pool", "create", "counting", "--", "sh", "-c", "echo one; sleep 0.3; echo two; sleep 0.3; echo three"])
        .good();
    let params = json!({"name": "execute_on_pool", "arguments": {"pool_id": "counting", "prompt": "x"},
        "_meta": {"progressToken": 7}});
    let answer = post(&address, &token(&daemon), &request("tools/call", params).to_string());
    assert!(answer.contains("Content-Type: text/event-stream\r\n") && answer.contains("X-Accel-Buffering: no\r\n"));
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
    let events = events(&answer);
    let (last, told) = events.split_last().unwrap();
    let progress: Vec<f64> = told.iter().map(|event| event["params"]["progress"].as_f64().unwrap()).collect();
    assert!(!progress.is_empty() && progress.is_sorted_by(|one, next| one < next), "{progress:?}");
    assert_eq!(last["result"]["structuredContent"]["success"], true, "{last}");
    assert!(last["result"]["structuredContent"]["result"].as_str().unwrap().contains("three"), "{last}");
}

#[test]
fn a_modern_client_that_hangs_up_has_given_up_and_a_legacy_one_has_not() {
    let (daemon, address) = start("");
    with_sleepers(&daemon);
    let full = token(&daemon);
    let params = json!({"name": "execute_on_pool", "arguments": {"pool_id": "sleepers", "prompt": "x"}});
    let headers = format!("MCP-Protocol-Version: {MODERN}\r\nMcp-Method: tools/call\r\nMcp-Name: execute_on_pool\r\n");
    let modern = open(&address, &full, &request("tools/call", modern(params.clone())).to_string(), &headers);
    wait_until("the task", || sleepers(&daemon) == 1);
    modern.shutdown(Shutdown::Both).unwrap();
    wait_until("its end", || sleepers(&daemon) == 0);

    let legacy = open(&address, &full, &request("tools/call", params).to_string(), "");
    wait_until("the task", || sleepers(&daemon) == 1);
    legacy.shutdown(Shutdown::Both).unwrap();
    let status = || daemon.json(&["task", "list", "--pool", "sleepers"])["tasks"][0].clone();
    // Whatever is said on another connection comes after the loop has seen this one go.
    post(&address, &full, &request("ping", json!({})).to_string());
    assert_eq!((sleepers(&daemon), &status()["status"]), (1, &json!("running")));
    daemon.run(&["task", "cancel", status()["task_id"].as_str().unwrap()]).good();
    wait_until("its end", || sleepers(&daemon) == 0);
}

#[test]
fn a_stream_tells_what_has_changed() {
    let (daemon, address) = start("");
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let full = token(&daemon);
    let params = modern(json!({"notifications": {"toolsListChanged": true,
        "resourceSubscriptions": ["comms://pools/echo", "comms://pools/local"]}}));
    let headers = format!("MCP-Protocol-Version: {MODERN}\r\nMcp-Method: subscriptions/listen\r\n");
    let stream = open(&address, &full, &request("subscriptions/listen", params).to_string(), &headers);
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut next = || -> Value {
        let data = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
        serde_json::from_str(&data).unwrap()
    };
    assert_eq!(next()["method"], "notifications/subscriptions/acknowledged");
    daemon.run(&["pool", "run", "echo", "x"]).good();
    let changed = next();
    assert_eq!(changed["method"], "notifications/resources/updated");
    assert_eq!(changed["params"]["uri"], "comms://pools/echo");
    assert_eq!(changed["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 1);
    drop(daemon);
    // A stop is told: the stream ends with the request's own answer.
    loop {
        let message = next();
        if message["id"] == 1 {
            assert_eq!(message["result"]["resultType"], "complete");
            break;
        }
    }
}

#[test]
fn more_calls_than_there_is_room_for_are_each_answered() {
    let daemon = Daemon::start();
    with_sleepers(&daemon);
    let mut agent = Agent::start(&daemon);
    const CALLS: u64 = 10_000;
    let mut input = agent.input.take().unwrap();
    let writing = claude_comms::thread::Joined::spawn("calls", move || {
        for id in 0..CALLS {
            let arguments = json!({"id": "never", "timeout": 600});
            let call = json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
                "params": {"name": "wait_for_message", "arguments": arguments}});
            input.write_all(format!("{call}\n").as_bytes()).unwrap();
        }
        input
    });
    let mut seen = vec![false; CALLS as usize];
    for _ in 0..CALLS {
        let answer = agent.next();
        let id = answer["id"].as_u64().unwrap() as usize;
        assert!(!std::mem::replace(&mut seen[id], true), "{answer}");
        assert!(answer["error"]["code"] == -32000 || answer["result"]["isError"] == true, "{answer}");
    }
    agent.input = writing.unwrap().join();
    assert_eq!(agent.call("list_pools", json!({}))["success"], true);
}
