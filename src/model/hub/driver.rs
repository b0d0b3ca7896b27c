//! The daemon's loop in small, for tests: a batch is stepped, persisted, answered and run in the order of the real one,
//! and a batch that cannot be persisted is taken back in the same way. Time stands still until a test lets it pass.

use super::fake_rows::FakeRows;
use super::timers::Timer;
use super::{Cancel, Effects, Hub, HubSettings, Input, PollerOrder, Run};
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::model::event::{Body, Event};
use crate::model::id::{AskId, PoolId, UpstreamName};
use crate::model::limits::STUCK_AFTER;
use crate::model::queue::Place;
use crate::model::rows::{RowsError, Write};
use crate::model::task::TaskStatus;
use crate::model::upstream::Upstream;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) type Answer = Result<Reply, Refusal>;

/// How a batch ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Committed,
    /// The disk is full at the end.
    CommitFails,
    /// As before, and what is stored cannot be read either until the next batch.
    NothingWorks,
}

/// A mistake planted on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Late reports count for the present attempt.
    IgnoresTokens,
    /// Of what a crash has put back, one task is not queued.
    LosesRequeued,
    RepliesTwice,
    SkipsNumbers,
    /// The first in the queue goes to its end.
    BreaksOrder,
    /// Whom a failed batch would have answered is forgotten.
    ForgetsWaiters,
    /// The next token is not written.
    ReusesTokens,
    /// Tasks with one lock run beside each other.
    IgnoresLocks,
    /// Whoever waits for a task is not told that it is completed.
    ForgetsDependents,
    /// What needs a task that failed runs all the same.
    RunsUnneeded,
    /// A workflow ends with its first stage that does.
    EndsWorkflowsEarly,
    /// That a task is completed is not written.
    RunsCompletedAgain,
    /// A pool that its group gives up is ended at once.
    ShrinksAtOnce,
    /// What a circuit breaker says is not heard.
    IgnoresHolds,
    /// A threshold that is crossed for a moment raises an alert.
    RaisesUnheld,
    /// What a failed batch has raised or cleared counts as told.
    KeepsFailedAlerts,
    /// A crash takes what is raised with it.
    ForgetsAlerts,
    /// That a poller is to stop, or to end, is not told to it.
    LosesOrders,
    /// What a failed batch has counted counts.
    KeepsFailedTotals,
    /// What a failed batch has heard of an upstream's breaker counts as told.
    KeepsFailedBreakers,
}

pub(super) struct Driver {
    pub(super) fault: Option<Fault>,
    pub(super) hub: Hub,
    pub(super) rows: FakeRows,
    pub(super) clock: ManualClock,
    /// Every answer in the order of delivery.
    pub(super) answers: Vec<(AskId, Answer)>,
    pub(super) runs: Vec<Run>,
    pub(super) cancels: Vec<Cancel>,
    pub(super) events: Vec<Event>,
    pub(super) dismissed: Vec<PoolId>,
    pub(super) breakers_tried: Vec<PoolId>,
    pub(super) pollers: Vec<(UpstreamName, PollerOrder)>,
    /// Facts that the next batch begins with.
    pub(super) carried: Vec<Input>,
    /// Why no thread can be started at present.
    pub(super) hire_fails: Option<String>,
    must_restore: bool,
    next_ask: u64,
    settings: HubSettings,
}

impl Driver {
    pub(super) fn new(watches_max: usize) -> Driver {
        let settings = HubSettings {
            watches_max,
            watch_timeout: Duration::from_secs(3600),
            stuck_after: STUCK_AFTER,
            try_pause: Duration::from_secs(60),
            on_crash: None,
        };
        let clock = ManualClock::new();
        clock.set_wall(Timestamp::from_unix_seconds(1_000_000.0));
        Driver {
            fault: None,
            hub: Hub::new(settings.clone()),
            rows: FakeRows::default(),
            clock,
            answers: Vec::new(),
            runs: Vec::new(),
            cancels: Vec::new(),
            events: Vec::new(),
            dismissed: Vec::new(),
            breakers_tried: Vec::new(),
            pollers: Vec::new(),
            carried: Vec::new(),
            hire_fails: None,
            must_restore: false,
            next_ask: 1,
            settings,
        }
    }

    pub(super) fn question(&mut self, command: Command) -> (AskId, Input) {
        let ask = AskId(self.next_ask);
        self.next_ask += 1;
        (ask, Input::Ask { ask, command })
    }

    /// A batch of one ask.
    pub(super) fn ask(&mut self, command: Command) -> AskId {
        let (ask, input) = self.question(command);
        self.batch(vec![input]);
        ask
    }

    pub(super) fn batch(&mut self, inputs: Vec<Input>) {
        self.batch_with(inputs, Fate::Committed);
    }

    /// Returns whether it was committed.
    pub(super) fn batch_with(&mut self, inputs: Vec<Input>, fate: Fate) -> bool {
        let inputs: Vec<Input> = std::mem::take(&mut self.carried).into_iter().chain(inputs).collect();
        self.rows.begin();
        let mut out = Effects::default();
        let stepped = self.step_all(&inputs, &mut out);
        let committed = stepped.is_ok() && fate == Fate::Committed;
        if committed {
            self.persist(out);
        } else {
            self.take_back(inputs, fate);
        }
        committed
    }

    /// Takes in what needs no batch.
    pub(super) fn note(&mut self, input: Input) {
        let mut out = Effects::default();
        self.hub.step(self.clock.now(), input, &mut self.rows, &mut out).expect("it reads nothing");
        assert!(!out.must_persist(), "it should have been written: {out:?}");
    }

    /// Lets time pass and does what has become due.
    pub(super) fn pass(&mut self, wait: Duration) {
        self.clock.advance(wait);
        self.batch(Vec::new());
    }

    fn step_all(&mut self, inputs: &[Input], out: &mut Effects) -> Result<(), RowsError> {
        let now = self.clock.now();
        if std::mem::take(&mut self.must_restore) {
            let snapshot = self.rows.snapshot();
            self.hub.restore(now, snapshot);
        }
        let changes = std::mem::take(&mut self.rows.tables.changes);
        if !changes.is_empty() {
            self.hub.step(now, Input::Changes(changes), &mut self.rows, out)?;
            self.rows.apply(std::mem::take(&mut out.writes));
        }
        for input in inputs {
            let input = self.misread(input.clone());
            self.hub.step(now, input, &mut self.rows, out)?;
            self.rows.apply(std::mem::take(&mut out.writes));
        }
        self.shrink_at_once();
        self.hub.due(now, &mut self.rows, out)?;
        self.rows.apply(std::mem::take(&mut out.writes));
        self.break_order();
        self.mistreat_others();
        self.hub.settle(now, &mut self.rows, out)?;
        self.miswrite(&mut out.writes);
        self.rows.apply(std::mem::take(&mut out.writes));
        self.hub.due(now, &mut self.rows, out)?;
        self.rows.apply(std::mem::take(&mut out.writes));
        Ok(())
    }

    fn persist(&mut self, mut out: Effects) {
        if self.fault == Some(Fault::RepliesTwice)
            && let Some((ask, Ok(reply))) = out.replies.last()
        {
            out.replies.push((*ask, Ok(reply.clone())));
        }
        if self.fault == Some(Fault::SkipsNumbers) && self.hub.seq % 50 == 49 {
            self.hub.seq += 1;
        }
        self.rows.append_events(&out.events);
        self.rows.commit();
        self.hub.committed();
        self.answers.extend(out.replies);
        self.runs.extend(out.runs);
        self.cancels.extend(out.cancels);
        self.events.extend(out.events);
        self.dismissed.extend(out.dismissed);
        self.breakers_tried.extend(out.breakers_tried);
        if self.fault == Some(Fault::LosesOrders) {
            out.pollers.retain(|(_, order)| !matches!(order, PollerOrder::Stop | PollerOrder::End));
        }
        self.pollers.extend(out.pollers);
        for (pool, ask) in out.staff {
            let outcome = self.hire_fails.clone().map_or(Ok(()), Err);
            self.carried.push(Input::Staffed { pool, ask, outcome });
        }
    }

    /// Nothing of the batch happened: who asked is told, the hub goes back to what is stored, facts are kept.
    fn take_back(&mut self, inputs: Vec<Input>, fate: Fate) {
        self.rows.rollback();
        self.rows.reads_left = None;
        let now = self.clock.now();
        for input in &inputs {
            if let Input::Ask { ask, .. } = input {
                self.answers.push((*ask, Err(Refusal::new(Code::Busy, "nothing can be written at present"))));
                let forget = Input::Forget(*ask);
                self.hub.step(now, forget, &mut self.rows, &mut Effects::default()).expect("forgetting reads nothing");
            }
        }
        if self.fault == Some(Fault::ForgetsWaiters) {
            self.hub.committed();
        }
        let (alerts, upstreams) = (self.hub.alerts.raised.clone(), self.hub.upstreams.clone());
        if fate == Fate::NothingWorks {
            self.must_restore = true;
        } else {
            self.hub.restore(now, self.rows.snapshot());
        }
        if self.fault == Some(Fault::KeepsFailedAlerts) {
            self.hub.alerts.raised = alerts;
        }
        self.keep_failed(upstreams);
        let fact = |input: &Input| {
            !matches!(input, Input::Ask { .. } | Input::Progress { .. } | Input::Output { .. } | Input::Changes(_))
        };
        self.carried = inputs.into_iter().filter(fact).collect();
    }

    fn keep_failed(&mut self, mut failed: BTreeMap<UpstreamName, Upstream>) {
        for (name, upstream) in &mut self.hub.upstreams {
            let Some(failed) = failed.remove(name) else { continue };
            match self.fault {
                Some(Fault::KeepsFailedTotals) => upstream.totals = failed.totals,
                Some(Fault::KeepsFailedBreakers) => upstream.breaker = failed.breaker,
                _ => {}
            }
        }
    }

    /// The daemon is killed, and another takes over.
    pub(super) fn crash(&mut self) {
        self.rows.rollback();
        if self.fault == Some(Fault::ForgetsAlerts) {
            self.rows.tables.alerts.clear();
        }
        self.carried.clear();
        self.must_restore = false;
        self.runs.clear();
        self.cancels.clear();
        self.hub = Hub::new(self.settings.clone());
        self.take_over();
        for pool in self.hub.unstaffed() {
            let stored = self.rows.tables.breakers.get(&super::breaker_name(&pool));
            let wait = stored.map(|snapshot| Duration::from_millis(snapshot.parse().unwrap_or(0)));
            let holds = wait.map(|wait| Input::BreakerHolds { pool: pool.clone(), wait });
            let staffed = Input::Staffed { pool, ask: None, outcome: Ok(()) };
            self.batch(holds.into_iter().chain([staffed]).collect());
        }
    }

    /// The start of a daemon up to the point where threads are started.
    fn take_over(&mut self) {
        let now = self.clock.now();
        self.hub.restore(now, self.rows.snapshot());
        self.rows.begin();
        let mut out = Effects::default();
        let changes = std::mem::take(&mut self.rows.tables.changes);
        let folded = self.hub.step(now, Input::Changes(changes), &mut self.rows, &mut out);
        self.rows.apply(std::mem::take(&mut out.writes));
        folded
            .and_then(|()| self.hub.recover(now, &mut self.rows, &mut out))
            .and_then(|()| self.hub.due(now, &mut self.rows, &mut out))
            .and_then(|()| self.hub.settle(now, &mut self.rows, &mut out))
            .expect("every row can be read");
        if self.fault == Some(Fault::LosesRequeued) {
            for pool in self.hub.pools.values_mut() {
                pool.queue.pop();
            }
        }
        self.rows.apply(std::mem::take(&mut out.writes));
        // A daemon that starts hires for every pool that has no threads.
        out.staff.clear();
        self.persist(out);
    }

    fn misread(&mut self, mut input: Input) -> Input {
        if self.fault == Some(Fault::RaisesUnheld) {
            self.hub.alerts.rules.iter_mut().for_each(|rule| rule.hold = Duration::ZERO);
        }
        if let (Some(Fault::IgnoresTokens), Input::Finished(report)) = (self.fault, &mut input)
            && let Some(token) = self.rows.tables.tasks.get(&report.seq).and_then(|task| task.token)
        {
            report.token = token;
        }
        input
    }

    fn break_order(&mut self) {
        if self.fault != Some(Fault::BreaksOrder) {
            return;
        }
        for pool in self.hub.pools.values_mut().filter(|pool| pool.queue.len() > 1 && pool.free_worker().is_some()) {
            if let Some(first) = pool.queue.pop() {
                pool.queue.push(Place::new(i64::MAX, 0), first);
            }
        }
    }

    fn shrink_at_once(&mut self) {
        if self.fault == Some(Fault::ShrinksAtOnce) {
            for pool in self.hub.pools.values().filter(|pool| pool.row.retiring) {
                self.hub.timers.set(self.clock.tick(), Timer::Drain(pool.row.id.clone()));
            }
        }
    }

    fn mistreat_others(&mut self) {
        if self.fault == Some(Fault::IgnoresHolds) {
            let held: Vec<PoolId> = self.hub.pools.keys().cloned().collect();
            held.iter().for_each(|id| self.hub.release(id));
        }
        let tasks = &mut self.hub.tasks;
        match self.fault {
            Some(Fault::IgnoresLocks) => tasks.locks.by_key.values_mut().for_each(|lock| lock.holder = None),
            Some(Fault::EndsWorkflowsEarly) => {
                let some_done = |open: &&mut super::workflows::Open| open.tallies.iter().any(|tally| tally.is_done());
                self.hub.workflows.open.values_mut().filter(some_done).for_each(|open| open.tasks.clear());
            }
            Some(Fault::ForgetsDependents) => tasks.ended.clear(),
            Some(Fault::RunsUnneeded) => {
                tasks.ended.iter_mut().for_each(|(_, status)| *status = TaskStatus::Completed);
            }
            _ => {}
        }
    }

    fn miswrite(&self, writes: &mut Vec<Write>) {
        match self.fault {
            Some(Fault::ReusesTokens) => writes.retain(|write| !matches!(write, Write::NextToken(_))),
            Some(Fault::RunsCompletedAgain) => {
                writes.retain(|write| !matches!(write, Write::PutTask(task) if task.status == TaskStatus::Completed))
            }
            _ => {}
        }
    }

    /// What somebody was answered; `None` while nothing was.
    pub(super) fn answer(&self, ask: AskId) -> Option<&Answer> {
        let mut answers = self.answers.iter().filter(|(other, _)| *other == ask);
        let answer = answers.next().map(|(_, answer)| answer);
        assert!(answers.next().is_none(), "{ask:?} was answered twice");
        answer
    }

    /// The names of the events since the last call, pictures left out.
    pub(super) fn facts(&mut self) -> Vec<String> {
        let facts = self.events.drain(..).filter(|event| !is_picture(&event.body));
        facts.map(|event| event.body.name().to_owned()).collect()
    }

    /// How many pictures there were since the last call, by channel.
    pub(super) fn pictures(&mut self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for event in self.events.drain(..).filter(|event| is_picture(&event.body)) {
            *counts.entry(format!("{} {}", event.body.name(), event.body.channel())).or_default() += 1;
        }
        counts
    }
}

pub(super) fn is_picture(body: &Body) -> bool {
    matches!(
        body,
        Body::UpstreamPolled { .. } | Body::PoolStatus { .. } | Body::WorkerStatus { .. } | Body::MessageContent { .. }
    )
}
