//! `thread`: the conversations that messages belong to.

use std::path::PathBuf;

use clap::Subcommand;

use super::exit::{Failure, OK, Outcome};
use super::message;
use super::output::Output;
use super::pages;
use super::session::Session;
use super::table::{self, Details};
use super::transfer;
use crate::control::wire::{self, Request};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms thread list
  claude-comms thread show 7d41c09e
  claude-comms thread export 7d41c09e > conversation.jsonl
  claude-comms thread export --all > all.jsonl      on one machine
  claude-comms thread import all.jsonl              on another";

/// Messages that `thread show` lists.
const SHOWN_ROWS: usize = 100;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List threads, the newest first
    List {
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = pages::limit())]
        limit: u16,
    },
    /// Show a thread and its newest messages
    Show {
        /// The thread
        id: String,
    },
    /// Print threads and all their messages as JSON Lines, the oldest first
    Export {
        /// The threads
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<String>,
        /// Every thread
        #[arg(long)]
        all: bool,
    },
    /// Bring threads and messages back from an export; what is here already stays
    Import {
        /// The export; - is standard input
        file: PathBuf,
    },
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::List { limit } => list(usize::from(limit), session)?,
        Verb::Show { id } => show(id, session)?,
        Verb::Export { ids, all: _ } => return transfer::export(ids, session),
        Verb::Import { file } => return transfer::import(&file, session),
    }
    Ok(OK)
}

fn list(limit: usize, session: &mut Session) -> Result<(), Failure> {
    let request = Request::ThreadList(wire::PageArgs { limit: Some(limit), before: None });
    session.ask(&request, |output, found: wire::Threads| {
        let row = |thread: &wire::Thread| {
            vec![
                table::id(&thread.thread_id),
                table::number(thread.messages),
                table::time(&thread.created_at),
                table::text(&thread.modules.join(", ")),
                table::maybe_text(thread.title.as_deref()),
            ]
        };
        let heading = ["THREAD", "MESSAGES", "CREATED (UTC)", "MODULES", "TITLE"];
        table::print(output, &heading, found.threads.iter().map(row).collect(), "there are no threads")?;
        pages::tell_of_more(output, found.next);
        Ok(())
    })
}

fn show(id: String, session: &mut Session) -> Result<(), Failure> {
    let mut client = session.connect()?;
    let answer = client.call_raw(&Request::ThreadShow(wire::Id { id }), Some(crate::control::PATIENCE))?;
    session.print(&answer, |output, thread| {
        show_thread(output, &thread)?;
        let found = message::page(&mut client, SHOWN_ROWS, &messages_of(&thread.thread_id, None))?;
        output.line("")?;
        message::print_rows(output, &found.rows, "it has no messages")?;
        if found.next.is_some() {
            output.hint(format_args!("older ones: claude-comms thread export {}", thread.thread_id));
        }
        Ok(())
    })
}

fn show_thread(output: &mut Output, thread: &wire::Thread) -> Result<(), Failure> {
    Details::default()
        .foreign("thread", &thread.thread_id)
        .maybe("title", thread.title.as_deref())
        .foreign("modules", &thread.modules.join(", "))
        .add("created", format_args!("{} UTC", table::short_time(&thread.created_at)))
        .add("messages", thread.messages)
        .maybe("metadata", thread.metadata.as_ref().map(ToString::to_string).as_deref())
        .print(output)
}

fn messages_of(thread: &str, before: Option<i64>) -> wire::MessageList {
    wire::MessageList { thread: Some(thread.to_owned()), before, ..wire::MessageList::default() }
}
