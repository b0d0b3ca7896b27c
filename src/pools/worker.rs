//! A worker: takes a task, runs it, says what came of it, and takes the next.

use super::desk::Desk;
use super::entry::Ran;
use super::job::Job;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The whole life of a worker's thread.
///
/// A panic of the executor is caught around each task. What panics all the same, such as an error of the user's that
/// does so when it is dropped, ends the worker but not its thread: a new one begins at once in its place, which unlike
/// starting a thread cannot fail. So there are never only two.
pub(super) fn serve(desk: &Desk, slot: usize) {
    while let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(desk, slot))) {
        // Said by the panic hook already, and dropping it might panic again.
        std::mem::forget(payload);
        desk.died(slot);
    }
}

fn work(desk: &Desk, slot: usize) {
    while let Some(job) = desk.next(slot) {
        let ran = run(desk, &job);
        desk.finish(slot, ran);
    }
}

fn run(desk: &Desk, job: &Job) -> Ran {
    match catch_unwind(AssertUnwindSafe(|| desk.executor.execute(job))) {
        Ok(returned) => Ran::Returned(returned),
        Err(payload) => Ran::Panicked(message(payload)),
    }
}

/// What the panic said.
fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => match payload.downcast::<&str>() {
            Ok(text) => (*text).to_owned(),
            Err(other) => {
                // A value of the user's own, which might panic when it is dropped.
                std::mem::forget(other);
                "it said nothing".to_owned()
            }
        },
    }
}
