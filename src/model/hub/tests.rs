//! Scripts in virtual time: what is done to the hub, and what becomes of it. Here is what they have in common.

mod alerts;
mod asks;
mod dependencies;
mod failures;
mod holding;
mod locks;
mod messages;
mod pictures;
mod pools;
mod queueing;
mod routing;
mod scaling;
mod tasks;
mod upstreams;
mod watches;
mod workflows;

use super::Input;
use super::driver::{Answer, Driver};
use crate::clock::{Clock, Timestamp};
use crate::model::command::{AddWatch, Ask, Code, Command, Destination, IntoThread, Party, Reply, Send, Submit};
use crate::model::id::{AskId, MessageId, ModuleName, PoolId, TaskId, ThreadId, Token};
use crate::model::message::Status;
use crate::model::pool::{ExecutorKind, PoolRow};
use crate::model::task::{Ending, OnCrash, Report, TaskInput, TaskResult};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// A daemon with the modules `a` and `b` and one staffed pool, `local`.
fn desk() -> Driver {
    let mut desk = Driver::new(1000);
    for name in ["a", "b"] {
        desk.ask(Command::AddModule { name: ModuleName::new(name), directory: format!("/{name}") });
    }
    desk.ask(Command::CreatePool(pool("local")));
    desk.batch(Vec::new());
    desk.pass(SECOND);
    desk.events.clear();
    desk
}

fn pool(id: &str) -> PoolRow {
    PoolRow::new(PoolId::new(id), ExecutorKind::Command, 10, Duration::from_secs(1800), Timestamp::default())
}

fn submit(id: &str) -> Submit {
    let input = TaskInput { prompt: format!("do {id}"), directory: Some("/d".to_owned()), ..TaskInput::default() };
    Submit {
        id: TaskId::new(id),
        to: Destination::Pool(PoolId::new("local")),
        input,
        priority: 0,
        timeout: None,
        key: None,
        lock: None,
        after: Vec::new(),
        delay: Duration::ZERO,
        retries_max: 0,
        on_crash: None,
    }
}

fn send(id: &str) -> Send {
    Send {
        id: MessageId::new(id),
        thread: IntoThread::New { id: ThreadId::new(&format!("thread of {id}")), title: None },
        from: module("a"),
        to: module("b"),
        content: "hello".into(),
        metadata: None,
    }
}

fn module(name: &str) -> Party {
    Party::Module(ModuleName::new(name))
}

/// An ask whose question, response and task are `q`, `r` and `t` with its number.
fn ask(number: u32) -> Ask {
    Ask {
        question: MessageId::new(&format!("q{number}")),
        response: MessageId::new(&format!("r{number}")),
        task: TaskId::new(&format!("t{number}")),
        thread: IntoThread::New { id: ThreadId::new(&format!("thread{number}")), title: None },
        from: module("a"),
        to: module("b"),
        pool: PoolId::new("local"),
        prompt: "why?".into(),
        context: None,
        system_prompt: None,
        timeout: Duration::from_secs(600),
        no_wait: false,
    }
}

fn watch_task(id: &str) -> AddWatch {
    AddWatch {
        message_id: None,
        task_id: Some(TaskId::new(id)),
        thread_id: None,
        source: None,
        target: None,
        timeout: Duration::from_secs(60),
        must_exist: false,
    }
}

fn watch_message(id: &str) -> AddWatch {
    AddWatch { message_id: Some(MessageId::new(id)), task_id: None, ..watch_task("") }
}

impl Driver {
    fn submit(&mut self, id: &str) -> AskId {
        self.ask(Command::Submit(submit(id)))
    }

    /// Keeps all three workers of `local` busy.
    fn occupy(&mut self) {
        for id in ["busy0", "busy1", "busy2"] {
            self.submit(id);
        }
    }

    fn add_watch(&mut self, watch: AddWatch) -> AskId {
        self.ask(Command::AddWatch(watch))
    }

    fn wait_watch(&mut self, name: &str, seconds: u64) -> AskId {
        let timeout = Some(Duration::from_secs(seconds));
        self.ask(Command::WaitWatch { name: name.to_owned(), timeout, watched_for: None })
    }

    fn wait_task(&mut self, id: &str) -> AskId {
        self.ask(Command::WaitTask { id: TaskId::new(id), timeout: None, beyond: None })
    }

    fn cancel(&mut self, id: &str) -> AskId {
        self.ask(Command::CancelTask { id: TaskId::new(id) })
    }

    fn update(&mut self, id: &str, status: &str) -> AskId {
        self.ask(Command::Update { id: MessageId::new(id), status: Some(Status::parse(status)), content: None })
    }

    /// What the worker of a task says about its present attempt.
    fn report(&self, id: &str, ending: Ending) -> Input {
        let task = self.rows.task(id);
        self.report_as(id, task.token.expect("it was claimed"), ending)
    }

    fn report_as(&self, id: &str, token: Token, ending: Ending) -> Input {
        let (result, error) = match ending {
            Ending::Succeeded => (Some(format!("result of {id}").into()), None),
            _ => (None, Some(format!("{id} went wrong").into())),
        };
        Input::Finished(Report {
            seq: self.rows.task(id).seq,
            token,
            ending,
            outcome: TaskResult { result, error, ..TaskResult::default() },
            exit_code: None,
            exit_signal: None,
            duration: SECOND,
            breaker: None,
        })
    }

    fn finish(&mut self, id: &str, ending: Ending) {
        let report = self.report(id, ending);
        self.batch(vec![report]);
    }

    /// `status reason` of a task as it is stored.
    fn state(&self, id: &str) -> String {
        let task = self.rows.task(id);
        let reason = task.reason.map_or(String::new(), |reason| format!(" {}", reason.as_str()));
        format!("{}{reason}", task.status.as_str())
    }

    fn message_status(&self, id: &str) -> &str {
        self.rows.message(id).status.as_str()
    }

    fn watch_status(&self, name: &str) -> String {
        match self.rows.watch(name) {
            None => "none".to_owned(),
            Some(watch) if watch.is_active() => format!("active {}", watch.status),
            Some(watch) => format!("ended {}", watch.status),
        }
    }

    /// The status that a wait for a watch ended with; what else it was answered, or `waiting`.
    fn waited(&self, ask: AskId) -> String {
        match self.answer(ask) {
            None => "waiting".to_owned(),
            Some(Ok(Reply::Waited(waited))) => waited.status.as_ref().map_or("removed", Status::as_str).to_owned(),
            Some(other) => code(other),
        }
    }

    /// The ids of the tasks that were given to workers since the last call.
    fn dispatched(&mut self) -> Vec<String> {
        self.runs.drain(..).map(|run| run.id.to_string()).collect()
    }

    /// No timer is left once the last picture is an interval old.
    fn assert_silent_after_an_interval(&mut self) {
        self.pass(crate::model::limits::PICTURE_INTERVAL);
        self.pass(crate::model::limits::PICTURE_INTERVAL);
        assert_eq!(self.hub.next_deadline(), None);
    }

    fn assert_sound(&self) {
        assert_eq!(self.rows.violations, Vec::<String>::new());
    }
}

/// `ok`, or the code of a refusal.
fn code(answer: &Answer) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(refusal) => refusal.code.as_str().to_owned(),
    }
}

fn refusal(desk: &Driver, ask: AskId) -> Option<Code> {
    desk.answer(ask).expect("it was answered").as_ref().err().map(|refusal| refusal.code)
}
