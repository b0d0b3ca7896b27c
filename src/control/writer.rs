//! The writing half of a connection: answers as they come, and the events that it follows.

use super::backlog::{Backlog, bytes_of};
use super::connection::Outgoing;
use super::server::Context;
use super::{replies, shown, wire};
use crate::feed::{Cursor, gap_frame};
use crate::model::command::{Code, Refusal};
use crossbeam_channel::{Receiver, select};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use serde_json::value::RawValue;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// Answers are gathered up to this size before they are written.
const WRITE_BYTES: usize = 64 << 10;

/// What ended the writer's wait.
enum Woken {
    Message(Outgoing),
    Events,
    /// Nobody can send a message any more.
    Alone,
}

pub(super) struct Writer {
    stream: UnixStream,
    context: Arc<Context>,
    out: Vec<u8>,
    backlog: Arc<Backlog>,
    follows: Option<Cursor>,
}

impl Writer {
    pub(super) fn new(stream: UnixStream, context: Arc<Context>, backlog: Arc<Backlog>) -> Writer {
        Writer { stream, context, out: Vec::new(), backlog, follows: None }
    }

    pub(super) fn run(&mut self, queue: &Receiver<Outgoing>) {
        let mut ending = false;
        while !(ending && self.backlog.is_empty() && self.follows.is_none()) {
            let went_well = match self.wait(queue) {
                Woken::Message(Outgoing::Leave) => return,
                Woken::Message(Outgoing::Gone) | Woken::Alone => break,
                Woken::Message(message) => self.answer(message, queue, &mut ending),
                Woken::Events => self.tell(),
            };
            if went_well.is_err() || ending && self.take_leave().is_err() {
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
                Outgoing::Gone | Outgoing::Leave => return Err(io::ErrorKind::ConnectionReset.into()),
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
                (id, outcome.and_then(|reply| replies::show(reply, &self.context)))
            }
            Outgoing::Read { id, outcome } => {
                self.backlog.leave(bytes_of(&outcome));
                (id, outcome)
            }
            Outgoing::Follow { id, following, cursor } => {
                self.backlog.leave(0);
                self.follows = Some(cursor);
                (id, replies::encoded(&following))
            }
            Outgoing::End | Outgoing::Gone | Outgoing::Leave => return,
        };
        let outcome = match outcome {
            Ok(result) if result.get().len() > wire::LINE_BYTES_MAX - 1024 => {
                let message = "the answer is longer than a line may be; ask for less of it";
                Err(Refusal::new(Code::TooLarge, message))
            }
            outcome => outcome,
        };
        self.put(id.as_deref(), &outcome);
    }

    fn put(&mut self, id: Option<&RawValue>, outcome: &Result<Box<RawValue>, Refusal>) {
        let response = match outcome {
            Ok(result) => wire::Response { v: wire::VERSION, id, ok: true, result: Some(result), error: None },
            Err(refusal) => {
                wire::Response { v: wire::VERSION, id, ok: false, result: None, error: Some(shown::error(refusal)) }
            }
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

    /// When the daemon stops: whoever follows is told the last events, and that these are all.
    fn take_leave(&mut self) -> io::Result<()> {
        if self.follows.is_none() || !self.context.is_stopping() {
            return Ok(());
        }
        self.tell()?;
        self.follows = None;
        let refusal = Refusal::new(Code::NotRunning, "the daemon stops; these were all of its events");
        self.put(None, &Err(refusal));
        self.flush()
    }

    /// Writes the events that have come, as far as there are any.
    fn tell(&mut self) -> io::Result<()> {
        let Some(cursor) = &mut self.follows else { return Ok(()) };
        let readers = &self.context.means.readers;
        loop {
            let page = cursor.next_page(&mut || readers.open()).map_err(io::Error::other)?;
            if let Some((from, to)) = page.gap {
                self.out.extend_from_slice(&gap_frame(from, to, self.context.means.clock.wall()));
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
