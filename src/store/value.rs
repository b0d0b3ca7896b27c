//! Reading values by their storage class: a foreign program may have stored anything anywhere.

use crate::clock::Timestamp;
use crate::model::limits::ID_BYTES_MAX;
use crate::model::message::Status;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use std::sync::atomic::{AtomicBool, Ordering};

/// What of a message's content is shown, in bytes as JSON has them: with everything else of it that makes one line of
/// the control socket, whatever the characters are.
pub(super) const CONTENT_BYTES_MAX: usize = 4 << 20;
/// The same of any other text.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// What JSON needs for one byte at most: `\\u0000`.
const ESCAPE_BYTES_MAX: usize = 6;

/// Any value as text, `None` for NULL. Blobs and broken UTF-8 are read as well as they can be.
pub(super) fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    let text = text_up_to(row, index, TEXT_BYTES_MAX)?;
    Ok(text.map(|text| cut(text, TEXT_BYTES_MAX).0))
}

/// A message's content, and whether that is not all of it.
pub(super) fn content(row: &Row<'_>, index: usize) -> rusqlite::Result<(String, bool)> {
    // Text is never shorter in JSON, and one byte more tells whether there is more.
    let text = text_up_to(row, index, CONTENT_BYTES_MAX + 1)?.unwrap_or_default();
    Ok(cut(text, CONTENT_BYTES_MAX))
}

/// As much of a text as needs so many bytes in JSON, and whether that is not all of it.
fn cut(mut text: String, bytes_max: usize) -> (String, bool) {
    if text.len() <= bytes_max / ESCAPE_BYTES_MAX {
        return (text, false);
    }
    let mut bytes = 0;
    let end = text.char_indices().find_map(|(at, char)| {
        let mut buffer = [0; 4];
        bytes += json_bytes(char.encode_utf8(&mut buffer));
        (bytes > bytes_max).then_some(at)
    });
    if let Some(end) = end {
        text.truncate(end);
    }
    (text, end.is_some())
}

/// How many bytes a text needs in JSON, without its quotes.
pub(super) fn json_bytes(text: &str) -> usize {
    let escaped = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0..0x20 => ESCAPE_BYTES_MAX,
        _ => 1,
    };
    text.bytes().map(escaped).sum()
}

pub(super) fn id(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    text_up_to(row, index, ID_BYTES_MAX)
}

fn text_up_to(row: &Row<'_>, index: usize, bytes_max: usize) -> rusqlite::Result<Option<String>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(number.to_string()),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Some(String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max)]).into_owned())
        }
    })
}

/// Unix seconds; what is no number is 0, with a warning.
pub(super) fn timestamp(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    let seconds = match row.get_ref(index)? {
        ValueRef::Integer(seconds) => Some(seconds as f64),
        ValueRef::Real(seconds) => Some(seconds),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()),
        ValueRef::Null | ValueRef::Blob(_) => None,
    };
    if seconds.is_none() {
        static WARNED: AtomicBool = AtomicBool::new(false);
        let column = row.as_ref().column_name(index).unwrap_or_default();
        let id = id(row, 0)?.unwrap_or_default();
        warn_once(&WARNED, || format!("the {column} of {id:?} is no number and is read as 0"));
    }
    Ok(Timestamp::from_unix_seconds(seconds.unwrap_or(0.0)))
}

/// What one program does wrong it does with every row, so each kind is said once in a run.
pub(super) fn warn_once(warned: &AtomicBool, sentence: impl FnOnce() -> String) {
    if !warned.swap(true, Ordering::Relaxed) {
        log::warn!("{}; there may be more of the kind, which is not said again", sentence());
    }
}

pub(super) fn timestamp_or_null(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => None,
        _ => Some(timestamp(row, index)?),
    })
}

/// The status of a message; NULL is `unknown`.
pub(super) fn status(row: &Row<'_>, index: usize) -> rusqlite::Result<Status> {
    Ok(text_up_to(row, index, ID_BYTES_MAX)?.map_or(Status::Unknown, |word| Status::parse_foreign(&word)))
}

pub(super) fn unsigned(row: &Row<'_>, index: usize) -> rusqlite::Result<u64> {
    Ok(match row.get_ref(index)? {
        ValueRef::Integer(number) => u64::try_from(number).unwrap_or(0),
        _ => 0,
    })
}
