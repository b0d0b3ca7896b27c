//! `message`: what modules write to each other.

use clap::{ArgGroup, Args, Subcommand};
use serde_json::Value;

use super::exit::{Failure, OK, Outcome};
use super::input;
use super::output::Output;
use super::pages::{self, Page};
use super::session::Session;
use super::table::{self, Details, Kept};
use crate::control::Client;
use crate::control::wire::{self, Request};
use crate::service::logging;

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms message send --to ../backend 'Which port do you listen on?'
  git diff | claude-comms message send --from frontend --to backend -
  claude-comms message list --to backend --status pending
  claude-comms message show 9f3ab2c1
  claude-comms message reply 9f3ab2c1 'Port 8080.'
  claude-comms message update 9f3ab2c1 --status failed
  claude-comms message search 'port NOT database'

A module is its name (claude-comms module add) or a directory; --from is the current directory unless given.
A TEXT of - is read from standard input, at most 1 MiB. An ID may be shortened to its beginning or its end.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Send a message from one module to another; prints its id
    Send(Send),
    /// Answer a message, which is complete then; prints the answer's id
    Reply {
        /// The message that is answered
        id: String,
        /// The answer, or - for standard input
        text: String,
    },
    /// Change a message's status or text
    Update(Update),
    /// Show a message with its text
    Show {
        /// The message
        id: String,
    },
    /// List messages, the newest first
    List(List),
    /// Search all texts; words, "phrases", OR, NOT
    Search {
        /// What to search for
        query: String,
        /// How many at most
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = pages::limit())]
        limit: u16,
    },
}

#[derive(Debug, Args)]
pub(super) struct Send {
    /// The module that asks: its name or directory
    #[arg(long, value_name = "A")]
    from: Option<String>,
    /// The module that is to answer: its name or directory
    #[arg(long, value_name = "B")]
    to: String,
    /// Send it into this thread; else a new one is opened
    #[arg(long, value_name = "TH")]
    thread: Option<String>,
    /// Title of the new thread; else "A-B Communication"
    #[arg(long, value_name = "T", conflicts_with = "thread")]
    title: Option<String>,
    /// A JSON object to keep with it
    #[arg(long, value_name = "JSON", value_parser = input::object)]
    metadata: Option<Value>,
    /// The message, or - for standard input
    text: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").args(["status", "content"]).required(true).multiple(true))]
pub(super) struct Update {
    /// The message
    id: String,
    /// Its new status
    #[arg(long, value_name = "S", value_parser = ["pending", "processing", "complete", "failed"])]
    status: Option<String>,
    /// Its new text, or - for standard input
    #[arg(long, value_name = "TEXT")]
    content: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this thread
    #[arg(long, value_name = "TH")]
    thread: Option<String>,
    /// Only by this module: its name or directory
    #[arg(long, value_name = "A")]
    module: Option<String>,
    /// Only to this module: its name or directory
    #[arg(long, value_name = "B")]
    to: Option<String>,
    /// Only with this status
    #[arg(long, value_name = "S")]
    status: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = pages::limit())]
    limit: u16,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Send(send) => self::send(send, session)?,
        Verb::Reply { id, text } => {
            let content = input::text_or_stdin(text)?;
            session.ask(&Request::MessageReply(wire::MessageReply { id, content }), show_sent)?;
        }
        Verb::Update(update) => self::update(update, session)?,
        Verb::Show { id } => session.ask(&Request::MessageShow(wire::Id { id }), show_message)?,
        Verb::List(list) => self::list(list, session)?,
        Verb::Search { query, limit } => {
            let request = Request::MessageSearch(wire::MessageSearch { query, limit: Some(usize::from(limit)) });
            session.ask(&request, |output, found: wire::Messages| {
                print_rows(output, &found.messages, "no message has that in its text")
            })?;
        }
    }
    Ok(OK)
}

fn send(send: Send, session: &mut Session) -> Result<(), Failure> {
    let request = Request::MessageSend(wire::MessageSend {
        from: input::party(send.from)?,
        to: input::party(Some(send.to))?,
        content: input::text_or_stdin(send.text)?,
        thread: send.thread,
        title: send.title,
        metadata: send.metadata,
    });
    session.ask(&request, |output, sent: wire::Sent| {
        output.hint(format_args!("wait for the answer with: claude-comms poll wait {}", sent.message_id));
        show_sent(output, sent)
    })
}

fn show_sent(output: &mut Output, sent: wire::Sent) -> Result<(), Failure> {
    output.paragraph(&sent.message_id)
}

fn update(update: Update, session: &mut Session) -> Result<(), Failure> {
    let content = update.content.map(input::text_or_stdin).transpose()?;
    let request = Request::MessageUpdate(wire::MessageUpdate { id: update.id, status: update.status, content });
    session.ask(&request, |output, updated: wire::Updated| {
        let status = output.status(&updated.status);
        let already = if updated.changed { "" } else { " already" };
        output.line(format_args!("{} is {status}{already}", logging::escape(&updated.message_id)))
    })
}

fn show_message(output: &mut Output, message: wire::Message) -> Result<(), Failure> {
    Details::default()
        .foreign("message", &message.message_id)
        .foreign("thread", &message.thread_id)
        .maybe("title", message.thread_title.as_deref())
        .foreign("from", &message.module)
        .maybe("to", message.target_module.as_deref())
        .foreign("type", &message.r#type)
        .add("status", output.status(&message.status))
        .add("time", format_args!("{} UTC", table::short_time(&message.timestamp)))
        .maybe("error", message.error.as_deref())
        .maybe("metadata", message.metadata.as_ref().map(ToString::to_string).as_deref())
        .print(output)?;
    output.line("")?;
    output.paragraph(&message.content)?;
    tell_if_truncated(message.content_truncated, output);
    Ok(())
}

/// Behind a text of which not all was shown.
pub(super) fn tell_if_truncated(truncated: bool, output: &mut Output) {
    if truncated {
        output.say("the text is cut here; all of it stands in the database only");
    }
}

fn list(list: List, session: &mut Session) -> Result<(), Failure> {
    let filter = wire::MessageList {
        thread: list.thread,
        module: input::party_if_given(list.module)?,
        target_module: input::party_if_given(list.to)?,
        status: list.status,
        limit: Some(usize::from(list.limit)),
        before: None,
    };
    let mut client = session.connect()?;
    let found = self::read(&mut client, &filter)?;
    if session.output.json {
        return session.output.json(&wire::Messages { messages: found.rows, next: found.next });
    }
    print_rows(&mut session.output, &found.rows, "there are no such messages")?;
    pages::tell_of_more(&mut session.output, found.next);
    Ok(())
}

/// As many messages as `filter` has a limit for, in as many answers as they need.
fn read(client: &mut Client, filter: &wire::MessageList) -> Result<Page<wire::Message>, Failure> {
    let wanted = filter.limit.unwrap_or(1);
    let mut found = Page { rows: Vec::new(), next: filter.before };
    loop {
        let part =
            page(client, wanted - found.rows.len(), &wire::MessageList { before: found.next, ..filter.clone() })?;
        found.rows.extend(part.rows);
        found.next = part.next;
        if found.next.is_none() || found.rows.len() >= wanted {
            return Ok(found);
        }
    }
}

/// One page of messages, of at most so many.
pub(super) fn page(
    client: &mut Client,
    rows_max: usize,
    filter: &wire::MessageList,
) -> Result<Page<wire::Message>, Failure> {
    pages::page(
        client,
        rows_max,
        |rows| Request::MessageList(wire::MessageList { limit: Some(rows), ..filter.clone() }),
        |answer: wire::Messages| Page { rows: answer.messages, next: answer.next },
    )
}

pub(super) fn print_rows(output: &mut Output, messages: &[wire::Message], empty: &str) -> Result<(), Failure> {
    let heading = ["MESSAGE", "THREAD", "FROM", "TO", "TYPE", "STATUS", "TIME (UTC)", "TEXT"];
    table::print(output, &heading, messages.iter().map(row).collect(), empty)
}

fn row(message: &wire::Message) -> Vec<Kept> {
    vec![
        table::id(&message.message_id),
        table::spare_id(&message.thread_id),
        table::text(&message.module),
        table::maybe_text(message.target_module.as_deref()),
        table::word(&message.r#type),
        table::word(&message.status),
        table::time(&message.timestamp),
        table::text(&message.content),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;

    #[test]
    fn a_message_needs_an_addressee_and_a_text() {
        assert!(parse_words("message send --to b hello").is_ok());
        assert!(parse_words("message send --from . --to ../b --metadata {\"a\":1} -").is_ok());
        for bad in ["message send hello", "message send --to b", "message send --to b --metadata [] x"] {
            assert!(parse_words(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_update_changes_something() {
        assert!(parse_words("message update m --status complete").is_ok());
        assert!(parse_words("message update m --content -").is_ok());
        assert!(parse_words("message update m").is_err());
        assert!(parse_words("message update m --status expired").is_err());
    }
}
