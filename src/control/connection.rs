//! One connection: a thread that reads requests and answers reads, and one that writes what comes back.
//!
//! The writer is woken by answers, by events it follows, and by the reader's last word; the reader by bytes, by room
//! for another request, by the peer's going, and by the stream being shut down.

use super::backlog::{Backlog, UNANSWERED_MAX};
use super::events;
use super::intake::{self, Ids};
use super::lines::{Line, Lines};
use super::reads;
use super::replies;
use super::request::{Id, parse};
use super::server::Context;
use super::wire::{self, Request};
use super::writer::Writer;
use crate::feed::{Cursor, Filter};
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::ports::{Answer, Reader};
use crate::thread::Joined;
use crossbeam_channel::{Sender, bounded};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde_json::value::RawValue;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// A search waits this long for the index to catch up.
const INDEX_PATIENCE: Duration = Duration::from_secs(5);

/// What the writer is given.
pub(super) enum Outgoing {
    Reply {
        id: Id,
        outcome: Result<Reply, Refusal>,
    },
    Read {
        id: Id,
        outcome: Result<Box<RawValue>, Refusal>,
    },
    Follow {
        id: Id,
        following: wire::Following,
        cursor: Cursor,
    },
    /// No more requests will come: close when all are answered.
    End,
    /// Nobody is there any more.
    Gone,
    /// Somebody else speaks on this connection from here on.
    Leave,
}

/// Delivers the hub's answer to the writer. There is room for every request that may be open.
struct Addressed {
    id: Id,
    to: Sender<Outgoing>,
}

impl Answer for Addressed {
    fn deliver(self: Box<Self>, outcome: Result<Reply, Refusal>) {
        let _ = self.to.try_send(Outgoing::Reply { id: self.id, outcome });
    }
}

/// Serves a connection until it ends; runs on the reader's thread.
pub(super) fn serve(stream: &UnixStream, number: u64, context: &Arc<Context>) -> io::Result<()> {
    stream.set_read_timeout(Some(context.patience))?;
    let (outgoing, queue) = bounded(UNANSWERED_MAX + 2);
    let backlog = Arc::new(Backlog::new()?);
    let mut writer = Writer::new(stream.try_clone()?, Arc::clone(context), Arc::clone(&backlog));
    let writing = Joined::spawn(format!("ctl-{number}w"), move || writer.run(&queue))?;
    let mut reading = Reading { number, context, stream, outgoing: &outgoing, backlog: &backlog, reader: None };
    let ended = reading.run();
    if let Ok(Some(HandedOver { early, first })) = ended {
        let _ = outgoing.try_send(Outgoing::Leave);
        drop(writing);
        stream.set_read_timeout(None)?;
        return (context.means.hand_over)(stream.try_clone()?, early, first);
    }
    // Nobody reads the rest: whatever is still being decided for this client has no address any more.
    context.means.asker.forget(number);
    let _ = outgoing.try_send(Outgoing::Gone);
    let _ = stream.shutdown(Shutdown::Both);
    drop(reading);
    drop(outgoing);
    drop(writing);
    ended.map(drop)
}

/// A connection that somebody else is to serve: what was read of it beyond its request, and the answer to that.
struct HandedOver {
    early: Vec<u8>,
    first: Vec<u8>,
}

/// What follows a request.
enum Then {
    Next,
    End,
    HandOver(Id),
}

struct Reading<'a> {
    number: u64,
    context: &'a Arc<Context>,
    stream: &'a UnixStream,
    outgoing: &'a Sender<Outgoing>,
    backlog: &'a Backlog,
    reader: Option<Box<dyn Reader>>,
}

impl Reading<'_> {
    fn run(&mut self) -> io::Result<Option<HandedOver>> {
        let mut lines = Lines::new(self.stream, wire::LINE_BYTES_MAX);
        let mut is_first = true;
        loop {
            match lines.next() {
                Ok(Line::Text(line)) => {
                    if line.iter().all(u8::is_ascii_whitespace) {
                        continue;
                    }
                    match self.take(line, is_first) {
                        Then::Next => is_first = false,
                        Then::End => return Ok(None),
                        Then::HandOver(id) => {
                            return Ok(Some(HandedOver { early: lines.into_rest(), first: accepted(id.as_deref()) }));
                        }
                    }
                }
                Ok(Line::TooLong) => {
                    let message = format!("a line may have {} bytes", wire::LINE_BYTES_MAX);
                    self.refuse(None, Refusal::new(Code::TooLarge, message));
                    break;
                }
                Ok(Line::End) => break,
                Err(error) if is_timeout(&error) => {
                    if lines.is_within_line() {
                        let patience = self.context.patience.as_secs_f64();
                        let message = format!("half a line came, and then nothing for {patience} seconds");
                        self.refuse(None, Refusal::bad_request(message));
                        break;
                    }
                    // A connection may idle; its store need not stay open for that.
                    self.reader = None;
                }
                Err(error) => return Err(error),
            }
        }
        self.reader = None;
        let _ = self.outgoing.send(Outgoing::End);
        wait_until_hung_up(self.stream).map(|()| None)
    }

    /// Takes one request.
    fn take(&mut self, line: &[u8], is_first: bool) -> Then {
        if !self.backlog.enter(self.stream) {
            return Then::End;
        }
        let taken = match parse(line) {
            Ok((id, Request::McpOpen(_))) if is_first => return Then::HandOver(id),
            Ok((id, request)) => self.handle(&id, &request).map_err(|refusal| (id, refusal)),
            Err(refused) => Err(refused),
        };
        let is_told = taken.map_or_else(|(id, refusal)| self.send_refusal(id, refusal), |()| true);
        if is_told { Then::Next } else { Then::End }
    }

    fn handle(&mut self, id: &Id, request: &Request) -> Result<(), Refusal> {
        if let Request::McpOpen(_) = request {
            return Err(Refusal::bad_request("mcp.open is the first request of a connection of its own"));
        }
        if let Request::EventFollow(args) = request {
            let (following, cursor) = follow(args, self.context)?;
            let _ = self.outgoing.send(Outgoing::Follow { id: id.clone(), following, cursor });
            return Ok(());
        }
        let context = self.context;
        let mut ids = Ids::Own { slot: &mut self.reader, readers: &*context.means.readers };
        if let Some(command) = context.translator.command(request, &mut ids)? {
            let answer = Box::new(Addressed { id: id.clone(), to: self.outgoing.clone() });
            return self.context.means.asker.ask(self.number, command, answer);
        }
        if let Request::HookList(_) = request {
            return self.tell_read(id, replies::hooks(&*context.means.hooks));
        }
        if let Request::MessageSearch(_) = request {
            self.catch_up_index()?;
        }
        let reader = intake::open(&mut self.reader, &*self.context.means.readers)?;
        let outcome = match request {
            Request::EventList(args) => events::list(args, &context.means.feed, reader),
            request => reads::answer(request, reader),
        };
        self.tell_read(id, outcome)
    }

    fn tell_read(&self, id: &Id, outcome: Result<Box<RawValue>, Refusal>) -> Result<(), Refusal> {
        self.backlog.queued(&outcome);
        let _ = self.outgoing.send(Outgoing::Read { id: id.clone(), outcome });
        Ok(())
    }

    fn catch_up_index(&self) -> Result<(), Refusal> {
        struct Caught(Sender<Result<Reply, Refusal>>);
        impl Answer for Caught {
            fn deliver(self: Box<Self>, outcome: Result<Reply, Refusal>) {
                let _ = self.0.try_send(outcome);
            }
        }
        let (caught, up) = bounded(1);
        self.context.means.asker.ask(self.number, Command::IndexSearch, Box::new(Caught(caught)))?;
        match up.recv_timeout(INDEX_PATIENCE) {
            Ok(outcome) => outcome.map(drop),
            Err(_) => Err(Refusal::new(Code::Busy, "the search index is being brought up to date; try again")),
        }
    }

    fn refuse(&self, id: Id, refusal: Refusal) {
        if self.backlog.enter(self.stream) {
            self.send_refusal(id, refusal);
        }
    }

    fn send_refusal(&self, id: Id, refusal: Refusal) -> bool {
        self.outgoing.send(Outgoing::Read { id, outcome: Err(refusal) }).is_ok()
    }
}

/// The answer to a request that has none but that it is taken.
fn accepted(id: Option<&RawValue>) -> Vec<u8> {
    let id = id.map_or("null", RawValue::get);
    format!("{{\"v\":{},\"id\":{id},\"ok\":true,\"result\":{{}}}}\n", wire::VERSION).into_bytes()
}

/// Where a follower starts: behind what it has seen, or here when that cannot be told.
fn follow(args: &wire::EventFollow, context: &Context) -> Result<(wire::Following, Cursor), Refusal> {
    let filter = Filter::new(args.channels.clone(), args.events.clone()).map_err(Refusal::bad_request)?;
    let last = context.means.feed.last_seq();
    let same_log = args.since_epoch.as_deref().is_none_or(|epoch| epoch == context.means.feed.epoch());
    let (seq, recovered) = match args.since {
        None => (last, true),
        Some(since) if same_log && since <= last => {
            let (oldest, _) = context.means.readers.open()?.events_kept()?;
            if since + 1 >= oldest { (since, true) } else { (last, false) }
        }
        Some(_) => (last, false),
    };
    let following = wire::Following { seq, epoch: context.means.feed.epoch().to_owned(), recovered };
    Ok((following, context.means.feed.cursor(seq, filter)))
}

/// After the last request: until the peer has closed its other direction too, or the writer has shut down the stream.
fn wait_until_hung_up(stream: &UnixStream) -> io::Result<()> {
    loop {
        let mut fds = [PollFd::new(stream, PollFlags::empty())];
        match poll(&mut fds, None) {
            Ok(_) if has_hung_up(&fds[0]) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

pub(super) fn has_hung_up(fd: &PollFd<'_>) -> bool {
    fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
