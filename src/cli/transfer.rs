//! `thread export` and `thread import`: conversations as JSON Lines, and back.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use serde_json::json;

use super::exit::{FAILED, Failure, OK, Outcome};
use super::message;
use super::output::Output;
use super::session::{Session, read, receive};
use crate::control::wire::{self, LINE_BYTES_MAX, Request};
use crate::control::{Client, ClientError, Followed, PATIENCE};
use crate::model::command::Code;

/// Rows of one page of an export.
const PAGE_ROWS: usize = 100;
/// Lines of an import that are not answered yet, at most; and so many bytes of them.
const WINDOW_LINES_MAX: usize = 64;
const WINDOW_BYTES_MAX: usize = 4 << 20;
/// Room for what a request has around a line, in bytes.
const ENVELOPE_BYTES: usize = 1024;
/// Lines that are complained of by name; the others are counted.
const COMPLAINTS_MAX: usize = 20;

/// Prints threads, each followed by its messages.
pub(super) fn export(ids: Vec<String>, session: &mut Session) -> Outcome {
    let mut client = session.connect()?;
    let mut cut = 0;
    if ids.is_empty() {
        let beginnings = beginnings(&mut client, thread_page)?;
        for (before, rows) in beginnings.into_iter().rev() {
            let page: wire::Threads = client.call(&threads(before, rows))?;
            for thread in page.threads.into_iter().rev() {
                cut += export_one(&thread, &mut client, &mut session.output)?;
            }
        }
    }
    for id in ids {
        let thread: wire::Thread = client.call(&Request::ThreadShow(wire::Id { id }))?;
        cut += export_one(&thread, &mut client, &mut session.output)?;
    }
    if cut == 0 {
        return Ok(OK);
    }
    Err(Failure::failed(format!(
        "{cut} messages are longer than what is shown of one, and were cut; they cannot be imported"
    )))
}

/// Lists come newest first and a conversation is read oldest first. So that no more than a page is kept at a time, the
/// beginnings of all pages are found first, and the pages are then read from the last one to the first. Returns how many
/// messages are cut.
fn export_one(thread: &wire::Thread, client: &mut Client, output: &mut Output) -> Result<usize, Failure> {
    let of_thread =
        |before| wire::MessageList { thread: Some(thread.thread_id.clone()), before, ..wire::MessageList::default() };
    output.json(&json!({"thread": thread}))?;
    let beginnings = beginnings(client, |client, before| {
        let page = message::page(client, PAGE_ROWS, &of_thread(before))?;
        Ok((page.rows.len(), page.next))
    })?;
    let mut cut = 0;
    for (before, rows) in beginnings.into_iter().rev() {
        let page = message::page(client, rows, &of_thread(before))?;
        for message in page.rows.into_iter().rev() {
            cut += usize::from(message.content_truncated);
            output.json(&json!({"message": message}))?;
        }
    }
    Ok(cut)
}

fn threads(before: Option<i64>, rows: usize) -> Request {
    Request::ThreadList(wire::PageArgs { limit: Some(rows), before })
}

fn thread_page(client: &mut Client, before: Option<i64>) -> Result<(usize, Option<i64>), Failure> {
    let page: wire::Threads = client.call(&threads(before, PAGE_ROWS))?;
    Ok((page.threads.len(), page.next))
}

/// Where each page begins and how many rows it has.
fn beginnings(
    client: &mut Client,
    mut page: impl FnMut(&mut Client, Option<i64>) -> Result<(usize, Option<i64>), Failure>,
) -> Result<Vec<(Option<i64>, usize)>, Failure> {
    let mut beginnings = Vec::new();
    let mut before = None;
    loop {
        let (rows, next) = page(client, before)?;
        if rows > 0 {
            beginnings.push((before, rows));
        }
        match next {
            Some(next) => before = Some(next),
            None => return Ok(beginnings),
        }
    }
}

/// Brings the lines of an export; what is here already stays.
pub(super) fn import(file: &Path, session: &mut Session) -> Outcome {
    let source: Box<dyn Read> = if file.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        let opened = File::open(file);
        Box::new(opened.map_err(|error| Failure::not_found(format!("{} cannot be read: {error}", file.display())))?)
    };
    let mut import = Import { client: session.connect()?, waiting: HashMap::new(), bytes: 0, tally: Tally::default() };
    let brought = import.run(BufReader::new(source), &mut session.output);
    if brought.is_err() {
        // What was sent before is done all the same, and counts; whoever does not answer any more has said so already.
        let _ = import.hear_all(&mut session.output);
    }
    let tally = import.tally;
    if let Err(failure) = brought {
        let taken = tally.threads + tally.messages + tally.present;
        session.output.say(format_args!(
            "{taken} lines are here; import the file again to go on, what is here already is passed over"
        ));
        return Err(failure);
    }
    tell(&tally, &mut session.output)?;
    if tally.refused == 0 { Ok(OK) } else { Err(Failure::Shown { exit_code: FAILED }) }
}

#[derive(Default)]
struct Tally {
    threads: usize,
    messages: usize,
    /// What was here already.
    present: usize,
    refused: usize,
}

struct Import {
    client: Client,
    /// By the number of the request: the line, its length, and whether it is a thread.
    waiting: HashMap<u64, (usize, usize, bool)>,
    /// Of all lines that wait, in bytes.
    bytes: usize,
    tally: Tally,
}

impl Import {
    fn run(&mut self, mut source: impl BufRead, output: &mut Output) -> Result<(), Failure> {
        let mut number = 0;
        while let Some(line) = next_line(&mut source, number + 1)? {
            number += 1;
            if line.trim_ascii().is_empty() {
                continue;
            }
            let record: wire::ThreadImport = serde_json::from_slice(&line)
                .map_err(|error| Failure::usage(format!("line {number} is none of an export: {error}")))?;
            let is_thread = record.thread.is_some();
            let asked = self.client.send(&Request::ThreadImport(record))?;
            self.waiting.insert(asked, (number, line.len(), is_thread));
            self.bytes += line.len();
            while self.waiting.len() >= WINDOW_LINES_MAX || self.bytes > WINDOW_BYTES_MAX {
                self.hear(output)?;
            }
        }
        self.hear_all(output)
    }

    fn hear_all(&mut self, output: &mut Output) -> Result<(), Failure> {
        while !self.waiting.is_empty() {
            self.hear(output)?;
        }
        Ok(())
    }

    /// One answer.
    fn hear(&mut self, output: &mut Output) -> Result<(), Failure> {
        let Followed::Answer { id, result } = receive(&mut self.client, output, Some(PATIENCE))? else { return Ok(()) };
        let Some((number, bytes, is_thread)) = self.waiting.remove(&id) else { return Ok(()) };
        self.bytes -= bytes;
        match result {
            Ok(answer) => {
                let imported: wire::Imported = read(&answer)?;
                let place = match (imported.added, is_thread) {
                    (false, _) => &mut self.tally.present,
                    (true, true) => &mut self.tally.threads,
                    (true, false) => &mut self.tally.messages,
                };
                *place += 1;
            }
            Err(ClientError::Refused {
                code: Code::Conflict | Code::BadRequest | Code::TooLarge | Code::NotFound,
                message,
                ..
            }) => {
                self.tally.refused += 1;
                if self.tally.refused <= COMPLAINTS_MAX {
                    output.complain(format_args!("line {number}: {message}"));
                }
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// The next line without its end; `None` at the end of the file.
fn next_line(source: &mut impl BufRead, number: usize) -> Result<Option<Vec<u8>>, Failure> {
    let most = LINE_BYTES_MAX - ENVELOPE_BYTES;
    let mut line = Vec::new();
    let read = source.by_ref().take(most as u64 + 1).read_until(b'\n', &mut line);
    if read.map_err(|error| Failure::failed(format!("line {number} cannot be read: {error}")))? == 0 {
        return Ok(None);
    }
    if line.len() > most && line.last() != Some(&b'\n') {
        return Err(Failure::usage(format!("line {number} has more than {most} bytes; it is none of an export")));
    }
    Ok(Some(line))
}

fn tell(tally: &Tally, output: &mut Output) -> Result<(), Failure> {
    let Tally { threads, messages, present, refused } = tally;
    if output.json {
        return output.json(
            &json!({"threads_added": threads, "messages_added": messages, "present": present, "refused": refused}),
        );
    }
    let refused = if *refused == 0 { String::new() } else { format!("; {refused} lines were refused") };
    output.line(format_args!(
        "{threads} threads and {messages} messages were added, {present} were here already{refused}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_an_end_or_are_too_long() {
        let mut source = &b"one\n\ntwo"[..];
        let lines: Vec<Vec<u8>> = std::iter::from_fn(|| next_line(&mut source, 1).unwrap()).collect();
        assert_eq!(lines, [&b"one\n"[..], b"\n", b"two"]);
        let long = vec![b'x'; LINE_BYTES_MAX];
        let failure = next_line(&mut &long[..], 7).unwrap_err();
        assert_eq!((failure.exit_code(), failure.to_string().contains("line 7 has more than")), (2, true));
    }
}
