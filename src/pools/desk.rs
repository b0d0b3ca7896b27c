//! The desk of a pool: where submitters, workers and those who wait meet. One lock around the books, held for a decision
//! at a time and never while an executor runs or an answer is sent.

use super::books::Books;
use super::entry::{Answer, Next, Ran, Taken};
use super::error::PoolError;
use super::job::{Execute, Job};
use super::task::Task;
use crate::clock::{Clock, Now, Tick, new_id};
use crate::model::id::TaskSeq;
use crate::model::pool::PoolView;
use crate::model::routing::Candidate;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;

pub(super) struct Desk {
    pub(super) pool_id: String,
    pub(super) executor: Arc<dyn Execute>,
    clock: Arc<dyn Clock>,
    books: Mutex<Books>,
    /// Waited on by idle workers: there is a task, or no reason to stay.
    work: Condvar,
    /// Waited on by who shuts down: a task was answered, or a worker has left.
    progress: Condvar,
}

impl Desk {
    pub(super) fn new(pool_id: String, executor: Arc<dyn Execute>, clock: Arc<dyn Clock>, books: Books) -> Desk {
        let (books, work, progress) = (Mutex::new(books), Condvar::new(), Condvar::new());
        Desk { pool_id, executor, clock, books, work, progress }
    }

    pub(super) fn tick(&self) -> Tick {
        self.clock.tick()
    }

    /// Opens the books for one decision, and sends the answers that it led to once they are closed.
    fn decide<T>(&self, decide: impl FnOnce(&mut Books, Now, &mut Vec<Answer>) -> T) -> T {
        let mut answers = Vec::new();
        let now = self.clock.now();
        let decided = decide(&mut self.books.lock(), now, &mut answers);
        self.send_all(&mut answers);
        decided
    }

    /// The pool takes tasks from here on.
    pub(super) fn open(&self) -> Result<(), PoolError> {
        self.decide(|books, now, _| books.start(now))
    }

    /// A worker is about to come. It leaves by itself, or never came.
    pub(super) fn expect_worker(&self) {
        self.books.lock().come();
    }

    pub(super) fn worker_never_came(&self) {
        self.books.lock().leave();
    }

    /// Takes a task whose time runs since `since`.
    pub(super) fn submit(&self, task: &Task, since: Tick) -> Result<Taken, PoolError> {
        task.check()?;
        let id = Arc::from(new_id());
        let taken = self.decide(|books, now, answers| books.submit(now, since, id, task, answers))?;
        self.work.notify_one();
        Ok(taken)
    }

    /// The next task for a worker; waits for one. `None`: it may leave.
    pub(super) fn next(&self, slot: usize) -> Option<Job> {
        let mut answers = Vec::new();
        let mut books = self.books.lock();
        let claim = loop {
            match books.take(self.clock.now(), slot, &mut answers) {
                Next::Run(claim) => break Some(claim),
                Next::Leave => break None,
                Next::Wait if answers.is_empty() => self.work.wait(&mut books),
                // With the lock goes the certainty that there is nothing to do: it looks again.
                Next::Wait => MutexGuard::unlocked(&mut books, || self.send_all(&mut answers)),
            }
        };
        drop(books);
        self.send_all(&mut answers);
        claim.map(|claim| Job { claim, pool_id: self.pool_id.clone(), clock: Arc::clone(&self.clock) })
    }

    /// The worker's function has returned.
    pub(super) fn finish(&self, slot: usize, ran: Ran) {
        // What nobody wants any more is dropped here, where nothing is locked: it is the user's.
        drop(self.decide(|books, now, answers| books.finish(now, slot, ran, answers)));
    }

    pub(super) fn died(&self, slot: usize) {
        self.decide(|books, now, answers| books.died(now, slot, answers));
    }

    /// Answers the task if its time is up.
    pub(super) fn expire(&self, seq: TaskSeq) {
        self.decide(|books, now, answers| books.expire(now, seq, answers));
    }

    /// Whether it was open.
    pub(super) fn cancel(&self, seq: TaskSeq) -> bool {
        self.decide(|books, now, answers| books.cancel(now, seq, answers))
    }

    /// Cancels all that is open; says how many that were.
    pub(super) fn cancel_all(&self) -> usize {
        let cancelled = self.decide(Books::cancel_all);
        self.work.notify_all();
        cancelled
    }

    /// Takes no more tasks; workers leave when there is nothing left.
    pub(super) fn drain(&self) {
        self.books.lock().drain();
        self.work.notify_all();
    }

    /// Waits until every task is answered, until `by` at the longest. Says whether they are.
    pub(super) fn wait_answered(&self, by: Tick) -> bool {
        self.wait_until(by, Books::is_done)
    }

    /// Waits until every worker has left, until `by` at the longest. Says whether they have.
    pub(super) fn wait_deserted(&self, by: Tick) -> bool {
        self.wait_until(by, Books::is_deserted)
    }

    fn wait_until(&self, by: Tick, is_so: impl Fn(&Books) -> bool) -> bool {
        let mut books = self.books.lock();
        while !is_so(&books) {
            let now = self.clock.tick();
            if now >= by {
                return false;
            }
            self.progress.wait_for(&mut books, now.until(by));
        }
        true
    }

    pub(super) fn workers_busy(&self) -> usize {
        self.books.lock().workers_busy()
    }

    pub(super) fn view(&self) -> PoolView {
        self.decide(Books::view)
    }

    pub(super) fn candidate(&self) -> Candidate {
        self.decide(Books::candidate)
    }

    fn send_all(&self, answers: &mut Vec<Answer>) {
        self.progress.notify_all();
        answers.drain(..).for_each(Answer::send);
    }
}
