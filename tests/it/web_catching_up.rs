//! Subscribers of the TCP port that begin behind the newest event: nothing is lost, and nothing comes twice.

use serde_json::{Value, json};
use tungstenite::Message;

use crate::support::{Daemon, spawn};
use crate::web::{Client, address, start};

/// A daemon whose events are in the table alone: so many of them on `pool:echo`, and more.
fn with_history(tasks: usize) -> (Daemon, String) {
    let (mut daemon, _) = start("");
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let prompts: String = (0..tasks).map(|number| format!("{number}\n")).collect();
    spawn(&mut daemon.command(&["pool", "batch", "echo"]), prompts.as_bytes()).wait().good();
    daemon.stop();
    daemon.restart();
    let address = address(&daemon);
    (daemon, address)
}

fn request(event: &str, data: &Value) -> Value {
    json!({"type": "request", "event": event, "data": data, "id": event})
}

/// In one burst, so that all of it is there at once.
fn send_together(client: &mut Client, requests: &[Value]) {
    for request in requests {
        client.socket.write(Message::text(request.to_string())).unwrap();
    }
    client.socket.flush().unwrap();
}

#[test]
fn who_catches_up_may_ask_for_something_meanwhile() {
    let (_daemon, address) = with_history(2_000);
    let mut client = Client::connect(&address);
    let since = json!({"epoch": client.welcome["data"]["epoch"], "seq": 0});
    let last = client.welcome["data"]["seq"].as_u64().unwrap();
    client.subscribe(json!({"channel": "*", "since": since, "max_rate_hz": 0}));
    let (mut seq, mut answers) = (0, 0);
    while seq < last {
        let message = client.next();
        match message["seq"].as_u64() {
            Some(next) => {
                assert_eq!(next, seq + 1);
                seq = next;
                if seq % 50 == 0 {
                    client.send(&request("get_pool_status", &json!({"pool_id": "echo"})));
                }
            }
            None => {
                assert!(matches!(message["event"].as_str(), Some("get_pool_status" | "")), "{message}");
                answers += 1;
            }
        }
    }
    assert!(answers > 0);
}

#[test]
fn what_is_not_followed_any_more_is_not_caught_up_with() {
    let (daemon, address) = with_history(500);
    let mut client = Client::connect(&address);
    let since = json!({"epoch": client.welcome["data"]["epoch"], "seq": 0});
    client.subscribe(json!({"channel": "z:z", "max_rate_hz": 0}));
    send_together(
        &mut client,
        &[
            request("subscribe", &json!({"channels": ["pool:echo", "messages"], "since": since, "max_rate_hz": 0})),
            request("unsubscribe", &json!({"channel": "messages"})),
            request("unsubscribe", &json!({"channel": "pool:echo"})),
        ],
    );
    daemon.run(&["event", "publish", "z:z", "the.end"]).good();
    let events: Vec<Value> = client.until("the.end").iter().map(|message| message["event"].clone()).collect();
    assert_eq!(events, ["subscribe", "unsubscribe", "unsubscribe", "the.end"]);
}

#[test]
fn each_channel_goes_on_where_it_was_though_others_are_further_behind() {
    let (daemon, address) = start("");
    let publish = |channel: &str| daemon.run(&["event", "publish", channel, "note.taken"]).good();
    let mut client = Client::connect(&address);
    let epoch = client.welcome["data"]["epoch"].clone();
    let first = client.welcome["data"]["seq"].as_u64().unwrap();
    for channel in ["a:1", "b:1", "a:1", "b:1", "a:1"] {
        publish(channel);
    }
    let since = |seq: u64| json!({"epoch": epoch, "seq": first + seq});
    send_together(
        &mut client,
        &[
            request("subscribe", &json!({"channel": "a:1", "since": since(1)})),
            request("subscribe", &json!({"channel": "b:1", "since": since(3)})),
        ],
    );
    assert_eq!(client.next()["data"]["seq"], first + 1);
    assert_eq!(client.next()["data"]["seq"], first + 3);
    publish("c:1");
    publish("b:1");
    let mut told = Vec::new();
    while told.last() != Some(&(first + 7)) {
        told.push(client.next()["seq"].as_u64().unwrap());
    }
    assert_eq!(told, [3, 4, 5, 7].map(|seq| first + seq));
}

/// What is told until a name comes that nobody else uses: the numbers, in the order in which they come.
fn numbers_until(client: &mut Client, name: &str) -> Vec<u64> {
    client.until(name).iter().filter(|message| message["event"] != name).filter_map(|it| it["seq"].as_u64()).collect()
}

#[test]
fn overlapping_late_subscriptions_tell_each_event_once() {
    let (daemon, address) = with_history(300);
    let mut client = Client::connect(&address);
    let since = |seq: u64| json!({"epoch": client.welcome["data"]["epoch"], "seq": seq});
    let last = client.welcome["data"]["seq"].as_u64().unwrap();
    let late = |channel: &str, seq: u64| {
        request("subscribe", &json!({"channel": channel, "since": since(seq), "max_rate_hz": 0}))
    };
    let requests = [
        request("subscribe", &json!({"channel": "z:z", "max_rate_hz": 0})),
        late("pool:echo", 0),
        late("task:*", 10),
        late("pool:*", 0),
        late("*", 20),
        late("messages", 5),
        late("global", 0),
        late("pool:*", 0),
        late("*", 0),
    ];
    send_together(&mut client, &requests);
    daemon.run(&["event", "publish", "z:z", "the.end"]).good();
    assert_eq!(numbers_until(&mut client, "the.end"), (1..=last).collect::<Vec<_>>());
}

#[test]
fn a_late_subscription_beside_one_that_still_catches_up_loses_nothing() {
    let (daemon, address) = with_history(2_000);
    let mut client = Client::connect(&address);
    let epoch = client.welcome["data"]["epoch"].clone();
    let last = client.welcome["data"]["seq"].as_u64().unwrap();
    let since = |seq: u64| json!({"epoch": epoch, "seq": seq});
    client.subscribe(json!({"channel": "z:z", "max_rate_hz": 0}));
    client.subscribe(json!({"channel": "pool:echo", "since": since(0), "max_rate_hz": 0}));
    let mut told = vec![client.next()["seq"].as_u64().unwrap()];
    // It stands still for as long as nobody reads; the next requests find it so.
    for channel in ["pool:*", "*"] {
        client.send(&request("subscribe", &json!({"channel": channel, "since": since(0), "max_rate_hz": 0})));
    }
    daemon.run(&["event", "publish", "z:z", "the.end"]).good();
    told.extend(numbers_until(&mut client, "the.end"));
    told.sort_unstable();
    assert_eq!(told, (1..=last).collect::<Vec<_>>());
}
