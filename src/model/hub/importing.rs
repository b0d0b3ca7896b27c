//! Threads and messages that are brought from another installation, or back from a file: what is here already stays.

use super::{Effects, Hub};
use crate::clock::Now;
use crate::model::command::{Code, Refusal, Reply};
use crate::model::message::{Message, MessageHead, Thread};
use crate::model::rows::{Presence, Rows, RowsError, Write};

type Answer = Result<Reply, Refusal>;

impl Hub {
    pub(super) fn import_thread(
        thread: Box<Thread>,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        let id = thread.id.to_string();
        let added = match rows.presence_of_thread(&thread)? {
            Presence::Absent => {
                out.writes.push(Write::ImportThread(thread));
                true
            }
            Presence::Same => false,
            Presence::Differs(what) => return Ok(Err(conflict("thread", &id, what))),
        };
        Ok(Ok(Reply::Imported { id, added }))
    }

    pub(super) fn import_message(
        &mut self,
        now: Now,
        message: Box<Message>,
        rows: &mut dyn Rows,
        out: &mut Effects,
    ) -> Result<Answer, RowsError> {
        let id = message.id.to_string();
        match rows.presence_of_message(&message)? {
            Presence::Absent => {}
            Presence::Same => return Ok(Ok(Reply::Imported { id, added: false })),
            Presence::Differs(what) => return Ok(Err(conflict("message", &id, what))),
        }
        if !rows.thread_exists(&message.thread_id)? {
            let thread = &message.thread_id;
            return Ok(Err(Refusal::not_found(format!("there is no thread {thread}; bring it before its messages"))));
        }
        let head = MessageHead {
            id: message.id.clone(),
            thread_id: message.thread_id.clone(),
            module: message.module.clone(),
            target: message.target.clone(),
            status: message.status.clone(),
            // Read from the metadata when all is written.
            task_id: None,
            content_length: message.content.chars().count() as u64,
        };
        let has_metadata = message.metadata.is_some();
        out.writes.push(Write::ImportMessage(message));
        self.tell_inserted(now, &head, has_metadata, out);
        Ok(Ok(Reply::Imported { id, added: true }))
    }
}

fn conflict(what: &str, id: &str, differs: &str) -> Refusal {
    Refusal::new(Code::Conflict, format!("there is another {what} {id} here, whose {differs} is not the same"))
}
