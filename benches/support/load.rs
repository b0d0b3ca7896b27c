//! Tasks under way: pools of several kinds, and clients that submit to them and see when the tasks are done.

use super::Daemon;
use claude_comms::control::wire::{EventFollow, PoolCreate, Request};
use claude_comms::control::{Client, Followed};
use serde_json::Value;
use std::time::{Duration, Instant};

/// For anything that should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const PROMPT: &str = "0123456789abcdef0123456789abcdef";
const QUEUE_MAX: usize = 1_000_000;

/// A pool whose tasks answer with the prompt.
pub(crate) fn echo_pool(daemon: &Daemon, id: &str) {
    create(daemon, PoolCreate { pool_id: Some(id.into()), executor: Some("echo".into()), ..room_for(QUEUE_MAX) });
}

/// A pool whose tasks are processes.
pub(crate) fn command_pool(daemon: &Daemon, id: &str, command: &[&str], queue_max: usize) {
    let command = Some(command.iter().map(|&word| word.to_owned()).collect());
    create(daemon, PoolCreate { pool_id: Some(id.into()), command, dir: Some("/".into()), ..room_for(queue_max) });
}

fn room_for(queue_max: usize) -> PoolCreate {
    PoolCreate { queue_max: Some(queue_max), ..PoolCreate::default() }
}

fn create(daemon: &Daemon, pool: PoolCreate) {
    daemon.client().call::<Value>(&Request::PoolCreate(pool)).unwrap();
}

/// So many requests to submit a task, as lines.
pub(crate) fn submits(pool: &str, count: usize) -> String {
    let args = format!(r#"{{"pool_id":"{pool}","prompt":"{PROMPT}"}}"#);
    format!("{{\"v\":1,\"id\":1,\"command\":\"task.submit\",\"args\":{args}}}\n").repeat(count)
}

/// A connection that is told of the ends of a pool's tasks.
pub(crate) fn follower(daemon: &Daemon, pool: &str) -> Client {
    let mut client = daemon.client();
    let (channels, events) = (vec![format!("pool:{pool}")], vec!["task.completed".into()]);
    client.follow(EventFollow { channels, events, ..EventFollow::default() }).unwrap();
    client
}

/// Tasks per second, from the first submit to the last task.completed; one client has `in_flight` that are not done.
pub(crate) fn throughput(daemon: &Daemon, pool: &str, tasks: usize, in_flight: usize) -> f64 {
    let mut client = follower(daemon, pool);
    let start = Instant::now();
    client.send_lines(submits(pool, in_flight).as_bytes()).unwrap();
    let (mut sent, mut done, mut owed) = (in_flight, 0, 0);
    while done < tasks {
        match client.receive(Some(PATIENCE)).unwrap() {
            Followed::Frame(_) => {
                done += 1;
                owed += usize::from(sent + owed < tasks);
            }
            Followed::Answer { result, .. } => drop(result.unwrap()),
        }
        if owed > 0 && !client.has_received() {
            client.send_lines(submits(pool, owed).as_bytes()).unwrap();
            sent += owed;
            owed = 0;
        }
    }
    tasks as f64 / start.elapsed().as_secs_f64()
}

/// Tasks per second of `producers` clients together, each of which submits `tasks`, the next one when the last is
/// acknowledged.
pub(crate) fn producers(daemon: &Daemon, pool: &str, producers: usize, tasks: usize) -> f64 {
    let mut clients: Vec<_> = (0..producers).map(|_| daemon.client()).collect();
    let mut follower = follower(daemon, pool);
    let line = submits(pool, 1);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| {
                for _ in 0..tasks {
                    client.send_lines(line.as_bytes()).unwrap();
                    acknowledged(client);
                }
            });
        }
        ended(&mut follower, producers * tasks);
    });
    (producers * tasks) as f64 / start.elapsed().as_secs_f64()
}

/// Times of one task after the other, from submit to task.completed, in microseconds.
pub(crate) fn one_at_a_time(daemon: &Daemon, pool: &str, count: usize) -> Vec<f64> {
    let mut client = follower(daemon, pool);
    (0..count).map(|_| together(&mut client, pool, 1)).collect()
}

/// Time from the submit of so many tasks at once until all are completed, in microseconds. Takes a [`follower`].
pub(crate) fn together(client: &mut Client, pool: &str, count: usize) -> f64 {
    let start = Instant::now();
    client.send_lines(submits(pool, count).as_bytes()).unwrap();
    ended(client, count);
    start.elapsed().as_secs_f64() * 1e6
}

/// Waits for the ends of so many tasks. Takes a [`follower`].
pub(crate) fn ended(client: &mut Client, count: usize) {
    let mut ended = 0;
    while ended < count {
        match client.receive(Some(PATIENCE)).unwrap() {
            Followed::Frame(_) => ended += 1,
            Followed::Answer { result, .. } => drop(result.unwrap()),
        }
    }
}

/// Waits for an answer that is no refusal.
pub(crate) fn acknowledged(client: &mut Client) -> Box<serde_json::value::RawValue> {
    match client.receive(Some(PATIENCE)).unwrap() {
        Followed::Answer { result, .. } => result.unwrap(),
        Followed::Frame(frame) => panic!("nobody asked for {frame}"),
    }
}
