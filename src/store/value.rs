//! Reading values by their storage class: a foreign program may have stored anything anywhere.

use crate::clock::Timestamp;
use crate::model::limits::ID_BYTES_MAX;
use crate::model::message::Status;
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// Longest text that is shown of one value; what is longer is cut.
pub(super) const SHOWN_BYTES_MAX: usize = 4 << 20;

/// Any value as text, `None` for NULL. Blobs and broken UTF-8 are read as well as they can be.
pub(super) fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    text_up_to(row, index, SHOWN_BYTES_MAX)
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

/// Unix seconds; what is no number is 0.
pub(super) fn timestamp(row: &Row<'_>, index: usize) -> rusqlite::Result<Timestamp> {
    Ok(match row.get_ref(index)? {
        ValueRef::Integer(seconds) => Timestamp::from_unix_seconds(seconds as f64),
        ValueRef::Real(seconds) => Timestamp::from_unix_seconds(seconds),
        ValueRef::Text(text) => {
            let number = std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok());
            Timestamp::from_unix_seconds(number.unwrap_or(0.0))
        }
        ValueRef::Null | ValueRef::Blob(_) => Timestamp::default(),
    })
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
