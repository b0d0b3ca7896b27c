//! A batch: many tasks at once, their outcomes in the order in which they were given.

use super::desk::Desk;
use super::entry::Outcome;
use super::error::{PoolError, TaskError};
use super::task::Task;
use super::ticket::Ticket;
use crate::clock::Tick;
use std::collections::VecDeque;
use std::sync::Arc;

/// Tasks whose outcomes are wanted, the oldest first.
type Waiting = VecDeque<Result<Ticket, PoolError>>;

/// The time of all tasks runs from here on, so that none waits longer than its own timeout, however long the batch is.
pub(super) fn run(desk: &Arc<Desk>, tasks: impl Iterator<Item = Task>) -> Vec<Outcome> {
    let begun = desk.tick();
    let mut waiting = Waiting::new();
    let mut outcomes = Vec::new();
    for task in tasks {
        let taken = submit(desk, &task, begun, &mut waiting, &mut outcomes);
        waiting.push_back(taken);
    }
    outcomes.extend(waiting.into_iter().map(outcome));
    outcomes
}

/// When the queue is full of the batch's own, the oldest has to end first. When it is full of others', that is the
/// task's outcome.
fn submit(
    desk: &Arc<Desk>,
    task: &Task,
    begun: Tick,
    waiting: &mut Waiting,
    outcomes: &mut Vec<Outcome>,
) -> Result<Ticket, PoolError> {
    loop {
        match desk.submit(task, begun) {
            Ok(taken) => return Ok(Ticket::new(Arc::clone(desk), taken)),
            Err(full @ PoolError::QueueFull { .. }) => match waiting.pop_front() {
                Some(oldest) => outcomes.push(outcome(oldest)),
                None => return Err(full),
            },
            Err(refused) => return Err(refused),
        }
    }
}

fn outcome(taken: Result<Ticket, PoolError>) -> Outcome {
    taken.map_err(TaskError::Refused)?.wait()
}
