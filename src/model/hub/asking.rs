//! Asks: a question to a module, the task that answers it, and the two messages that show how it goes.

use super::parking::Wait;
use super::{Effects, Hub};
use crate::clock::Now;
use crate::model::command::{AddWatch, Answer, Ask, Destination, Refusal, Reply, Submit};
use crate::model::id::AskId;
use crate::model::message::{NewMessage, Status};
use crate::model::rows::{Rows, RowsError};
use crate::model::task::{Exchange, Task, TaskInput, TaskResult, TaskStatus};
use std::sync::Arc;
use std::time::Duration;

impl Hub {
    /// Thread, question, task and watch come into being in one step, or none of them does.
    pub(super) fn ask(
        &mut self,
        now: Now,
        asker: AskId,
        ask: Ask,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Option<Result<Reply, Refusal>>, RowsError> {
        if let Err(unknown) = self.directory_of(&ask.from, rows)? {
            return Ok(Some(Err(unknown)));
        }
        let directory = match self.directory_of(&ask.to, rows)? {
            Ok(directory) => directory,
            Err(unknown) => return Ok(Some(Err(unknown))),
        };
        if let Err(full) = self.room_for_watch() {
            return Ok(Some(Err(full)));
        }
        let (from, to) = (ask.from.name().clone(), ask.to.name().clone());
        let written = out.writes.len();
        let thread = match self.open_thread(now, ask.thread.clone(), &from, &to, rows, out)? {
            Ok(thread) => thread,
            Err(refusal) => return Ok(Some(Err(refusal))),
        };
        let exchange = Exchange { question: ask.question.clone(), response: ask.response.clone() };
        let timeout = self.task_timeout_of(&ask);
        let seq = match self.accept(now, submission(&ask, directory, timeout), Vec::new(), Some(exchange), out) {
            Ok(seq) => seq,
            Err(refusal) => {
                out.writes.truncate(written);
                return Ok(Some(Err(refusal)));
            }
        };
        let question = NewMessage {
            id: ask.question.clone(),
            thread_id: thread.clone(),
            module: from.clone(),
            target: Some(to.clone()),
            content: ask.prompt.clone(),
            kind: "question",
            status: Status::Pending,
            in_reply_to: None,
            task_id: Some(ask.task.clone()),
            metadata: None,
            at: now.wall,
        };
        self.insert_message(now, question, out);
        self.watch_question(now, &ask, &thread, rows, out)?;
        let answer = Answer {
            thread,
            question: ask.question,
            response: ask.response,
            task: ask.task,
            content: None,
            truncated: false,
            error: None,
            status: Status::Pending,
        };
        if ask.no_wait {
            return Ok(Some(Ok(Reply::Asked(answer))));
        }
        self.park(now, asker, Wait::Answer(seq, Box::new(answer)), Some(ask.timeout));
        Ok(None)
    }

    /// What the asker has patience for says nothing of how long the work takes: whoever stopped waiting can wait for
    /// the task, which has what its pool grants, and more only where the asker waits longer than that.
    fn task_timeout_of(&self, ask: &Ask) -> Duration {
        self.pool_row(&ask.pool).map_or(ask.timeout, |pool| pool.timeout.max(ask.timeout))
    }

    fn watch_question(
        &mut self,
        now: Now,
        ask: &Ask,
        thread: &crate::model::id::ThreadId,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let watch = AddWatch {
            message_id: Some(ask.question.clone()),
            task_id: Some(ask.task.clone()),
            thread_id: Some(thread.clone()),
            source: Some(ask.from.name().clone()),
            target: Some(ask.to.name().clone()),
            timeout: ask.timeout,
            must_exist: false,
        };
        // The question was written in this very step and is not in the store yet; the watch knows its status anyway.
        let reply = self.add_watch(now, watch, rows, out)?;
        if let Ok(Reply::Watching(watch)) = reply {
            self.follow_message(now, &ask.question, Some(&Status::Pending), None, out);
            debug_assert!(watch.is_active());
        }
        Ok(())
    }

    /// The task was claimed: the question is being worked on, and a response begins.
    pub(super) fn start_exchange(
        &mut self,
        now: Now,
        task: &Task,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(exchange) = &task.exchange else { return Ok(()) };
        let Some(question) = rows.message(&exchange.question)? else { return Ok(()) };
        if question.status == Status::Pending {
            self.change_message(now, &question, Status::Processing, None, None, out);
        }
        // A retry writes into the response of the first attempt.
        if rows.message(&exchange.response)?.is_none() {
            let response = NewMessage {
                id: exchange.response.clone(),
                thread_id: question.thread_id.clone(),
                module: question.target.clone().unwrap_or_else(|| question.module.clone()),
                target: Some(question.module.clone()),
                content: Arc::from(""),
                kind: "response",
                status: Status::Processing,
                in_reply_to: Some(exchange.question.clone()),
                task_id: Some(task.id.clone()),
                metadata: None,
                at: now.wall,
            };
            self.insert_message(now, response, out);
        }
        Ok(())
    }

    /// The task has ended, and with it the question and the response, all in one transaction.
    pub(super) fn answer_exchange(
        &mut self,
        now: Now,
        task: &Task,
        outcome: &TaskResult,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(exchange) = &task.exchange else { return Ok(()) };
        let (status, content, error) = match task.status {
            TaskStatus::Completed => (Status::Complete, outcome.result.clone(), None),
            _ => (Status::Failed, None, outcome.error.clone()),
        };
        // What a foreign program has already ended, or deleted, is left as it is.
        if let Some(response) = rows.message(&exchange.response)?.filter(|response| !response.status.is_final()) {
            self.change_message(now, &response, status.clone(), content, error.clone(), out);
        }
        if let Some(question) = rows.message(&exchange.question)?.filter(|question| !question.status.is_final()) {
            self.change_message(now, &question, status, None, error, out);
        }
        Ok(())
    }
}

fn submission(ask: &Ask, directory: String, timeout: Duration) -> Submit {
    Submit {
        id: ask.task.clone(),
        to: Destination::Pool(ask.pool.clone()),
        input: TaskInput {
            prompt: ask.prompt.to_string(),
            context: ask.context.clone(),
            directory: Some(directory),
            system_prompt: ask.system_prompt.clone(),
        },
        priority: 0,
        timeout: Some(timeout),
        key: None,
        lock: None,
        after: Vec::new(),
        delay: Duration::ZERO,
        retries_max: 0,
        on_crash: None,
    }
}
