//! Watches: adding, removing, following, expiring, and those who wait for one.

use super::parking::Wait;
use super::timers::Timer;
use super::{Effects, Hub, check_wait};
use crate::clock::{Now, Tick};
use crate::model::command::{AddWatch, Code, Refusal, Reply, Waited};
use crate::model::event::Body;
use crate::model::id::{AskId, MessageId, TaskId, WatchId};
use crate::model::limits::WAIT_MAX;
use crate::model::message::{MessageHead, Status};
use crate::model::rows::{Rows, RowsError, Write};
use crate::model::task::Task;
use crate::model::watch::{Watch, status_of_task};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

type Answer = Result<Reply, Refusal>;

/// The active watches, found by message or by task.
#[derive(Debug, Default)]
pub(super) struct Watches {
    pub(super) by_id: BTreeMap<WatchId, Watch>,
    pub(super) by_message: HashMap<MessageId, WatchId>,
    pub(super) by_task: HashMap<TaskId, WatchId>,
    /// Active ones that know a task only, which a foreign message may yet turn out to be about.
    pub(super) unresolved: usize,
    /// Messages with metadata that this batch has inserted while there were such watches.
    inserted: Vec<MessageId>,
    /// Where on the monotonic clock each one's time runs out: fixed when it starts, so that nobody who sets the
    /// machine's clock makes a running watch end early or late.
    due: HashMap<WatchId, Tick>,
    next_id: i64,
}

impl Watches {
    pub(super) fn active(&self) -> usize {
        self.by_id.len()
    }

    /// Notes a message of ours, should a watch be waiting for one like it.
    pub(super) fn note_inserted(&mut self, id: &MessageId) {
        if self.unresolved > 0 {
            self.inserted.push(id.clone());
        }
    }

    fn find(&self, name: &str) -> Option<WatchId> {
        self.by_message.get(name).or_else(|| self.by_task.get(name)).copied()
    }

    fn insert(&mut self, watch: Watch) {
        if let Some(message) = &watch.message_id {
            self.by_message.insert(message.clone(), watch.id);
        }
        if let Some(task) = &watch.task_id {
            self.by_task.insert(task.clone(), watch.id);
        }
        self.unresolved += usize::from(watch.message_id.is_none());
        self.by_id.insert(watch.id, watch);
    }

    fn remove(&mut self, id: WatchId) -> Option<Watch> {
        let watch = self.by_id.remove(&id)?;
        if let Some(message) = &watch.message_id {
            self.by_message.remove(message);
        }
        if let Some(task) = &watch.task_id {
            self.by_task.remove(task);
        }
        self.unresolved -= usize::from(watch.message_id.is_none());
        Some(watch)
    }
}

/// What a new watch is about, as far as it exists.
#[derive(Default)]
struct Target {
    message: Option<MessageHead>,
    task: Option<Task>,
}

impl Target {
    fn is_missing(&self) -> bool {
        self.message.is_none() && self.task.is_none()
    }

    fn status(&self) -> Status {
        match (&self.message, &self.task) {
            (Some(message), _) => message.status.clone(),
            (None, Some(task)) => status_of_task(task.status),
            (None, None) => Status::Unknown,
        }
    }
}

impl Hub {
    pub(super) fn restore_watches(&mut self, now: Now, next_id: i64, watches: Vec<Watch>) {
        self.watches = Watches { next_id: next_id.max(1), ..Watches::default() };
        for watch in watches {
            self.start_watch(now, watch);
        }
    }

    fn start_watch(&mut self, now: Now, watch: Watch) {
        if let Some(at) = watch.expires_at {
            let due = now.tick_of(at);
            self.watches.due.insert(watch.id, due);
            self.timers.set(due, Timer::Watch(watch.id));
        }
        self.watches.insert(watch);
    }

    fn stop_watch(&mut self, id: WatchId) -> Option<Watch> {
        if let Some(due) = self.watches.due.remove(&id) {
            self.timers.cancel(due, Timer::Watch(id));
        }
        self.watches.remove(id)
    }

    pub(super) fn add_watch(
        &mut self,
        now: Now,
        add: AddWatch,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        let name = match (&add.message_id, &add.task_id) {
            (Some(message), _) => message.to_string(),
            (None, Some(task)) => task.to_string(),
            (None, None) => return Ok(Err(Refusal::bad_request("a watch needs a message_id or a task_id"))),
        };
        let watched = self.watches.find(&name);
        let exists = watched.is_some_and(|id| self.watches.by_id[&id].status != Status::Unknown);
        if let Some(id) = watched.filter(|_| exists || !add.must_exist) {
            return Ok(Ok(Reply::Watching(self.renew_watch(now, id, add, out))));
        }
        let target = self.target(&add, rows)?;
        if add.must_exist && target.is_missing() {
            return Ok(Err(Refusal::not_found(format!("there is no message or task {name}"))));
        }
        if let Some(id) = watched {
            return Ok(Ok(Reply::Watching(self.renew_watch(now, id, add, out))));
        }
        if let Err(full) = self.room_for_watch() {
            return Ok(Err(full));
        }
        Ok(Ok(Reply::Watching(self.new_watch(now, &name, add, &target, rows, out)?)))
    }

    pub(super) fn room_for_watch(&self) -> Result<(), Refusal> {
        let most = self.settings.watches_max;
        if self.watches.active() < most {
            return Ok(());
        }
        Err(Refusal::new(
            Code::Busy,
            format!("{most} messages are watched already, and --max-messages allows no more; remove one or wait"),
        ))
    }

    /// What the watch would follow: the first that exists of our task, the message of that name, and a message
    /// whose metadata names the task.
    fn target(&self, add: &AddWatch, rows: &mut dyn Rows) -> Result<Target, RowsError> {
        if let Some(id) = &add.message_id {
            return Ok(Target { message: rows.message(id)?, task: None });
        }
        let Some(id) = &add.task_id else { return Ok(Target::default()) };
        if let Some(task) = self.find_task(id, rows)? {
            let message = match &task.exchange {
                Some(exchange) => rows.message(&exchange.question)?,
                None => None,
            };
            return Ok(Target { message, task: Some(task) });
        }
        if let Some(message) = rows.message(&MessageId::new(id.as_str()))? {
            return Ok(Target { message: Some(message), task: None });
        }
        Ok(Target { message: rows.message_of_task(id.as_str())?, task: None })
    }

    fn new_watch(
        &mut self,
        now: Now,
        name: &str,
        add: AddWatch,
        target: &Target,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Watch, RowsError> {
        let id = match rows.watch(name)? {
            Some(ended) => ended.id,
            None => {
                let id = WatchId(self.watches.next_id);
                self.watches.next_id += 1;
                id
            }
        };
        let message = target.message.as_ref();
        let status = target.status();
        let task = add.task_id.or_else(|| target.task.as_ref().map(|task| task.id.clone()));
        let watch = Watch {
            id,
            message_id: message.map(|message| message.id.clone()).or(add.message_id),
            // A task has one watch: what is watched by its name already is not taken from whoever waits there.
            task_id: task.filter(|task| !self.watches.by_task.contains_key(task)),
            thread_id: message.map(|message| message.thread_id.clone()).or(add.thread_id),
            source: add.source.or_else(|| message.map(|message| message.module.clone())),
            target: add.target.or_else(|| message.and_then(|message| message.target.clone())),
            ended_at: status.is_final().then_some(now.wall),
            status,
            added_at: now.wall,
            updated_at: now.wall,
            expires_at: Some(now.wall.after(add.timeout.min(WAIT_MAX))),
        };
        // Another name of the same message may be watched already; that watch is the one to be had.
        if let Some(other) = self.watches.find(watch.name()) {
            return Ok(self.watches.by_id[&other].clone());
        }
        out.writes.push(Write::PutWatch(watch.clone()));
        if watch.is_active() {
            self.start_watch(now, watch.clone());
        }
        Ok(watch)
    }

    fn renew_watch(&mut self, now: Now, id: WatchId, add: AddWatch, out: &mut Effects) -> Watch {
        let mut watch = self.stop_watch(id).expect("an index of watches only names watches");
        watch.source = add.source.or(watch.source);
        watch.target = add.target.or(watch.target);
        watch.updated_at = now.wall;
        watch.expires_at = Some(now.wall.after(add.timeout.min(WAIT_MAX)));
        out.writes.push(Write::PutWatch(watch.clone()));
        self.start_watch(now, watch.clone());
        watch
    }

    pub(super) fn remove_watch(
        &mut self,
        name: &str,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        let active = self.watches.find(name).and_then(|id| self.stop_watch(id));
        let Some(watch) = active.map_or_else(|| rows.watch(name), |watch| Ok(Some(watch)))? else {
            return Ok(Err(Refusal::not_found(format!("{name} is not watched"))));
        };
        out.writes.push(Write::DeleteWatch(watch.id));
        self.answer_watch(watch.id, name, None, None, out);
        Ok(Ok(Reply::Watching(watch)))
    }

    /// Whether an active watch has that name, so that waiting for it needs no row.
    pub(super) fn is_watched(&self, name: &str) -> bool {
        self.watches.find(name).is_some()
    }

    pub(super) fn wait_watch(
        &mut self,
        now: Now,
        ask: AskId,
        name: &str,
        (timeout, watched_for): (Option<Duration>, Option<Duration>),
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Option<Answer>, RowsError> {
        let (timeout, watched_for) = (check_wait(timeout), check_wait(watched_for));
        if let Some(id) = self.watches.find(name) {
            self.park(now, ask, Wait::Watch(id), timeout);
            return Ok(None);
        }
        let ended = rows.watch(name)?.filter(|watch| matches!(watch.status, Status::Complete | Status::Failed));
        if let Some(watch) = ended {
            return Ok(Some(Ok(waited(watch.name(), watch.status.clone(), None))));
        }
        self.wait_unwatched(now, ask, name, (timeout, watched_for), rows, out)
    }

    /// A message or task that exists but is not watched is watched for as long as the wait, unless another time is given.
    fn wait_unwatched(
        &mut self,
        now: Now,
        ask: AskId,
        name: &str,
        (timeout, watched_for): (Option<Duration>, Option<Duration>),
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Option<Answer>, RowsError> {
        let add = AddWatch {
            message_id: None,
            task_id: Some(TaskId::new(name)),
            thread_id: None,
            source: None,
            target: None,
            timeout: watched_for.or(timeout).unwrap_or(self.settings.watch_timeout),
            must_exist: true,
        };
        let mut target = self.target(&add, rows)?;
        if target.is_missing() {
            // There was time for it to come into being, and that is over.
            let expired = rows.watch(name)?.filter(|watch| watch.status == Status::Expired);
            return Ok(Some(match expired {
                Some(watch) => Ok(waited(watch.name(), watch.status.clone(), None)),
                None => Err(Refusal::not_found(format!("{name} is neither watched nor a message or task"))),
            }));
        }
        let status = target.status();
        if status.is_final() {
            return Ok(Some(Ok(waited(name, status, None))));
        }
        if let Err(full) = self.room_for_watch() {
            return Ok(Some(Err(full)));
        }
        let named_by_message = target.message.as_ref().is_some_and(|message| message.id.as_str() == name);
        let add = AddWatch { task_id: if named_by_message { None } else { add.task_id }, ..add };
        if named_by_message {
            target.task = None;
        }
        let watch = self.new_watch(now, name, add, &target, rows, out)?;
        self.park(now, ask, Wait::Watch(watch.id), timeout);
        Ok(None)
    }

    /// A message now has this status (`None`: it was deleted): whoever watches it is told.
    pub(super) fn follow_message(
        &mut self,
        now: Now,
        id: &MessageId,
        status: Option<&Status>,
        seq: Option<u64>,
        out: &mut Effects,
    ) {
        let Some(watch) = self.watches.by_message.get(id).copied() else { return };
        self.follow(now, watch, status.cloned().unwrap_or(Status::Failed), seq, out);
    }

    /// A watch on a task of ours has no message events of its own, so they are told under the task's id.
    pub(super) fn follow_task(&mut self, now: Now, task: &Task, out: &mut Effects) {
        let Some(id) = self.watches.by_task.get(&task.id).copied() else { return };
        let watch = &self.watches.by_id[&id];
        let status = status_of_task(task.status);
        if watch.message_id.is_some() || watch.status == status {
            return;
        }
        let name = MessageId::new(task.id.as_str());
        let seq = self.emit_status(now, name, None, Some(watch.status.clone()), Some(status.clone()), None, out);
        self.follow(now, id, status, Some(seq), out);
    }

    fn follow(&mut self, now: Now, id: WatchId, status: Status, seq: Option<u64>, out: &mut Effects) {
        let Some(watch) = self.watches.by_id.get_mut(&id) else { return };
        if watch.follow(status, now.wall).is_none() {
            return;
        }
        let watch = watch.clone();
        out.writes.push(Write::PutWatch(watch.clone()));
        if !watch.is_active() {
            self.stop_watch(id);
            self.answer_watch(id, watch.name(), Some(watch.status.clone()), seq, out);
        }
    }

    fn answer_watch(&mut self, id: WatchId, name: &str, status: Option<Status>, seq: Option<u64>, out: &mut Effects) {
        for ask in self.waiting_for_watch(id) {
            let waited = Waited { name: name.to_owned(), status: status.clone(), seq };
            out.replies.push((ask, Ok(Reply::Waited(waited))));
        }
    }

    pub(super) fn expire_watch(
        &mut self,
        now: Now,
        id: WatchId,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        let Some(watch) = self.watches.by_id.get(&id) else { return Ok(()) };
        let name = MessageId::new(watch.name());
        let thread = match &watch.message_id {
            Some(message) => rows.message(message)?.map(|message| message.thread_id),
            None => None,
        };
        let previous = watch.status.clone();
        let seq = self.emit_status(now, name, thread, Some(previous), Some(Status::Expired), None, out);
        self.follow(now, id, Status::Expired, Some(seq), out);
        Ok(())
    }

    /// A message was inserted: it may be what a watch on an unknown task was waiting for.
    pub(super) fn resolve_watch(&mut self, message: &MessageHead, out: &mut Effects) {
        if self.watches.unresolved == 0 || self.watches.by_message.contains_key(&message.id) {
            return;
        }
        let names = [Some(message.id.as_str()), message.task_id.as_deref()];
        let Some(id) = names.into_iter().flatten().find_map(|name| self.unresolved_watch(name)) else { return };
        let mut watch = self.watches.remove(id).expect("an index of watches only names watches");
        watch.message_id = Some(message.id.clone());
        watch.thread_id = Some(message.thread_id.clone());
        watch.source = watch.source.or_else(|| Some(message.module.clone()));
        watch.target = watch.target.or_else(|| message.target.clone());
        out.writes.push(Write::PutWatch(watch.clone()));
        self.watches.insert(watch);
    }

    /// A watch that knows only this task, which is not one of ours.
    fn unresolved_watch(&self, task: &str) -> Option<WatchId> {
        let id = self.watches.by_task.get(task)?;
        let ours = self.tasks.by_id.contains_key(task);
        (self.watches.by_id[id].message_id.is_none() && !ours).then_some(*id)
    }

    /// Messages of ours whose metadata names a task may be what a watch waits for. Only now can their rows be read.
    pub(super) fn resolve_inserted(
        &mut self,
        now: Now,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        for id in std::mem::take(&mut self.watches.inserted) {
            if let Some(message) = rows.message(&id)? {
                self.resolve_watch(&message, out);
                self.follow_message(now, &id, Some(&message.status), None, out);
            }
        }
        Ok(())
    }

    /// Numbers a change of status.
    #[expect(clippy::too_many_arguments, reason = "the fields of one event")]
    pub(super) fn emit_status(
        &mut self,
        now: Now,
        message_id: MessageId,
        thread_id: Option<crate::model::id::ThreadId>,
        previous: Option<Status>,
        current: Option<Status>,
        content_length: Option<u64>,
        out: &mut Effects,
    ) -> u64 {
        self.emit(now, Body::MessageStatus { message_id, thread_id, previous, current, content_length }, out)
    }
}

fn waited(name: &str, status: Status, seq: Option<u64>) -> Reply {
    Reply::Waited(Waited { name: name.to_owned(), status: Some(status), seq })
}
