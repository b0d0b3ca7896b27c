//! The TCP port and those who want too much of it: each is held to its limit, and nobody else notices.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock};
use claude_comms::control::wire::{EventPublish, Request};
use claude_comms::thread::Joined;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::support::{Daemon, pid_of, wait_until};
use crate::web::{Client, http, start};

/// Longer than anybody else has to wait because of one who floods, on a machine that is busy otherwise too.
const UNNOTICED: Duration = Duration::from_secs(10);

fn resident_bytes(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// A number of the daemon's own.
fn metric(address: &str, name: &str) -> f64 {
    let text = http(address, "GET /metrics HTTP/1.1; Host: localhost");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}: {text}"));
    line.trim().parse().unwrap()
}

/// Somebody else, served in good time.
#[track_caller]
fn check_others(address: &str) {
    let clock = SystemClock::new();
    let start = clock.tick();
    for _ in 0..5 {
        assert!(http(address, "GET /healthz HTTP/1.1; Host: localhost").starts_with("HTTP/1.1 200 "));
    }
    let took = clock.tick().since(start);
    assert!(took < UNNOTICED, "others waited {took:?}");
}

/// Sends it over and over until the peer has had enough or the stream is shut down.
fn flood(mut stream: TcpStream, bytes: Vec<u8>) -> (TcpStream, Joined<()>) {
    let other = stream.try_clone().unwrap();
    let flooding = Joined::spawn("flood", move || while stream.write_all(&bytes).is_ok() {}).unwrap();
    (other, flooding)
}

#[test]
fn a_body_without_end_holds_up_nobody() {
    let (_daemon, address) = start("");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999999\r\n\r\n").unwrap();
    let (stream, flooding) = flood(stream, vec![b'x'; 256 << 10]);
    check_others(&address);
    let _ = stream.shutdown(Shutdown::Both);
    drop(flooding);
}

#[test]
fn fragments_without_end_hold_up_nobody_and_end_at_the_limit() {
    let (_daemon, address) = start("");
    // A text begins, and nothing comes of it.
    let mut client = Client::connect(&address);
    client.socket.get_mut().write_all(&[0x01, 0x80, 0, 0, 0, 0]).unwrap();
    let (stream, flooding) =
        flood(client.socket.get_mut().try_clone().unwrap(), [0x00, 0x80, 0, 0, 0, 0].repeat(40_000));
    check_others(&address);
    let _ = stream.shutdown(Shutdown::Both);
    drop(flooding);

    let mut client = Client::connect(&address);
    client.socket.get_mut().write_all(&[0x01, 0x80, 0, 0, 0, 0]).unwrap();
    let fragment = [&[0x00, 0xfd, 0, 0, 0, 0][..], &[b'x'; 125]].concat();
    client.socket.get_mut().write_all(&fragment.repeat(525)).unwrap();
    assert_eq!(client.next()["closed"], u16::from(CloseCode::Size));
}

#[test]
fn heads_without_end_are_refused() {
    let (_daemon, address) = start("");
    let line = format!("X: {}", "x".repeat(20_000));
    let answer = http(&address, &format!("GET / HTTP/1.1; Host: localhost; {line}"));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let answer = http(&address, &format!("GET / HTTP/1.1; Host: localhost{}", "; X: y".repeat(100)));
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    check_others(&address);
}

#[test]
fn requests_in_a_row_are_all_answered_even_after_the_last_word() {
    let (_daemon, address) = start("");
    let requests = 300;
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.write_all("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(requests).as_bytes()).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    // It has all been answered as far as it is taken, before anything is read.
    check_others(&address);
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), requests + 1);
    assert!(text.trim_end().ends_with('}'), "the last answer is cut off");
}

#[test]
fn subscriptions_have_a_limit() {
    let (daemon, address) = start("");
    let mut client = Client::connect(&address);
    let channels: Vec<String> = (0..10_000).map(|number| format!("{number}:x")).collect();
    for many in [5_000, 1_001] {
        assert_eq!(client.subscribe(json!({"channels": &channels[..many]}))["error_code"], "INVALID_CHANNEL");
    }
    assert_eq!(client.subscribe(json!({"channels": &channels[..1_000]}))["status"], "subscribed");
    assert_eq!(client.subscribe(json!({"channel": channels[1_000]}))["error_code"], "INVALID_CHANNEL");
    for channel in &channels {
        client.send(&json!({"type": "subscribe", "data": {"channel": channel}}));
    }
    check_others(&address);
    drop(client);
    // What is wanted of all of them costs no more for being said once.
    let before = resident_bytes(&daemon);
    let names: Vec<String> = (0..1_000).map(|number| format!("n{number}")).collect();
    let mut clients: Vec<Client> = (0..5).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        assert_eq!(client.subscribe(json!({"channels": &channels[..1_000], "events": names}))["status"], "subscribed");
    }
    let grown = resident_bytes(&daemon).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes more");
    daemon.run(&["event", "publish", "1:x", "n1"]).good();
    assert!(clients.iter_mut().all(|client| client.next()["event"] == "n1"));
}

/// How often the token is guessed over HTTP; `CLAUDE_COMMS_GUESSES`, for those who have the time for a million.
fn guesses() -> u64 {
    const GUESSES: u64 = 10_000;
    std::env::var("CLAUDE_COMMS_GUESSES").ok().and_then(|text| text.parse().ok()).unwrap_or(GUESSES)
}

#[test]
fn tokens_are_not_found_by_guessing() {
    const AT_A_TIME: u64 = 1_000;
    let (_daemon, address) = start("");
    for first in (0..guesses()).step_by(AT_A_TIME as usize) {
        let guess = |number: u64| {
            format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {number:064x}\r\n\r\n")
        };
        let mut stream = TcpStream::connect(&address).unwrap();
        let requests: String = (first..first + AT_A_TIME).map(guess).collect();
        let writer = stream.try_clone().unwrap();
        let writing = Joined::spawn("guesses", move || {
            (&writer).write_all(requests.as_bytes()).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert_eq!(text.matches("HTTP/1.1 401 ").count() as u64, AT_A_TIME);
        assert_eq!(text.matches("HTTP/1.1 ").count() as u64, AT_A_TIME);
        drop(writing);
    }
    for _ in 0..20 {
        let mut client = Client::connect(&address);
        for guess in 0..5 {
            client.send(&json!({"type": "request", "event": "auth", "data": {"token": guess.to_string()}}));
        }
        let ends: Vec<Value> = (0..5).map(|_| client.next()).collect();
        assert!(ends[..4].iter().all(|end| end["error_code"] == "AUTH_FAILED"), "{ends:?}");
        assert_eq!(ends[4]["closed"], u16::from(CloseCode::Policy));
    }
    check_others(&address);
}

#[test]
fn there_are_as_many_connections_as_there_may_be() {
    let (daemon, address) = start("");
    let mut inside: Vec<Client> = (0..1_000).map(|_| Client::connect(&address)).collect();
    let mut outside: Vec<Client> = (0..50).map(|_| Client::dial(&address)).collect();
    assert!(outside.iter_mut().all(|client| client.next()["closed"] == u16::from(CloseCode::Again)));
    check_others(&address);
    assert!((metric(&address, "claude_comms_ws_connections ") - 1_000.0).abs() < 0.5);
    // Those who were turned away, and have not gone yet, take nobody's place.
    drop(inside.pop());
    wait_until("a place", || Client::dial(&address).next()["event"] == "session.created");
    inside[0].subscribe(json!({"channel": "notes:mine"}));
    daemon.run(&["event", "publish", "notes:mine", "note.taken"]).good();
    assert_eq!(inside[0].next()["event"], "note.taken");
}

#[test]
fn who_only_talks_is_not_listened_to_for_ever() {
    let (daemon, address) = start("");
    let before = resident_bytes(&daemon);
    let question = json!({"type": "request", "event": "get_pool_status", "data": {"pool_id": "p".repeat(60_000)}});
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        client.socket.get_mut().set_write_timeout(Some(Duration::from_millis(200))).unwrap();
        while client.socket.send(Message::text(question.to_string())).is_ok() {}
    }
    let grown = resident_bytes(&daemon).saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more");
    check_others(&address);
}

#[test]
fn who_hangs_up_half_is_gone() {
    let (_daemon, address) = start("");
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        client.subscribe(json!({"channel": "*"}));
        client.socket.get_mut().shutdown(Shutdown::Write).unwrap();
    }
    wait_until("their end", || metric(&address, "claude_comms_ws_connections ") < 0.5);
}

#[test]
fn without_file_descriptors_those_inside_are_served_and_the_others_later() {
    let (daemon, address) = start("");
    let mut client = Client::connect(&address);
    client.subscribe(json!({"channel": "notes:mine", "max_rate_hz": 0}));
    let mut control = daemon.connect();
    let publish = |number: u64| {
        let data = json!({"number": number});
        Request::EventPublish(EventPublish {
            channel: "notes:mine".into(),
            event: "note.taken".into(),
            data: Some(data),
            ..EventPublish::default()
        })
    };
    let _: Value = control.call(&publish(0)).unwrap();
    assert_eq!(client.next()["data"]["number"], 0);
    let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count() as u64;
    let limit = Rlimit { current: Some(open + 10), ..getrlimit(Resource::Nofile) };
    let old = prlimit(Some(pid_of(daemon.pid())), Resource::Nofile, limit).unwrap();
    let mut others: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(&address).unwrap()).collect();
    wait_until("a complaint", || daemon.log().contains("no connection can be let in for now"));
    for number in 1..20 {
        let _: Value = control.call(&publish(number)).unwrap();
        assert_eq!(client.next()["data"]["number"], number);
    }
    // Fewer remain than there are descriptors: nobody has to wait until those who say nothing are put out.
    others.drain(..45);
    check_others(&address);
    prlimit(Some(pid_of(daemon.pid())), Resource::Nofile, old).unwrap();
    assert!(daemon.log().matches("no connection can be let in for now").count() < 5, "{}", daemon.log());
}

#[test]
fn a_stop_takes_leave_of_five_hundred_at_once() {
    let (mut daemon, address) = start("");
    let mut clients: Vec<Client> = (0..500).map(|_| Client::connect(&address)).collect();
    for client in &mut clients {
        client.subscribe(json!({"channel": "*"}));
    }
    let clock = SystemClock::new();
    let start = clock.tick();
    daemon.stop();
    let took = clock.tick().since(start);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(clients.iter_mut().all(|client| client.next()["closed"] == u16::from(CloseCode::Away)));
}
