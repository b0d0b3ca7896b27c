//! `pool batch`: many prompts, their results in order. However many there are, only a window of them is in memory: what
//! is read is handed in as there is room, and what comes back goes to a file until it can be said how to print it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::exit::{FAILED, Failure, OK, Outcome, USAGE};
use super::output::Output;
use super::session::{Session, read, receive};
use super::submit::TaskFlags;
use super::task::Shape;
use crate::control::wire::{self, Request};
use crate::control::{Client, ClientError, Followed};
use crate::model::command::Code;
use crate::model::limits::{CONTENT_BYTES_MAX, RETRY_AFTER_MS};

/// Tasks that are handed in and have not ended, at most: enough to keep any pool busy.
const WINDOW_TASKS_MAX: usize = 64;

#[derive(Debug, Args)]
pub(super) struct Batch {
    /// The pool
    id: String,
    #[command(flatten)]
    flags: TaskFlags,
    /// Prompts end with a NUL byte instead of a newline
    #[arg(short = '0', long)]
    null: bool,
    /// The prompts, one a line; else, and for -, standard input
    file: Option<PathBuf>,
}

pub(super) fn run(batch: Batch, session: &mut Session) -> Outcome {
    let source: Box<dyn Read> = match batch.file.filter(|file| file.as_os_str() != "-") {
        None => Box::new(io::stdin()),
        Some(path) => Box::new(
            File::open(&path)
                .map_err(|error| Failure::not_found(format!("{} cannot be read: {error}", path.display())))?,
        ),
    };
    let no_wait = batch.flags.no_wait;
    let task = wire::TaskSubmit { pool_id: Some(batch.id), ..batch.flags.request()? };
    let prompts = Prompts { source: BufReader::new(source), end: if batch.null { 0 } else { b'\n' }, read: 0 };
    let mut client = session.connect()?;
    if let Some(pool) = &task.pool_id {
        super::pool::hint_if_held(&mut client, pool, &mut session.output)?;
    }
    let results = if session.output.json || no_wait { Results::AtOnce } else { Results::Kept(Spool::new()?) };
    let mut window = Window {
        client,
        task,
        prompts,
        no_wait,
        submitting: HashMap::new(),
        refused: Vec::new(),
        waiting: HashMap::new(),
        ended: BTreeMap::new(),
        next: 0,
        total: 0,
        failed: 0,
        results,
        trouble: None,
    };
    window.run(&mut session.output)?;
    window.finish(&mut session.output)
}

/// The prompts as they are read.
struct Prompts<R> {
    source: R,
    end: u8,
    read: usize,
}

impl<R: BufRead> Prompts<R> {
    /// The next one that is not empty; `None` at the end.
    fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            let mut bytes = Vec::new();
            let limit = CONTENT_BYTES_MAX as u64 + 2;
            let read = self.source.by_ref().take(limit).read_until(self.end, &mut bytes);
            if read.map_err(|error| Failure::failed(format!("the prompts cannot be read: {error}")))? == 0 {
                return Ok(None);
            }
            self.read += 1;
            if bytes.last() == Some(&self.end) {
                bytes.pop();
            }
            if bytes.len() > CONTENT_BYTES_MAX {
                let sentence = format!("prompt {} has more than {CONTENT_BYTES_MAX} bytes; split it", self.read);
                return Err(Failure::Told { exit_code: USAGE, code: Code::TooLarge.as_str(), sentence });
            }
            let sentence = format!("prompt {} is not UTF-8 text; convert it with iconv", self.read);
            let text = String::from_utf8(bytes).map_err(|_| Failure::usage(sentence))?;
            if !text.trim().is_empty() {
                return Ok(Some(text));
            }
        }
    }
}

struct Window<R> {
    client: Client,
    /// What all tasks have in common.
    task: wire::TaskSubmit,
    prompts: Prompts<R>,
    no_wait: bool,
    /// By the number of the request: the place of the task, and its prompt in case it has to be handed in again.
    submitting: HashMap<u64, (usize, String)>,
    /// For which there was no room.
    refused: Vec<(usize, String)>,
    waiting: HashMap<u64, usize>,
    /// Results that came before an earlier one's.
    ended: BTreeMap<usize, Ended>,
    /// The place of the next result to be printed.
    next: usize,
    total: usize,
    failed: usize,
    results: Results,
    /// Why no more are handed in.
    trouble: Option<Failure>,
}

enum Ended {
    Submitted(wire::Submitted),
    Task(Box<wire::Task>),
}

impl<R: BufRead> Window<R> {
    fn in_flight(&self) -> usize {
        self.submitting.len() + self.waiting.len()
    }

    fn run(&mut self, output: &mut Output) -> Result<(), Failure> {
        let mut more = true;
        loop {
            // What was refused goes first, and alone: there was no room a moment ago.
            if let Some((place, prompt)) = self.refused.pop() {
                if self.in_flight() == 0 {
                    output.pause(Duration::from_millis(RETRY_AFTER_MS))?;
                }
                self.submit(place, prompt)?;
            } else {
                while more && self.trouble.is_none() && self.in_flight() + self.ended.len() < WINDOW_TASKS_MAX {
                    match self.prompts.next() {
                        Ok(Some(prompt)) => {
                            self.submit(self.total, prompt)?;
                            self.total += 1;
                        }
                        Ok(None) => more = false,
                        Err(failure) => self.trouble = Some(failure),
                    }
                }
            }
            if self.in_flight() == 0 {
                return Ok(());
            }
            let Followed::Answer { id, result } = receive(&mut self.client, output, None)? else { continue };
            self.answered(id, result)?;
            self.print(output)?;
        }
    }

    fn submit(&mut self, place: usize, prompt: String) -> Result<(), Failure> {
        let task = wire::TaskSubmit { prompt: prompt.clone(), ..self.task.clone() };
        let id = self.client.send(&Request::TaskSubmit(task))?;
        self.submitting.insert(id, (place, prompt));
        Ok(())
    }

    fn answered(
        &mut self,
        id: u64,
        result: Result<Box<serde_json::value::RawValue>, ClientError>,
    ) -> Result<(), Failure> {
        if let Some((place, prompt)) = self.submitting.remove(&id) {
            match result {
                Ok(answer) => {
                    let submitted: wire::Submitted = read(&answer)?;
                    if self.no_wait {
                        self.ended.insert(place, Ended::Submitted(submitted));
                    } else {
                        let wait = wire::TaskWait { task_id: submitted.task_id, ..wire::TaskWait::default() };
                        let id = self.client.send(&Request::TaskWait(wait))?;
                        self.waiting.insert(id, place);
                    }
                }
                Err(ClientError::Refused { code: Code::QueueFull | Code::Busy, .. }) => {
                    self.refused.push((place, prompt));
                }
                // Those that were accepted are waited for all the same.
                Err(error) => drop(self.trouble.get_or_insert(error.into())),
            }
        } else if let Some(place) = self.waiting.remove(&id) {
            let task: wire::Task = read(&result?)?;
            self.failed += usize::from(task.status != "completed");
            self.ended.insert(place, Ended::Task(Box::new(task)));
        }
        Ok(())
    }

    /// Everything whose turn it is.
    fn print(&mut self, output: &mut Output) -> Result<(), Failure> {
        while let Some(ended) = self.ended.remove(&self.next) {
            self.next += 1;
            match (ended, &mut self.results) {
                (Ended::Submitted(submitted), _) if output.json => output.json(&submitted)?,
                (Ended::Submitted(submitted), _) => output.line(submitted.task_id)?,
                (Ended::Task(task), Results::AtOnce) => output.json(&Shape::from(&*task))?,
                (Ended::Task(task), Results::Kept(spool)) => spool.put(&task)?,
            }
        }
        Ok(())
    }

    fn finish(self, output: &mut Output) -> Outcome {
        if let Results::Kept(spool) = self.results {
            spool.print(output)?;
        }
        if let Some(failure) = self.trouble {
            return Err(failure);
        }
        if self.failed > 0 {
            output.complain(format_args!("{} of {} tasks were not completed", self.failed, self.total));
            return Err(Failure::Shown { exit_code: FAILED });
        }
        Ok(OK)
    }
}

enum Results {
    AtOnce,
    Kept(Spool),
}

/// Results in order, in a file without a name, until all are there: only then is it known whether every one is a line.
struct Spool {
    file: BufWriter<File>,
    all_are_lines: bool,
}

/// What stands before each result.
#[derive(Serialize, serde::Deserialize)]
struct Heading {
    task_id: String,
    status: String,
    bytes: usize,
}

impl Spool {
    fn new() -> Result<Spool, Failure> {
        let file = tempfile::tempfile().map_err(spool_failed)?;
        Ok(Spool { file: BufWriter::new(file), all_are_lines: true })
    }

    fn put(&mut self, task: &wire::Task) -> Result<(), Failure> {
        let completed = task.status == "completed";
        let text = if completed { task.result.as_deref() } else { task.error.as_deref() };
        let text = text.unwrap_or_default().trim_end_matches('\n');
        self.all_are_lines &= completed && !text.contains('\n');
        let heading = Heading { task_id: task.task_id.clone(), status: task.status.clone(), bytes: text.len() };
        let line = serde_json::to_string(&heading).map_err(|error| Failure::failed(error.to_string()))?;
        writeln!(self.file, "{line}").and_then(|()| self.file.write_all(text.as_bytes())).map_err(spool_failed)
    }

    fn print(self, output: &mut Output) -> Result<(), Failure> {
        let mut file = self.file.into_inner().map_err(|error| spool_failed(error.into_error()))?;
        file.rewind().map_err(spool_failed)?;
        let mut file = BufReader::new(file);
        let mut line = String::new();
        while file.read_line(&mut line).map_err(spool_failed)? > 0 {
            let heading: Heading = serde_json::from_str(&line).map_err(|error| Failure::failed(error.to_string()))?;
            let mut text = vec![0; heading.bytes];
            file.read_exact(&mut text).map_err(spool_failed)?;
            if !self.all_are_lines {
                output.line(format_args!("--- {} {}", heading.task_id, heading.status))?;
            }
            output.line(String::from_utf8_lossy(&text))?;
            line.clear();
        }
        Ok(())
    }
}

fn spool_failed(error: io::Error) -> Failure {
    Failure::failed(format!("the results cannot be kept in the directory for temporary files: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompts(text: &[u8], end: u8) -> Result<Vec<String>, Failure> {
        let mut prompts = Prompts { source: text, end, read: 0 };
        let mut found = Vec::new();
        while let Some(prompt) = prompts.next()? {
            found.push(prompt);
        }
        Ok(found)
    }

    #[test]
    fn prompts_are_lines_or_end_with_a_nul() {
        assert_eq!(prompts(b"one\n\n two \nlast", b'\n').unwrap(), ["one", " two ", "last"]);
        assert_eq!(prompts(b"one\nmore\0two\0", 0).unwrap(), ["one\nmore", "two"]);
    }

    #[test]
    fn a_prompt_that_will_not_do_is_named_by_its_number() {
        let long = [&b"fine\n"[..], &vec![b'x'; CONTENT_BYTES_MAX + 1]].concat();
        let failure = prompts(&long, b'\n').unwrap_err();
        assert_eq!((failure.exit_code(), failure.code()), (2, "too_large"));
        assert!(failure.to_string().contains("prompt 2"), "{failure}");
        assert!(prompts(b"fine\n\xff\n", b'\n').unwrap_err().to_string().contains("prompt 2"));
        assert!(prompts(&vec![b'x'; CONTENT_BYTES_MAX], b'\n').is_ok());
    }
}
