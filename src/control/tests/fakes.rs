//! What stands behind the door in these tests.

use super::Asked;
use crate::model::command::{Code, Command, Refusal};
use crate::model::id::{MessageId, ModuleName, TaskId, ThreadId, WorkflowId};
use crate::model::message::{Message, Status, Thread};
use crate::model::task::Task;
use crate::model::watch::{Watch, WatchFilter};
use crate::model::workflow::WorkflowRow;
use crate::ports::{
    Answer, Asker, IdKind, LogPart, LogStream, MessageFilter, Module, Page, ReadError, Reader, Readers, Resolved,
    StoredEvent, TaskDetail, TaskFilter, WorkflowDetail, WorkflowFilter,
};
use crossbeam_channel::{Receiver, Sender, bounded, never};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const ASKS_MAX: usize = 10_000;

/// Hands every ask to the test.
pub(super) struct FakeHub {
    asked: Sender<Asked>,
    forgotten: Sender<u64>,
}

impl FakeHub {
    pub(super) fn new() -> (FakeHub, Receiver<Asked>, Receiver<u64>) {
        let (asked, asks) = bounded(ASKS_MAX);
        let (forgotten, gone) = bounded(ASKS_MAX);
        (FakeHub { asked, forgotten }, asks, gone)
    }
}

impl Asker for FakeHub {
    fn ask(&self, client: u64, command: Command, answer: Box<dyn Answer>) -> Result<(), Refusal> {
        // One name is refused at once, as a hub does whose inbox is full.
        if command == (Command::RemoveWatch { name: "refuse".to_owned() }) {
            return Err(Refusal::new(Code::Busy, "try again"));
        }
        self.asked.try_send(Asked { client, command, answer }).map_err(|_| Refusal::new(Code::NotRunning, "it ended"))
    }

    fn forget(&self, client: u64) {
        let _ = self.forgotten.try_send(client);
    }
}

/// Events, and messages of as many bytes as their id says.
#[derive(Clone, Default)]
pub(super) struct FakeStore {
    pub(super) events: Arc<Mutex<Vec<StoredEvent>>>,
    messages_read: Arc<AtomicUsize>,
    /// As many of the oldest events are forgotten just after somebody has asked which there are.
    pub(super) forgotten_after_a_look: Arc<AtomicUsize>,
}

impl FakeStore {
    /// How many messages had been read when nothing more was for a while.
    pub(super) fn reads_settle(&self) -> usize {
        loop {
            let before = self.messages_read.load(Ordering::SeqCst);
            let _ = never::<()>().recv_timeout(Duration::from_millis(200));
            if self.messages_read.load(Ordering::SeqCst) == before {
                return before;
            }
        }
    }

    pub(super) fn newest(&self) -> u64 {
        self.events.lock().last().map_or(0, |event| event.seq)
    }
}

impl Readers for FakeStore {
    fn open(&self) -> Result<Box<dyn Reader>, ReadError> {
        Ok(Box::new(self.clone()))
    }
}

fn empty<T>() -> Result<Page<T>, ReadError> {
    Ok(Page { rows: Vec::new(), next: None })
}

impl Reader for FakeStore {
    fn message(&mut self, id: &MessageId) -> Result<Option<Message>, ReadError> {
        self.messages_read.fetch_add(1, Ordering::SeqCst);
        let Ok(bytes) = id.as_str().parse() else { return Ok(None) };
        Ok(Some(Message {
            id: id.clone(),
            thread_id: ThreadId::new("t"),
            thread_title: None,
            module: ModuleName::new("a"),
            target: None,
            content: "x".repeat(bytes),
            truncated: false,
            kind: "note".to_owned(),
            at: crate::clock::Timestamp::default(),
            status: Status::Complete,
            metadata: None,
            error: None,
        }))
    }

    fn messages(&mut self, _: &MessageFilter) -> Result<Page<Message>, ReadError> {
        empty()
    }

    fn task_error(&mut self, _: &Task, _: usize) -> Result<Option<String>, ReadError> {
        Ok(None)
    }

    fn search(&mut self, query: &str, _: usize) -> Result<Vec<Message>, ReadError> {
        Err(ReadError(format!("{query} was looked for")))
    }

    fn thread(&mut self, _: &ThreadId) -> Result<Option<Thread>, ReadError> {
        Ok(None)
    }

    fn threads(&mut self, _: Option<i64>, _: usize) -> Result<Page<Thread>, ReadError> {
        empty()
    }

    fn modules(&mut self) -> Result<Vec<Module>, ReadError> {
        Ok(Vec::new())
    }

    fn watch(&mut self, _: &str) -> Result<Option<Watch>, ReadError> {
        Ok(None)
    }

    fn watches(&mut self, _: WatchFilter, _: Option<i64>, _: usize) -> Result<Page<Watch>, ReadError> {
        empty()
    }

    fn history(&mut self, _: &str, _: usize) -> Result<Vec<Arc<[u8]>>, ReadError> {
        Ok(Vec::new())
    }

    fn task(&mut self, _: &TaskId) -> Result<Option<TaskDetail>, ReadError> {
        Ok(None)
    }

    fn tasks(&mut self, _: &TaskFilter) -> Result<Page<Task>, ReadError> {
        empty()
    }

    fn workflow(&mut self, _: &WorkflowId) -> Result<Option<WorkflowDetail>, ReadError> {
        Ok(None)
    }

    fn workflows(&mut self, _: &WorkflowFilter) -> Result<Page<WorkflowRow>, ReadError> {
        empty()
    }

    fn task_log(&mut self, _: &Task, _: LogStream, _: u64, _: usize) -> Result<LogPart, ReadError> {
        Ok(LogPart::default())
    }

    fn samples(&mut self, _upstream: &str, _rows_max: usize) -> Result<Vec<crate::ports::SamplePoint>, ReadError> {
        Ok(Vec::new())
    }

    fn events_after(&mut self, seq: u64, rows_max: usize) -> Result<Vec<StoredEvent>, ReadError> {
        Ok(self.events.lock().iter().filter(|event| event.seq > seq).take(rows_max).cloned().collect())
    }

    fn events_kept(&mut self) -> Result<(u64, u64), ReadError> {
        let mut events = self.events.lock();
        let kept = (events.first().map_or(1, |event| event.seq), events.last().map_or(0, |event| event.seq));
        let forgotten = self.forgotten_after_a_look.swap(0, Ordering::SeqCst).min(events.len());
        events.drain(..forgotten);
        Ok(kept)
    }

    fn resolve(&mut self, _: IdKind, text: &str) -> Result<Resolved, ReadError> {
        Ok(match text {
            "many" => Resolved::Many(vec!["many-1".to_owned(), "many-2".to_owned()]),
            "none" => Resolved::None,
            text => Resolved::One(text.to_owned()),
        })
    }
}
