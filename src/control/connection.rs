//! One connection: a thread that reads requests and answers reads, and one that writes what comes back.
//!
//! The writer is woken by answers, by events it follows, and by the reader's last word; the reader by bytes, by room
//! for another request, by the peer's going, and by the stream being shut down.

use super::intake::{self, Ids};
use super::lines::{Line, Lines};
use super::server::Context;
use super::wire::{self, Envelope, Named, Request};
use super::{reads, shown, workflows};
use crate::feed::{Cursor, Filter, gap_frame};
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::ports::{Answer, Reader};
use crate::thread::{Bell, Joined};
use crossbeam_channel::{Receiver, Sender, bounded, select};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use serde_json::value::{RawValue, to_raw_value};
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Requests of one connection that are not answered yet; then reading pauses.
const UNANSWERED_MAX: usize = 1024;
/// Answers to reads that the peer has not taken yet; then reading pauses too.
const QUEUED_BYTES_MAX: usize = 16 << 20;
/// A search waits this long for the index to catch up.
const INDEX_PATIENCE: Duration = Duration::from_secs(5);
/// Answers are gathered up to this size before they are written.
const WRITE_BYTES: usize = 64 << 10;
/// Longest `id` of a request.
const ID_BYTES_MAX: usize = 256;

type Id = Option<Box<RawValue>>;

/// What the writer is given.
enum Outgoing {
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
    let mut writer = Writer {
        stream: stream.try_clone()?,
        context: Arc::clone(context),
        out: Vec::new(),
        backlog: Arc::clone(&backlog),
        follows: None,
    };
    let writing = Joined::spawn(format!("ctl-{number}w"), move || writer.run(&queue))?;
    let mut reading = Reading { number, context, stream, outgoing: &outgoing, backlog: &backlog, reader: None };
    let ended = reading.run();
    // Nobody reads the rest: whatever is still being decided for this client has no address any more.
    context.asker.forget(number);
    let _ = outgoing.try_send(Outgoing::Gone);
    let _ = stream.shutdown(Shutdown::Both);
    drop(reading);
    drop(outgoing);
    drop(writing);
    ended
}

/// What is on its way to the peer, counted by both threads. Only the reader adds to it, and waits when it is too much;
/// only the writer takes from it, and rings when it was too much.
struct Backlog {
    unanswered: AtomicUsize,
    queued_bytes: AtomicUsize,
    bell: Bell,
}

impl Backlog {
    fn new() -> io::Result<Backlog> {
        Ok(Backlog { unanswered: AtomicUsize::new(0), queued_bytes: AtomicUsize::new(0), bell: Bell::new()? })
    }

    fn is_empty(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst) == 0
    }

    fn is_full(&self) -> bool {
        self.unanswered.load(Ordering::SeqCst) >= UNANSWERED_MAX
            || self.queued_bytes.load(Ordering::SeqCst) >= QUEUED_BYTES_MAX
    }

    /// Counts one more request, as soon as there is room. Returns false when the stream has ended meanwhile.
    fn enter(&self, stream: &UnixStream) -> bool {
        while self.is_full() {
            let mut fds = [PollFd::new(stream, PollFlags::empty()), PollFd::new(&self.bell, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return false,
            }
            if has_hung_up(&fds[0]) {
                return false;
            }
            self.bell.silence();
        }
        self.unanswered.fetch_add(1, Ordering::SeqCst);
        true
    }

    fn queued(&self, outcome: &Result<Box<RawValue>, Refusal>) {
        self.queued_bytes.fetch_add(bytes_of(outcome), Ordering::SeqCst);
    }

    fn leave(&self, bytes: usize) {
        let was_full = self.is_full();
        self.queued_bytes.fetch_sub(bytes, Ordering::SeqCst);
        self.unanswered.fetch_sub(1, Ordering::SeqCst);
        if was_full {
            self.bell.ring();
        }
    }
}

fn bytes_of(outcome: &Result<Box<RawValue>, Refusal>) -> usize {
    outcome.as_ref().map_or(0, |result| result.get().len())
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
    fn run(&mut self) -> io::Result<()> {
        let mut lines = Lines::new(self.stream, wire::LINE_BYTES_MAX);
        loop {
            match lines.next() {
                Ok(Line::Text(line)) => {
                    if !line.iter().all(u8::is_ascii_whitespace) && !self.take(line) {
                        return Ok(());
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
        wait_until_hung_up(self.stream)
    }

    /// Takes one request. Returns false when the connection has ended.
    fn take(&mut self, line: &[u8]) -> bool {
        if !self.backlog.enter(self.stream) {
            return false;
        }
        let (id, request) = match parse(line) {
            Ok(parsed) => parsed,
            Err((id, refusal)) => return self.send_refusal(id, refusal),
        };
        match self.handle(&id, &request) {
            Ok(()) => true,
            Err(refusal) => self.send_refusal(id, refusal),
        }
    }

    fn handle(&mut self, id: &Id, request: &Request) -> Result<(), Refusal> {
        if let Request::EventFollow(args) = request {
            let (following, cursor) = follow(args, self.context)?;
            let _ = self.outgoing.send(Outgoing::Follow { id: id.clone(), following, cursor });
            return Ok(());
        }
        let context = self.context;
        let command = {
            let mut ids = Ids { reader: &mut self.reader, readers: &*context.readers };
            intake::command(request, &context.defaults, &*context.clock, &mut ids)?
        };
        if let Some(command) = command {
            let answer = Box::new(Addressed { id: id.clone(), to: self.outgoing.clone() });
            return self.context.asker.ask(self.number, command, answer);
        }
        if let Request::MessageSearch(_) = request {
            self.catch_up_index()?;
        }
        let reader = intake::open(&mut self.reader, &*self.context.readers)?;
        let outcome = reads::answer(request, reader);
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
        self.context.asker.ask(self.number, Command::IndexSearch, Box::new(Caught(caught)))?;
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

fn parse(line: &[u8]) -> Result<(Id, Request), (Id, Refusal)> {
    let text = std::str::from_utf8(line).map_err(|_| (None, Refusal::bad_request("the line is not UTF-8")))?;
    let no_request = |why: &dyn std::fmt::Display| Refusal::bad_request(format!("the line is no request: {why}"));
    if !is_object(text) {
        return Err((None, no_request(&"it must be a JSON object")));
    }
    let envelope: Envelope<'_> = serde_json::from_str(text).map_err(|error| (id_in(text), no_request(&error)))?;
    if envelope.id.is_some_and(|id| id.get().len() > ID_BYTES_MAX) {
        return Err((None, Refusal::bad_request(format!("an id may have {ID_BYTES_MAX} bytes"))));
    }
    let id = envelope.id.map(ToOwned::to_owned);
    if envelope.v.is_some_and(|version| version != wire::VERSION) {
        let message = format!("this is version {} of the protocol", wire::VERSION);
        return Err((id, Refusal::bad_request(message)));
    }
    let Some(command) = envelope.command else {
        return Err((id, Refusal::bad_request("the request has no \"command\"")));
    };
    let args = envelope.args.map_or("{}", RawValue::get);
    if !is_object(args) {
        return Err((id, Refusal::bad_request(format!("args of {command}: they must be a JSON object"))));
    }
    match Request::parse(&command, args) {
        None => {
            let message = format!("there is no command {:?}", command.chars().take(64).collect::<String>());
            Err((id, Refusal::new(Code::UnknownCommand, message)))
        }
        Some(Err(error)) => Err((id, Refusal::bad_request(format!("args of {command}: {error}")))),
        Some(Ok(request)) => Ok((id, request)),
    }
}

/// JSON has no other value that begins so. What reads the keys would take an array of values as well.
fn is_object(json: &str) -> bool {
    json.trim_start().starts_with('{')
}

/// The id of what cannot be read otherwise, so that the refusal finds whoever sent it.
fn id_in(text: &str) -> Id {
    let named: Named<'_> = serde_json::from_str(text).ok()?;
    named.id.filter(|id| id.get().len() <= ID_BYTES_MAX).map(ToOwned::to_owned)
}

/// Where a follower starts: behind what it has seen, or here when that cannot be told.
fn follow(args: &wire::EventFollow, context: &Context) -> Result<(wire::Following, Cursor), Refusal> {
    let filter = Filter::new(args.channels.clone(), args.events.clone()).map_err(Refusal::bad_request)?;
    let last = context.feed.last_seq();
    let same_log = args.since_epoch.as_deref().is_none_or(|epoch| epoch == context.feed.epoch());
    let (seq, recovered) = match args.since {
        None => (last, true),
        Some(since) if same_log && since <= last => {
            let (oldest, _) = context.readers.open()?.events_kept()?;
            if since + 1 >= oldest { (since, true) } else { (last, false) }
        }
        Some(_) => (last, false),
    };
    let following = wire::Following { seq, epoch: context.feed.epoch().to_owned(), recovered };
    Ok((following, context.feed.cursor(seq, filter)))
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

fn has_hung_up(fd: &PollFd<'_>) -> bool {
    fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// What ended the writer's wait.
enum Woken {
    Message(Outgoing),
    Events,
    /// Nobody can send a message any more.
    Alone,
}

struct Writer {
    stream: UnixStream,
    context: Arc<Context>,
    out: Vec<u8>,
    backlog: Arc<Backlog>,
    follows: Option<Cursor>,
}

impl Writer {
    fn run(&mut self, queue: &Receiver<Outgoing>) {
        let mut ending = false;
        while !(ending && self.backlog.is_empty() && self.follows.is_none()) {
            let went_well = match self.wait(queue) {
                Woken::Message(Outgoing::Gone) | Woken::Alone => break,
                Woken::Message(message) => self.answer(message, queue, &mut ending),
                Woken::Events => self.tell(),
            };
            if went_well.is_err() {
                break;
            }
        }
        // Wakes the reader, wherever it waits.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    fn wait(&self, queue: &Receiver<Outgoing>) -> Woken {
        let message = match &self.follows {
            None => queue.recv(),
            Some(cursor) => select! {
                recv(queue) -> message => message,
                recv(cursor.wake()) -> _ => return Woken::Events,
            },
        };
        message.map_or(Woken::Alone, Woken::Message)
    }

    /// Writes this answer and all that are there already, in one go.
    fn answer(&mut self, first: Outgoing, queue: &Receiver<Outgoing>, ending: &mut bool) -> io::Result<()> {
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Outgoing::End => *ending = true,
                Outgoing::Gone => return Err(io::ErrorKind::ConnectionReset.into()),
                message => self.encode(message),
            }
            if self.out.len() >= WRITE_BYTES {
                self.flush()?;
            }
            next = queue.try_recv().ok();
        }
        self.flush()?;
        // A follower that has just started may have events waiting.
        if self.follows.is_some() { self.tell() } else { Ok(()) }
    }

    fn encode(&mut self, message: Outgoing) {
        let (id, outcome) = match message {
            Outgoing::Reply { id, outcome } => {
                self.backlog.leave(0);
                (id, outcome.and_then(|reply| show(reply, &self.context)))
            }
            Outgoing::Read { id, outcome } => {
                self.backlog.leave(bytes_of(&outcome));
                (id, outcome)
            }
            Outgoing::Follow { id, following, cursor } => {
                self.backlog.leave(0);
                self.follows = Some(cursor);
                (id, encoded(&following))
            }
            Outgoing::End | Outgoing::Gone => return,
        };
        let outcome = match outcome {
            Ok(result) if result.get().len() > wire::LINE_BYTES_MAX - 1024 => {
                let message = "the answer is longer than a line may be; ask for less of it";
                Err(Refusal::new(Code::TooLarge, message))
            }
            outcome => outcome,
        };
        let response = match &outcome {
            Ok(result) => {
                wire::Response { v: wire::VERSION, id: id.as_deref(), ok: true, result: Some(result), error: None }
            }
            Err(refusal) => wire::Response {
                v: wire::VERSION,
                id: id.as_deref(),
                ok: false,
                result: None,
                error: Some(shown::error(refusal)),
            },
        };
        if serde_json::to_writer(&mut self.out, &response).is_ok() {
            self.out.push(b'\n');
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        write_patiently(&self.stream, &self.out, self.context.patience)?;
        self.out.clear();
        self.out.shrink_to(WRITE_BYTES);
        Ok(())
    }

    /// Writes the events that have come, as far as there are any.
    fn tell(&mut self) -> io::Result<()> {
        let Some(cursor) = &mut self.follows else { return Ok(()) };
        let readers = &self.context.readers;
        loop {
            let page = cursor.next_page(&mut || readers.open()).map_err(io::Error::other)?;
            if let Some((from, to)) = page.gap {
                self.out.extend_from_slice(&gap_frame(from, to, self.context.clock.wall()));
                self.out.push(b'\n');
            }
            for event in &page.events {
                self.out.extend_from_slice(&event.frame);
                self.out.push(b'\n');
            }
            if !self.out.is_empty() {
                write_patiently(&self.stream, &self.out, self.context.patience)?;
                self.out.clear();
            }
            if !page.more {
                self.out.shrink_to(WRITE_BYTES);
                return Ok(());
            }
        }
    }
}

/// Writes everything, or gives up when the peer takes nothing for as long as `patience`. Not by the stream's own timeout:
/// a write that has waited for it in vain reports the part that went out before, and would be given the time once more.
fn write_patiently(stream: &UnixStream, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    let limit = Timespec::try_from(patience).ok();
    while !bytes.is_empty() {
        match send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(taken) => bytes = &bytes[taken..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(stream, PollFlags::OUT)], limit.as_ref()) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn encoded<T: serde::Serialize>(value: &T) -> Result<Box<RawValue>, Refusal> {
    to_raw_value(value).map_err(|error| Refusal::new(Code::Internal, format!("the answer is no JSON: {error}")))
}

fn show(reply: Reply, context: &Context) -> Result<Box<RawValue>, Refusal> {
    match reply {
        Reply::Done => encoded(&wire::Empty {}),
        Reply::Status(hub) => encoded(&context.status(hub)),
        Reply::Watching(watch) => encoded(&shown::watch(&watch)),
        Reply::Waited(waited) => encoded(&shown::waited(waited)),
        Reply::Sent { message_id, thread_id, status } => encoded(&wire::Sent {
            message_id: message_id.to_string(),
            thread_id: thread_id.to_string(),
            status: status.to_string(),
        }),
        Reply::Updated { message_id, status, changed } => {
            encoded(&wire::Updated { message_id: message_id.to_string(), status: status.to_string(), changed })
        }
        Reply::Asked(answer) => encoded(&shown::answer(answer)),
        Reply::Pool(view) => encoded(&shown::pool(&view)),
        Reply::PoolHealth(view) => encoded(&shown::pool_health(&view)),
        Reply::AllHealth(views) => encoded(&shown::all_health(&views)),
        Reply::Deleted(pool) => encoded(&wire::Deleted { pool_id: pool.to_string(), deleted: true }),
        Reply::Scaled(scaled) => encoded(&shown::scaled(&scaled)),
        Reply::Pools(views) => encoded(&wire::Pools { pools: views.iter().map(shown::pool).collect() }),
        Reply::Submitted { task, pool, status, duplicate, held_until } => encoded(&wire::Submitted {
            task_id: task.to_string(),
            pool_id: pool.to_string(),
            status: status.as_str().to_owned(),
            duplicate,
            held_until: held_until.map(|at| at.to_string()),
        }),
        Reply::Task(view) => encoded(&shown::task_view(*view)),
        Reply::Started { workflow, status, duplicate, seq } => encoded(&wire::WorkflowStarted {
            workflow_id: workflow.to_string(),
            status: status.shown().to_owned(),
            duplicate,
            seq,
        }),
        // An answer goes out only when what it tells of is stored.
        Reply::Workflow(id) => encoded(&workflows::show(id.as_str(), &mut *context.readers.open()?)?),
    }
}
