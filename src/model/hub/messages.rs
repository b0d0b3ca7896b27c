//! Messages: our own verbs, and what foreign programs did to them.

use super::pictures::Subject;
use super::{Effects, Hub};
use crate::clock::Now;
use crate::model::command::{Code, IntoThread, Party, Refusal, Reply, Send};
use crate::model::id::{MessageId, ModuleName, TaskId, ThreadId};
use crate::model::message::{MessageHead, NewMessage, NewThread, Status, thread_title};
use crate::model::rows::{Change, ChangeKind, Rows, RowsError, Write};
use std::sync::Arc;

type Answer = Result<Reply, Refusal>;

impl Hub {
    /// Folds what other programs wrote into events and watches.
    pub(super) fn changes(
        &mut self,
        now: Now,
        changes: &[Change],
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<(), RowsError> {
        for change in changes {
            self.change(now, change, rows, out)?;
        }
        Ok(())
    }

    fn change(&mut self, now: Now, change: &Change, rows: &mut dyn Rows, out: &mut Effects) -> Result<(), RowsError> {
        let id = &change.message_id;
        let message = rows.message(id)?;
        let thread_id = message.as_ref().map(|message| message.thread_id.clone());
        if change.kind == ChangeKind::Update && change.old_status == change.new_status {
            self.picture(now, Subject::Content(id.clone()));
            return Ok(());
        }
        if let (ChangeKind::Insert, Some(message)) = (change.kind, &message) {
            self.resolve_watch(message, out);
        }
        let (previous, current) = (change.old_status.clone(), change.new_status.clone());
        let seq = self.emit_status(now, id.clone(), thread_id, previous, current.clone(), change.content_length, out);
        self.follow_message(now, id, current.as_ref(), Some(seq), out);
        Ok(())
    }

    pub(super) fn send(
        &mut self,
        now: Now,
        send: Send,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        let (from, to) = (send.from.name().clone(), send.to.name().clone());
        for party in [&send.from, &send.to] {
            if let Err(unknown) = self.directory_of(party, rows)? {
                return Ok(Err(unknown));
            }
        }
        let thread = match self.open_thread(now, send.thread, &from, &to, rows, out)? {
            Ok(thread) => thread,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let message = NewMessage {
            id: send.id.clone(),
            thread_id: thread.clone(),
            module: from,
            target: Some(to),
            content: send.content,
            kind: "question",
            status: Status::Pending,
            in_reply_to: None,
            task_id: None,
            metadata: send.metadata,
            at: now.wall,
        };
        self.insert_message(now, message, out);
        Ok(Ok(Reply::Sent { message_id: send.id, thread_id: thread, status: Status::Pending }))
    }

    /// The directory of a party; a module must be registered, and a directory must not be taken for that of another.
    pub(super) fn directory_of(
        &self,
        party: &Party,
        rows: &mut dyn Rows,
    ) -> Result<Result<String, Refusal>, RowsError> {
        match party {
            Party::Directory { name, path } => Ok(match rows.module(name)?.filter(|directory| directory != path) {
                Some(directory) => Err(Refusal::name_taken(name, &directory, path)),
                None => Ok(path.clone()),
            }),
            Party::Module(name) => Ok(rows.module(name)?.ok_or_else(|| {
                Refusal::not_found(format!(
                    "there is no module {name}; give one of those that there are, an absolute path, or add it with: \
                     claude-comms module add {name} DIRECTORY"
                ))
            })),
        }
    }

    pub(super) fn open_thread(
        &mut self,
        now: Now,
        thread: IntoThread,
        from: &ModuleName,
        to: &ModuleName,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Result<ThreadId, Refusal>, RowsError> {
        match thread {
            IntoThread::Existing(id) if rows.thread_exists(&id)? => Ok(Ok(id)),
            IntoThread::Existing(id) => Ok(Err(Refusal::not_found(format!("there is no thread {id}")))),
            IntoThread::New { id, title } => {
                let title = title.unwrap_or_else(|| thread_title(from, to));
                let mut modules = vec![from.clone()];
                if to != from {
                    modules.push(to.clone());
                }
                out.writes.push(Write::InsertThread(NewThread { id: id.clone(), title, modules, at: now.wall }));
                Ok(Ok(id))
            }
        }
    }

    /// Inserts a message of ours, with its event.
    pub(super) fn insert_message(&mut self, now: Now, message: NewMessage, out: &mut Effects) {
        let length = message.content.chars().count() as u64;
        let head = MessageHead {
            id: message.id.clone(),
            thread_id: message.thread_id.clone(),
            module: message.module.clone(),
            target: message.target.clone(),
            status: message.status.clone(),
            task_id: message.task_id.as_ref().map(ToString::to_string),
            content_length: length,
        };
        let has_metadata = message.metadata.is_some();
        out.writes.push(Write::InsertMessage(message));
        self.tell_inserted(now, &head, has_metadata, out);
    }

    /// The event of a message that was inserted by us, and what its watch makes of it.
    pub(super) fn tell_inserted(&mut self, now: Now, head: &MessageHead, has_metadata: bool, out: &mut Effects) {
        if has_metadata {
            self.watches.note_inserted(&head.id);
        }
        self.resolve_watch(head, out);
        let (id, thread, status) = (head.id.clone(), Some(head.thread_id.clone()), head.status.clone());
        let length = Some(head.content_length);
        let seq = self.emit_status(now, id, thread, None, Some(status.clone()), length, out);
        self.follow_message(now, &head.id, Some(&status), Some(seq), out);
    }

    pub(super) fn reply_to(
        &mut self,
        now: Now,
        id: MessageId,
        question: &MessageId,
        content: Arc<str>,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        let Some(head) = rows.message(question)? else {
            return Ok(Err(no_message(question)));
        };
        if let Err(illegal) = head.status.advance(&Status::Complete) {
            return Ok(Err(Refusal::new(Code::Conflict, illegal.to_string())));
        }
        if head.status.is_final() {
            let refusal = Refusal::new(Code::Conflict, format!("{question} is {} already", head.status));
            return Ok(Err(refusal));
        }
        if let Some(task) = self.answering(&head) {
            return Ok(Err(Refusal::new(
                Code::Conflict,
                format!(
                    "task {task} is to answer {question}; wait for it, or cancel it first (cancel_task, or claude-comms task cancel {task})"
                ),
            )));
        }
        let thread = head.thread_id.clone();
        let response = NewMessage {
            id: id.clone(),
            thread_id: thread.clone(),
            module: head.target.clone().unwrap_or_else(|| head.module.clone()),
            target: Some(head.module.clone()),
            content,
            kind: "response",
            status: Status::Complete,
            in_reply_to: Some(question.clone()),
            task_id: None,
            metadata: None,
            at: now.wall,
        };
        self.insert_message(now, response, out);
        self.change_message(now, &head, Status::Complete, None, None, out);
        Ok(Ok(Reply::Sent { message_id: id, thread_id: thread, status: Status::Complete }))
    }

    /// The task that has not ended and that answers a question: a second answer would say something else.
    fn answering(&self, question: &MessageHead) -> Option<&TaskId> {
        let task = self.tasks.by_id(&TaskId::new(question.task_id.as_deref()?))?;
        let is_it = task.exchange.as_ref().is_some_and(|exchange| exchange.question == question.id);
        (is_it && !task.status.is_final()).then_some(&task.id)
    }

    pub(super) fn update(
        &mut self,
        now: Now,
        id: &MessageId,
        status: Option<Status>,
        content: Option<Arc<str>>,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        let Some(head) = rows.message(id)? else { return Ok(Err(no_message(id))) };
        let to = status.unwrap_or_else(|| head.status.clone());
        let changed = match head.status.advance(&to) {
            Ok(changed) => changed,
            Err(illegal) => return Ok(Err(Refusal::new(Code::Conflict, illegal.to_string()))),
        };
        if content.is_some() && head.status.is_final() {
            let refusal = format!("{id} is {} already; its content stays as it is", head.status);
            return Ok(Err(Refusal::new(Code::Conflict, refusal)));
        }
        let changed = changed || content.is_some();
        if changed {
            self.change_message(now, &head, to.clone(), content, None, out);
        }
        Ok(Ok(Reply::Updated { message_id: id.clone(), status: to, changed }))
    }

    /// Writes a message of ours or of others, tells it, and lets its watch follow. The caller has checked the step.
    pub(super) fn change_message(
        &mut self,
        now: Now,
        head: &MessageHead,
        to: Status,
        content: Option<Arc<str>>,
        error: Option<Arc<str>>,
        out: &mut Effects,
    ) {
        let moved = head.status != to;
        let length = content.as_ref().map_or(head.content_length, |content| content.chars().count() as u64);
        out.writes.push(Write::UpdateMessage {
            id: head.id.clone(),
            status: moved.then(|| to.clone()),
            content,
            error,
        });
        if !moved {
            self.picture(now, Subject::Content(head.id.clone()));
            return;
        }
        let (id, thread) = (head.id.clone(), Some(head.thread_id.clone()));
        let previous = Some(head.status.clone());
        let seq = self.emit_status(now, id.clone(), thread, previous, Some(to.clone()), Some(length), out);
        self.follow_message(now, &id, Some(&to), Some(seq), out);
    }

    pub(super) fn remove_module(name: ModuleName, rows: &mut dyn Rows, out: &mut Effects) -> Result<Answer, RowsError> {
        if rows.module(&name)?.is_none() {
            return Ok(Err(Refusal::not_found(format!("there is no module {name}"))));
        }
        out.writes.push(Write::DeleteModule(name));
        Ok(Ok(Reply::Done))
    }
}

fn no_message(id: &MessageId) -> Refusal {
    Refusal::not_found(format!("there is no message {id}"))
}
