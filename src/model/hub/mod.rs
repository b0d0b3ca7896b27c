//! The one owner of state. Every input is stepped here, in order; what should happen comes out as [`Effects`].
//!
//! A batch is: [`Hub::step`] for each input, [`Hub::due`], [`Hub::settle`]; then the daemon persists, replies, runs and
//! publishes, in that order, and says [`Hub::committed`]. When persisting fails the hub is rebuilt from the store with
//! [`Hub::restore`].

mod alerts;
mod asking;
mod closing;
mod dependencies;
mod effects;
mod ending;
mod holding;
mod importing;
mod listening;
mod locks;
mod messages;
mod parking;
mod pictures;
mod pools;
mod retrying;
mod routing;
mod running;
mod scaling;
mod tasks;
mod timers;
mod upstreams;
mod watching;
mod workflows;

#[cfg(test)]
mod driver;
#[cfg(test)]
mod fake_rows;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use super::alert::{Look, Rule};
use super::breaker::{BreakerChange, Hold};
use super::command::{Command, HubStatus, Reply, Written};
use super::event::{Body, Event};
use super::id::{AskId, PoolId, TaskSeq, Token, UpstreamName};
use super::limits;
use super::pool::{Pool, Worker};
use super::rows::{Change, Rows, RowsError, Snapshot, Write};
use super::task::{OnCrash, Process, Report};
use super::upstream::{PollReport, Upstream};
use crate::clock::{Now, Tick};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

pub use effects::{Cancel, Effects, PollerOrder, Run, Stop};
pub use holding::breaker_name;
pub use upstreams::upstream_breaker_name;

/// Everything that can make the daemon act.
#[derive(Clone, Debug)]
pub enum Input {
    Ask {
        ask: AskId,
        command: Command,
    },
    /// Whoever asked is gone; nothing is answered any more.
    Forget(AskId),
    /// What the store says has changed since the last look, in order.
    Changes(Vec<Change>),
    Started {
        seq: TaskSeq,
        token: Token,
        process: Process,
    },
    /// The answer so far, for an ask.
    Progress {
        seq: TaskSeq,
        token: Token,
        text: Arc<str>,
    },
    /// What an attempt has written so far.
    Output {
        seq: TaskSeq,
        token: Token,
        written: Written,
    },
    Finished(Report),
    /// A worker thread died under its task and has been replaced.
    WorkerDied {
        pool: PoolId,
        slot: u8,
    },
    /// The three threads of a pool run, or why they do not.
    Staffed {
        pool: PoolId,
        ask: Option<AskId>,
        outcome: Result<(), String>,
    },
    /// The circuit breaker of a pool's executor has changed.
    BreakerChanged {
        pool: PoolId,
        change: BreakerChange,
    },
    /// It lets nothing through for so long: as it was when the last daemon ended, or because it has just turned away a
    /// task. No news, but to be heeded.
    BreakerHolds {
        pool: PoolId,
        wait: Duration,
    },
    /// A poller has been round.
    Polled {
        upstream: UpstreamName,
        /// Which life of the name it speaks of: one that was removed may still have something to tell.
        life: u64,
        report: Box<PollReport>,
    },
    UpstreamBreakerChanged {
        upstream: UpstreamName,
        life: u64,
        change: BreakerChange,
    },
    /// These are the rules for alerts, from here on.
    AlertRules(Vec<Rule>),
    /// What they are about has been read.
    Looked(Arc<Look>),
    /// A hook is done with all events up to this one. The hub keeps nothing of it but the row.
    HookMoved {
        name: String,
        seq: u64,
    },
    /// There is no hook of that name any more.
    HookRemoved {
        name: String,
    },
    /// Nothing more is dispatched; the daemon is stopping.
    Stopping,
}

/// What the owner of the hub may choose.
#[derive(Clone, Debug)]
pub struct HubSettings {
    /// Most watches that may be active.
    pub watches_max: usize,
    /// How long a wait watches a message that nobody watched.
    pub watch_timeout: Duration,
    /// A worker whose task has written nothing for so long is stuck.
    pub stuck_after: Duration,
    /// Between two tasks that try out a command without telling anything of it.
    pub try_pause: Duration,
    /// What becomes of a task that does not say when the daemon dies under it; `None`: as its kind has it.
    pub on_crash: Option<OnCrash>,
}

pub struct Hub {
    settings: HubSettings,
    /// The last number given to an event.
    seq: u64,
    next_token: u64,
    next_task_seq: i64,
    token_used: bool,
    watches: watching::Watches,
    pools: BTreeMap<PoolId, Pool>,
    /// Pools that this batch has ended: should it fail, their threads still run.
    pools_closed: BTreeMap<PoolId, Pool>,
    /// Pools whose counters changed in this batch.
    pools_dirty: BTreeSet<PoolId>,
    /// Groups of pools that scale themselves.
    groups: scaling::Groups,
    /// Workers as they were before this batch; should it fail, its facts are stepped again and must not count twice.
    workers_before: BTreeMap<PoolId, [Worker; limits::WORKERS_PER_POOL]>,
    /// Holds as they were before this batch has changed them; should it fail, they are so again.
    holds_before: BTreeMap<PoolId, Option<Hold>>,
    tasks: tasks::Tasks,
    workflows: workflows::Workflows,
    upstreams: BTreeMap<UpstreamName, Upstream>,
    /// Upstreams as they were before this batch has switched, reset or removed them, or heard of their breakers.
    upstreams_before: BTreeMap<UpstreamName, Upstream>,
    /// Counts the lives of upstreams that were added.
    upstream_lives: u64,
    /// Counts the cycles that were asked for.
    poll_orders: u64,
    alerts: alerts::Alerts,
    /// How much the running tasks have written.
    written: HashMap<TaskSeq, Written>,
    /// When which busy worker counts as stuck, unless something is heard of it.
    quiet: HashMap<(PoolId, u8), Tick>,
    /// How many tasks were routed by turns.
    round_robin: u64,
    parking: parking::Parking,
    timers: timers::Timers,
    pictures: pictures::Pictures,
    stopping: bool,
    stale_reports: u64,
    degraded: Option<String>,
}

impl Hub {
    pub fn new(settings: HubSettings) -> Hub {
        Hub {
            settings,
            seq: 0,
            next_token: 1,
            next_task_seq: 1,
            token_used: false,
            watches: watching::Watches::default(),
            pools: BTreeMap::new(),
            pools_closed: BTreeMap::new(),
            pools_dirty: BTreeSet::new(),
            groups: scaling::Groups::new(),
            workers_before: BTreeMap::new(),
            holds_before: BTreeMap::new(),
            tasks: tasks::Tasks::default(),
            workflows: workflows::Workflows::default(),
            upstreams: BTreeMap::new(),
            upstreams_before: BTreeMap::new(),
            upstream_lives: 0,
            poll_orders: 0,
            alerts: alerts::Alerts::default(),
            written: HashMap::new(),
            quiet: HashMap::new(),
            round_robin: 0,
            parking: parking::Parking::default(),
            timers: timers::Timers::default(),
            pictures: pictures::Pictures::default(),
            stopping: false,
            stale_reports: 0,
            degraded: None,
        }
    }

    /// Takes over what the store holds, at start and after a failed commit. Waiting askers and what is known of the
    /// worker threads stay; everything else is as the store says.
    pub fn restore(&mut self, now: Now, snapshot: Snapshot) {
        self.seq = snapshot.seq;
        self.next_token = snapshot.next_token.max(1);
        self.next_task_seq = snapshot.next_task_seq.max(1);
        self.token_used = false;
        self.timers.keep_only_waits();
        self.restore_waits();
        self.restore_pictures(now);
        self.restore_pools(snapshot.pools);
        self.restore_groups(now, snapshot.groups);
        self.round_robin = snapshot.round_robin;
        self.quiet.clear();
        self.restore_tasks(now, snapshot.tasks, &snapshot.dependencies);
        self.restore_workflows(snapshot.workflows, &snapshot.workflow_tasks);
        self.restore_upstreams(snapshot.upstreams, snapshot.totals);
        self.restore_alerts(snapshot.alerts);
        self.restore_watches(now, snapshot.next_watch_id, snapshot.watches);
    }

    /// The batch is durable and its answers go out: there is no way back behind it.
    pub fn committed(&mut self) {
        self.waits_committed();
        self.groups_committed();
        self.alerts_committed();
        self.workers_before.clear();
        self.holds_before.clear();
        self.upstreams_before.clear();
        self.pools_closed.clear();
    }

    /// Decides what one input leads to.
    ///
    /// # Errors
    /// A row could not be read: the whole batch must be rolled back.
    pub fn step(&mut self, now: Now, input: Input, rows: &mut dyn Rows, out: &mut Effects) -> Result<(), RowsError> {
        match input {
            Input::Ask { ask, command } => return self.command(now, ask, command, rows, out),
            Input::Forget(ask) => self.forget(ask),
            Input::Changes(changes) => return self.changes(now, &changes, rows, out),
            Input::Started { seq, token, process } => self.started(seq, token, process),
            Input::Progress { seq, token, text } => return self.progress(now, seq, token, text, rows, out),
            Input::Output { seq, token, written } => self.output(now, seq, token, written, out),
            Input::Finished(report) => return self.finished(now, report, rows, out),
            Input::WorkerDied { pool, slot } => return self.worker_died(now, &pool, slot, rows, out),
            Input::Staffed { pool, ask, outcome } => return self.staffed(now, &pool, ask, outcome, rows, out),
            Input::BreakerChanged { pool, change } => self.breaker_changed(now, &pool, change, out),
            Input::BreakerHolds { pool, wait } => self.breaker_holds(now, &pool, wait),
            // Of a life that is over nobody wants to hear any more.
            Input::Polled { upstream, life, .. } | Input::UpstreamBreakerChanged { upstream, life, .. }
                if !self.is_upstream(&upstream, life) => {}
            Input::Polled { upstream, report, .. } => self.polled(now, &upstream, *report, out),
            Input::UpstreamBreakerChanged { upstream, change, .. } => {
                self.upstream_breaker_changed(now, &upstream, change, out);
            }
            Input::AlertRules(rules) => self.set_alert_rules(now, rules, out),
            Input::Looked(look) => self.looked(now, &look, out),
            Input::HookMoved { name, seq } => out.writes.push(Write::PutHookCursor { name, seq }),
            Input::HookRemoved { name } => out.writes.push(Write::DeleteHookCursor(name)),
            Input::Stopping => self.stop_dispatching(),
        }
        Ok(())
    }

    fn command(
        &mut self,
        now: Now,
        ask: AskId,
        command: Command,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let answer = match command {
            Command::Status => Some(Ok(Reply::Status { hub: self.status(), alerts: self.list_alerts() })),
            Command::ListAlerts => Some(Ok(Reply::Alerts(self.list_alerts()))),
            Command::Stop => {
                out.stop = true;
                Some(Ok(Reply::Done))
            }
            Command::ListPools => Some(Ok(Reply::Pools(self.pool_views()))),
            Command::Metrics => Some(Ok(Reply::Metrics(self.pool_views(), self.upstreams_since()))),
            Command::PoolHealth { id } => Some(self.pool_health(id.as_ref())),
            Command::ShowPool { id } => Some(self.show_pool(&id)),
            // The store is brought up to date before the reply goes out; there is nothing to decide.
            Command::IndexSearch => Some(Ok(Reply::Done)),
            Command::AddWatch(watch) => Some(self.add_watch(now, watch, rows, out)?),
            Command::RemoveWatch { name } => Some(self.remove_watch(&name, rows, out)?),
            Command::WaitWatch { name, timeout, watched_for } => {
                self.wait_watch(now, ask, &name, (timeout, watched_for), rows, out)?
            }
            Command::Send(send) => Some(self.send(now, send, rows, out)?),
            Command::Reply { id, question, content } => Some(self.reply_to(now, id, &question, content, rows, out)?),
            Command::Update { id, status, content } => Some(self.update(now, &id, status, content, rows, out)?),
            Command::ImportThread(thread) => Some(Self::import_thread(thread, rows, out)?),
            Command::ImportMessage(message) => Some(self.import_message(now, message, rows, out)?),
            Command::AddModule { name, directory } => {
                out.writes.push(Write::PutModule { name, directory });
                Some(Ok(Reply::Done))
            }
            Command::RemoveModule { name } => Some(Self::remove_module(name, rows, out)?),
            Command::Ask(question) => self.ask(now, ask, question, rows, out)?,
            Command::CreatePool(row) => self.create_pool(ask, row, out),
            Command::PausePool { id } => Some(self.pause_pool(now, &id, out)),
            Command::ResumePool { id } => Some(self.resume_pool(now, &id, out)),
            Command::DeletePool { id, timeout } => self.delete_pool(now, ask, &id, timeout, rows, out)?,
            Command::ScaleGroup { group, scale } => Some(self.scale_group(now, &group, scale, out)),
            Command::Submit(submit) => Some(self.submit(now, submit, rows, out)?),
            Command::WaitTask { id, timeout, beyond } => self.wait_task(now, ask, &id, timeout, beyond, rows)?,
            Command::WaitAnyTask { ids, timeout } => self.wait_any_task(now, ask, &ids, timeout, rows)?,
            Command::CancelTask { id } => Some(self.cancel(now, &id, rows, out)?),
            Command::RetryTask { id } => Some(self.retry(now, &id, rows, out)?),
            Command::RunWorkflow(run) => Some(self.run_workflow(now, *run, rows, out)?),
            Command::WaitWorkflow { id, timeout } => self.wait_workflow(now, ask, id, timeout, rows)?,
            Command::ListUpstreams => Some(Ok(Reply::Upstreams(self.upstreams.values().cloned().collect()))),
            Command::ShowUpstream { name } => Some(self.show_upstream(&name)),
            Command::AddUpstream(row) => Some(self.add_upstream(now, row, out)),
            Command::RemoveUpstream { name } => Some(self.remove_upstream(&name, out)),
            Command::SetPolling { name, polling } => Some(self.set_polling(&name, polling, out)),
            Command::PollUpstream { name, timeout } => self.poll_upstream(now, ask, &name, timeout, out),
            Command::ResetUpstream { name } => Some(self.reset_upstream(now, &name, out)),
            Command::CancelWorkflow { id } => Some(self.cancel_workflow(id, rows)?),
            Command::Publish(publication) => {
                Some(Ok(Reply::Published(self.emit(now, Body::Published(publication), out))))
            }
        };
        if let Some(answer) = answer {
            out.replies.push((ask, answer));
        }
        Ok(())
    }

    /// Does what has become due.
    ///
    /// # Errors
    /// As [`Hub::step`].
    pub fn due(&mut self, now: Now, rows: &mut dyn Rows, out: &mut Effects) -> Result<(), RowsError> {
        while let Some(timer) = self.timers.pop_due(now.tick) {
            match timer {
                timers::Timer::Watch(id) => self.expire_watch(now, id, rows, out)?,
                timers::Timer::Wait(ask) => self.wait_timed_out(ask, rows, out)?,
                timers::Timer::Task(seq) => self.task_due(seq),
                timers::Timer::Stuck(pool, slot) => self.grew_quiet(now, &pool, slot, out),
                timers::Timer::Drain(pool) => self.drain_ended(now, &pool, rows, out)?,
                timers::Timer::Scale(group) => self.scale_due(&group),
                // A task may be given out again, which is done where the batch ends.
                timers::Timer::Hold(_) => {}
                timers::Timer::Picture(subject) => self.draw(now, subject, rows, out)?,
            }
        }
        Ok(())
    }

    /// Ends a batch: idle workers get their next task, and every task that changed is written once.
    ///
    /// # Errors
    /// As [`Hub::step`].
    pub fn settle(&mut self, now: Now, rows: &mut dyn Rows, out: &mut Effects) -> Result<(), RowsError> {
        self.resolve_inserted(now, rows, out)?;
        self.settle_workflows(now, rows, out)?;
        self.dispatch(now, rows, out)?;
        self.scale_groups(now, out);
        self.close_drained(now, out);
        self.tasks.flush(&mut out.writes);
        for id in std::mem::take(&mut self.pools_dirty) {
            if let Some(pool) = self.pools.get(&id) {
                out.writes.push(Write::PutPool(pool.row.clone()));
            }
        }
        if std::mem::take(&mut self.token_used) {
            out.writes.push(Write::NextToken(Token(self.next_token)));
        }
        Ok(())
    }

    /// Whether a command needs no row and no write, so that it can be answered, or parked, even while nothing can be
    /// written.
    pub fn knows(&self, command: &Command) -> bool {
        match command {
            Command::WaitTask { id, .. } => self.tasks.by_id(id).is_some(),
            Command::WaitAnyTask { ids, .. } => ids.iter().all(|id| self.tasks.by_id(id).is_some()),
            Command::WaitWatch { name, .. } => self.is_watched(name),
            Command::WaitWorkflow { id, .. } => self.workflows.open.contains_key(id),
            command => command.is_read(),
        }
    }

    /// When [`Hub::due`] has something to do next.
    pub fn next_deadline(&self) -> Option<Tick> {
        self.timers.first()
    }

    /// The daemon is stopping: no task is begun any more, whatever becomes of this batch or the next.
    pub fn stop_dispatching(&mut self) {
        self.stopping = true;
    }

    /// Says whether writing works at present, for `poll status`.
    pub fn set_degraded(&mut self, reason: Option<String>) {
        self.degraded = reason;
    }

    pub fn status(&self) -> HubStatus {
        HubStatus {
            active_messages: self.watches.active(),
            pools: self.pools.len(),
            upstreams: self.upstreams.len(),
            tasks_queued: self.pools.values().map(Pool::pending).sum(),
            tasks_running: self.pools.values().map(Pool::running).sum(),
            seq: self.seq,
            degraded: self.degraded.clone(),
        }
    }

    /// Reports that came for an attempt that was no longer the current one, and were dropped.
    pub fn stale_reports(&self) -> u64 {
        self.stale_reports
    }

    fn emit(&mut self, now: Now, body: Body, out: &mut Effects) -> u64 {
        self.seq += 1;
        out.events.push(Event { seq: self.seq, at: now.wall, body });
        self.seq
    }
}

fn check_wait(timeout: Option<Duration>) -> Option<Duration> {
    timeout.map(|timeout| timeout.min(limits::WAIT_MAX))
}
