//! kill -9 at random moments under load: nothing acknowledged is lost, nothing recorded runs again, nothing is left.
//! `CLAUDE_COMMS_KILL9_ROUNDS=100` for the full figure, `CLAUDE_COMMS_KILL9_SEED` to repeat one.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use claude_comms::clock::{Clock, SystemClock, new_id};
use claude_comms::control::wire::{self, Request};
use claude_comms::control::{Client, Followed};
use claude_comms::thread::Joined;
use serde_json::{Value, json};

use crate::support::{Daemon, ends_within, processes_of, wait_until};

const ROUNDS: u32 = 10;
/// From the first request of a round to its kill, in milliseconds.
const KILL_AFTER_MAX: u64 = 600;
/// Requests of one client that wait for their answers at the same time.
const IN_FLIGHT: usize = 8;

/// What was acknowledged: ids by kind of work.
#[derive(Default)]
struct Acknowledged {
    messages: BTreeSet<String>,
    tasks: BTreeSet<String>,
    questions: BTreeSet<String>,
}

impl Acknowledged {
    fn add(&mut self, answer: &Value) {
        let text = |key: &str| answer[key].as_str().map(ToOwned::to_owned);
        self.questions.extend(text("question_msg_id"));
        self.messages.extend(text("message_id"));
        self.tasks.extend(text("task_id"));
    }

    fn merge(&mut self, mut other: Acknowledged) {
        self.messages.append(&mut other.messages);
        self.tasks.append(&mut other.tasks);
        self.questions.append(&mut other.questions);
    }
}

/// One who asks for as much as it gets until the daemon dies, and remembers what it was promised.
fn load(socket: &Path, next: &mut impl FnMut() -> Request, over: &AtomicBool) -> Acknowledged {
    let mut acknowledged = Acknowledged::default();
    let Ok(mut client) = Client::connect(socket) else { return acknowledged };
    let mut open = 0;
    while !over.load(Ordering::Relaxed) {
        while open < IN_FLIGHT && client.send(&next()).is_ok() {
            open += 1;
        }
        match client.receive(Some(Duration::from_secs(10))) {
            Ok(Followed::Answer { result, .. }) => {
                open -= 1;
                // Refused is refused: a full queue promises nothing.
                if let Ok(answer) = result {
                    acknowledged.add(&serde_json::from_str(answer.get()).unwrap());
                }
            }
            Ok(Followed::Frame(_)) => {}
            Err(_) => break,
        }
    }
    acknowledged
}

/// A small generator of our own: the same seed is the same run, as far as threads allow.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn requests(daemon: &Daemon) -> Vec<Box<dyn FnMut() -> Request + Send>> {
    let (from, to) = (daemon.path("frontend"), daemon.path("backend"));
    let (sender, asker) = ((from.clone(), to.clone()), (from.clone(), to));
    let submit = move |pool: &str, prompt: String| {
        let args = wire::TaskSubmit {
            prompt,
            pool_id: Some(pool.to_owned()),
            dir: Some(from.clone()),
            on_crash: Some("requeue".to_owned()),
            ..wire::TaskSubmit::default()
        };
        Request::TaskSubmit(args)
    };
    let (echoing, running) = (submit.clone(), submit);
    vec![
        Box::new(move || {
            let (from, to) = sender.clone();
            Request::MessageSend(wire::MessageSend { from, to, content: "x".to_owned(), ..Default::default() })
        }),
        Box::new(move || echoing("e", "echoed".to_owned())),
        Box::new(move || running("sh", new_id())),
        Box::new(move || {
            let (from, to) = asker.clone();
            let prompt = "answer".to_owned();
            Request::Ask(wire::Ask { from, to, prompt, no_wait: true, ..wire::Ask::default() })
        }),
    ]
}

/// Each run of a task appends what names its attempt; the prompt is only there to tell tasks apart.
const SCRIPT: &str = r#"echo "$CLAUDE_COMMS_TASK" >> ../runs; read -r line; echo "$line""#;

#[test]
fn nothing_acknowledged_is_lost_and_nothing_recorded_runs_again() {
    let number = |name: &str| env::var(name).ok().and_then(|text| text.parse().ok());
    let rounds = number("CLAUDE_COMMS_KILL9_ROUNDS").map_or(ROUNDS, |rounds: u64| rounds as u32);
    let seed = number("CLAUDE_COMMS_KILL9_SEED").unwrap_or_else(|| SystemClock::new().wall().as_micros() as u64 | 1);
    println!("CLAUDE_COMMS_KILL9_SEED={seed}, {rounds} rounds");

    let mut random = Random(seed);
    let mut daemon = Daemon::with(&["cat"], &["--max-messages", "1000000"]);
    daemon.run(&["pool", "create", "e", "--executor", "echo"]).good();
    daemon.run(&["pool", "create", "sh", "--queue-max", "40", "--", "sh", "-c", SCRIPT]).good();
    let mut acknowledged = Acknowledged::default();
    let mut finished = Finished::default();
    for _ in 0..rounds {
        let over = Arc::new(AtomicBool::new(false));
        let clients = requests(&daemon).into_iter().map(|mut next| {
            let (socket, over) = (daemon.socket(), Arc::clone(&over));
            Joined::spawn("load", move || load(&socket, &mut next, &over)).unwrap()
        });
        let clients: Vec<_> = clients.collect();
        let wait = Duration::from_millis(random.below(KILL_AFTER_MAX));
        assert!(!ends_within(daemon.pid(), wait), "it died by itself: {}", daemon.log());
        finished.note(&daemon);
        let orphaned = processes_of(&daemon.epoch);
        daemon.kill9();
        over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| acknowledged.merge(client.join().unwrap()));
        daemon.foreign().integrity();
        daemon.restart();
        let left: Vec<u32> = processes_of(&daemon.epoch).into_iter().filter(|pid| orphaned.contains(pid)).collect();
        assert!(left.is_empty(), "processes of the old daemon's tasks go on: {left:?}");
        finished.check(&daemon);
    }
    let counted = [acknowledged.messages.len(), acknowledged.tasks.len(), acknowledged.questions.len()];
    println!("acknowledged: messages, tasks, questions = {counted:?}; recorded before a kill: {}", finished.runs.len());
    assert!(counted.iter().all(|count| *count > 0), "there was no load");

    wait_until("the rest", || {
        let status = daemon.status();
        status["tasks_queued"] == 0 && status["tasks_running"] == 0
    });
    nothing_is_lost(&daemon, &acknowledged);
    finished.check(&daemon);
    assert_eq!(processes_of(&daemon.epoch), [0; 0]);
    daemon.foreign().integrity();
    daemon.stop();
}

fn nothing_is_lost(daemon: &Daemon, acknowledged: &Acknowledged) {
    let mut foreign = daemon.foreign();
    let mut found = |sql: &str| -> BTreeMap<String, String> {
        let rows = foreign.sql(sql, json!([]));
        let pair = |row: &Value| (row[0].as_str().unwrap().to_owned(), row[1].as_str().unwrap().to_owned());
        rows.as_array().unwrap().iter().map(pair).collect()
    };
    let messages = found("SELECT message_id, status FROM messages");
    let tasks = found("SELECT task_id, status FROM tasks");
    let lost: Vec<_> = acknowledged.messages.iter().filter(|id| !messages.contains_key(*id)).collect();
    assert!(lost.is_empty(), "messages are lost: {lost:?}");
    // One that has taken the daemon down three times is given up as dead: acknowledged, recorded, and said.
    let ended = |status: Option<&String>, good: &str| status.is_some_and(|status| status == good || status == "failed");
    let lost: Vec<_> = acknowledged.tasks.iter().filter(|id| !ended(tasks.get(*id), "completed")).collect();
    assert!(lost.is_empty(), "tasks are lost: {lost:?}");
    let lost: Vec<_> = acknowledged.questions.iter().filter(|id| !ended(messages.get(*id), "complete")).collect();
    assert!(lost.is_empty(), "questions are lost: {lost:?}");
    let failed = found("SELECT task_id, reason FROM tasks WHERE status = 'failed'");
    assert!(failed.values().all(|reason| reason == "dead"), "{failed:?}");
    let twice =
        found("SELECT message_id, 'x' FROM messages WHERE type = 'response' GROUP BY thread_id HAVING count(*) > 1");
    assert!(twice.is_empty(), "answered twice: {twice:?}");
    let gaps = found("SELECT 'first', CAST(max(seq) - min(seq) + 1 - count(*) AS TEXT) FROM events");
    assert_eq!(gaps["first"], "0", "numbers of events are missing");
}

/// Tasks that the daemon has said to be completed, and how often each had been started then.
#[derive(Default)]
struct Finished {
    runs: BTreeMap<String, usize>,
}

impl Finished {
    fn note(&mut self, daemon: &Daemon) {
        let Ok(mut client) = Client::connect(&daemon.socket()) else { return };
        let list = wire::TaskList {
            pool_id: Some("sh".to_owned()),
            status: Some("completed".to_owned()),
            limit: Some(1000),
            ..wire::TaskList::default()
        };
        let Ok(tasks) = client.call::<wire::Tasks>(&Request::TaskList(list)) else { return };
        let runs = runs(daemon);
        for task in tasks.tasks {
            let count = runs.get(&task.task_id).copied().unwrap_or(0);
            self.runs.entry(task.task_id).or_insert(count);
        }
    }

    fn check(&self, daemon: &Daemon) {
        let runs = runs(daemon);
        for (id, count) in &self.runs {
            assert_eq!(runs.get(id), Some(count), "task {id} ran again after it was recorded as completed");
        }
    }
}

/// How often each task was started: its marker is `epoch/task/attempt`.
fn runs(daemon: &Daemon) -> BTreeMap<String, usize> {
    let mut runs = BTreeMap::new();
    for line in fs::read_to_string(daemon.path("runs")).unwrap_or_default().lines() {
        if let Some(task) = line.split('/').nth(1) {
            *runs.entry(task.to_owned()).or_default() += 1;
        }
    }
    runs
}
