//! `event export`: all that has happened, into a file that others read: one JSON object a line, or a SQLite database.
//!
//! A file that is there already is gone on with behind its last event, so that an export that was interrupted, or one
//! that runs every night, neither leaves out nor repeats anything. Which log its numbers belong to stands in the file.

mod lines;

use std::path::{Path, PathBuf};

use clap::Args;

use super::event::{Which, ended};
use super::exit::{Failure, OK, Outcome};
use super::session::{Session, read, receive};
use crate::control::wire::{self, Request};
use crate::control::{Client, ClientError, Followed, PATIENCE};
use crate::store::{Archive, ArchiveError};
use lines::Lines;

/// Events that are stored with one transaction.
const TRANSACTION_EVENTS_MAX: usize = 1_000;

#[derive(Debug, Args)]
pub(super) struct Export {
    /// Where to write; - is standard output
    file: PathBuf,
    #[command(flatten)]
    which: Which,
    /// Begin behind the event of this number; else behind the last one in the file, or with the oldest that is kept
    #[arg(long, value_name = "SEQ")]
    since: Option<u64>,
    /// Go on with what happens, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Begin another file when this one has so many megabytes; older ones are FILE.1, FILE.2 and so on
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rotate: Option<u64>,
    /// FILE is a SQLite database, with a table `events`
    #[arg(long, conflicts_with = "rotate")]
    sqlite: bool,
    /// How many older files are kept
    #[arg(long, value_name = "N", default_value = "5", requires = "rotate", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    keep: u32,
}

pub(super) fn run(export: Export, session: &mut Session) -> Outcome {
    let mut client = session.connect()?;
    let rotation = export.rotate.map(|megabytes| (megabytes << 20, export.keep));
    let mut sink = if export.sqlite {
        Sink::Archive(open_archive(&export.file)?, Vec::new())
    } else {
        Sink::Lines(Lines::open(&export.file, rotation)?)
    };
    let mut written = 0u64;
    let mut since = export.since.unwrap_or(0);
    let mut first = true;
    loop {
        let page: wire::Events = read(&client.call_raw(&list(&export, since), Some(PATIENCE))?)?;
        if std::mem::take(&mut first) {
            since = begin(&export, &page, &mut sink, session)?.unwrap_or(since);
            if since > 0 && export.since.is_none() {
                // What was read from the beginning is in the file already.
                continue;
            }
        }
        for event in &page.events {
            sink.write(event.get())?;
            written += 1;
        }
        since = page.next.unwrap_or(page.seq.max(since));
        if page.next.is_none() {
            sink.flush()?;
            break;
        }
    }
    if export.follow {
        return follow(&export, since, &mut client, &mut sink, session);
    }
    if !sink.is_standard_output() {
        session.output.say(format_args!("{written} events were written to {}", export.file.display()));
    }
    Ok(OK)
}

/// Where events go.
enum Sink {
    Lines(Lines),
    /// And what is to be stored with the next transaction.
    Archive(Archive, Vec<String>),
}

impl Sink {
    fn begin(&mut self, epoch: &str) -> Result<Option<u64>, Failure> {
        match self {
            Sink::Lines(lines) => lines.begin(epoch),
            Sink::Archive(archive, _) => archive.begin(epoch).map_err(|error| failed(&error)),
        }
    }

    fn write(&mut self, frame: &str) -> Result<(), Failure> {
        match self {
            Sink::Lines(lines) => lines.write(frame),
            Sink::Archive(_, frames) => {
                frames.push(frame.to_owned());
                if frames.len() >= TRANSACTION_EVENTS_MAX { self.flush() } else { Ok(()) }
            }
        }
    }

    fn flush(&mut self) -> Result<(), Failure> {
        match self {
            Sink::Lines(lines) => lines.flush(),
            Sink::Archive(_, frames) if frames.is_empty() => Ok(()),
            Sink::Archive(archive, frames) => {
                archive.write(frames).map_err(|error| failed(&error))?;
                frames.clear();
                Ok(())
            }
        }
    }

    fn is_standard_output(&self) -> bool {
        matches!(self, Sink::Lines(lines) if lines.is_standard_output())
    }
}

fn open_archive(path: &Path) -> Result<Archive, Failure> {
    Archive::open(path)
        .map_err(|error| Failure::failed(format!("{} cannot be used as a SQLite database: {error}", path.display())))
}

fn failed(error: &ArchiveError) -> Failure {
    Failure::failed(format!("the events could not be stored: {error}"))
}

fn list(export: &Export, since: u64) -> Request {
    Request::EventList(wire::EventList {
        since: Some(since),
        channels: export.which.channel.clone(),
        events: export.which.event.clone(),
        severity: Some(export.which.severity.word().to_owned()),
        limit: Some(1000),
    })
}

/// Where the file ends, if it is one to go on with.
fn begin(export: &Export, page: &wire::Events, sink: &mut Sink, session: &mut Session) -> Result<Option<u64>, Failure> {
    let last = sink.begin(&page.epoch)?;
    if let (Some(since), Some(last)) = (export.since, last)
        && since < last
    {
        let sentence = format!(
            "{} has events up to {last} already; leave out --since to go on behind them, or choose another file",
            export.file.display()
        );
        return Err(Failure::usage(sentence));
    }
    let from = export.since.or(last).unwrap_or(0);
    if from + 1 < page.oldest && (export.since.is_some() || last.is_some()) {
        let (from, to) = (from + 1, page.oldest - 1);
        session.output.complain(format_args!("the events {from} to {to} are kept no longer; the file has a gap there"));
    }
    Ok(last.filter(|_| export.since.is_none()))
}

fn follow(export: &Export, since: u64, client: &mut Client, sink: &mut Sink, session: &mut Session) -> Outcome {
    let asked = client.send(&Request::EventFollow(wire::EventFollow {
        since: Some(since),
        since_epoch: None,
        channels: export.which.channel.clone(),
        events: export.which.event.clone(),
    }))?;
    let mut limit = Some(PATIENCE);
    loop {
        // What has come is in the file before anything is waited for.
        if !client.has_received() {
            sink.flush()?;
        }
        match receive(client, &mut session.output, limit) {
            Ok(Followed::Answer { id, result }) if id == asked => {
                drop(result?);
                limit = None;
            }
            Ok(Followed::Answer { .. }) => {}
            Ok(Followed::Frame(frame)) => {
                if export.which.severity.lets_through(&frame)? {
                    sink.write(&frame)?;
                }
            }
            // It was stopped, and everything until then is written.
            Err(Failure::Client(ClientError::Gone)) if limit.is_none() => {
                sink.flush()?;
                return ended(client);
            }
            Err(failure) => return Err(failure),
        }
    }
}
