//! What pools promise, as sentences. Nothing sleeps: executors are held by the test and end when it says so.

mod ending;
mod health;
mod managing;
mod routing;
mod shapes;
mod working;

use super::*;
use crate::clock::{Clock, SystemClock, Tick};
use crossbeam_channel::{Sender, bounded};
use std::sync::mpsc;
use std::time::Duration;

/// Longer than anything here takes on a busy machine; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
/// The shortest timeout that a task may have.
const SHORT: Duration = Duration::from_millis(100);

/// A task at work. It ends as the test says, or well when this is dropped.
struct Held {
    prompt: String,
    worker_id: String,
    cancel: crate::resilience::CancelToken,
    end: Sender<Result<String, ExecuteError>>,
}

impl Held {
    fn end(self, result: Result<&str, &str>) {
        let result = result.map(str::to_owned).map_err(ExecuteError::from);
        self.end.send(result).expect("the executor waits for it");
    }
}

/// Tasks that have begun, in the order in which they did. When this is dropped they end, also those that begin later: it
/// must go before its pool, which waits for them.
///
/// A channel of the standard library: unlike crossbeam's bounded one it drops what is in it together with its receiver.
struct Begun(mpsc::Receiver<Held>);

impl Begun {
    fn next(&self) -> Held {
        self.0.recv_timeout(PATIENCE).expect("a task should have begun")
    }

    fn none(&self) -> bool {
        self.0.try_recv().is_err()
    }
}

/// An executor whose tasks are held by the test.
fn held() -> (impl Execute + 'static, Begun) {
    let (tell, begun) = mpsc::sync_channel(64);
    let executor = move |job: &Job| {
        let (end, ended) = bounded(1);
        let (prompt, worker_id) = (job.prompt().to_owned(), job.worker_id().to_owned());
        drop(tell.send(Held { prompt, worker_id, cancel: job.cancel_token().clone(), end }));
        ended.recv().unwrap_or_else(|_| Ok(job.prompt().to_owned()))
    };
    (executor, Begun(begun))
}

/// A running pool whose tasks are held, and which no more than two may wait for.
fn held_pool(id: &str) -> (WorkerPool, Begun) {
    held_pool_as(id, |builder| builder.queue_max(2))
}

fn held_pool_as(id: &str, terms: impl FnOnce(PoolBuilder) -> PoolBuilder) -> (WorkerPool, Begun) {
    let (executor, begun) = held();
    let mut pool = terms(WorkerPool::builder(id, executor)).build().unwrap();
    pool.initialize().unwrap();
    (pool, begun)
}

/// A manager whose tasks are held.
fn held_manager() -> (PoolManager, Begun) {
    let (executor, begun) = held();
    let manager = PoolManager::new(executor);
    manager.start();
    (manager, begun)
}

/// Answers with the prompt; fails for prompts that begin with "fail", and panics for those that begin with "panic".
fn answer(job: &Job) -> Result<String, ExecuteError> {
    match job.prompt() {
        prompt if prompt.starts_with("fail") => Err(prompt.into()),
        prompt if prompt.starts_with("panic") => panic!("on purpose"),
        prompt => Ok(prompt.to_owned()),
    }
}

fn answering_pool(id: &str) -> WorkerPool {
    let mut pool = WorkerPool::new(id, answer).unwrap();
    pool.initialize().unwrap();
    pool
}

/// The result, or the error's sentence.
fn said(outcome: Result<Output, TaskError>) -> String {
    outcome.map_or_else(|error| error.to_string(), |output| output.result)
}

/// Waits until it is so. Gives the processor away in between.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    while !is_so() {
        assert!(clock.tick() < Tick::ZERO.after(PATIENCE), "never came: {what}");
        std::thread::yield_now();
    }
}

/// The names of this process's threads that end so.
fn threads_of(pool_id: &str) -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let mut names: Vec<String> =
        names.map(|name| name.trim().to_owned()).filter(|name| name.ends_with(&format!("-{pool_id}"))).collect();
    names.sort();
    names
}
