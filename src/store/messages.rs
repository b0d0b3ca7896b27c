//! Messages: the public table that any program may write.

use super::{Store, StoreError, value};
use crate::model::id::{MessageId, ModuleName, ThreadId};
use crate::model::message::{Message, MessageHead, NewMessage, Status};
use crate::ports::{MessageFilter, Page};
use rusqlite::{OptionalExtension, Row, ToSql};
use serde_json::{Map, Value};

/// A page of a list, or a search, ends before it shows more than this, in bytes as JSON has them.
pub(super) const PAGE_BYTES_MAX: usize = 4 << 20;
/// How many of the newest messages are searched for a task id in their metadata, beside all active ones.
const RECENT_ROWS_MAX: i64 = 10_000;

/// Who is not named as addressee by the metadata may be by the thread.
const MAY_BE_FOR: &str = "CASE WHEN json_valid(m.metadata) AND json_type(m.metadata) = 'object'
  AND json_type(m.metadata, '$.target_module') = 'text' THEN json_extract(m.metadata, '$.target_module') = ? ELSE 1 END";
const SHOWN: &str = "m.message_id, m.thread_id, m.module, m.content, m.type, m.timestamp, m.status, m.metadata,
  t.title, t.modules, m.rowid, t.thread_id IS NULL FROM messages m LEFT JOIN threads t ON t.thread_id = m.thread_id";
/// A message of ours, or one that is brought from elsewhere.
pub(super) const INSERT: &str =
    "INSERT INTO messages(message_id, thread_id, module, content, type, timestamp, status, metadata)
  VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";

impl Store {
    pub(super) fn insert_message(&self, message: &NewMessage) -> Result<(), StoreError> {
        self.db.prepare_cached(INSERT)?.execute((
            message.id.as_str(),
            message.thread_id.as_str(),
            message.module.as_str(),
            &*message.content,
            message.kind,
            message.at.as_unix_seconds(),
            message.status.as_str(),
            metadata(message),
        ))?;
        Ok(())
    }

    pub(super) fn update_message(
        &self,
        id: &MessageId,
        status: Option<&Status>,
        content: Option<&str>,
        error: Option<&str>,
    ) -> Result<(), StoreError> {
        // A foreign program may have left metadata that is no object; the error is worth more than that.
        self.db
            .prepare_cached(
                "UPDATE messages SET status = COALESCE(?2, status), content = COALESCE(?3, content),
                   metadata = CASE WHEN ?4 IS NULL THEN metadata
                     ELSE json_set(CASE WHEN json_valid(metadata) AND json_type(metadata) = 'object' THEN metadata
                                   ELSE '{}' END, '$.error', ?4) END
                 WHERE message_id = ?1",
            )?
            .execute((id.as_str(), status.map(Status::as_str), content, error))?;
        Ok(())
    }

    pub(super) fn message_head(&self, id: &MessageId) -> Result<Option<MessageHead>, StoreError> {
        let sql = "SELECT m.message_id, m.thread_id, m.module, m.status, length(m.content), m.metadata, t.modules
                   FROM messages m LEFT JOIN threads t ON t.thread_id = m.thread_id WHERE m.message_id = ?1";
        Ok(self.db.prepare_cached(sql)?.query_row([id.as_str()], head).optional()?)
    }

    /// The newest message whose metadata names this task, among the active and the recent ones.
    pub(super) fn message_head_of_task(&self, task_id: &str) -> Result<Option<MessageHead>, StoreError> {
        let sql = "SELECT message_id, metadata FROM messages WHERE status IN ('pending', 'processing')
                     AND instr(metadata, ?1) > 0
                   UNION ALL
                   SELECT message_id, metadata FROM (SELECT message_id, metadata FROM messages
                     ORDER BY rowid DESC LIMIT ?2) WHERE instr(metadata, ?1) > 0";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query((task_id, RECENT_ROWS_MAX))?;
        while let Some(row) = rows.next()? {
            let (Some(id), Some(metadata)) = (value::id(row, 0)?, value::text(row, 1)?) else { continue };
            if string_in(&object(&metadata), "task_id").as_deref() == Some(task_id) {
                return self.message_head(&MessageId::from(id));
            }
        }
        Ok(None)
    }

    pub(super) fn read_message(&self, id: &MessageId) -> Result<Option<Message>, StoreError> {
        let sql = format!("SELECT {SHOWN} WHERE m.message_id = ?1");
        let found = self.db.prepare_cached(&sql)?.query_row([id.as_str()], shown).optional()?;
        Ok(found.map(|(message, _)| message))
    }

    pub(super) fn read_messages(&self, filter: &MessageFilter) -> Result<Page<Message>, StoreError> {
        let mut sql = format!("SELECT {SHOWN} WHERE m.message_id IS NOT NULL");
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut also = |condition: &str, value: Box<dyn ToSql>| {
            values.push(value);
            sql.push_str(&format!(" AND {}", condition.replace('?', &format!("?{}", values.len()))));
        };
        if let Some(before) = filter.before {
            also("m.rowid < ?", Box::new(before));
        }
        if let Some(thread) = &filter.thread {
            also("m.thread_id = ?", Box::new(thread.to_string()));
        }
        if let Some(module) = &filter.module {
            also("m.module = ?", Box::new(module.to_string()));
        }
        if let Some(target) = &filter.target {
            // What the thread says is looked at below.
            also(MAY_BE_FOR, Box::new(target.to_string()));
        }
        match &filter.status {
            // Said twice, so that the index of the few that are active serves it.
            Some(status @ (Status::Pending | Status::Processing)) => {
                also("m.status IN ('pending', 'processing') AND m.status = ?", Box::new(status.to_string()));
            }
            // Both spellings are one status.
            Some(Status::Complete) => sql.push_str(" AND m.status IN ('complete', 'completed')"),
            Some(Status::Unknown) => sql.push_str(" AND m.status IS NULL"),
            Some(status) => also("m.status = ?", Box::new(status.to_string())),
            None => {}
        }
        sql.push_str(" ORDER BY m.rowid DESC");
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let (mut page, mut bytes) = (Page { rows: Vec::new(), next: None }, 0);
        let mut last = None;
        while let Some(row) = rows.next()? {
            if page.rows.len() == filter.rows_max {
                page.next = last;
                break;
            }
            let (message, rowid) = shown(row)?;
            if filter.target.is_some() && message.target != filter.target {
                continue;
            }
            bytes += shown_bytes(&message);
            if bytes > PAGE_BYTES_MAX && !page.rows.is_empty() {
                page.next = last;
                break;
            }
            page.rows.push(message);
            last = Some(rowid);
        }
        Ok(page)
    }
}

fn head(row: &Row<'_>) -> rusqlite::Result<MessageHead> {
    let module = value::id(row, 2)?.unwrap_or_default();
    let metadata = object(&value::text(row, 5)?.unwrap_or_default());
    let modules = value::text(row, 6)?.unwrap_or_default();
    Ok(MessageHead {
        id: MessageId::from(value::id(row, 0)?.unwrap_or_default()),
        thread_id: ThreadId::from(value::id(row, 1)?.unwrap_or_default()),
        target: target(&metadata, &modules, &module),
        task_id: string_in(&metadata, "task_id"),
        module: ModuleName::from(module),
        status: value::status(row, 3)?,
        content_length: value::unsigned(row, 4)?,
    })
}

fn shown(row: &Row<'_>) -> rusqlite::Result<(Message, i64)> {
    let module = value::id(row, 2)?.unwrap_or_default();
    let metadata = value::text(row, 7)?;
    let parsed = object(metadata.as_deref().unwrap_or_default());
    let modules = value::text(row, 9)?.unwrap_or_default();
    let orphan: bool = row.get(11)?;
    let (content, truncated) = value::content(row, 3)?;
    let message = Message {
        id: MessageId::from(value::id(row, 0)?.unwrap_or_default()),
        thread_id: ThreadId::from(value::id(row, 1)?.unwrap_or_default()),
        thread_title: if orphan { None } else { Some(value::text(row, 8)?.unwrap_or_default()) },
        target: target(&parsed, &modules, &module),
        module: ModuleName::from(module),
        content,
        truncated,
        kind: value::id(row, 4)?.unwrap_or_default(),
        at: value::timestamp(row, 5)?,
        status: value::status(row, 6)?,
        error: string_in(&parsed, "error"),
        metadata,
    };
    Ok((message, row.get(10)?))
}

/// What a message counts for in a page.
pub(super) fn shown_bytes(message: &Message) -> usize {
    let title = message.thread_title.as_deref();
    let target = message.target.as_ref().map(ModuleName::as_str);
    let named = [message.id.as_str(), message.thread_id.as_str(), message.module.as_str(), message.status.as_str()];
    let texts = [&message.content, &message.kind].map(|text| Some(text.as_str()));
    let maybe = [message.metadata.as_deref(), message.error.as_deref(), title, target];
    named.map(Some).into_iter().chain(texts).chain(maybe).flatten().map(value::json_bytes).sum()
}

/// The addressee: named in the metadata, else the other module of the thread.
fn target(metadata: &Map<String, Value>, modules: &str, author: &str) -> Option<ModuleName> {
    string_in(metadata, "target_module")
        .or_else(|| module_names(modules).into_iter().find(|name| name != author))
        .map(ModuleName::from)
}

/// A JSON array of names, as far as it is one.
pub(super) fn module_names(modules: &str) -> Vec<String> {
    match serde_json::from_str(modules) {
        Ok(Value::Array(names)) => names.into_iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

/// A JSON object; empty when it is none.
fn object(text: &str) -> Map<String, Value> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// A number is taken for its text: another program may count its tasks.
fn string_in(object: &Map<String, Value>, key: &str) -> Option<String> {
    match object.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What the user gave, with our own keys put over it.
fn metadata(message: &NewMessage) -> String {
    let mut metadata = object(message.metadata.as_deref().unwrap_or_default());
    let own = [
        ("target_module", message.target.as_ref().map(ToString::to_string)),
        ("in_reply_to", message.in_reply_to.as_ref().map(ToString::to_string)),
        ("task_id", message.task_id.as_ref().map(ToString::to_string)),
    ];
    for (key, value) in own {
        if let Some(value) = value {
            metadata.insert(key.to_owned(), Value::String(value));
        }
    }
    Value::Object(metadata).to_string()
}
