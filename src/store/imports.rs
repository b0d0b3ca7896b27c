//! Threads and messages that are brought from elsewhere, written as they were there.

use super::messages::INSERT;
use super::{Store, StoreError};
use crate::model::message::{Message, Thread};
use crate::model::rows::Presence;
use serde_json::Value;

impl Store {
    pub(super) fn import_thread(&self, thread: &Thread) -> Result<(), StoreError> {
        let modules = Value::from(thread.modules.iter().map(ToString::to_string).collect::<Vec<_>>());
        self.db
            .prepare_cached(
                "INSERT INTO threads(thread_id, title, modules, metadata, created_at) VALUES(?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                thread.id.as_str(),
                &thread.title,
                modules.to_string(),
                &thread.metadata,
                thread.created_at.as_unix_seconds(),
            ))?;
        Ok(())
    }

    pub(super) fn import_message(&self, message: &Message) -> Result<(), StoreError> {
        self.db.prepare_cached(INSERT)?.execute((
            message.id.as_str(),
            message.thread_id.as_str(),
            message.module.as_str(),
            &message.content,
            &message.kind,
            message.at.as_unix_seconds(),
            message.status.as_str(),
            &message.metadata,
        ))?;
        Ok(())
    }

    pub(super) fn compare_thread(&self, brought: &Thread) -> Result<Presence, StoreError> {
        let Some(here) = self.read_thread(&brought.id)? else { return Ok(Presence::Absent) };
        Ok(first_difference(&[
            ("title", here.title == brought.title),
            ("modules", here.modules == brought.modules),
            ("created_at", here.created_at == brought.created_at),
            ("metadata", is_same_json(here.metadata.as_deref(), brought.metadata.as_deref())),
        ]))
    }

    pub(super) fn compare_message(&self, brought: &Message) -> Result<Presence, StoreError> {
        let Some(here) = self.read_message(&brought.id)? else { return Ok(Presence::Absent) };
        Ok(first_difference(&[
            ("thread", here.thread_id == brought.thread_id),
            ("module", here.module == brought.module),
            ("type", here.kind == brought.kind),
            ("timestamp", here.at == brought.at),
            ("status", here.status == brought.status),
            ("content", here.content == brought.content && !here.truncated),
            ("metadata", is_same_json(here.metadata.as_deref(), brought.metadata.as_deref())),
        ]))
    }
}

fn first_difference(same: &[(&'static str, bool)]) -> Presence {
    same.iter().find(|(_, same)| !same).map_or(Presence::Same, |(what, _)| Presence::Differs(what))
}

/// Whether both mean the same; a text that is no JSON means itself.
fn is_same_json(one: Option<&str>, other: Option<&str>) -> bool {
    let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
    one == other || one.map(read) == other.map(read)
}
