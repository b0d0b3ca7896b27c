//! The rows behind a decision, read inside the hub's own transaction.

use super::{Store, StoreError};
use crate::model::id::{MessageId, ModuleName, TaskId, TaskSeq, ThreadId, WorkflowId};
use crate::model::message::{Message, MessageHead, Thread};
use crate::model::rows::{Presence, Rows, RowsError};
use crate::model::task::{Task, TaskResult};
use crate::model::watch::Watch;
use crate::model::workflow::WorkflowRow;

impl From<StoreError> for RowsError {
    fn from(error: StoreError) -> RowsError {
        RowsError(error.to_string())
    }
}

impl From<RowsError> for StoreError {
    fn from(error: RowsError) -> StoreError {
        StoreError::Other(error.0)
    }
}

impl Rows for Store {
    fn message(&mut self, id: &MessageId) -> Result<Option<MessageHead>, RowsError> {
        Ok(self.message_head(id)?)
    }

    fn message_of_task(&mut self, task_id: &str) -> Result<Option<MessageHead>, RowsError> {
        Ok(self.message_head_of_task(task_id)?)
    }

    fn thread_exists(&mut self, id: &ThreadId) -> Result<bool, RowsError> {
        Ok(self.has_thread(id)?)
    }

    fn presence_of_thread(&mut self, thread: &Thread) -> Result<Presence, RowsError> {
        Ok(self.compare_thread(thread)?)
    }

    fn presence_of_message(&mut self, message: &Message) -> Result<Presence, RowsError> {
        Ok(self.compare_message(message)?)
    }

    fn module(&mut self, name: &ModuleName) -> Result<Option<String>, RowsError> {
        Ok(self.module_directory(name)?)
    }

    fn watch(&mut self, name: &str) -> Result<Option<Watch>, RowsError> {
        Ok(self.read_watch(name)?)
    }

    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, RowsError> {
        Ok(self.read_task(id)?)
    }

    fn task_by_key(&mut self, key: &str) -> Result<Option<Task>, RowsError> {
        Ok(self.read_task_by_key(key)?)
    }

    fn needs(&mut self, seq: TaskSeq) -> Result<Vec<Task>, RowsError> {
        Ok(self.read_needs(seq)?)
    }

    fn task_result(&mut self, seq: TaskSeq) -> Result<TaskResult, RowsError> {
        Ok(self.read_task_result(seq)?)
    }

    fn workflow(&mut self, id: &WorkflowId) -> Result<Option<WorkflowRow>, RowsError> {
        Ok(self.read_workflow(id)?)
    }

    fn workflow_by_key(&mut self, key: &str) -> Result<Option<WorkflowRow>, RowsError> {
        Ok(self.read_workflow_by_key(key)?)
    }
}
