//! What may arrive, and how often.

use super::world::World;
use crate::clock::Timestamp;
use crate::model::command::{
    AddWatch, Ask, Command, Destination, IntoThread, Party, Scale, Seen, Selector, Send, Submit, Written,
};
use crate::model::hub::Input;
use crate::model::id::{AskId, MessageId, ModuleName, PoolId, TaskId, ThreadId, Token, WorkflowId};
use crate::model::message::Status;
use crate::model::pool::{ExecutorKind, PoolRow};
use crate::model::scaling::Rule;
use crate::model::task::{Ending, OnCrash, TaskInput};
use crate::model::workflow::{Definition, OnFailure, RunWorkflow, Stage, StageTask};
use std::time::Duration;

const POOLS: [&str; 7] = ["command", "command", "echo", "echo", "third", "fourth", "group-1"];
const GROUP: &str = "group";
const MODULES: [&str; 3] = ["a", "b", "c"];
const STATUSES: [&str; 7] = ["pending", "processing", "complete", "completed", "failed", "in review", "unknown"];

impl World {
    /// Some input; `None` when the dice asked for what is not there.
    pub(super) fn input(&mut self, forgettable: &[AskId]) -> Option<Input> {
        match self.random.below(100) {
            0..3 => self.ask(|world| Some(Command::CreatePool(pool_row(world.pool().as_str())))),
            3..6 => self.ask(|world| Some(world.about_pool())),
            6..21 => self.ask(|world| Some(world.submit())),
            21..24 => self.ask(World::about_workflow),
            24..32 => self.ask(|world| Some(world.ask_module())),
            32..36 => self.ask(|world| Some(world.send())),
            36..42 => self.ask(World::message_verb),
            42..44 => self.ask(|world| Some(world.module())),
            44..50 => self.ask(World::about_task),
            50..60 => self.ask(World::about_watch),
            60..62 => {
                let ask = *self.random.pick(forgettable)?;
                self.oracle.forget(ask);
                Some(Input::Forget(ask))
            }
            62..70 => {
                self.foreign();
                None
            }
            70..72 => self.breaker(),
            72..92 => self.work(),
            92..94 => self.worker_dies(),
            94..97 => self.late(),
            _ => None,
        }
    }

    fn ask(&mut self, command: impl FnOnce(&mut World) -> Option<Command>) -> Option<Input> {
        let command = command(self)?;
        let creates = matches!(command, Command::CreatePool(_));
        let (ask, input) = self.driver.question(command);
        self.oracle.open.insert(ask);
        if !creates {
            self.forgettable.push(ask);
        }
        Some(input)
    }

    fn number(&mut self) -> u32 {
        self.created += 1;
        self.created
    }

    fn pool(&mut self) -> PoolId {
        PoolId::new(self.random.pick(&POOLS).unwrap_or(&"command"))
    }

    /// Pausing is undone more often than done, so that tasks get on.
    fn about_pool(&mut self) -> Command {
        let id = self.pool();
        match self.random.below(15) {
            0..3 => Command::PausePool { id },
            3..7 => Command::ResumePool { id },
            7..12 => Command::ScaleGroup { group: GROUP.to_owned(), scale: self.scale() },
            _ => Command::DeletePool { id, timeout: self.random.millis(4_000) },
        }
    }

    fn scale(&mut self) -> Scale {
        let pools_min = 1 + self.random.below(2);
        match self.random.below(10) {
            0..5 => Scale::To(1 + self.random.below(4)),
            5..9 => Scale::Automatic(Rule {
                pools_min,
                pools_max: pools_min + self.random.below(3),
                up_queue: 1 + self.random.below(2),
                down_idle: self.random.millis(10_000),
            }),
            _ => Scale::Off,
        }
    }

    fn submit(&mut self) -> Command {
        let id = TaskId::from(format!("t{}", self.number()));
        self.tasks.push(id.clone());
        let delay = if self.random.percent(20) { self.random.millis(8_000) } else { Duration::ZERO };
        Command::Submit(Submit {
            id,
            to: self.destination(),
            input: TaskInput { prompt: "do it".to_owned(), ..TaskInput::default() },
            priority: self.random.below(5) as i32 - 2,
            timeout: None,
            lock: self.random.percent(25).then(|| format!("lock{}", self.random.below(2))),
            after: if self.random.percent(25) {
                self.task().into_iter().chain(self.task()).collect()
            } else {
                Vec::new()
            },
            key: self.random.percent(15).then(|| format!("key{}", self.created / 10)),
            delay,
            retries_max: self.random.below(3) as u32,
            on_crash: [None, Some(OnCrash::Requeue), Some(OnCrash::Fail)][self.random.below(3)],
        })
    }

    /// Three stages at most, which need some of those before them.
    fn about_workflow(&mut self) -> Option<Command> {
        let workflows = std::mem::take(&mut self.workflows);
        let known = self.recent(&workflows);
        self.workflows = workflows;
        match (self.random.below(10), known) {
            (0..2, Some(id)) => return Some(Command::CancelWorkflow { id }),
            (2..5, Some(id)) => return Some(Command::WaitWorkflow { id, timeout: self.timeout() }),
            _ => {}
        }
        let id = WorkflowId::from(format!("w{}", self.number()));
        self.workflows.push(id.clone());
        let stages: Vec<Stage> = (0..1 + self.random.below(3)).map(|position| self.stage(position)).collect();
        let definition = Definition { name: "some".to_owned(), stages };
        let tasks = (0..definition.tasks()).map(|_| TaskId::from(format!("t{}", self.number()))).collect::<Vec<_>>();
        self.tasks.extend(tasks.iter().cloned());
        let key = self.random.percent(15).then(|| format!("key{}", self.created / 30));
        Some(Command::RunWorkflow(Box::new(RunWorkflow { id, tasks, key, definition })))
    }

    fn stage(&mut self, position: usize) -> Stage {
        let needs = (0..position).filter(|_| self.random.percent(60)).collect();
        let on_failure = if self.random.percent(50) { OnFailure::Skip } else { OnFailure::Fail };
        let tasks = (0..1 + self.random.below(2)).map(|number| StageTask {
            name: format!("task{number}").into(),
            to: self.destination(),
            input: TaskInput { prompt: "do it".to_owned(), ..TaskInput::default() },
            priority: self.random.below(5) as i32 - 2,
            timeout: None,
            retries_max: self.random.below(3) as u32,
            lock: self.random.percent(20).then(|| "lock0".to_owned()),
        });
        Stage { name: format!("stage{position}").into(), needs, on_failure, tasks: tasks.collect() }
    }

    fn destination(&mut self) -> Destination {
        let selector = match self.random.below(9) {
            0 => Selector::LeastLoaded,
            3 => {
                return Destination::Route { selector: Selector::LeastLoaded, group: Some(GROUP.to_owned()) };
            }
            1 => Selector::RoundRobin,
            2 => Selector::Random(self.random.below(100) as u64),
            _ => return Destination::Pool(self.pool()),
        };
        Destination::Route { selector, group: None }
    }

    fn party(&mut self) -> Party {
        let name = ModuleName::new(self.random.pick(&MODULES).unwrap_or(&"a"));
        if self.random.percent(60) { Party::Directory { path: format!("/{name}"), name } } else { Party::Module(name) }
    }

    fn ask_module(&mut self) -> Command {
        let number = self.number();
        let task = TaskId::from(format!("t{number}"));
        self.tasks.push(task.clone());
        self.messages.extend([format!("q{number}"), format!("r{number}")]);
        Command::Ask(Ask {
            question: MessageId::from(format!("q{number}")),
            response: MessageId::from(format!("r{number}")),
            task,
            thread: IntoThread::New { id: ThreadId::from(format!("thread{number}")), title: None },
            from: self.party(),
            to: self.party(),
            pool: self.pool(),
            prompt: "why?".into(),
            context: None,
            system_prompt: None,
            timeout: Duration::from_secs(1) + self.random.millis(60_000),
            no_wait: self.random.percent(30),
        })
    }

    fn send(&mut self) -> Command {
        let number = self.number();
        self.messages.push(format!("m{number}"));
        let about = self.random.percent(40).then(|| self.name());
        Command::Send(Send {
            id: MessageId::from(format!("m{number}")),
            thread: IntoThread::New { id: ThreadId::from(format!("thread{number}")), title: None },
            from: self.party(),
            to: self.party(),
            content: "hello".into(),
            metadata: about.map(|task| format!("{{\"task_id\":\"{task}\"}}")),
        })
    }

    fn message_verb(&mut self) -> Option<Command> {
        let id = MessageId::new(self.message()?.as_str());
        if self.random.percent(25) {
            let number = self.number();
            self.messages.push(format!("m{number}"));
            return Some(Command::Reply {
                id: MessageId::from(format!("m{number}")),
                question: id,
                content: "so".into(),
            });
        }
        let status = self.random.percent(80).then(|| Status::parse(STATUSES[self.random.below(5)]));
        let content = self.random.percent(40).then(|| "new".into());
        Some(Command::Update { id, status, content })
    }

    fn module(&mut self) -> Command {
        let name = ModuleName::new(self.random.pick(&MODULES).unwrap_or(&"a"));
        if self.random.percent(25) {
            Command::RemoveModule { name }
        } else {
            Command::AddModule { directory: format!("/{name}"), name }
        }
    }

    /// Mostly one of the latest: what is old has ended.
    fn recent<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let newest = &from[from.len().saturating_sub(12)..];
        self.random.pick(newest).cloned()
    }

    fn task(&mut self) -> Option<TaskId> {
        let tasks = std::mem::take(&mut self.tasks);
        let task = self.recent(&tasks);
        self.tasks = tasks;
        task
    }

    fn message(&mut self) -> Option<String> {
        let messages = std::mem::take(&mut self.messages);
        let message = self.recent(&messages);
        self.messages = messages;
        message
    }

    /// Something that may be watched: a message, a task of ours, or what only others know.
    fn name(&mut self) -> String {
        let known = match self.random.below(3) {
            0 => self.message(),
            1 => self.task().map(|task| task.to_string()),
            _ => None,
        };
        known.unwrap_or_else(|| format!("x{}", self.random.below(6)))
    }

    fn timeout(&mut self) -> Option<Duration> {
        self.random.percent(70).then(|| self.random.millis(20_000))
    }

    fn about_task(&mut self) -> Option<Command> {
        let id = self.task()?;
        Some(match self.random.below(10) {
            0..3 => Command::CancelTask { id },
            3..6 => Command::RetryTask { id },
            6 => {
                let seen = Seen { attempt: None, written: Written { stdout: self.random.below(9) as u64, stderr: 9 } };
                Command::WaitTask { id, timeout: self.timeout(), beyond: Some(seen) }
            }
            7 => {
                let ids = std::iter::once(id).chain(self.task()).collect();
                Command::WaitAnyTask { ids, timeout: self.timeout() }
            }
            _ => Command::WaitTask { id, timeout: self.timeout(), beyond: None },
        })
    }

    fn about_watch(&mut self) -> Option<Command> {
        let name = self.name();
        match self.random.below(10) {
            0..5 => {
                let message_id = self.random.percent(40).then(|| MessageId::new(&self.name()));
                let task_id = (message_id.is_none() || self.random.percent(30)).then(|| TaskId::new(&name));
                Some(Command::AddWatch(AddWatch {
                    message_id,
                    task_id,
                    thread_id: None,
                    source: None,
                    target: None,
                    timeout: self.random.millis(120_000),
                    must_exist: self.random.percent(20),
                }))
            }
            5..6 => Some(Command::RemoveWatch { name }),
            _ => Some(Command::WaitWatch { name, timeout: self.timeout(), watched_for: None }),
        }
    }

    /// Another program writes into our tables.
    fn foreign(&mut self) {
        let status = STATUSES[self.random.below(STATUSES.len())];
        match self.random.below(4) {
            0 => {
                // Under a name of its own, which is perhaps that of a task somebody watches.
                let id = if self.random.percent(40) {
                    format!("x{}", self.random.below(6))
                } else {
                    format!("f{}", self.number())
                };
                let about = self.random.percent(50).then(|| self.name());
                self.driver.rows.foreign_insert(&id, status, about.as_deref());
                self.messages.push(id);
            }
            1 => {
                if let Some(id) = self.message().filter(|_| self.random.percent(30)) {
                    self.driver.rows.foreign_delete(&id);
                }
            }
            _ => {
                if let Some(id) = self.message() {
                    self.driver.rows.foreign_update(&id, status);
                }
            }
        }
    }

    fn work(&mut self) -> Option<Input> {
        let worker = self.busy_worker()?;
        if self.random.percent(20) {
            return self.talk(&worker);
        }
        let ending = match self.random.below(20) {
            0..12 => Ending::Succeeded,
            12..15 => Ending::Failed,
            15 => [Ending::TimedOut, Ending::Stuck][self.random.below(2)],
            16 => Ending::NotStarted,
            17 => Ending::Interrupted,
            _ => Ending::Cancelled,
        };
        self.finish(&worker, ending)
    }

    /// A report comes once more, or one that nobody sent.
    fn late(&mut self) -> Option<Input> {
        let mut report = self.random.pick(&self.reported).cloned()?;
        if let Input::Finished(report) = &mut report
            && self.random.percent(20)
        {
            report.token = Token(report.token.0.saturating_sub(1));
        }
        Some(report)
    }
}

pub(super) fn pool_row(id: &str) -> PoolRow {
    let executor = if id == "echo" { ExecutorKind::Echo } else { ExecutorKind::Command };
    let row = PoolRow::new(PoolId::new(id), executor, 8, Duration::from_secs(60), Timestamp::default());
    let group = id.starts_with(GROUP).then(|| GROUP.to_owned());
    PoolRow { directory: Some("/d".to_owned()), group, ..row }
}
