//! A monitor in lines: what a person reads, and what a program does.

use super::server::{EPOCH, LIMIT, Server};
use crate::clock::{Clock, SystemClock};
use crate::monitor::address::Address;
use crate::monitor::glyphs::Glyphs;
use crate::monitor::settings::{Look, Settings};
use crate::monitor::{MonitorError, Sink, run_lines};
use crate::service::Signal;
use crate::thread::Joined;
use crossbeam_channel::{Receiver, Sender, bounded};
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;

/// Hands on what is printed; talk begins with `-- `.
struct Told {
    lines: Sender<String>,
    json: bool,
    is_read: bool,
}

impl Sink for Told {
    fn line(&mut self, line: &str) -> io::Result<()> {
        let _ = self.lines.send(line.to_owned());
        Ok(())
    }

    fn json(&mut self, value: &Value) -> io::Result<()> {
        self.line(&value.to_string())
    }

    fn say(&mut self, sentence: &str) {
        let _ = self.lines.send(format!("-- {sentence}"));
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_read { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn is_json(&self) -> bool {
        self.json
    }
}

struct Printing {
    lines: Receiver<String>,
    signals: Sender<Signal>,
    running: Joined<Result<(), MonitorError>>,
}

impl Printing {
    fn start(server: &Server, json: bool, glyphs: Glyphs) -> Printing {
        let look = Look { glyphs, has_colour: false };
        let settings = Settings::pool("local".to_owned(), Address::new("127.0.0.1", server.port()), look);
        let (told, lines) = bounded(64);
        let (signals, signalled) = bounded(1);
        let running = Joined::spawn("printing", move || {
            let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
            run_lines(&settings, &clock, &signalled, &mut Told { lines: told, json, is_read: true })
        });
        Printing { lines, signals, running: running.unwrap() }
    }

    #[track_caller]
    fn line(&self) -> String {
        self.lines.recv_timeout(LIMIT).unwrap()
    }

    #[track_caller]
    fn json(&self) -> Value {
        let mut value: Value = serde_json::from_str(&self.line()).unwrap();
        value.as_object_mut().unwrap().remove("at");
        value
    }

    fn stop(self) -> Option<Result<(), MonitorError>> {
        self.signals.send(Signal::Stop).unwrap();
        self.running.join()
    }
}

fn pool() -> Value {
    json!({"pool_id": "local", "status": "running", "worker_count": 3, "active_workers": 1, "queue_size": 2,
        "tasks_completed": 5, "tasks_failed": 0})
}

#[test]
fn a_person_reads_lines_and_hears_of_the_connection() {
    let server = Server::bind();
    let printing = Printing::start(&server, false, Glyphs::Unicode);
    let mut peer = server.serve(0, &pool());
    assert_eq!(printing.line(), "-- pool: connected");
    let status = printing.line();
    let (_, rest) = status.split_once(" UTC  ").unwrap();
    assert_eq!(rest, "● pool  local, running, 3 workers, 1 busy, 2 queued, 5 completed, 0 failed");
    let failed =
        json!({"task_id": "t-1\u{1b}[2J", "worker_id": "local-worker-0", "error": "ti\nme", "severity": "error"});
    peer.event(Some(1), "task.failed", "pool:local", failed);
    assert_eq!(
        printing.line(),
        "2026-11-03 10:20:30 UTC  ✖ pool  task.failed  pool:local  t-1\\u{1b}[2J by worker-0, ti\\nme"
    );
    peer.send_text("junk");
    assert_eq!(printing.line(), "-- pool: the server sent something that is no frame");
    peer.cut();
    assert!(printing.line().starts_with("-- pool: it closed the connection; attempt 2 in 0."));
    let mut peer = server.serve(1, &pool());
    while !printing.line().contains("connected again") {}
    let stopping = Joined::spawn("peer", move || peer.hear_close());
    assert!(matches!(printing.stop(), Some(Ok(()))));
    assert_eq!(stopping.unwrap().join(), Some(1000));
}

#[test]
fn a_terminal_without_unicode_gets_none() {
    let server = Server::bind();
    let printing = Printing::start(&server, false, Glyphs::Ascii);
    let mut peer = server.serve(0, &pool());
    printing.line();
    assert!(printing.line().contains(" UTC  o pool  local"));
    peer.event(None, "x", "pool:grün", json!({"a": "ü"}));
    assert_eq!(printing.line(), "2026-11-03 10:20:30 UTC  o pool  x  pool:gr?n  a=?");
    drop(peer);
    assert!(matches!(printing.stop(), Some(Ok(()))));
}

#[test]
fn a_program_reads_one_object_a_line() {
    let server = Server::bind();
    let printing = Printing::start(&server, true, Glyphs::Unicode);
    let mut peer = server.accept();
    peer.welcome(EPOCH, 0);
    peer.take_subscription(0, true);
    peer.answer_status(&json!({"pool_id": "local", "status": "not_found", "known": ["other"]}));
    peer.event(Some(4), "task.assigned", "pool:local", json!({"task_id": "t"}));
    peer.answer_status(&pool());
    let about = |kind: &str, rest: Value| {
        let mut all = json!({"panel": "pool", "kind": kind});
        all.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        all
    };
    assert_eq!(printing.json(), about("connection", json!({"state": "connecting", "attempt": 1})));
    assert_eq!(printing.json(), about("connection", json!({"state": "connected", "complete": true})));
    assert_eq!(printing.json(), about("unknown", json!({"known": ["other"]})));
    let event = json!({"event": "task.assigned", "room": "pool:local", "seq": 4,
        "timestamp": "2026-11-03T10:20:30.123456+00:00", "data": {"task_id": "t"}});
    assert_eq!(printing.json(), about("event", event));
    assert_eq!(printing.json(), about("status", json!({ "data": pool() })));
    peer.close(1001, "{\"retry_after_ms\":5000}");
    let lost = printing.json();
    assert_eq!((&lost["state"], &lost["attempt"]), (&json!("lost"), &json!(2)));
    assert_eq!(lost["reason"], "it closed the connection (1001 {\"retry_after_ms\":5000})");
    assert_eq!(lost["retry_after_ms"], 5000);
    assert!(matches!(printing.stop(), Some(Ok(()))));
}

#[test]
fn it_ends_when_nobody_reads() {
    let server = Server::bind();
    let look = Look { glyphs: Glyphs::Unicode, has_colour: false };
    let settings = Settings::pool("local".to_owned(), Address::new("127.0.0.1", server.port()), look);
    let (_signals, signalled) = bounded(1);
    let (lines, _told) = bounded(64);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let ended = run_lines(&settings, &clock, &signalled, &mut Told { lines, json: false, is_read: false });
    assert!(matches!(ended, Err(MonitorError::Output(_))));
}
