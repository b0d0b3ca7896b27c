//! Everything around the hub, played by a dice: clients, workers, other programs, clocks, disks, and kill -9.

use super::alerting::Watchful;
use super::holding::Held;
use super::inputs::pool_row;
use super::oracle::{Oracle, Verdict, result_of};
use super::polling::Polling;
use super::random::Random;
use crate::clock::{Clock, Timestamp};
use crate::model::command::{Command, Written};
use crate::model::hub::driver::{Driver, Fate, Fault};
use crate::model::hub::{Input, Run};
use crate::model::id::{AskId, PoolId, TaskId, WorkflowId};
use crate::model::task::{Ending, Process, Report, TaskResult};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Batches after which everything must have ended, once nothing new comes in.
const DRAIN_BATCHES_MAX: usize = 5000;

pub(super) struct World {
    pub(super) random: Random,
    pub(super) driver: Driver,
    pub(super) oracle: Oracle,
    /// What each worker thread holds; it runs the first.
    pub(super) workers: BTreeMap<(PoolId, u8), VecDeque<Run>>,
    pub(super) held: Held,
    pub(super) watchful: Watchful,
    pub(super) polling: Polling,
    /// Whether the last batch was written.
    pub(super) is_well: bool,
    /// What was reported already, and may be once more.
    pub(super) reported: Vec<Input>,
    pub(super) tasks: Vec<TaskId>,
    pub(super) workflows: Vec<WorkflowId>,
    pub(super) messages: Vec<String>,
    /// Asks that a later batch may forget.
    pub(super) forgettable: Vec<AskId>,
    pub(super) created: u32,
}

impl World {
    pub(super) fn new(seed: u64, fault: Option<Fault>) -> World {
        let mut driver = Driver::new(12);
        for pool in ["command", "echo", "group-1"] {
            driver.ask(Command::CreatePool(pool_row(pool)));
        }
        driver.batch(Vec::new());
        driver.answers.clear();
        driver.events.clear();
        driver.fault = fault;
        World {
            random: Random::new(seed),
            driver,
            oracle: Oracle::default(),
            workers: BTreeMap::new(),
            held: Held::default(),
            watchful: Watchful::new(seed),
            polling: Polling::new(seed),
            is_well: true,
            reported: Vec::new(),
            tasks: Vec::new(),
            workflows: Vec::new(),
            messages: Vec::new(),
            forgettable: Vec::new(),
            created: 0,
        }
    }

    /// One batch of random inputs. Returns how many there were.
    pub(super) fn step(&mut self) -> Result<usize, String> {
        self.let_time_pass();
        if self.random.permille(8) {
            self.crash()?;
            // What takes a daemon down often does so again, as soon as it is up.
            while self.random.percent(40) {
                self.crash()?;
            }
            return Ok(1);
        }
        if self.random.permille(4) {
            return self.restart().map(|()| 1);
        }
        let count = 1 + self.random.below(5);
        let mut inputs = Vec::with_capacity(count);
        let forgettable = std::mem::take(&mut self.forgettable);
        for _ in 0..count {
            inputs.extend(self.input(&forgettable));
        }
        inputs.extend(self.look());
        inputs.extend(self.poll());
        self.forgettable.extend(forgettable);
        self.driver.hire_fails = self.random.percent(60).then(|| "no more threads".to_owned());
        let fate = self.fate();
        self.batch(inputs, fate)?;
        Ok(count)
    }

    fn fate(&mut self) -> Fate {
        if self.random.percent(2) {
            self.driver.rows.reads_left = Some(self.random.below(6) as u32);
        }
        match self.random.below(100) {
            0..5 => Fate::CommitFails,
            5..7 => Fate::NothingWorks,
            _ => Fate::Committed,
        }
    }

    fn let_time_pass(&mut self) {
        let wait = match self.random.below(100) {
            0..70 => self.random.millis(60),
            70..95 => self.random.millis(2_000),
            95..99 => self.random.millis(100_000),
            _ => self.random.millis(4_000_000),
        };
        self.driver.clock.advance(wait);
        if self.random.permille(15) {
            let wall = self.driver.clock.wall().as_micros();
            let jump = self.random.below(7_200_000_000) as i64 - 3_600_000_000;
            self.driver.clock.set_wall(Timestamp::from_micros(wall + jump));
        }
    }

    pub(super) fn batch(&mut self, inputs: Vec<Input>, fate: Fate) -> Verdict {
        let committed = self.driver.batch_with(inputs, fate);
        self.driver.rows.reads_left = None;
        self.is_well = committed;
        if committed {
            self.follow_alerts()?;
            self.follow_upstreams()?;
        }
        self.hand_out()?;
        self.oracle.check(&mut self.driver, committed)
    }

    /// Gives the workers what was decided for them: never more than fits into their channels.
    fn hand_out(&mut self) -> Verdict {
        self.driver.cancels.clear();
        self.follow_breakers();
        for run in std::mem::take(&mut self.driver.runs) {
            self.oracle.dispatched(&self.driver, &run)?;
            self.passes_breaker(&run)?;
            let most = 1 + self.driver.hub.pools[&run.pool].row.executor.ahead_max();
            let worker = self.workers.entry((run.pool.clone(), run.slot)).or_default();
            if worker.len() == most {
                return Err(format!("overfull: worker {} of {} was given {} too", run.slot, run.pool, run.id));
            }
            worker.push_back(run);
        }
        Ok(())
    }

    /// A worker that has something to do.
    pub(super) fn busy_worker(&mut self) -> Option<(PoolId, u8)> {
        let busy: Vec<_> =
            self.workers.iter().filter(|(_, runs)| !runs.is_empty()).map(|(key, _)| key.clone()).collect();
        self.random.pick(&busy).cloned()
    }

    pub(super) fn finish(&mut self, worker: &(PoolId, u8), ending: Ending) -> Option<Input> {
        let run = self.workers.get_mut(worker)?.pop_front()?;
        let error = (ending != Ending::Succeeded).then(|| "went wrong".into());
        let result = (ending == Ending::Succeeded).then(|| result_of(run.token).into());
        let report = Input::Finished(Report {
            seq: run.seq,
            token: run.token,
            ending,
            outcome: TaskResult { result, error, ..TaskResult::default() },
            exit_code: None,
            exit_signal: None,
            duration: Duration::from_millis(5),
            breaker: None,
        });
        self.reported.push(report.clone());
        Some(report)
    }

    pub(super) fn talk(&mut self, worker: &(PoolId, u8)) -> Option<Input> {
        let run = self.workers.get(worker)?.front()?;
        let (seq, token) = (run.seq, run.token);
        if self.random.percent(30) {
            let written = Written { stdout: self.random.below(10) as u64, stderr: 0 };
            return Some(Input::Output { seq, token, written });
        }
        Some(if run.progress && self.random.percent(60) {
            Input::Progress { seq, token, text: "so far".into() }
        } else {
            Input::Started { seq, token, process: Process { pid: 7, started: token.0, boot_id: "boot".to_owned() } }
        })
    }

    /// A worker thread dies; what it had reported before may still be on its way.
    pub(super) fn worker_dies(&mut self) -> Option<Input> {
        let worker = self.busy_worker()?;
        self.workers.remove(&worker);
        Some(Input::WorkerDied { pool: worker.0, slot: worker.1 })
    }

    fn crash(&mut self) -> Verdict {
        self.workers.clear();
        self.reported.clear();
        self.forgettable.clear();
        self.oracle.crashed();
        self.driver.crash();
        self.breakers_taken_over();
        self.upstreams_taken_over();
        self.driver.answers.clear();
        self.hand_out()?;
        self.oracle.check(&mut self.driver, true)?;
        self.alerts_taken_over()
    }

    /// An orderly stop: what runs is interrupted and loses nothing, then another daemon starts.
    fn restart(&mut self) -> Verdict {
        self.batch(vec![Input::Stopping], Fate::Committed)?;
        let crashes = |world: &World| -> u32 { world.driver.rows.tables.tasks.values().map(|task| task.crashes).sum() };
        let before = crashes(self);
        while let Some(worker) = self.busy_worker() {
            let report = self.finish(&worker, Ending::Interrupted);
            self.batch(report.into_iter().collect(), Fate::Committed)?;
        }
        if let Some(task) = self.driver.rows.running().next() {
            return Err(format!("stop: {task:?} still runs"));
        }
        self.crash()?;
        if crashes(self) == before { Ok(()) } else { Err("stop: it was counted as a crash".to_owned()) }
    }

    /// Nothing new comes in and everything works: all that was begun must come to its end.
    pub(super) fn drain(&mut self) -> Verdict {
        self.driver.hire_fails = None;
        // What a batch that failed has left in memory is not which pools there are.
        self.batch(Vec::new(), Fate::Committed)?;
        let paused: Vec<PoolId> = self.driver.hub.pools.keys().cloned().collect();
        for id in paused {
            let (ask, input) = self.driver.question(Command::ResumePool { id });
            self.oracle.open.insert(ask);
            self.batch(vec![input], Fate::Committed)?;
        }
        for _ in 0..DRAIN_BATCHES_MAX {
            let mut reports = self.poll_owed();
            while let Some(worker) = self.busy_worker() {
                reports.extend(self.finish(&worker, Ending::Succeeded));
            }
            let idle = reports.is_empty() && self.driver.carried.is_empty();
            match self.driver.hub.next_deadline() {
                None if idle => break,
                Some(at) if idle => self.driver.clock.advance(self.driver.clock.tick().until(at)),
                _ => {}
            }
            self.batch(reports, Fate::Committed)?;
        }
        self.oracle.check_end(&self.driver)
    }
}
