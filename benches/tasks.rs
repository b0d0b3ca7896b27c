//! Tasks from submit to done, beside beanstalkd with a sync per command.
//!
//! One producer keeps 64 tasks in flight; every acknowledgement comes after a sync. `cargo bench --bench tasks`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use claude_comms::control::Followed;
use claude_comms::control::wire::{EventFollow, PoolCreate, Request, TaskSubmit};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{Daemon, Runs, is_installed, runs, scratch, verdict};

const TASKS: usize = 10_000;
const IN_FLIGHT: usize = 64;
const SINGLE: usize = 500;

fn main() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let pool = PoolCreate { pool_id: Some("echo".into()), executor: Some("echo".into()), ..PoolCreate::default() };
    client.call::<serde_json::Value>(&Request::PoolCreate(pool)).unwrap();

    let peer = is_installed("beanstalkd");
    if !peer {
        println!("skipped: beanstalkd is not installed (Debian package beanstalkd); only our own figures follow");
    }
    let (mut ours, mut synced, mut lazy) = (Runs::default(), Runs::default(), Runs::default());
    let (mut one, mut one_peer, mut floor) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        ours.push(throughput(&daemon));
        one.push(single(&daemon));
        floor.push(spawn_and_append());
        if peer {
            let beanstalkd = Beanstalkd::start("-f0");
            synced.push(beanstalkd.throughput());
            one_peer.push(beanstalkd.single());
            drop(beanstalkd);
            lazy.push(Beanstalkd::start("-f50").throughput());
        }
    }
    println!("\n{TASKS} tasks, {IN_FLIGHT} in flight, one producer, three workers (median, least … most)");
    println!("claude-comms, echo executor   {}", ours.show("tasks/s"));
    if peer {
        println!("beanstalkd -f0                {}", synced.show("tasks/s"));
        println!("beanstalkd -f50 (may lose)    {}", lazy.show("tasks/s"));
        verdict("submit to done, beside beanstalkd -f0", ours.median() / synced.median(), 8.0, true);
        verdict("submit to done, beside beanstalkd -f50", ours.median() / lazy.median(), 1.0, true);
    }
    println!("\none at a time, p50");
    println!("claude-comms, echo            {}", one.show("µs"));
    if peer {
        println!("beanstalkd -f0                {}", one_peer.show("µs"));
        verdict("one task at a time, beside beanstalkd -f0", one.median() / one_peer.median(), 1.5, false);
    }

    let pool = PoolCreate {
        pool_id: Some("true".into()),
        command: Some(vec!["true".into()]),
        dir: Some("/".into()),
        ..PoolCreate::default()
    };
    client.call::<serde_json::Value>(&Request::PoolCreate(pool)).unwrap();
    let mut processes = Runs::default();
    for _ in 0..runs() {
        processes.push(single_in(&daemon, "true"));
        floor.push(spawn_and_append());
    }
    println!("\none process `true` at a time, p50");
    println!("claude-comms                  {}", processes.show("µs"));
    println!("posix_spawn + append + sync   {}", floor.show("µs"));
    verdict(
        "one process at a time, beside a bare spawn and a synced append",
        processes.median() / floor.median(),
        1.5,
        false,
    );
}

/// Tasks per second, from the first submit to the last task.completed.
fn throughput(daemon: &Daemon) -> f64 {
    let mut client = daemon.client();
    let follow = EventFollow {
        channels: vec!["pool:echo".into()],
        events: vec!["task.completed".into()],
        ..EventFollow::default()
    };
    client.follow(follow).unwrap();
    let submit = |count: usize| {
        let line = r#"{"v":1,"id":1,"command":"task.submit","args":{"pool_id":"echo","prompt":"0123456789abcdef0123456789abcdef"}}"#;
        format!("{line}\n").repeat(count)
    };
    let start = Instant::now();
    client.send_lines(submit(IN_FLIGHT).as_bytes()).unwrap();
    let (mut sent, mut done, mut owed) = (IN_FLIGHT, 0, 0);
    while done < TASKS {
        match client.receive(Some(Duration::from_secs(30))).unwrap() {
            Followed::Frame(_) => {
                done += 1;
                owed += usize::from(sent + owed < TASKS);
            }
            Followed::Answer { result, .. } => drop(result.unwrap()),
        }
        if owed > 0 && !client.has_received() {
            client.send_lines(submit(owed).as_bytes()).unwrap();
            sent += owed;
            owed = 0;
        }
    }
    TASKS as f64 / start.elapsed().as_secs_f64()
}

fn single(daemon: &Daemon) -> f64 {
    single_in(daemon, "echo")
}

/// Median time from submit to task.completed of one task at a time, in microseconds.
fn single_in(daemon: &Daemon, pool: &str) -> f64 {
    let mut client = daemon.client();
    let follow = EventFollow {
        channels: vec![format!("pool:{pool}")],
        events: vec!["task.completed".into()],
        ..EventFollow::default()
    };
    client.follow(follow).unwrap();
    let mut times = Vec::with_capacity(SINGLE);
    for _ in 0..SINGLE {
        let start = Instant::now();
        let submit = TaskSubmit { pool_id: Some(pool.into()), prompt: "x".into(), ..TaskSubmit::default() };
        client.send(&Request::TaskSubmit(submit)).unwrap();
        while !matches!(client.receive(Some(Duration::from_secs(30))).unwrap(), Followed::Frame(_)) {}
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    support::quantile(&times, 0.5)
}

/// The least that a durable process costs on this machine, in microseconds.
fn spawn_and_append() -> f64 {
    let dir = scratch();
    let mut file = std::fs::File::create(dir.path().join("log")).unwrap();
    let mut times = Vec::with_capacity(SINGLE);
    for _ in 0..SINGLE {
        let start = Instant::now();
        let status = Command::new("true").stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        file.write_all(format!("{status}\n").as_bytes()).unwrap();
        file.sync_data().unwrap();
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    support::quantile(&times, 0.5)
}

struct Beanstalkd {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Beanstalkd {
    fn start(sync: &str) -> Beanstalkd {
        let dir = scratch();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("beanstalkd")
            .args(["-l", "127.0.0.1", "-p", &port.to_string(), "-b", dir.path().to_str().unwrap(), sync])
            .spawn()
            .unwrap();
        let peer = Beanstalkd { child, port, _dir: dir };
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "beanstalkd does not answer");
            std::thread::sleep(Duration::from_millis(5));
        }
        peer
    }

    fn connect(&self) -> Connection {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Connection { reader: BufReader::new(stream.try_clone().unwrap()), stream, line: String::new() }
    }

    fn throughput(&self) -> f64 {
        let deleted = AtomicUsize::new(0);
        let (free, slots) = std::sync::mpsc::sync_channel(IN_FLIGHT);
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let (deleted, free) = (&deleted, free.clone());
                scope.spawn(move || {
                    let mut connection = self.connect();
                    while deleted.fetch_add(1, Ordering::Relaxed) < TASKS {
                        connection.take_one();
                        let _ = free.try_send(());
                    }
                });
            }
            let mut producer = self.connect();
            let mut writer = producer.stream.try_clone().unwrap();
            scope.spawn(move || {
                for sent in 0..TASKS {
                    if sent >= IN_FLIGHT {
                        slots.recv().unwrap();
                    }
                    writer.write_all(b"put 0 0 60 32\r\n0123456789abcdef0123456789abcdef\r\n").unwrap();
                }
            });
            for _ in 0..TASKS {
                assert!(producer.read().starts_with("INSERTED"));
            }
        });
        TASKS as f64 / start.elapsed().as_secs_f64()
    }

    fn single(&self) -> f64 {
        let mut connection = self.connect();
        let mut times = Vec::with_capacity(SINGLE);
        for _ in 0..SINGLE {
            let start = Instant::now();
            connection.stream.write_all(b"put 0 0 60 1\r\nx\r\n").unwrap();
            assert!(connection.read().starts_with("INSERTED"));
            connection.take_one();
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        support::quantile(&times, 0.5)
    }
}

impl Drop for Beanstalkd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Connection {
    reader: BufReader<TcpStream>,
    stream: TcpStream,
    line: String,
}

impl Connection {
    fn read(&mut self) -> &str {
        self.line.clear();
        self.reader.read_line(&mut self.line).unwrap();
        &self.line
    }

    /// Reserves a job and deletes it.
    fn take_one(&mut self) {
        self.stream.write_all(b"reserve\r\n").unwrap();
        let id = self.read().split_whitespace().nth(1).unwrap().to_owned();
        self.read();
        self.stream.write_all(format!("delete {id}\r\n").as_bytes()).unwrap();
        assert!(self.read().starts_with("DELETED"));
    }
}
