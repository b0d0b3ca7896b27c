//! The store of tests: rows in memory, with transactions that can fail. It notes every write that a real table would
//! refuse, or that changes what is final.

use crate::model::alert::{Alert, Key};
use crate::model::event::Event;
use crate::model::id::{MessageId, ModuleName, PoolId, TaskId, TaskSeq, ThreadId, UpstreamName, WatchId, WorkflowId};
use crate::model::message::{Message, MessageHead, NewMessage, Status, Thread};
use crate::model::pool::{PoolRow, PoolStatus};
use crate::model::rows::{Change, ChangeKind, Presence, Rows, RowsError, Snapshot, Write};
use crate::model::scaling::GroupRow;
use crate::model::task::{Task, TaskInput, TaskResult, TaskStatus};
use crate::model::upstream::{CounterFold, UpstreamRow};
use crate::model::watch::Watch;
use crate::model::workflow::WorkflowRow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MessageRow {
    pub(super) thread: ThreadId,
    pub(super) module: ModuleName,
    pub(super) target: Option<ModuleName>,
    pub(super) kind: String,
    pub(super) content: Arc<str>,
    pub(super) status: Status,
    pub(super) in_reply_to: Option<MessageId>,
    pub(super) task_id: Option<String>,
    pub(super) error: Option<Arc<str>>,
    /// The order of insertion.
    row: u64,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) threads: BTreeSet<ThreadId>,
    pub(super) messages: BTreeMap<MessageId, MessageRow>,
    pub(super) watches: BTreeMap<WatchId, Watch>,
    pub(super) modules: BTreeMap<ModuleName, String>,
    pub(super) pools: BTreeMap<PoolId, PoolRow>,
    pub(super) upstreams: BTreeMap<UpstreamName, UpstreamRow>,
    pub(super) totals: BTreeMap<(UpstreamName, String), CounterFold>,
    pub(super) samples: Vec<(UpstreamName, String, f64)>,
    /// Snapshots by name.
    pub(super) breakers: BTreeMap<String, String>,
    pub(super) groups: BTreeMap<String, GroupRow>,
    pub(super) alerts: BTreeMap<Key, Alert>,
    pub(super) tasks: BTreeMap<TaskSeq, Task>,
    pub(super) inputs: BTreeMap<TaskSeq, TaskInput>,
    pub(super) results: BTreeMap<TaskSeq, TaskResult>,
    pub(super) dependencies: BTreeSet<(TaskSeq, TaskSeq)>,
    pub(super) workflows: BTreeMap<WorkflowId, WorkflowRow>,
    pub(super) round_robin: u64,
    pub(super) next_token: u64,
    /// The last event's number.
    pub(super) seq: u64,
    /// Foreign changes that are not folded yet.
    pub(super) changes: Vec<Change>,
    rows_written: u64,
}

#[derive(Debug, Default)]
pub(super) struct FakeRows {
    pub(super) tables: Tables,
    before: Option<Tables>,
    /// Reads that still succeed; `None`: all of them.
    pub(super) reads_left: Option<u32>,
    /// What no write may do, in words.
    pub(super) violations: Vec<String>,
}

impl FakeRows {
    pub(super) fn begin(&mut self) {
        self.before = Some(self.tables.clone());
    }

    pub(super) fn commit(&mut self) {
        self.before = None;
    }

    pub(super) fn rollback(&mut self) {
        if let Some(before) = self.before.take() {
            self.tables = before;
        }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let tables = &self.tables;
        let open = |seq: &TaskSeq| tables.tasks.get(seq).is_some_and(|task| !task.status.is_final());
        let running = |id: &WorkflowId| tables.workflows.get(id).is_some_and(|row| !row.status.is_final());
        let in_running = |task: &&Task| task.step.as_ref().is_some_and(|step| running(&step.workflow));
        Snapshot {
            workflows: tables.workflows.values().filter(|row| running(&row.id)).cloned().collect(),
            workflow_tasks: tables.tasks.values().filter(in_running).cloned().collect(),
            round_robin: tables.round_robin,
            seq: tables.seq,
            next_token: tables.next_token,
            next_task_seq: tables.tasks.keys().next_back().map_or(1, |seq| seq.0 + 1),
            next_watch_id: tables.watches.keys().next_back().map_or(1, |id| id.0 + 1),
            watches: tables.watches.values().filter(|watch| watch.is_active()).cloned().collect(),
            upstreams: tables.upstreams.values().cloned().collect(),
            totals: tables
                .totals
                .iter()
                .map(|((name, metric), total)| (name.clone(), metric.clone(), *total))
                .collect(),
            pools: tables.pools.values().filter(|row| row.status != PoolStatus::Stopped).cloned().collect(),
            groups: tables.groups.values().cloned().collect(),
            alerts: tables.alerts.values().cloned().collect(),
            tasks: tables.tasks.values().filter(|task| !task.status.is_final()).cloned().collect(),
            dependencies: tables.dependencies.iter().filter(|(seq, needs)| open(seq) && open(needs)).copied().collect(),
        }
    }

    pub(super) fn append_events(&mut self, events: &[Event]) {
        for event in events {
            if event.seq != self.tables.seq + 1 {
                self.violations.push(format!("gap: event {} follows {}", event.seq, self.tables.seq));
            }
            self.tables.seq = event.seq;
        }
    }

    pub(super) fn apply(&mut self, writes: Vec<Write>) {
        for write in writes {
            self.apply_one(write);
        }
    }

    fn apply_one(&mut self, write: Write) {
        let tables = &mut self.tables;
        match write {
            Write::InsertThread(thread) => {
                let new = tables.threads.insert(thread.id);
                self.refuse_unless(new, "thread");
            }
            Write::InsertMessage(message) => self.insert_message(message),
            Write::ImportThread(thread) => {
                let new = tables.threads.insert(thread.id);
                self.refuse_unless(new, "thread");
            }
            Write::ImportMessage(message) => self.insert_message(as_new(*message)),
            Write::UpdateMessage { id, status, content, error } => self.update_message(&id, status, content, error),
            Write::PutWatch(watch) => self.put_watch(watch),
            Write::DeleteWatch(id) => drop(tables.watches.remove(&id)),
            Write::PutModule { name, directory } => drop(tables.modules.insert(name, directory)),
            Write::DeleteModule(name) => drop(tables.modules.remove(&name)),
            Write::PutPool(row) => drop(tables.pools.insert(row.id.clone(), row)),
            Write::PutGroup(row) => drop(tables.groups.insert(row.name.clone(), row)),
            Write::DeleteGroup(name) => drop(tables.groups.remove(&name)),
            Write::PutAlert(alert) => {
                let new = tables.alerts.insert(alert.key(), *alert).is_none();
                self.refuse_unless(new, "raised alert");
            }
            Write::DeleteAlert(key) => drop(tables.alerts.remove(&key)),
            // The hub reads none of them back.
            Write::PutHookCursor { .. } | Write::DeleteHookCursor(_) => {}
            Write::DeletePool(id) => drop(tables.pools.remove(&id)),
            Write::PutUpstream(row) => drop(tables.upstreams.insert(row.name.clone(), row)),
            Write::DeleteUpstream(name) => {
                tables.upstreams.remove(&name);
                tables.totals.retain(|(upstream, _), _| *upstream != name);
                tables.samples.retain(|(upstream, ..)| *upstream != name);
            }
            Write::PutTotal { upstream, metric, total } => drop(tables.totals.insert((upstream, metric), total)),
            Write::InsertSample { upstream, metric, value, .. } => tables.samples.push((upstream, metric, value)),
            Write::PutBreaker(row) => drop(tables.breakers.insert(row.name, row.snapshot)),
            Write::DeleteBreaker(name) => drop(tables.breakers.remove(&name)),
            Write::PutTask(task) => self.put_task(*task),
            Write::PutTaskInput { seq, input } => {
                let new = tables.inputs.insert(seq, input).is_none();
                self.refuse_unless(new, "input");
            }
            Write::PutTaskResult { seq, result } => {
                // A task that is retried by hand ends once more.
                tables.results.insert(seq, result);
            }
            Write::PutDependency { seq, needs } => {
                let new = tables.dependencies.insert((seq, needs));
                self.refuse_unless(new, "dependency");
            }
            Write::PutWorkflow(row) => self.put_workflow(*row),
            Write::RoundRobin(next) => tables.round_robin = next,
            Write::NextToken(token) => tables.next_token = token.0,
        }
    }

    fn refuse_unless(&mut self, new: bool, what: &str) {
        if !new {
            self.violations.push(format!("twice: a {what} was written again"));
        }
    }

    fn insert_message(&mut self, message: NewMessage) {
        let row = MessageRow {
            thread: message.thread_id,
            module: message.module,
            target: message.target,
            kind: message.kind.to_owned(),
            content: message.content,
            status: message.status,
            in_reply_to: message.in_reply_to,
            task_id: message.task_id.map(|id| id.to_string()).or(task_id_in(message.metadata.as_deref())),
            error: None,
            row: self.next_row(),
        };
        let new = self.tables.messages.insert(message.id, row).is_none();
        self.refuse_unless(new, "message");
    }

    fn next_row(&mut self) -> u64 {
        self.tables.rows_written += 1;
        self.tables.rows_written
    }

    fn update_message(
        &mut self,
        id: &MessageId,
        to: Option<Status>,
        content: Option<Arc<str>>,
        error: Option<Arc<str>>,
    ) {
        let Some(row) = self.tables.messages.get_mut(id) else { return };
        if row.status.is_final() {
            self.violations.push(format!("final: message {id} was {} and was written again", row.status));
        }
        row.status = to.unwrap_or(row.status.clone());
        row.content = content.unwrap_or(row.content.clone());
        row.error = error.or(row.error.take());
    }

    /// As `INSERT OR REPLACE` does: every row that has the same number, message or task makes way.
    fn put_watch(&mut self, watch: Watch) {
        let same = |other: &Watch| {
            (other.message_id.is_some() && other.message_id == watch.message_id)
                || (other.task_id.is_some() && other.task_id == watch.task_id)
        };
        if let Some(old) = self.tables.watches.get(&watch.id)
            && !old.is_active()
            && (&old.message_id, &old.task_id, old.added_at) == (&watch.message_id, &watch.task_id, watch.added_at)
            && old.status != watch.status
        {
            self.violations.push(format!(
                "final: watch {} was {} and became {}",
                watch.name(),
                old.status,
                watch.status
            ));
        }
        let replaced: Vec<_> =
            self.tables.watches.values().filter(|other| other.id != watch.id && same(other)).cloned().collect();
        for other in replaced {
            if other.is_active() {
                self.violations.push(format!("watch {} was replaced by another while it was active", other.name()));
            }
            self.tables.watches.remove(&other.id);
        }
        self.tables.watches.insert(watch.id, watch);
    }

    fn put_task(&mut self, task: Task) {
        if let Some(old) = self.tables.tasks.get(&task.seq)
            // What failed or was cancelled may be retried by hand, and end again in the same batch.
            && old.status == TaskStatus::Completed
        {
            let (id, old, new) = (&task.id, old.status.as_str(), task.status.as_str());
            self.violations.push(format!("final: task {id} was {old} and became {new}"));
        }
        let taken = |other: &Task| {
            other.seq != task.seq && (other.id == task.id || other.key.is_some() && other.key == task.key)
        };
        if self.tables.tasks.values().any(taken) {
            self.violations.push(format!("twice: the id or key of task {} is taken", task.id));
        }
        let has_pool = self.tables.pools.get(&task.pool).is_some_and(|row| row.status != PoolStatus::Stopped);
        if !has_pool && !task.status.is_final() {
            self.violations.push(format!("lost: task {} is open and has no pool", task.id));
        }
        self.tables.tasks.insert(task.seq, task);
    }

    fn put_workflow(&mut self, row: WorkflowRow) {
        if let Some(old) = self.tables.workflows.get(&row.id).filter(|old| old.status.is_final()) {
            let (id, old, new) = (&row.id, old.status.as_str(), row.status.as_str());
            self.violations.push(format!("final: workflow {id} was {old} and became {new}"));
        }
        self.tables.workflows.insert(row.id.clone(), row);
    }

    fn read(&mut self) -> Result<(), RowsError> {
        match &mut self.reads_left {
            Some(0) => Err(RowsError("the disk does not answer".to_owned())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// What other programs do to the public tables.
impl FakeRows {
    pub(super) fn foreign_insert(&mut self, id: &str, status: &str, task_id: Option<&str>) {
        let (id, status) = (MessageId::new(id), Status::parse(status));
        let row = MessageRow {
            thread: ThreadId::new("foreign"),
            module: ModuleName::new("stranger"),
            target: None,
            kind: "question".to_owned(),
            content: Arc::from("foreign"),
            status: status.clone(),
            in_reply_to: None,
            task_id: task_id.map(str::to_owned),
            error: None,
            row: self.next_row(),
        };
        self.tables.messages.insert(id.clone(), row);
        self.change(ChangeKind::Insert, id, None, Some(status), Some(7));
    }

    pub(super) fn foreign_update(&mut self, id: &str, status: &str) {
        let (id, status) = (MessageId::new(id), Status::parse(status));
        let Some(row) = self.tables.messages.get_mut(&id) else { return };
        let old = std::mem::replace(&mut row.status, status.clone());
        self.change(ChangeKind::Update, id, Some(old), Some(status), Some(7));
    }

    pub(super) fn foreign_delete(&mut self, id: &str) {
        let id = MessageId::new(id);
        let Some(row) = self.tables.messages.remove(&id) else { return };
        self.change(ChangeKind::Delete, id, Some(row.status), None, None);
    }

    fn change(
        &mut self,
        kind: ChangeKind,
        message_id: MessageId,
        old_status: Option<Status>,
        new_status: Option<Status>,
        content_length: Option<u64>,
    ) {
        let seq = self.next_row() as i64;
        self.tables.changes.push(Change { seq, kind, message_id, old_status, new_status, content_length });
    }
}

/// What tests ask.
impl FakeRows {
    pub(super) fn task(&self, id: &str) -> &Task {
        self.tables.tasks.values().find(|task| task.id.as_str() == id).expect("the task is stored")
    }

    pub(super) fn message(&self, id: &str) -> &MessageRow {
        &self.tables.messages[id]
    }

    pub(super) fn watch(&self, name: &str) -> Option<&Watch> {
        let named = |watch: &&Watch| {
            let message = watch.message_id.as_ref().is_some_and(|id| id.as_str() == name);
            message || watch.task_id.as_ref().is_some_and(|id| id.as_str() == name)
        };
        self.tables.watches.values().rev().find(named)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = &Task> {
        self.tables.tasks.values().filter(|task| task.status == TaskStatus::Running)
    }

    fn head(&self, id: &MessageId) -> Option<MessageHead> {
        self.tables.messages.get(id).map(|row| MessageHead {
            id: id.clone(),
            thread_id: row.thread.clone(),
            module: row.module.clone(),
            target: row.target.clone(),
            status: row.status.clone(),
            task_id: row.task_id.clone(),
            content_length: row.content.chars().count() as u64,
        })
    }
}

/// The tables here do not tell the two apart.
fn as_new(message: Message) -> NewMessage {
    NewMessage {
        id: message.id,
        thread_id: message.thread_id,
        module: message.module,
        target: message.target,
        content: message.content.into(),
        kind: "question",
        status: message.status,
        in_reply_to: None,
        task_id: None,
        metadata: message.metadata,
        at: message.at,
    }
}

impl Rows for FakeRows {
    fn message(&mut self, id: &MessageId) -> Result<Option<MessageHead>, RowsError> {
        self.read()?;
        Ok(self.head(id))
    }

    fn message_of_task(&mut self, task_id: &str) -> Result<Option<MessageHead>, RowsError> {
        self.read()?;
        let about = self.tables.messages.iter().filter(|(_, row)| row.task_id.as_deref() == Some(task_id));
        let newest = about.max_by_key(|(_, row)| row.row).map(|(id, _)| id.clone());
        Ok(newest.and_then(|id| self.head(&id)))
    }

    fn thread_exists(&mut self, id: &ThreadId) -> Result<bool, RowsError> {
        self.read()?;
        Ok(self.tables.threads.contains(id))
    }

    fn presence_of_thread(&mut self, thread: &Thread) -> Result<Presence, RowsError> {
        Ok(if self.thread_exists(&thread.id)? { Presence::Same } else { Presence::Absent })
    }

    fn presence_of_message(&mut self, message: &Message) -> Result<Presence, RowsError> {
        self.read()?;
        Ok(match self.tables.messages.get(&message.id) {
            None => Presence::Absent,
            Some(row) if *row.content == *message.content => Presence::Same,
            Some(_) => Presence::Differs("content"),
        })
    }

    fn module(&mut self, name: &ModuleName) -> Result<Option<String>, RowsError> {
        self.read()?;
        Ok(self.tables.modules.get(name).cloned())
    }

    fn watch(&mut self, name: &str) -> Result<Option<Watch>, RowsError> {
        self.read()?;
        Ok(FakeRows::watch(self, name).cloned())
    }

    fn task(&mut self, id: &TaskId) -> Result<Option<Task>, RowsError> {
        self.read()?;
        Ok(self.tables.tasks.values().find(|task| task.id == *id).cloned())
    }

    fn task_by_key(&mut self, key: &str) -> Result<Option<Task>, RowsError> {
        self.read()?;
        Ok(self.tables.tasks.values().find(|task| task.key.as_deref() == Some(key)).cloned())
    }

    fn needs(&mut self, seq: TaskSeq) -> Result<Vec<Task>, RowsError> {
        self.read()?;
        let needs = self.tables.dependencies.range((seq, TaskSeq(0))..(TaskSeq(seq.0 + 1), TaskSeq(0)));
        Ok(needs.filter_map(|(_, needed)| self.tables.tasks.get(needed).cloned()).collect())
    }

    fn task_result(&mut self, seq: TaskSeq) -> Result<TaskResult, RowsError> {
        self.read()?;
        Ok(self.tables.results.get(&seq).cloned().unwrap_or_default())
    }

    fn workflow(&mut self, id: &WorkflowId) -> Result<Option<WorkflowRow>, RowsError> {
        self.read()?;
        Ok(self.tables.workflows.get(id).cloned())
    }

    fn workflow_by_key(&mut self, key: &str) -> Result<Option<WorkflowRow>, RowsError> {
        self.read()?;
        Ok(self.tables.workflows.values().find(|row| row.key.as_deref() == Some(key)).cloned())
    }
}

/// The one key of a user's metadata that decisions depend on; tests write it as `{"task_id":"T"}`.
fn task_id_in(metadata: Option<&str>) -> Option<String> {
    let value = metadata?.split_once("\"task_id\":\"")?.1;
    value.split_once('"').map(|(id, _)| id.to_owned())
}
