//! What doors read, on connections that cannot write.

use super::Store;
use crate::model::id::{MessageId, TaskId, ThreadId, WorkflowId};
use crate::model::message::{Message, Thread};
use crate::model::task::Task;
use crate::model::watch::{Watch, WatchFilter};
use crate::model::workflow::WorkflowRow;
use crate::ports::{
    IdKind, LogPart, LogStream, MessageFilter, Module, Page, ReadError, Reader, Resolved, SamplePoint, StoredEvent,
    TaskDetail, TaskFilter, WorkflowDetail, WorkflowFilter,
};
use rusqlite::types::ValueRef;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// How many of the newest rows are searched for the end of an id.
const SUFFIX_ROWS_MAX: i64 = 100_000;
/// Shortest end of an id that is searched for.
const SUFFIX_BYTES_MIN: usize = 4;
/// How many candidates an ambiguous id names.
const CANDIDATES_MAX: i64 = 5;

impl Reader for Store {
    fn message(&mut self, id: &MessageId) -> Result<Option<Message>, ReadError> {
        Ok(self.read_message(id)?)
    }

    fn messages(&mut self, filter: &MessageFilter) -> Result<Page<Message>, ReadError> {
        Ok(self.read_messages(filter)?)
    }

    fn search(&mut self, query: &str, rows_max: usize) -> Result<Vec<Message>, ReadError> {
        Ok(self.read_search(query, rows_max)?)
    }

    fn thread(&mut self, id: &ThreadId) -> Result<Option<Thread>, ReadError> {
        Ok(self.read_thread(id)?)
    }

    fn threads(&mut self, before: Option<i64>, rows_max: usize) -> Result<Page<Thread>, ReadError> {
        Ok(self.read_threads(before, rows_max)?)
    }

    fn modules(&mut self) -> Result<Vec<Module>, ReadError> {
        Ok(self.read_modules()?)
    }

    fn watch(&mut self, name: &str) -> Result<Option<Watch>, ReadError> {
        Ok(self.read_watch(name)?)
    }

    fn watches(&mut self, filter: WatchFilter, before: Option<i64>, rows_max: usize) -> Result<Page<Watch>, ReadError> {
        Ok(self.read_watches(filter, before, rows_max)?)
    }

    fn history(&mut self, id: &str, rows_max: usize) -> Result<Vec<Arc<[u8]>>, ReadError> {
        Ok(self.read_history(id, rows_max)?)
    }

    fn task(&mut self, id: &TaskId) -> Result<Option<TaskDetail>, ReadError> {
        let Some(task) = self.read_task(id)? else { return Ok(None) };
        let Some(input) = self.task_input(task.seq)? else { return Ok(None) };
        let outcome = self.read_task_result(task.seq)?;
        let after = self.read_needs(task.seq)?.into_iter().map(|needed| needed.id).collect();
        Ok(Some(TaskDetail { task, input, outcome, after }))
    }

    fn tasks(&mut self, filter: &TaskFilter) -> Result<Page<Task>, ReadError> {
        Ok(self.read_tasks(filter)?)
    }

    fn task_error(&mut self, task: &Task, chars_max: usize) -> Result<Option<String>, ReadError> {
        let error = self.read_task_result(task.seq)?.error;
        Ok(error.map(|error| match error.char_indices().nth(chars_max) {
            Some((end, _)) => format!("{}...", &error[..end]),
            None => error.to_string(),
        }))
    }

    fn workflow(&mut self, id: &WorkflowId) -> Result<Option<WorkflowDetail>, ReadError> {
        let Some(row) = self.read_workflow(id)? else { return Ok(None) };
        let tasks = self.read_tasks_of_workflow(id)?;
        Ok(Some(WorkflowDetail { row, tasks }))
    }

    fn workflows(&mut self, filter: &WorkflowFilter) -> Result<Page<WorkflowRow>, ReadError> {
        Ok(self.read_workflows(filter)?)
    }

    fn task_log(&mut self, task: &Task, stream: LogStream, from: u64, bytes_max: usize) -> Result<LogPart, ReadError> {
        let name = match stream {
            LogStream::Stdout => "stdout",
            LogStream::Stderr => "stderr",
        };
        let path = self.tasks_root.join(task.id.as_str()).join(task.attempt.to_string()).join(name);
        let mut file = match open_log(&path) {
            Ok(file) => file,
            // The file is made with the first byte.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(LogPart::default()),
            Err(error) => return Err(ReadError(format!("{}: {error}", path.display()))),
        };
        let mut read = || {
            let length = file.metadata()?.len();
            if from >= length {
                return Ok(LogPart { bytes: Vec::new(), next: from, length });
            }
            file.seek(SeekFrom::Start(from))?;
            let mut bytes = Vec::new();
            (&mut file).take(bytes_max as u64).read_to_end(&mut bytes)?;
            Ok(LogPart { next: from + bytes.len() as u64, bytes, length })
        };
        read().map_err(|error: std::io::Error| ReadError(format!("{}: {error}", path.display())))
    }

    fn samples(&mut self, upstream: &str, points_max: usize) -> Result<Vec<SamplePoint>, ReadError> {
        Ok(self.read_samples(upstream, points_max)?)
    }

    fn events_after(&mut self, seq: u64, rows_max: usize) -> Result<Vec<StoredEvent>, ReadError> {
        Ok(self.read_events_after(seq, rows_max)?)
    }

    fn events_kept(&mut self) -> Result<(u64, u64), ReadError> {
        Ok(self.read_events_kept()?)
    }

    fn resolve(&mut self, kind: IdKind, text: &str) -> Result<Resolved, ReadError> {
        let found = match kind {
            IdKind::Message => self.resolve_in(&[("messages", "message_id")], text),
            IdKind::Thread => self.resolve_in(&[("threads", "thread_id")], text),
            IdKind::Task => self.resolve_in(&[("tasks", "task_id")], text),
            IdKind::Workflow => self.resolve_in(&[("workflows", "workflow_id")], text),
            IdKind::Watch => self.resolve_in(
                &[("watches", "message_id"), ("watches", "task_id"), ("messages", "message_id"), ("tasks", "task_id")],
                text,
            ),
        };
        Ok(found.map_err(super::StoreError::from)?)
    }
}

impl Store {
    /// Exactly, else by a unique prefix, else by a unique suffix: in this order over all the columns.
    fn resolve_in(&self, columns: &[(&str, &str)], text: &str) -> rusqlite::Result<Resolved> {
        for (table, column) in columns {
            let sql = format!("SELECT {column} FROM {table} WHERE {column} = ?1");
            if self.db.prepare_cached(&sql)?.exists([text])? {
                return Ok(Resolved::One(text.to_owned()));
            }
        }
        for by_suffix in [false, true] {
            if by_suffix && text.len() < SUFFIX_BYTES_MIN {
                break;
            }
            let mut found = std::collections::BTreeSet::new();
            for (table, column) in columns {
                found.extend(self.candidates(table, column, text, by_suffix)?);
            }
            match found.len() {
                0 => {}
                1 => return Ok(found.pop_first().map_or(Resolved::None, Resolved::One)),
                _ => return Ok(Resolved::Many(found.into_iter().take(CANDIDATES_MAX as usize).collect())),
            }
        }
        Ok(Resolved::None)
    }

    fn candidates(&self, table: &str, column: &str, text: &str, by_suffix: bool) -> rusqlite::Result<Vec<String>> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let sql = if by_suffix {
            format!(
                "SELECT {column} FROM (SELECT {column} FROM {table} ORDER BY rowid DESC LIMIT {SUFFIX_ROWS_MAX})
                 WHERE substr({column}, -length(?1)) = ?1 LIMIT {CANDIDATES_MAX}"
            )
        } else {
            // A range, so that the index serves it.
            format!(
                "SELECT {column} FROM {table} WHERE {column} >= ?1 AND {column} < ?1 || char(1114111)
                 ORDER BY {column} LIMIT {CANDIDATES_MAX}"
            )
        };
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut found = Vec::new();
        let mut rows = statement.query([text])?;
        while let Some(row) = rows.next()? {
            // An id that is no text cannot be meant by what somebody typed.
            if let ValueRef::Text(bytes) = row.get_ref(0)? {
                found.extend(std::str::from_utf8(bytes).map(str::to_owned));
            }
        }
        Ok(found)
    }
}

/// Cuts one row more than asked for, which says that there is a next page.
pub(super) fn page<T>(mut rows: Vec<(T, i64)>, rows_max: usize) -> Page<T> {
    let more = rows.len() > rows_max;
    rows.truncate(rows_max);
    let next = if more { rows.last().map(|(_, key)| *key) } else { None };
    Page { rows: rows.into_iter().map(|(row, _)| row).collect(), next }
}

/// Follows no link, and waits for nobody: a task may have put something else in the place of its log.
fn open_log(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}
