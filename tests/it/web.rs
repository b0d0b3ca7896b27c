//! The TCP port: WebSocket subscribers, the metrics, and whoever is not welcome.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

use crate::support::{BINARY, Daemon, LIMIT, spawn, wait_until};

/// A subscriber.
pub(crate) struct Client {
    pub(crate) socket: WebSocket<TcpStream>,
    pub(crate) welcome: Value,
}

pub(crate) fn address(daemon: &Daemon) -> String {
    let status = daemon.run(&["poll", "status", "--json"]).json();
    status["listen"].as_str().unwrap_or_else(|| panic!("it does not listen: {status}")).to_owned()
}

pub(crate) fn start(settings: &str) -> (Daemon, String) {
    let daemon = Daemon::listening(settings);
    let address = address(&daemon);
    (daemon, address)
}

impl Client {
    pub(crate) fn connect(address: &str) -> Client {
        let mut client = Client::dial(address);
        client.welcome = client.next();
        assert_eq!(client.welcome["event"], "session.created");
        client
    }

    pub(crate) fn dial(address: &str) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let request = format!("ws://{address}/any/path").into_client_request().unwrap();
        let (socket, _) = tungstenite::client(request, stream).unwrap();
        Client { socket, welcome: Value::Null }
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.socket.send(Message::text(message.to_string())).unwrap();
    }

    /// The next message; also the code with which the connection ends.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => return json!({"closed": frame.map(|frame| u16::from(frame.code))}),
                _ => {}
            }
        }
    }

    pub(crate) fn subscribe(&mut self, data: Value) -> Value {
        self.send(&json!({"type": "request", "event": "subscribe", "data": data, "id": "s"}));
        self.next()
    }

    /// Events until one of that name has come.
    pub(crate) fn until(&mut self, name: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next();
            let is_last = event["event"] == name;
            events.push(event);
            if is_last {
                return events;
            }
        }
    }
}

pub(crate) fn http(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(format!("{}\r\nConnection: close\r\n\r\n", request.replace("; ", "\r\n")).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_subscriber_hears_of_a_task_in_order_and_without_its_contents() {
    let (daemon, address) = start("");
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let mut client = Client::connect(&address);
    let answer = client.subscribe(json!({"channel": "pool:echo", "max_rate_hz": 0}));
    assert_eq!((&answer["status"], &answer["correlation_id"]), (&json!("subscribed"), &json!("s")));
    assert_eq!(answer["data"]["recovered"], true);
    daemon.run(&["pool", "run", "echo", "secret"]).good();
    let events = client.until("task.completed");
    let seqs: Vec<u64> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|one, next| one < next), "{seqs:?}");
    assert!(!events.iter().any(|event| event.to_string().contains("secret")), "{events:?}");
    assert!(events.iter().all(|event| event["room"] == "pool:echo" && event["data"]["severity"].is_string()));
}

#[test]
fn who_comes_back_goes_on_where_it_was_over_a_kill_9() {
    let (mut daemon, address) = start("");
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let mut client = Client::connect(&address);
    let epoch = client.welcome["data"]["epoch"].clone();
    client.subscribe(json!({"channel": "pool:echo"}));
    daemon.run(&["pool", "run", "echo", "one"]).good();
    let last = client.until("task.completed").last().unwrap()["seq"].clone();
    daemon.kill9();
    drop(client);
    daemon.restart();
    daemon.run(&["pool", "run", "echo", "two"]).good();
    let mut client = Client::connect(&self::address(&daemon));
    let answer = client.subscribe(json!({"channel": "pool:echo", "since": {"epoch": epoch, "seq": last}}));
    assert_eq!((&answer["data"]["recovered"], &answer["data"]["seq"]), (&json!(true), &last));
    let events = client.until("task.completed");
    assert!(events.iter().all(|event| event["seq"].as_u64() > last.as_u64()), "{events:?}");
    assert_eq!(events.iter().filter(|event| event["event"] == "task.completed").count(), 1);
}

#[test]
fn what_cannot_be_recovered_begins_with_how_things_stand() {
    let (daemon, address) = start("");
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let mut client = Client::connect(&address);
    for since in
        [json!({"epoch": "0123456789abcdef", "seq": 1}), json!({"epoch": client.welcome["data"]["epoch"], "seq": 999})]
    {
        let answer = client.subscribe(json!({"channel": "pool:echo", "since": since}));
        assert_eq!(answer["data"]["recovered"], false);
        let snapshot: Vec<Value> = (0..4).map(|_| client.next()).collect();
        assert_eq!(snapshot[0]["event"], "pool.status_changed");
        assert!(snapshot[1..].iter().all(|event| event["event"] == "worker.status_changed"), "{snapshot:?}");
        assert!(snapshot.iter().all(|event| event["data"]["snapshot"] == true && event["seq"].is_null()));
    }
}

#[test]
fn an_event_comes_once_however_many_subscriptions_want_it_and_a_late_one_catches_up() {
    let (daemon, address) = start("");
    let mut client = Client::connect(&address);
    let epoch = client.welcome["data"]["epoch"].clone();
    let publish = |channel: &str| daemon.run(&["event", "publish", channel, "note.taken"]).good();
    publish("a:1");
    publish("b:1");
    client.subscribe(json!({"channel": "a:*", "max_rate_hz": 0}));
    publish("a:1");
    publish("b:1");
    assert_eq!(client.next()["room"], "a:1");
    // All from the beginning, of which only the last `a:1` was told before.
    client.send(&json!({"type": "subscribe", "data": {"channel": "*", "since": {"epoch": epoch, "seq": 0}}}));
    let mut rooms = Vec::new();
    client.until("subscribe");
    publish("c:1");
    while rooms.last() != Some(&json!("c:1")) {
        rooms.push(client.next()["room"].clone());
    }
    rooms.retain(|room| !room.as_str().is_some_and(|room| room.starts_with("pool:")));
    assert_eq!(rooms, ["a:1", "b:1", "b:1", "c:1"]);
}

#[test]
fn who_may_act_shows_a_token() {
    let (daemon, address) = start("[web]\nrequire_auth = true\n");
    let token = daemon.run(&["config", "token"]).good().trim().to_owned();
    let read_only = daemon.run(&["config", "token", "--read-only"]).good().trim().to_owned();
    let auth = |client: &mut Client, token: &str| {
        client.send(&json!({"type": "request", "event": "auth", "data": {"token": token}}))
    };
    let mut client = Client::dial(&address);
    auth(&mut client, &token);
    assert_eq!(client.next()["data"]["status"], "authenticated");
    assert_eq!(client.next()["event"], "session.created");
    let publish =
        json!({"type": "request", "event": "publish", "data": {"channel": "notes:mine", "event": "note.taken"}});
    client.send(&publish);
    assert_eq!(client.next()["data"]["status"], "published");

    let mut client = Client::dial(&address);
    auth(&mut client, &read_only);
    client.until("session.created");
    client.send(&publish);
    assert_eq!(client.next()["error_code"], "FORBIDDEN");

    let mut client = Client::dial(&address);
    auth(&mut client, "wrong");
    assert_eq!(client.next()["closed"], u16::from(CloseCode::Policy));
    let mut client = Client::dial(&address);
    client.send(&json!({"type": "subscribe", "data": {"channel": "*"}}));
    assert_eq!(client.next()["closed"], u16::from(CloseCode::Policy));
    assert!(http(&address, "GET /metrics HTTP/1.1; Host: localhost").starts_with("HTTP/1.1 401 "));
    let metrics = http(&address, &format!("GET /metrics HTTP/1.1; Host: localhost; Authorization: Bearer {read_only}"));
    assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.contains("claude_comms_events_total"), "{metrics}");
}

impl Client {
    /// Asks once, and says what came of it.
    fn ask(&mut self, event: &str, data: Value) -> Value {
        self.send(&json!({"type": "request", "event": event, "data": data, "id": event}));
        let answer = self.next();
        assert_eq!(answer["correlation_id"], event);
        answer
    }
}

#[test]
fn lists_are_for_all_contents_for_readers_and_acts_for_the_full_token() {
    let (daemon, address) = start("");
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    daemon.run(&["pool", "pause", "echo"]).good();
    let run = ["pool", "run", "echo", "secret", "--no-wait"];
    let task = daemon.json(&run)["task_id"].clone();
    let sent = daemon.json(&["message", "send", "--from", ".", "--to", &daemon.path("backend"), "secret"]);
    let message = sent["message_id"].clone();
    let tokens = [None, Some(vec!["config", "token", "--read-only"]), Some(vec!["config", "token"])];
    for (rights, token) in tokens.into_iter().enumerate() {
        let mut client = Client::connect(&address);
        if let Some(token) = token {
            client.ask("auth", json!({"token": daemon.run(&token).good().trim()}));
        }
        for (list, first, id) in [
            ("list_pools", "pools", json!("echo")),
            ("list_tasks", "tasks", task.clone()),
            ("list_messages", "messages", message.clone()),
            ("list_workflows", "workflows", Value::Null),
            ("list_upstreams", "upstreams", Value::Null),
            ("list_alerts", "alerts", Value::Null),
        ] {
            let answer = client.ask(list, json!({}));
            let row = &answer["data"][first][0];
            let shown = ["pool_id", "task_id", "message_id"].map(|key| &row[key]);
            assert!(id.is_null() || shown.contains(&&id), "{answer}");
            assert!(!answer.to_string().contains("secret"), "{answer}");
        }
        for (request, data, least, outcome) in [
            ("get_message", json!({"message_id": message}), 1, json!("secret")),
            ("get_task", json!({"task_id": task}), 1, json!("secret")),
            ("pause_pool", json!({"pool_id": "echo"}), 2, json!("paused")),
            ("cancel_task", json!({"task_id": task}), 2, json!("cancelled")),
            ("retry_task", json!({"task_id": task}), 2, json!("pending")),
            ("resume_pool", json!({"pool_id": "echo"}), 2, json!("running")),
        ] {
            let answer = client.ask(request, data);
            if rights < least {
                assert_eq!(answer["error_code"], "FORBIDDEN", "{request}: {answer}");
                continue;
            }
            let shown = ["content", "prompt", "status"].map(|key| &answer["data"][key]);
            assert!(shown.contains(&&outcome), "{request}: {answer}");
        }
        let missing = client.ask("get_task", json!({"task_id": "no-such-task"}));
        let code = if rights == 0 { "FORBIDDEN" } else { "NOT_FOUND" };
        assert_eq!(missing["error_code"], code, "{missing}");
    }
    daemon.run(&["task", "wait", task.as_str().unwrap()]).good();
    let mut client = Client::connect(&address);
    client.ask("auth", json!({"token": daemon.run(&["config", "token"]).good().trim()}));
    assert_eq!(client.ask("cancel_task", json!({"task_id": task}))["error_code"], "CONFLICT");
    assert_eq!(client.ask("pause_pool", json!({"pool_id": "none"}))["error_code"], "NOT_FOUND");
    assert_eq!(client.ask("get_task", json!({"task_id": task}))["data"]["result"], "secret");
}

#[test]
fn pages_and_names_of_others_are_turned_away() {
    let (_daemon, address) =
        start("[web]\nallowed_hosts = [\"box.lan\"]\nallowed_origins = [\"https://board.example\"]\n");
    for (headers, status) in [
        ("Host: localhost", 200),
        ("Host: box.lan:8690", 200),
        ("Host: evil.example", 403),
        ("Host: localhost; Origin: https://evil.example", 403),
        ("Host: localhost; Origin: https://board.example", 200),
    ] {
        let answer = http(&address, &format!("GET /healthz HTTP/1.1; {headers}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{headers}: {answer}");
    }
}

#[test]
fn a_stop_tells_subscribers_when_to_come_back() {
    let (daemon, address) = start("");
    let mut client = Client::connect(&address);
    client.subscribe(json!({"channel": "notes:mine"}));
    daemon.run(&["event", "publish", "notes:mine", "last.words"]).good();
    daemon.run(&["poll", "stop"]).good();
    assert_eq!(client.next()["event"], "last.words");
    let Message::Close(Some(frame)) = client.socket.read().unwrap() else { panic!() };
    assert_eq!(frame.code, CloseCode::Away);
    let millis = frame.reason.strip_prefix("retry_after_ms=").and_then(|text| text.parse::<u64>().ok());
    assert!(millis.is_some_and(|millis| millis < 10_000), "{frame:?}");
}

#[test]
fn those_who_do_not_listen_hold_up_nobody() {
    let (daemon, address) = start("");
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let mut stalled: Vec<Client> = (0..20).map(|_| Client::connect(&address)).collect();
    for client in &mut stalled {
        client.subscribe(json!({"channel": "*", "max_rate_hz": 0}));
    }
    let mut healthy = Client::connect(&address);
    healthy.subscribe(json!({"channel": "pool:echo", "events": ["task.completed"]}));
    let tasks = 6_000;
    let prompts: String = (0..tasks).map(|number| format!("{number}\n")).collect();
    let mut batch = spawn(&mut daemon.command(&["pool", "batch", "echo"]), prompts.as_bytes());
    let mut last = 0;
    for _ in 0..tasks {
        let event = healthy.next();
        assert_eq!(event["event"], "task.completed");
        assert!(event["seq"].as_u64() > Some(last));
        last = event["seq"].as_u64().unwrap();
    }
    wait_until("the end of the batch", || batch.has_ended());
    // Whoever listens again has missed nothing.
    let mut seq = 0;
    while seq < last {
        let next = stalled[0].next()["seq"].as_u64().unwrap();
        assert!(seq == 0 || next == seq + 1, "{next} after {seq}");
        seq = next;
    }
}

#[test]
fn a_taken_port_is_an_error_only_when_it_was_asked_for() {
    let (_daemon, address) = start("");
    let other = Daemon::none();
    let said = other.run(&["daemon", "--listen", &address]).bad(1);
    assert!(said.contains("is taken by claude-comms (process "), "{said}");
}

#[test]
fn handshakes_that_do_not_end_are_ended() {
    let (_daemon, address) = start("");
    let mut slow: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localh").unwrap();
    }
    assert!(http(&address, "GET /healthz HTTP/1.1; Host: localhost").starts_with("HTTP/1.1 200 "));
    for stream in &mut slow {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(text.starts_with("HTTP/1.1 408 "), "{text:?}");
    }
}

#[test]
fn what_is_no_protocol_is_answered_with_its_code() {
    let (_daemon, address) = start("");
    let broken: [(&[u8], CloseCode); 4] = [
        // Not masked.
        (&[0x81, 0x02, b'{', b'}'], CloseCode::Protocol),
        // No UTF-8.
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], CloseCode::Invalid),
        // A gigabyte is announced.
        (&[0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4], CloseCode::Size),
        // A control frame in two parts.
        (&[0x09, 0x80, 0, 0, 0, 0], CloseCode::Protocol),
    ];
    for (bytes, code) in broken {
        let mut client = Client::connect(&address);
        client.socket.get_mut().write_all(bytes).unwrap();
        assert_eq!(client.next()["closed"], u16::from(code), "{bytes:?}");
    }
    let mut client = Client::connect(&address);
    client.socket.get_mut().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    for _ in 0..400 {
        client.send(&json!({"type": "ping", "id": "p"}));
    }
    let answers: Vec<Value> = (0..400).map(|_| client.next()).collect();
    // Whoever waits for an answer hears that there is none.
    for answer in answers.iter().filter(|answer| answer["type"] == "error") {
        assert_eq!((&answer["correlation_id"], &answer["event"]), (&json!("p"), &json!("ping")), "{answer}");
    }
    let codes: Vec<Value> = answers.iter().map(|answer| answer["error_code"].clone()).collect();
    assert!(codes[..150].iter().all(Value::is_null) && codes.contains(&json!("RATE_LIMIT_EXCEEDED")), "{codes:?}");
}

#[test]
fn a_port_that_systemd_has_opened_is_used() {
    let daemon = Daemon::none();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let script = r#"exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" --state-dir "$1" daemon"#;
    let mut command = Command::new("sh");
    command.args(["-c", script, BINARY]).arg(daemon.state_dir()).stdin(Stdio::from(OwnedFd::from(listener)));
    let mut child = Ended(command.stderr(Stdio::null()).spawn().unwrap());
    // Whoever connects waits in the socket until the daemon is there.
    assert!(http(&address, "GET /healthz HTTP/1.1; Host: localhost").contains("\"status\":\"ok\""));
    assert_eq!(self::address(&daemon), address);
    daemon.run(&["poll", "stop"]).good();
    assert!(child.0.wait().unwrap().success());
}

/// Not left behind, whatever happens.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn alerts_that_are_raised_are_in_the_picture() {
    let rule = "[[alert]]\nname = \"threads\"\nmetric = \"claude_comms_threads\"\nabove = 1\n";
    let (daemon, address) = start(rule);
    let mut client = Client::connect(&address);
    client.subscribe(
        json!({"channel": "alerts", "max_rate_hz": 0, "since": {"epoch": client.welcome["data"]["epoch"], "seq": 0}}),
    );
    let raised = client.next();
    assert_eq!(
        (&raised["event"], &raised["data"]["rule"], &raised["room"]),
        (&json!("alert.raised"), &json!("threads"), &json!("alerts"))
    );
    let mut late = Client::connect(&address);
    late.subscribe(json!({"channel": "alerts", "snapshot": true}));
    let picture = late.next();
    assert_eq!((&picture["event"], &picture["data"]["snapshot"]), (&json!("alert.raised"), &json!(true)));
    drop(daemon);
}
