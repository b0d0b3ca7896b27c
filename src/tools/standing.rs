//! How a task stands that has not ended, in words: who has it, or what keeps it from being begun.

use super::desk::Desk;
use crate::mcp::server::Step;
use crate::model::breaker::BreakerState;
use crate::model::command::{Code, Command, Reply};
use crate::model::id::PoolId;
use crate::model::pool::{PoolStatus, PoolView};
use crate::model::task::{Reason, Task, TaskStatus};
use serde_json::Value;

#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) place: Place,
    /// What a program can be told of it: a code, and until when, as far as they are known.
    pub(super) details: Vec<(&'static str, Value)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// With this worker.
    Runs(String),
    /// In the queue of a pool whose workers have other things to do.
    Waits(PoolId),
    /// It could not be begun if a worker were free; the sentence says why.
    Kept(String),
}

impl Place {
    /// What follows the name of the task.
    pub(super) fn in_words(&self) -> String {
        match self {
            Place::Runs(worker) => format!("runs on {worker}"),
            Place::Waits(pool) => format!("waits for a worker of pool {pool}"),
            Place::Kept(why) => format!("is not begun: {why}"),
        }
    }
}

/// Asks the hub where only it knows; `then` gets it at once otherwise. `abort`: what a client that gives up meanwhile ends.
pub(super) fn ask(
    desk: &Desk,
    task: Task,
    abort: Vec<Command>,
    then: impl FnOnce(Standing) -> Step + Send + 'static,
) -> Step {
    if let Some(place) = by_itself(&task) {
        return then(Standing { place, details: Vec::new() });
    }
    let pool = task.pool.clone();
    of_pool(desk, &pool, abort, move |kept| then(kept.unwrap_or_else(|| waiting(&task))))
}

/// What keeps a pool from beginning anything, if there is something.
pub(super) fn of_pool(
    desk: &Desk,
    pool: &PoolId,
    abort: Vec<Command>,
    then: impl FnOnce(Option<Standing>) -> Step + Send + 'static,
) -> Step {
    let desk = desk.clone();
    Step::ask_or_abort(Command::ShowPool { id: pool.clone() }, abort, move |outcome| match outcome {
        Ok(Reply::Pool(view)) => then(kept(&desk, &view)),
        _ => then(None),
    })
}

/// What the task itself says.
fn by_itself(task: &Task) -> Option<Place> {
    let until = || task.not_before.map_or_else(|| "later".to_owned(), |at| at.to_string());
    match (task.status, task.reason) {
        (TaskStatus::Running, _) => Some(Place::Runs(task.worker_id().unwrap_or_default())),
        (_, Some(Reason::Delayed)) => Some(Place::Kept(format!("it was to wait until {}", until()))),
        (_, Some(Reason::Retrying)) => Some(Place::Kept(format!("it is tried again at {}", until()))),
        (_, Some(Reason::Blocked)) => Some(Place::Kept("tasks that it needs are not completed".to_owned())),
        _ => None,
    }
}

fn kept(desk: &Desk, view: &PoolView) -> Option<Standing> {
    let pool = &view.row.id;
    if view.row.status == PoolStatus::Paused {
        let why = format!("pool {pool} is paused");
        return Some(Standing { place: Place::Kept(why), details: vec![("code", Code::NotRunning.as_str().into())] });
    }
    let hold = view.hold?;
    let why = match (hold.state, &view.last_error) {
        (BreakerState::HalfOpen, _) => {
            format!("pool {pool} is held: its command could not work, and one task is being tried")
        }
        (_, Some(error)) => format!("pool {pool} is held until {}: its command fails ({error:.300})", hold.until_wall),
        (_, None) => format!("pool {pool} is held until {}: its command fails", hold.until_wall),
    };
    let wait = desk.clock.tick().until(hold.until);
    let details = vec![
        ("code", Code::Busy.as_str().into()),
        ("held_until", hold.until_wall.to_string().into()),
        ("retry_after_ms", u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).into()),
    ];
    Some(Standing { place: Place::Kept(why), details })
}

fn waiting(task: &Task) -> Standing {
    let place = match &task.lock {
        Some(lock) => Place::Kept(format!("it waits for a worker of pool {}, or for its lock {lock}", task.pool)),
        None => Place::Waits(task.pool.clone()),
    };
    Standing { place, details: Vec::new() }
}
