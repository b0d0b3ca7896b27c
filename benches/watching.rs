//! How soon a commit of another program is noticed, and what watching costs.
//!
//! The other program is Python with its own SQLite; both sides read the same monotonic clock, the writer right after
//! its COMMIT has returned. `cargo bench --bench watching`
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use claude_comms::clock::SystemClock;
use claude_comms::control::wire::{self, DaemonStatus, EventFollow, PollAdd, Request, Waited};
use claude_comms::control::{Client, Followed};
use claude_comms::daemon::{Progress, Watcher};
use claude_comms::store::Store;
use rusqlite::Connection;
use rustix::time::{ClockId, clock_gettime};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use support::{Daemon, PROGRAM, Runs, is_installed, quantile, runs, scratch, tell_load, verdict, verdict_at_most};

const PATIENCE: Duration = Duration::from_secs(30);
/// Commits in one run whose way is timed.
const COMMITS: usize = 100;
/// Commits in one run that a process of its own waits for.
const COMMITS_FOR_PROCESSES: usize = 20;
/// Between two commits at least, so that each finds everybody asleep.
const PAUSE: Duration = Duration::from_millis(20);
/// What the pauses are drawn out by at most: a loop of a like interval must not run in step with them.
const SPREAD: Duration = Duration::from_millis(5);
/// Its multiples fall evenly everywhere between two whole numbers.
const GOLDEN: f64 = 0.618_033_988_749_895;
const FEW: usize = 2_000;
const MANY: usize = 100_000;
/// Changes in one run whose cost is measured.
const CHANGES: usize = 1_000;
/// Seconds of processor in two seconds that a daemon with nothing left to do stays below.
const SETTLED: f64 = 0.005;
const IDLE: Duration = Duration::from_secs(10);

fn main() {
    if !is_installed("python3") {
        println!("skipped: python3 is not installed, and the commits must be another program's");
        return;
    }
    tell_load();
    end_to_end();
    in_hand();
    cost();
}

/// A foreign commit until who waits knows.
fn end_to_end() {
    let daemon = Daemon::start_with(scratch(), &["--max-messages", "200000"]);
    let mut client = daemon.client();
    let mut follower = daemon.client();
    let follow = EventFollow { events: vec!["message.status_changed".into()], ..EventFollow::default() };
    follower.follow(follow).unwrap();
    let mut writer = Writer::start(&daemon.database());
    let (mut socket, mut process, mut event) = (Runs::default(), Runs::default(), Runs::default());
    for run in 0..runs() {
        let ids = add_messages(&daemon.database(), &format!("end-to-end-{run}"), COMMITS + COMMITS_FOR_PROCESSES);
        watch(&mut client, &ids);
        drain(&mut follower);
        let (mut of_socket, mut of_event, mut of_process) = (Vec::new(), Vec::new(), Vec::new());
        let (for_socket, for_processes) = ids.split_at(COMMITS);
        for id in for_socket {
            let wait = wire::Wait { id: id.clone(), timeout_seconds: None };
            client.send(&Request::PollWait(wait)).unwrap();
            std::thread::sleep(PAUSE);
            writer.begin_commit(id, "complete");
            answer_of::<Waited>(&mut client);
            let answered = nanos();
            of_socket.push(milliseconds(writer.committed(), answered));
        }
        drain(&mut follower);
        for id in for_processes {
            let mut waiting = Command::new(PROGRAM);
            waiting.arg("--state-dir").arg(daemon.dir.path()).args(["poll", "wait", "--quiet", id]);
            let mut waiting = waiting.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            std::thread::sleep(PAUSE);
            writer.begin_commit(id, "complete");
            assert!(waiting.wait().unwrap().success());
            let ended = nanos();
            of_process.push(milliseconds(writer.committed(), ended));
        }
        drain(&mut follower);
        for id in &add_messages(&daemon.database(), &format!("event-{run}"), COMMITS) {
            std::thread::sleep(PAUSE);
            drain(&mut follower);
            writer.begin_commit(id, "complete");
            assert!(matches!(follower.receive(Some(PATIENCE)).unwrap(), Followed::Frame(_)));
            let told = nanos();
            of_event.push(milliseconds(writer.committed(), told));
        }
        socket.push(quantile(&of_socket, 0.5));
        process.push(quantile(&of_process, 0.5));
        event.push(quantile(&of_event, 0.5));
    }
    println!("\na foreign commit until who waits knows, p50 (median, least … most)");
    println!("a client in poll.wait         {}", socket.show("ms"));
    println!("the process `poll wait` ended {}", process.show("ms"));
    println!("a client in event.follow      {}", event.show("ms"));
    verdict_at_most("foreign commit until poll.wait is answered", socket.median(), 5.0, "ms");
    verdict_at_most("foreign commit until the process poll wait has ended", process.median(), 5.0, "ms");
}

/// A foreign commit until its rows have been read, by the daemon's watcher and by a loop that asks every millisecond.
fn in_hand() {
    let dir = scratch();
    let database = dir.path().join("claude-comms.db");
    let hub = Store::open_for_writing(&database, PathBuf::new(), PATIENCE).unwrap();
    let mut writer = Writer::start(&database);
    let (mut watched, mut polled, mut ratios) = (Runs::default(), Runs::default(), Runs::default());
    for run in 0..runs() {
        let ids = add_messages(&database, &format!("in-hand-{run}"), 2 * COMMITS);
        let (first, second) = ids.split_at(COMMITS);
        let ours = delays(&mut writer, first, |rows| Box::new(reading_watcher(&database, rows)));
        let loops = delays(&mut writer, second, |rows| Box::new(PollLoop::start(&database, rows)));
        watched.push(ours);
        polled.push(loops);
        ratios.push(ours / loops);
    }
    drop(hub);
    println!("\na foreign commit until its rows are in hand, p50");
    println!("the watcher                   {}", watched.show("ms"));
    println!("data_version every 1 ms       {}", polled.show("ms"));
    println!("ratio                         {}", ratios.show("×"));
    verdict("commit until rows in hand, beside a 1 ms loop", watched.median() / polled.median(), 0.25, false);
}

/// Median delay of the contender that `start` starts; it sends the time whenever it has read rows.
fn delays(
    writer: &mut Writer,
    ids: &[String],
    start: impl FnOnce(mpsc::SyncSender<i64>) -> Box<dyn std::any::Any>,
) -> f64 {
    let (rows, read) = mpsc::sync_channel(16);
    let contender = start(rows);
    let mut delays = Vec::with_capacity(ids.len());
    for (number, id) in ids.iter().enumerate() {
        std::thread::sleep(PAUSE + SPREAD.mul_f64((number as f64 * GOLDEN).fract()));
        while read.try_recv().is_ok() {}
        writer.begin_commit(id, "complete");
        let at = read.recv_timeout(PATIENCE).unwrap();
        delays.push(milliseconds(writer.committed(), at));
    }
    drop(contender);
    quantile(&delays, 0.5)
}

/// The watcher as the daemon has it, but told of changes it reads the rows itself.
fn reading_watcher(database: &Path, rows: mpsc::SyncSender<i64>) -> Watcher {
    let mut store = Store::open_for_reading(database, PathBuf::new()).unwrap();
    let mut last = store.newest_change().unwrap();
    let progress = Arc::new(Progress::default());
    progress.folded.store(last, Ordering::Release);
    let folding = Arc::clone(&progress);
    let tell = move || {
        let page = store.changes_after(last).unwrap();
        if page.last > last {
            last = page.last;
            rows.send(nanos()).unwrap();
            folding.folded.store(last, Ordering::Release);
        }
    };
    Watcher::start(database, PATIENCE, progress, tell, Arc::new(SystemClock::new())).unwrap()
}

/// What one would write without a watcher.
struct PollLoop {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl PollLoop {
    fn start(database: &Path, rows: mpsc::SyncSender<i64>) -> PollLoop {
        let mut store = Store::open_for_reading(database, PathBuf::new()).unwrap();
        let mut last = store.newest_change().unwrap();
        let mut version = store.data_version().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let seen = store.data_version().unwrap();
                if seen != std::mem::replace(&mut version, seen) {
                    let page = store.changes_after(last).unwrap();
                    if page.last > last {
                        last = page.last;
                        rows.send(nanos()).unwrap();
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        PollLoop { stop, thread: Some(thread) }
    }
}

impl Drop for PollLoop {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// What an idle daemon costs, and what each change costs with few and with many watched messages.
///
/// The databases of those two hold the same messages, so that what differs is the watching alone; the third shows what
/// a small database would save.
fn cost() {
    let small = Watched::new("small", FEW, FEW);
    idle(&small.daemon);
    let (few, many) = (Watched::new("few", MANY, FEW), Watched::new("many", MANY, MANY));
    settle(&few.daemon);
    settle(&many.daemon);
    let (mut of_small, mut of_few, mut of_many) = (Runs::default(), Runs::default(), Runs::default());
    for run in 0..runs() {
        of_small.push(small.cost(run));
        of_few.push(few.cost(run));
        of_many.push(many.cost(run));
    }
    println!("\nprocessor time of the daemon for {CHANGES} foreign changes, each a commit of its own");
    println!("{FEW} watched of {MANY}      {}", of_few.show("ms"));
    println!("{MANY} watched of {MANY}    {}", of_many.show("ms"));
    println!("{FEW} watched of {FEW}        {}", of_small.show("ms"));
    let (least, most) = (few.daemon.resident_megabytes(), many.daemon.resident_megabytes());
    println!("memory of the first two       {least:.1} and {most:.1} MB");
    verdict("cost of a change, 100,000 beside 2,000 watched", of_many.median() / of_few.median(), 1.2, false);
}

/// Waits until the daemon has done what it does in its spare time, such as the index for searches.
fn settle(daemon: &Daemon) {
    let mut before = f64::NEG_INFINITY;
    while daemon.processor_seconds() - before > SETTLED {
        before = daemon.processor_seconds();
        std::thread::sleep(Duration::from_secs(2));
    }
}

fn idle(daemon: &Daemon) {
    settle(daemon);
    let (mut processor, mut ticks, mut wakes) = (Runs::default(), Runs::default(), Runs::default());
    for _ in 0..runs() {
        let before = (daemon.processor_seconds(), daemon.processor_ticks(), daemon.wake_ups());
        std::thread::sleep(IDLE);
        let percent = 100.0 / IDLE.as_secs_f64();
        processor.push((daemon.processor_seconds() - before.0) * percent);
        // The kernel of Linux shows hundredths of a second to everybody.
        ticks.push((daemon.processor_ticks() - before.1) / 100.0 * percent);
        wakes.push((daemon.wake_ups() - before.2) / IDLE.as_secs_f64());
    }
    println!("\na daemon with {FEW} watched messages and nothing to do, {} s each", IDLE.as_secs());
    println!("processor, by its threads     {}", processor.show("% of one"));
    println!("processor, utime + stime      {}", ticks.show("% of one"));
    println!("wake-ups                      {}", wakes.show("/s"));
    verdict_at_most("processor of an idle daemon with 2,000 watched messages", processor.median(), 0.1, "%");
}

/// A daemon that watches some of the messages in its database.
struct Watched {
    daemon: Daemon,
    database: PathBuf,
    ids: Vec<String>,
}

impl Watched {
    /// With `watched` of its `messages` messages watched, evenly among them.
    fn new(name: &str, messages: usize, watched: usize) -> Watched {
        let daemon = Daemon::start_with(scratch(), &["--max-messages", "200000"]);
        let database = daemon.database();
        let ids = add_messages(&database, name, messages);
        let ids: Vec<String> = ids.into_iter().step_by(messages / watched).collect();
        let mut client = daemon.client();
        watch(&mut client, &ids);
        let status: DaemonStatus = client.call(&Request::PollStatus(wire::Empty {})).unwrap();
        assert_eq!(status.active_messages, watched);
        Watched { daemon, database, ids }
    }

    /// Milliseconds of processor that the daemon needs for [`CHANGES`] changes all over what it watches.
    fn cost(&self, run: usize) -> f64 {
        let mut client = self.daemon.client();
        let follow = EventFollow { events: vec!["message.status_changed".into()], ..EventFollow::default() };
        client.follow(follow).unwrap();
        let mut writer = Writer::start(&self.database);
        let before = self.daemon.processor_seconds();
        let status = if run.is_multiple_of(2) { "pending" } else { "processing" };
        for id in self.ids.iter().step_by(self.ids.len() / CHANGES).take(CHANGES) {
            writer.begin_commit(id, status);
            writer.committed();
        }
        for _ in 0..CHANGES {
            assert!(matches!(client.receive(Some(PATIENCE)).unwrap(), Followed::Frame(_)));
        }
        // The watcher looks for a while longer, and there is tidying up to be done.
        std::thread::sleep(Duration::from_secs(1));
        (self.daemon.processor_seconds() - before) * 1e3
    }
}

/// Messages of another program, in one transaction, all `processing`.
fn add_messages(database: &Path, name: &str, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|number| format!("{name}-{number:08}")).collect();
    let mut db = Connection::open(database).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).unwrap();
    tx.execute(
        "INSERT OR IGNORE INTO threads(thread_id, title, created_at) VALUES('bench', 'a-b Communication', 0)",
        [],
    )
    .unwrap();
    let sql = "INSERT INTO messages(message_id, thread_id, module, content, type, timestamp, status)
               VALUES(?1, 'bench', '/srv/a', 'Which port does the staging server listen on?', 'question', 1.7e9, 'processing')";
    let mut insert = tx.prepare(sql).unwrap();
    for id in &ids {
        insert.execute([id]).unwrap();
    }
    drop(insert);
    tx.commit().unwrap();
    ids
}

fn watch(client: &mut Client, ids: &[String]) {
    for part in ids.chunks(64) {
        for id in part {
            let add = PollAdd { message_id: Some(id.clone()), must_exist: true, ..PollAdd::default() };
            client.send(&Request::PollAdd(add)).unwrap();
        }
        part.iter().for_each(|_| drop(answer_of::<wire::Watch>(client)));
    }
}

fn answer_of<T: serde::de::DeserializeOwned>(client: &mut Client) -> T {
    match client.receive(Some(PATIENCE)).unwrap() {
        Followed::Answer { result, .. } => serde_json::from_str(result.unwrap().get()).unwrap(),
        Followed::Frame(frame) => panic!("nobody asked for {frame}"),
    }
}

/// Takes what has come and may come in the next moment.
fn drain(client: &mut Client) {
    while client.receive(Some(PAUSE)).is_ok() {}
}

/// Commits when it is told to, in a process of its own, and says when.
struct Writer {
    child: Child,
    orders: Option<ChildStdin>,
    times: BufReader<ChildStdout>,
}

const WRITER: &str = "
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
for line in sys.stdin:
    message, status = line.split()
    db.execute('BEGIN IMMEDIATE')
    db.execute('UPDATE messages SET status = ? WHERE message_id = ?', (status, message))
    db.execute('COMMIT')
    print(time.clock_gettime_ns(time.CLOCK_MONOTONIC), flush=True)
";

impl Writer {
    fn start(database: &Path) -> Writer {
        let mut python = Command::new("python3");
        python.args(["-c", WRITER]).arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().unwrap();
        let (orders, times) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Writer { child, orders, times }
    }

    fn begin_commit(&mut self, id: &str, status: &str) {
        let line = format!("{id} {status}\n");
        self.orders.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// When the commit returned, on the monotonic clock, in nanoseconds.
    fn committed(&mut self) -> i64 {
        let mut line = String::new();
        self.times.read_line(&mut line).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The end of its input is the end of it.
        self.orders = None;
        let _ = self.child.wait();
    }
}

/// The monotonic clock of the whole machine, which other processes read as well.
fn nanos() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Negative when the other side was quicker than the return from COMMIT.
fn milliseconds(from: i64, to: i64) -> f64 {
    (to - from) as f64 / 1e6
}
