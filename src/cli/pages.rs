//! Lists that come in pages: how many rows are asked for, and reading on where one answer has no room for all.

use clap::builder::RangedI64ValueParser;
use serde::de::DeserializeOwned;

use super::exit::Failure;
use super::output::Output;
use crate::control::wire::Request;
use crate::control::{Client, ClientError};
use crate::model::command::Code;
use crate::model::limits::PAGE_ROWS_MAX;

/// What `--limit` may be.
pub(super) fn limit() -> RangedI64ValueParser<u16> {
    RangedI64ValueParser::new().range(1..=PAGE_ROWS_MAX as i64)
}

/// Says that a list was cut.
pub(super) fn tell_of_more(output: &mut Output, next: Option<i64>) {
    if next.is_some() {
        output.hint("there are more; see them with a greater --limit");
    }
}

/// Rows of a list, newest first, and where the next page begins.
#[derive(Debug)]
pub(super) struct Page<R> {
    pub(super) rows: Vec<R>,
    pub(super) next: Option<i64>,
}

/// The page that begins at a place, with at most so many rows: fewer when they are too large for one answer.
pub(super) fn page<A: DeserializeOwned, R>(
    client: &mut Client,
    mut rows_max: usize,
    request: impl Fn(usize) -> Request,
    open: impl Fn(A) -> Page<R>,
) -> Result<Page<R>, Failure> {
    loop {
        match client.call::<A>(&request(rows_max)) {
            Ok(answer) => return Ok(open(answer)),
            Err(ClientError::Refused { code: Code::TooLarge, .. }) if rows_max > 1 => rows_max /= 2,
            Err(error) => return Err(error.into()),
        }
    }
}
