//! Eight clients that insert messages over the socket, beside eight programs that write to a database of their own.
//!
//! Every row is acknowledged after a sync. The peers share one file of the same two tables, without our triggers and
//! indexes, and wait for each other with `busy_timeout`. `cargo bench --bench messages`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use claude_comms::control::Followed;
use claude_comms::control::wire::{MessageSend, Request, Sent};
use rusqlite::{Connection, TransactionBehavior};
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Daemon, Runs, runs, scratch, tell_load, verdict};

const CLIENTS: usize = 8;
const IN_FLIGHT: usize = 64;
/// Rows of one client in one run.
const ROWS_ONE_BY_ONE: usize = 500;
const ROWS_PIPELINED: usize = 4_000;
const ROWS_OF_PEER: usize = 100;
const CONTENT: &str = "Which port does the staging server listen on, and who may open it from outside?";

fn main() {
    tell_load();
    let daemon = Daemon::start();
    let thread = new_thread(&daemon);
    let (mut one_by_one, mut pipelined, mut peers) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        one_by_one.push(ours(&daemon, &thread, 1, ROWS_ONE_BY_ONE));
        pipelined.push(ours(&daemon, &thread, IN_FLIGHT, ROWS_PIPELINED));
        peers.push(own_connections());
    }
    println!("\nmessages inserted by {CLIENTS} clients (median, least … most)");
    println!("over the socket, 1 in flight  {}", one_by_one.show("rows/s"));
    println!("over the socket, {IN_FLIGHT} in flight {}", pipelined.show("rows/s"));
    println!("{CLIENTS} connections of their own    {}", peers.show("rows/s"));
    let beside = format!("beside {CLIENTS} connections of their own");
    verdict(&format!("messages, one in flight each, {beside}"), one_by_one.median() / peers.median(), 10.0, true);
    verdict(
        &format!("messages, {IN_FLIGHT} in flight each, {beside}"),
        pipelined.median() / peers.median(),
        10.0,
        true,
    );
}

/// Rows per second that all clients together get acknowledged.
fn ours(daemon: &Daemon, thread: &str, in_flight: usize, rows: usize) -> f64 {
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| daemon.client()).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(move || {
                let (mut sent, mut acknowledged) = (0, 0);
                while acknowledged < rows {
                    // Refilled once half of them have come back, as any sensible client would.
                    if sent - acknowledged <= in_flight / 2 {
                        let count = (in_flight - (sent - acknowledged)).min(rows - sent);
                        client.send_lines(lines(thread, count).as_bytes()).unwrap();
                        sent += count;
                    }
                    match client.receive(Some(Duration::from_secs(30))).unwrap() {
                        Followed::Answer { result, .. } => drop(result.unwrap()),
                        Followed::Frame(frame) => panic!("nobody asked for {frame}"),
                    }
                    acknowledged += 1;
                }
            });
        }
    });
    (CLIENTS * rows) as f64 / start.elapsed().as_secs_f64()
}

fn lines(thread: &str, count: usize) -> String {
    let args = format!(r#"{{"from":"/tmp","to":"/usr","thread":"{thread}","content":"{CONTENT}"}}"#);
    format!("{{\"v\":1,\"id\":1,\"command\":\"message.send\",\"args\":{args}}}\n").repeat(count)
}

fn new_thread(daemon: &Daemon) -> String {
    let send = MessageSend { from: "/tmp".into(), to: "/usr".into(), content: "x".into(), ..Default::default() };
    daemon.client().call::<Sent>(&Request::MessageSend(send)).unwrap().thread_id
}

/// Rows per second that all connections together commit.
fn own_connections() -> f64 {
    let dir = scratch();
    let file = dir.path().join("messages.db");
    connection(&file)
        .execute_batch(
            "CREATE TABLE threads(thread_id TEXT PRIMARY KEY, title TEXT, modules TEXT, metadata TEXT, created_at REAL);
             CREATE TABLE messages(
               message_id TEXT PRIMARY KEY, thread_id TEXT NOT NULL REFERENCES threads(thread_id) ON DELETE CASCADE,
               module TEXT NOT NULL, content TEXT NOT NULL, type TEXT NOT NULL, timestamp REAL NOT NULL,
               status TEXT DEFAULT 'complete', metadata TEXT);
             INSERT INTO threads VALUES('t', 'a-b Communication', '[\"/tmp\",\"/usr\"]', '{}', 0);",
        )
        .unwrap();
    let mut connections: Vec<_> = (0..CLIENTS).map(|_| connection(&file)).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for (client, db) in connections.iter_mut().enumerate() {
            scope.spawn(move || {
                for row in 0..ROWS_OF_PEER {
                    let tx = db.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
                    let id = format!("0190-message-{client:08}-{row:08}");
                    let sql = "INSERT INTO messages VALUES(?1, 't', '/tmp', ?2, 'question', ?3, 'pending',
                               '{\"target_module\":\"/usr\"}')";
                    tx.prepare_cached(sql).unwrap().execute((id, CONTENT, 1.5e9)).unwrap();
                    tx.commit().unwrap();
                }
            });
        }
    });
    (CLIENTS * ROWS_OF_PEER) as f64 / start.elapsed().as_secs_f64()
}

fn connection(file: &Path) -> Connection {
    let db = Connection::open(file).unwrap();
    db.busy_timeout(Duration::from_secs(60)).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;").unwrap();
    db
}
