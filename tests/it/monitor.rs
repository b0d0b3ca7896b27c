//! `monitor`: the built binary against servers that do as the test says.

use std::fs;
use std::time::Duration;

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{Daemon, LIMIT, Running, ends_within, pid_of, wait_until};

#[path = "../../src/monitor/tests/server.rs"]
#[allow(dead_code, reason = "the tests of the room use all of it")]
mod server;

#[path = "../../src/monitor/tests/pty.rs"]
#[allow(dead_code, reason = "the tests of the room use all of it")]
pub(crate) mod pty;

use pty::Pty;
use server::{EPOCH, Peer, Server};

fn url(server: &Server) -> String {
    format!("ws://127.0.0.1:{}", server.port())
}

fn pool() -> Value {
    json!({"pool_id": "local", "worker_count": 3, "queue_size": 0, "status": "running", "active_workers": 0,
        "idle_workers": 3, "tasks_completed": 1, "tasks_failed": 0,
        "workers": [{"worker_id": "local-worker-0", "status": "idle"}]})
}

/// Ends it as a terminal's Ctrl-C would, with TERM: whoever starts the tests in the background has INT ignored.
#[track_caller]
fn leaves_with_1000(running: Running, peers: &mut [Peer]) -> String {
    running.signal(Signal::TERM);
    for peer in peers {
        assert_eq!(peer.hear_close(), 1000);
    }
    running.wait().good()
}

#[test]
fn a_pool_is_watched_in_lines_through_the_loss_of_its_server() {
    let daemon = Daemon::none();
    let server = Server::bind();
    let mut running = daemon.spawn(&["monitor", "pool", "local", "--url", &url(&server)]);
    let mut peer = server.serve(4, &pool());
    let task = json!({"pool_id": "local", "worker_id": "local-worker-0", "task_id": "t-1"});
    peer.event(Some(5), "task.assigned", "pool:local", task.clone());
    running.wait_for_output("task.assigned  pool:local  t-1 to worker-0");
    let port = server.port();
    peer.cut();
    drop(server);

    let server = Server::at(port);
    let mut peer = server.accept();
    peer.welcome(EPOCH, 6);
    assert_eq!(peer.take_subscription(6, true)["since"], json!({"epoch": EPOCH, "seq": 5}));
    peer.answer_status(&pool());
    peer.event(Some(6), "task.completed", "pool:local", task);
    running.wait_for_output("task.completed");
    let printed = leaves_with_1000(running, &mut [peer]);
    assert_eq!(printed.matches("task.assigned").count(), 1, "{printed}");
}

#[test]
fn a_workflow_is_watched_with_a_token_out_of_a_file() {
    let daemon = Daemon::none();
    let server = Server::bind();
    fs::write(daemon.path("token"), "s3cret\n").unwrap();
    let port = server.port().to_string();
    let token = daemon.path("token");
    let mut running = daemon.spawn(&["monitor", "workflow", "w1", "--port", &port, "--token-file", &token, "--json"]);
    let mut peer = server.accept();
    let auth = peer.hear();
    assert_eq!((&auth["event"], &auth["data"]["token"]), (&json!("auth"), &json!("s3cret")));
    peer.answer(&auth, json!({"status": "authenticated"}));
    peer.welcome(EPOCH, 0);
    assert_eq!(peer.take_subscription(0, true)["channel"], "workflow:w1");
    peer.answer_status(&json!({"workflow_id": "w1", "status": "not_found"}));
    running.wait_for_output("\"kind\":\"unknown\"");
    let printed = leaves_with_1000(running, &mut [peer]);
    for line in printed.lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        assert_eq!(object["panel"], "workflow", "{line}");
    }
}

#[test]
fn a_dashboard_has_a_connection_for_each_panel() {
    let daemon = Daemon::none();
    let servers = [Server::bind(), Server::bind(), Server::bind()];
    let more = format!("more={}/x#alerts", url(&servers[2]));
    let (first, akosha) = (url(&servers[0]), servers[1].port().to_string());
    let mut running = daemon.spawn(
        &[
            &["monitor", "dashboard", "--url", &first, "--akosha-port", &akosha, "--service", &more][..],
            &["--service", "pool=none"],
        ]
        .concat(),
    );
    let mut peers = Vec::new();
    for (server, channel) in servers.iter().zip(["global", "insights", "alerts"]) {
        let mut peer = server.accept();
        peer.welcome(EPOCH, 0);
        assert_eq!(peer.take_subscription(0, true)["channel"], channel);
        peer.event(Some(1), "x", channel, json!({}));
        running.wait_for_output(&format!("x  {channel}"));
        peers.push(peer);
    }
    let printed = leaves_with_1000(running, &mut peers);
    let words: Vec<&str> = printed.lines().filter_map(|line| line.split_whitespace().nth(4)).collect();
    assert_eq!(words, ["Mahavishnu", "Akosha", "more"], "{printed}");
}

#[test]
fn a_screen_is_shown_redrawn_and_left_with_a_key() {
    let daemon = Daemon::none();
    let server = Server::bind();
    let mut pty = Pty::open(80, 24);
    let mut child = pty.spawn(&mut daemon.command(&["monitor", "pool", "local", "--url", &url(&server)]));
    let mut peer = server.serve(0, &pool());
    pty.wait_for("running");
    assert!(pty.is_raw() && pty.has("\x1b[?1049h") && pty.has("38;5;2"));
    // Whatever was drawn last is there now.
    while pty.read_for(Duration::from_millis(300)) {}
    pty.bytes.clear();
    pty.read_for(Duration::from_secs(5));
    assert!(pty.bytes.len() < 500, "{} bytes in 5 s", pty.bytes.len());

    pty.resize(100, 30);
    kill_process(pid_of(child.id()), Signal::WINCH).unwrap();
    pty.wait_for("\x1b[30;1H");
    pty.press("?");
    pty.wait_for("q, Ctrl-C");
    pty.press("\x1b");
    pty.bytes.clear();
    peer.event(Some(1), "pool.status_changed", "pool:local", json!({"status": "paused"}));
    pty.wait_for("paused");
    pty.press("q");
    assert_eq!(peer.hear_close(), 1000);
    assert_eq!(pty.wait(&mut child), Some(0));
    assert!(pty.is_restored());
    assert!(!pty.has("Failed to"), "{}", String::from_utf8_lossy(&pty.bytes));
}

#[test]
fn a_screen_is_left_by_a_signal_and_by_control_c() {
    let daemon = Daemon::none();
    for way in ["TERM", "INT", "HUP", "\x03"] {
        let server = Server::bind();
        let mut pty = Pty::open(40, 10);
        let mut child = pty.spawn(&mut daemon.command(&["monitor", "pool", "local", "--url", &url(&server)]));
        let mut peer = server.serve(0, &pool());
        pty.wait_for("running");
        let pid = pid_of(child.id());
        match way {
            "TERM" => kill_process(pid, Signal::TERM).unwrap(),
            "INT" => kill_process(pid, Signal::INT).unwrap(),
            "HUP" => kill_process(pid, Signal::HUP).unwrap(),
            key => pty.press(key),
        }
        assert_eq!(peer.hear_close(), 1000, "{way}");
        assert_eq!(pty.wait(&mut child), Some(0), "{way}");
        assert!(pty.is_restored(), "{way}");
    }
}

#[test]
fn a_daemon_that_is_down_is_looked_for_where_it_is_configured_at_each_attempt() {
    let daemon = Daemon::none();
    let [first, second] = [Server::bind(), Server::bind()];
    let configure =
        |server: &Server| daemon.configure(&format!("[daemon]\nlisten = \"127.0.0.1:{}\"\n", server.port()));
    configure(&first);
    let mut running = daemon.spawn(&["monitor", "pool", "local", "--json"]);
    let peer = first.serve(0, &pool());
    running.wait_for_output("\"running\"");
    configure(&second);
    peer.cut();
    drop(first);
    let peer = second.serve(0, &pool());
    running.wait_for_output(&format!("ws://127.0.0.1:{}", second.port()));
    leaves_with_1000(running, &mut [peer]);
}

/// A screen that was given another size while a key was under way.
fn resized(daemon: &Daemon, server: &Server) -> (Pty, std::process::Child, Peer) {
    let mut pty = Pty::open(80, 24);
    let mut child = pty.spawn(&mut daemon.command(&["monitor", "pool", "local", "--url", &url(server)]));
    let peer = server.serve(0, &pool());
    pty.wait_for("running");
    pty.press("?");
    pty.wait_for("q, Ctrl-C");
    pty.resize(100, 30);
    kill_process(pid_of(child.id()), Signal::WINCH).unwrap();
    pty.wait_for("\x1b[30;1H");
    assert!(child.try_wait().unwrap().is_none());
    (pty, child, peer)
}

#[test]
fn the_first_key_after_a_resize_is_heard() {
    let (daemon, server) = (Daemon::none(), Server::bind());
    let (mut pty, mut child, mut peer) = resized(&daemon, &server);
    pty.press("q");
    assert_eq!(peer.hear_close(), 1000);
    assert_eq!(pty.wait(&mut child), Some(0));
}

#[test]
fn a_terminal_that_goes_away_ends_the_monitor() {
    let daemon = Daemon::none();
    for (key, hangs_up) in [("", false), ("j", false), ("j", true)] {
        let server = Server::bind();
        let (pty, mut child, _peer) = resized(&daemon, &server);
        if !key.is_empty() {
            pty.press(key);
        }
        drop(pty);
        if hangs_up {
            kill_process(pid_of(child.id()), Signal::HUP).unwrap();
        }
        let ended = ends_within(child.id(), Duration::from_secs(10));
        let _ = child.kill();
        let code = child.wait().unwrap().code();
        assert!(ended && matches!(code, Some(0 | 1)), "{key:?} {hangs_up}: {code:?}");
    }
}

#[test]
fn a_terminal_that_takes_nothing_holds_nobody() {
    let daemon = Daemon::none();
    let server = Server::bind();
    let pty = Pty::open(200, 60);
    let mut child = pty.spawn(&mut daemon.command(&["monitor", "pool", "local", "--url", &url(&server)]));
    let mut peer = server.serve(0, &pool());
    let mut seq = 0;
    wait_until("more than fits between it and a reader that never reads", || {
        seq += 1;
        peer.event(Some(seq), "x", "pool:local", json!({ "text": seq.to_string().repeat(30) }));
        pty.is_full()
    });
    kill_process(pid_of(child.id()), Signal::TERM).unwrap();
    assert_eq!(peer.hear_close(), 1000);
    assert!(ends_within(child.id(), LIMIT));
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn one_picture_is_printed_for_scripts() {
    let daemon = Daemon::none();
    let server = Server::bind();
    let once = |more: &[&str]| {
        let url = url(&server);
        let words = [&["monitor", "pool", "local", "--once", "--url", &url][..], more].concat();
        daemon.spawn(&words)
    };
    let running = once(&[]);
    let mut peer = server.serve(0, &pool());
    assert_eq!(peer.hear_close(), 1000);
    let picture = running.wait().good();
    assert!(picture.contains(" Pool ──") && picture.contains("● idle     worker-0"), "{picture}");
    assert!(!picture.contains("q quit") && picture.lines().all(|line| line.chars().count() <= 80), "{picture}");

    let running = once(&["--json"]);
    let mut peer = server.serve(0, &pool());
    assert_eq!(peer.hear_close(), 1000);
    let document = running.wait().json();
    let panel = &document["panels"][0];
    assert_eq!((&panel["connection"], &panel["status"]), (&json!("live"), &pool()));

    let running = once(&[]);
    let mut peer = server.serve(0, &json!({"pool_id": "local", "status": "not_found", "known": ["other"]}));
    assert_eq!(peer.hear_close(), 1000);
    let ran = running.wait();
    assert!(ran.code == 5 && ran.stdout.contains("those that it knows: other\n"), "{ran:?}");
    assert!(!ran.stdout.contains("waited for"), "{ran:?}");

    // What no event tells: nothing is given to its workers, and nothing can be written.
    let running = once(&[]);
    let mut odd = pool();
    (odd["held"], odd["degraded"]) = (json!(true), json!("the disk is full"));
    let mut peer = server.serve(0, &odd);
    assert_eq!(peer.hear_close(), 1000);
    let picture = running.wait().good();
    assert!(picture.contains("held, too much has failed"), "{picture}");
    assert!(picture.contains("the daemon cannot write: the disk is full"), "{picture}");

    // One that waits for a token says nothing by itself.
    let running = once(&[]);
    let _peer = server.accept();
    assert!(running.wait().bad(4).contains("give it with --token-file FILE or CLAUDE_COMMS_TOKEN"));

    // It is somebody, but no server of ours.
    let running = once(&[]);
    let mut bare = server.accept_bare();
    std::io::Write::write_all(&mut bare, b"HTTP/1.1 404 Not Found\r\n\r\n").unwrap();
    let said = running.wait().bad(4);
    assert!(said.contains("HTTP status 404"), "{said}");
}

#[test]
fn what_cannot_be_watched_is_refused_at_once() {
    let daemon = Daemon::none();
    for (arguments, expected) in [
        (&["--url", "wss://h:1"][..], "wss:// is not supported"),
        (&["--url", "http://h:1"], "one is like ws://127.0.0.1:8690"),
        (&["--url", "ws://h:1#x"], "leave out what stands behind the #"),
        (&["--port", "0"], "ws://127.0.0.1:0"),
        (&["--token-file", "/none"], "--token-file /none"),
    ] {
        let said = daemon.run(&[&["monitor", "pool", "local"][..], arguments].concat()).bad(2);
        assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
    }
    assert!(daemon.run(&["monitor", "pool", ""]).bad(2).contains("ID is empty"));
    let said = daemon.run(&["monitor", "dashboard", "--service", "x=wss://h"]).bad(2);
    assert!(said.contains("wss:// is not supported"), "{said}");
}
