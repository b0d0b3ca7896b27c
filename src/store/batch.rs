//! One batch of the hub: begin, apply what was decided, append the events, commit.

use super::{Store, StoreError};
use crate::clock::Timestamp;
use crate::model::rows::Write;
use crate::ports::StoredEvent;

impl Store {
    /// Takes the write lock, so that what is read from here on cannot have changed by the time it is written.
    /// Waits a tenth of a second for a foreign writer.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when the lock is held; otherwise nothing can be written at all.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        if !self.is_in_place() {
            return Err(StoreError::Removed(self.path().display().to_string()));
        }
        self.run("BEGIN IMMEDIATE")?;
        self.changes_at_begin = self.db.total_changes();
        Ok(())
    }

    /// Makes the batch durable. After an error nothing of it is.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        let done = self.run("COMMIT");
        if done.is_err() {
            self.rollback();
        }
        done
    }

    /// Whether the batch has changed anything so far. One that has not need not be synced.
    pub fn has_written(&self) -> bool {
        self.db.total_changes() != self.changes_at_begin
    }

    /// Writes so many bytes and takes them back, to find out whether anything can be written.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn probe(&mut self, bytes: usize) -> Result<(), StoreError> {
        self.begin()?;
        self.db
            .prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES('probe', zeroblob(?1))")?
            .execute([i64::try_from(bytes).unwrap_or(i64::MAX)])?;
        self.commit()?;
        self.begin()?;
        self.run("DELETE FROM meta WHERE key = 'probe'")?;
        self.commit()
    }

    /// Ends the batch as if it had never been. Safe to call at any time.
    pub fn rollback(&mut self) {
        if !self.db.is_autocommit() {
            // Nothing can be done when even this fails; the connection then rolls back by itself at its next use.
            drop(self.run("ROLLBACK"));
        }
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.db.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Applies what a step decided, in order.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn apply(&mut self, writes: &[Write]) -> Result<(), StoreError> {
        for write in writes {
            self.apply_one(write)?;
        }
        Ok(())
    }

    /// As [`Store::apply`], but a message or thread that a foreign trigger or key forbids is left out. Returns why.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn apply_what_it_lets(&mut self, writes: &[Write]) -> Result<Vec<String>, StoreError> {
        let mut refused = Vec::new();
        for write in writes {
            let is_public = matches!(
                write,
                Write::InsertThread(_)
                    | Write::InsertMessage(_)
                    | Write::ImportThread(_)
                    | Write::ImportMessage(_)
                    | Write::UpdateMessage { .. }
            );
            match self.apply_one(write) {
                // A statement that fails has done nothing, unless it has ended the whole transaction.
                Err(StoreError::Refused(reason)) if is_public && !self.db.is_autocommit() => refused.push(reason),
                outcome => outcome?,
            }
        }
        Ok(refused)
    }

    fn apply_one(&self, write: &Write) -> Result<(), StoreError> {
        match write {
            Write::InsertThread(thread) => self.insert_thread(thread),
            Write::InsertMessage(message) => self.insert_message(message),
            Write::ImportThread(thread) => self.import_thread(thread),
            Write::ImportMessage(message) => self.import_message(message),
            Write::UpdateMessage { id, status, content, error } => {
                self.update_message(id, status.as_ref(), content.as_deref(), error.as_deref())
            }
            Write::PutWatch(watch) => self.put_watch(watch),
            Write::DeleteWatch(id) => self.delete_watch(*id),
            Write::PutModule { name, directory } => self.put_module(name, directory),
            Write::DeleteModule(name) => self.delete_module(name),
            Write::PutPool(pool) => self.put_pool(pool),
            Write::DeletePool(id) => self.delete_pool(id),
            Write::PutUpstream(row) => self.put_upstream(row),
            Write::DeleteUpstream(name) => self.delete_upstream(name),
            Write::PutTotal { upstream, metric, total } => self.put_total(upstream, metric, *total),
            Write::InsertSample { upstream, at, metric, value } => self.insert_sample(upstream, *at, metric, *value),
            Write::PutBreaker(breaker) => self.put_breaker(breaker),
            Write::DeleteBreaker(name) => self.delete_breaker(name),
            Write::PutAlert(alert) => self.put_alert(alert),
            Write::DeleteAlert(key) => self.delete_alert(key),
            Write::PutHookCursor { name, seq } => self.put_hook_cursor(name, *seq),
            Write::DeleteHookCursor(name) => self.delete_hook_cursor(name),
            Write::PutGroup(group) => self.put_group(group),
            Write::DeleteGroup(name) => self.delete_group(name),
            Write::PutTask(task) => self.put_task(task),
            Write::PutTaskInput { seq, input } => self.put_task_input(*seq, input),
            Write::PutTaskResult { seq, result } => self.put_task_result(*seq, result),
            Write::PutDependency { seq, needs } => self.put_dependency(*seq, *needs),
            Write::PutWorkflow(row) => self.put_workflow(row),
            Write::RoundRobin(next) => self.set_meta("round_robin_next", i64::try_from(*next).unwrap_or(0)),
            Write::NextToken(token) => self.set_meta("token_next", i64::try_from(token.0).unwrap_or(i64::MAX)),
        }
    }

    /// Appends encoded events; their numbers must follow the last one's.
    ///
    /// # Errors
    /// The batch must be rolled back.
    pub fn append_events(&mut self, at: Timestamp, events: &[StoredEvent]) -> Result<(), StoreError> {
        let mut insert =
            self.db.prepare_cached("INSERT INTO events(seq, at, channel, event, frame) VALUES(?1, ?2, ?3, ?4, ?5)")?;
        for event in events {
            insert.execute((
                i64::try_from(event.seq).unwrap_or(i64::MAX),
                at.as_unix_seconds(),
                &*event.channel,
                &*event.name,
                &*event.frame,
            ))?;
        }
        Ok(())
    }

    pub(super) fn set_meta(&self, key: &str, value: i64) -> Result<(), StoreError> {
        self.db.prepare_cached("UPDATE meta SET value = ?2 WHERE key = ?1")?.execute((key, value))?;
        Ok(())
    }

    pub(super) fn meta(&self, key: &str) -> Result<i64, StoreError> {
        Ok(self.db.prepare_cached("SELECT value FROM meta WHERE key = ?1")?.query_row([key], |row| row.get(0))?)
    }
}
