//! Requests of MCP that are under way: each is a chain of steps, of which those that take a while are done elsewhere.

use super::looks::Looks;
use super::wake::Alarm;
use crate::clock::Tick;
use crate::mcp::protocol::{Era, RpcError, code};
use crate::mcp::server::{After, Answer, Engine, Look, Order, Outcome, Request, Step};
use crate::model::command::{Command, Refusal, Reply};
use crate::ports::{self, Asker, ReadError, Reader};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::{BTreeMap, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Requests under way, of all connections together.
const CALLS_MAX: usize = 4_096;
/// And of one.
const CALLS_A_CONNECTION_MAX: usize = 256;
/// Answers of the hub that wait for the loop: at most one for each call, and those that come too late.
const REPLIES_MAX: usize = 2 * CALLS_MAX;
/// The first number under which calls ask the hub: connections of the control socket count from 0.
const CLIENT_MIN: u64 = 1 << 62;
/// The error of a server that takes no more for now.
const BUSY: i64 = -32_000;

/// Tells a call apart from all others of this daemon's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Call(u64);

#[cfg(test)]
impl Call {
    pub(super) fn of(number: u64) -> Call {
        Call(number)
    }
}

/// What a connection is to be told of its call.
#[derive(Debug)]
pub(super) enum Told {
    Progress(Vec<u8>),
    Answer(Answer),
}

pub(super) struct Calls {
    engine: Engine,
    asker: Arc<dyn Asker>,
    alarm: Arc<Alarm>,
    running: HashMap<Call, Running>,
    of_connection: HashMap<usize, usize>,
    next: u64,
    /// For the desk.
    looks: Looks,
    pauses: BTreeMap<(Tick, Call), After<()>>,
    to_here: Sender<(Call, Result<Reply, Refusal>)>,
    replies: Receiver<(Call, Result<Reply, Refusal>)>,
    told: Vec<(usize, Call, Told)>,
}

struct Running {
    connection: usize,
    request: Box<Request>,
    /// What follows the hub's answer, while that is waited for.
    then: Option<After<Result<Reply, Refusal>>>,
    /// What ends what was begun.
    abort: Vec<Command>,
}

impl Calls {
    pub(super) fn new(engine: Engine, asker: Arc<dyn Asker>, alarm: Arc<Alarm>) -> Calls {
        let (to_here, replies) = bounded(REPLIES_MAX);
        Calls {
            engine,
            asker,
            alarm,
            running: HashMap::new(),
            of_connection: HashMap::new(),
            next: 0,
            looks: Looks::default(),
            pauses: BTreeMap::new(),
            to_here,
            replies,
            told: Vec::new(),
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Begins what a request has ordered. What comes of it is told at the end of the turn at the earliest.
    ///
    /// # Errors
    /// Too many are under way: the answer that says so.
    pub(super) fn start(
        &mut self,
        connection: usize,
        request: Box<Request>,
        order: Order,
        now: Tick,
    ) -> Result<Call, Answer> {
        let of_connection = self.of_connection.get(&connection).copied().unwrap_or_default();
        if self.running.len() >= CALLS_MAX || of_connection >= CALLS_A_CONNECTION_MAX {
            let most = if self.running.len() >= CALLS_MAX { CALLS_MAX } else { CALLS_A_CONNECTION_MAX };
            let error = RpcError::new(BUSY, format!("{most} requests are under way; wait until one of them is over"));
            return Err(self.engine.answer(&request.id, &request.context, Err(error)));
        }
        // Only those that have some are kept.
        self.of_connection.insert(connection, of_connection + 1);
        self.next += 1;
        let call = Call(self.next);
        self.running.insert(call, Running { connection, request, then: None, abort: Vec::new() });
        let engine = self.engine.clone();
        self.advance(call, now, move || engine.offer().begin(order));
        Ok(call)
    }

    /// Takes steps until one has to be waited for.
    fn advance(&mut self, call: Call, now: Tick, first: impl FnOnce() -> Step) {
        let mut step = safely(first);
        loop {
            let Some(running) = self.running.get_mut(&call) else { return };
            step = match step {
                Step::Done(outcome) => return self.finish(call, outcome),
                Step::Ask(question) => {
                    running.then = Some(question.then);
                    running.abort = question.abort;
                    let answer = Box::new(Addressed { call, to: self.to_here.clone(), alarm: Arc::clone(&self.alarm) });
                    match self.asker.ask(CLIENT_MIN + call.0, question.command, answer) {
                        Ok(()) => return,
                        Err(refusal) => match running.then.take() {
                            Some(then) => safely(|| then(Err(refusal))),
                            None => return,
                        },
                    }
                }
                Step::Look(look) => return self.looks.put(running.connection, call, look),
                Step::Pause { wait, then } => {
                    self.pauses.insert((now.after(wait), call), then);
                    return;
                }
                Step::Tell { progress, then } => {
                    if let Some(bytes) = running.request.progress(&progress) {
                        self.told.push((running.connection, call, Told::Progress(bytes)));
                    }
                    safely(|| then(()))
                }
            };
        }
    }

    fn finish(&mut self, call: Call, outcome: Outcome) {
        let Some(running) = self.forget(call) else { return };
        let answer = self.engine.answer(&running.request.id, &running.request.context, outcome);
        self.told.push((running.connection, call, Told::Answer(answer)));
    }

    fn forget(&mut self, call: Call) -> Option<Running> {
        let running = self.running.remove(&call)?;
        if let Some(count) = self.of_connection.get_mut(&running.connection) {
            *count -= 1;
            if *count == 0 {
                self.of_connection.remove(&running.connection);
            }
        }
        Some(running)
    }

    /// What the desk has to look up, if it has room for it.
    pub(super) fn next_look(&mut self) -> Option<(Call, Look)> {
        self.looks.next()
    }

    /// The desk had no room for it after all.
    pub(super) fn put_back(&mut self, call: Call, look: Look) {
        self.looks.done();
        if let Some(running) = self.running.get(&call) {
            self.looks.put_first(running.connection, call, look);
        }
    }

    /// The desk has looked.
    pub(super) fn looked(&mut self, call: Call, step: Step, now: Tick) {
        self.looks.done();
        self.advance(call, now, move || step);
    }

    /// Takes the hub's answers.
    pub(super) fn hear(&mut self, now: Tick) {
        while let Ok((call, reply)) = self.replies.try_recv() {
            let then = self.running.get_mut(&call).and_then(|running| running.then.take());
            if let Some(then) = then {
                self.advance(call, now, move || then(reply));
            }
        }
    }

    /// Goes on with those whose pause is over.
    pub(super) fn resume(&mut self, now: Tick) {
        while let Some(pause) = self.pauses.first_entry().filter(|pause| pause.key().0 <= now) {
            let ((_, call), then) = pause.remove_entry();
            if self.running.contains_key(&call) {
                self.advance(call, now, move || then(()));
            }
        }
    }

    pub(super) fn due(&self) -> Option<Tick> {
        self.pauses.first_key_value().map(|((due, _), _)| *due)
    }

    pub(super) fn has_told(&self) -> bool {
        !self.told.is_empty()
    }

    /// What there is to be told to connections.
    pub(super) fn take_told(&mut self) -> Vec<(usize, Call, Told)> {
        std::mem::take(&mut self.told)
    }

    /// What a call is answered whose daemon stops before it has come to an end; `None` when there is no such call.
    pub(super) fn farewell(&self, call: Call) -> Option<Answer> {
        let request = &self.running.get(&call)?.request;
        let error = RpcError::new(
            BUSY,
            "the daemon stops; list_tasks and list_messages tell what has become of it, once it runs again",
        );
        Some(self.engine.answer(&request.id, &request.context, Err(error)))
    }

    /// The client has given up a request: it is not answered, and what it has begun is ended.
    pub(super) fn cancel(&mut self, call: Call) {
        let Some(running) = self.forget(call) else { return };
        self.told.retain(|(_, other, _)| *other != call);
        self.looks.forget(running.connection, call);
        self.asker.forget(CLIENT_MIN + call.0);
        for command in running.abort {
            if let Err(refusal) = self.asker.ask(CLIENT_MIN + call.0, command, Box::new(Unheard)) {
                log::warn!("what a client has given up goes on: {refusal}");
            }
        }
    }

    /// A connection has gone. In the modern era that gives up its request; what a legacy client has begun goes on, as the
    /// protocol wants it.
    pub(super) fn gone(&mut self, connection: usize) {
        if !self.of_connection.contains_key(&connection) {
            return;
        }
        let of_it = self.running.iter().filter(|(_, running)| running.connection == connection);
        let calls: Vec<(Call, Era)> = of_it.map(|(call, running)| (*call, running.request.context.era)).collect();
        for (call, era) in calls {
            if era == Era::Legacy
                && let Some(running) = self.running.get_mut(&call)
            {
                running.abort.clear();
            }
            self.cancel(call);
        }
    }
}

/// A panic in a step is that request's failure.
fn safely(step: impl FnOnce() -> Step) -> Step {
    catch_unwind(AssertUnwindSafe(step))
        .unwrap_or_else(|_| Step::error(code::INTERNAL_ERROR, "the server failed at this; its log says how"))
}

/// Runs a look on the desk's thread.
pub(super) fn look(look: Look, reader: &mut dyn Reader) -> Step {
    safely(|| look(reader))
}

/// There is nothing to look at.
pub(super) fn unreadable(error: &ReadError) -> Step {
    Step::error(code::INTERNAL_ERROR, &format!("the database cannot be read: {error}"))
}

/// Delivers the hub's answer to the loop.
struct Addressed {
    call: Call,
    to: Sender<(Call, Result<Reply, Refusal>)>,
    alarm: Arc<Alarm>,
}

impl ports::Answer for Addressed {
    fn deliver(self: Box<Self>, answer: Result<Reply, Refusal>) {
        // There is room for one of each call.
        if self.to.try_send((self.call, answer)).is_err() {
            log::error!("an answer of the hub was lost on its way to a client");
        }
        self.alarm.answer();
    }
}

/// For what nobody waits for.
struct Unheard;

impl ports::Answer for Unheard {
    fn deliver(self: Box<Self>, _: Result<Reply, Refusal>) {}
}
