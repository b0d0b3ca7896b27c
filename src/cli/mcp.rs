//! `mcp`: a server of the Model Context Protocol on standard input and output, for agents. It only carries lines to the daemon
//! and back; when the daemon goes, it says so to whoever waits, and looks for it again with the next line.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, poll};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::exit::{Failure, OK, Outcome};
use super::session::{self, Session, as_words};
use crate::control::ClientError;
use crate::thread::{Bell, Joined};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude mcp add claude-comms -- claude-comms mcp    lets Claude Code use the tools

It speaks with the daemon over its socket, as every other verb does, and needs no token.
claude-comms-mcp(7) lists the tools; other clients are set up as shown there.";

/// Longest line in either direction, in bytes; the daemon's own limit.
const LINE_BYTES_MAX: usize = 8 << 20;
const READ_BYTES: usize = 64 << 10;
/// What the daemon knows of this client's requests ends with it.
const LOST: i64 = -32_000;

#[derive(Debug, Args)]
pub(super) struct Mcp {}

pub(super) fn run(_: Mcp, session: &mut Session) -> Outcome {
    // Without a daemon at the beginning a person has something to do.
    let first = session.connect()?.into_mcp()?;
    let (paths, options) = (session.paths()?, session.options.clone());
    let start = format!("claude-comms poll start{}", as_words(&options));
    let connect = move || session::connect(&paths, &options)?.into_mcp();
    let over = Arc::new(Bell::new().map_err(failed)?);
    let mut bridge = Bridge {
        connect: Box::new(connect),
        start,
        over,
        waiting: Arc::default(),
        has_ended: Arc::default(),
        link: None,
    };
    bridge.take_up(first).map_err(failed)?;
    bridge.run().map_err(failed)?;
    Ok(OK)
}

fn failed(error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Output(error),
        _ => Failure::Client(ClientError::Broken(error)),
    }
}

/// Ids of requests that the daemon has and has not answered, as JSON.
type Waiting = Arc<Mutex<HashSet<String>>>;

/// A way to the daemon, with what has come on it already.
type Found = Result<(UnixStream, Vec<u8>), ClientError>;

struct Bridge {
    connect: Box<dyn Fn() -> Found>,
    /// The command that starts the daemon.
    start: String,
    /// Rung when nobody reads what is written any more.
    over: Arc<Bell>,
    waiting: Waiting,
    /// There is no more input.
    has_ended: Arc<AtomicBool>,
    link: Option<Link>,
}

/// A connection to the daemon, and the thread that carries what comes from it.
struct Link {
    stream: UnixStream,
    carrying: Joined<()>,
}

/// What a line is, as far as a bridge needs to know.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(default)]
    method: Option<&'a RawValue>,
    #[serde(default)]
    params: Option<Given<'a>>,
}

#[derive(Deserialize)]
struct Given<'a> {
    /// Of a request that is given up.
    #[serde(borrow, rename = "requestId")]
    request_id: Option<&'a RawValue>,
}

impl Glance<'_> {
    /// The id of the request that this gives up.
    fn given_up(&self) -> Option<&str> {
        let is_it = self.method.is_some_and(|method| method.get() == r#""notifications/cancelled""#);
        self.params.as_ref().filter(|_| is_it)?.request_id.map(RawValue::get)
    }
}

impl Bridge {
    /// Until there is no more input.
    ///
    /// # Errors
    /// The input cannot be read, or nobody reads the output.
    fn run(&mut self) -> io::Result<()> {
        let mut input = Gathered::default();
        // Of a line that is too long the rest is passed over, up to its end.
        let mut passes_over = false;
        loop {
            self.wait()?;
            let Some(whole) = input.read(&mut io::stdin().lock())? else { break };
            let passed = if passes_over && whole > 0 { first_line(&input.bytes) } else { 0 };
            passes_over &= whole == 0;
            self.carry(&input.bytes[passed..whole]);
            input.bytes.drain(..whole);
            if passes_over {
                input.bytes.clear();
            } else if input.bytes.len() > LINE_BYTES_MAX {
                answer(None, &format!("a line may have {LINE_BYTES_MAX} bytes; this one is passed over"))?;
                input.bytes.clear();
                passes_over = true;
            }
        }
        self.carry(&input.bytes);
        // What is answered from here on is what the daemon still answers.
        self.has_ended.store(true, Ordering::Release);
        if let Some(link) = self.link.take() {
            let _ = link.stream.shutdown(Shutdown::Write);
            drop(link.carrying);
        }
        Ok(())
    }

    /// Until there is input.
    ///
    /// # Errors
    /// There is nobody left to answer to.
    fn wait(&self) -> io::Result<()> {
        let stdin = io::stdin();
        loop {
            let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&*self.over, PollFlags::IN)];
            match poll(&mut fds, None) {
                Ok(_) if !fds[1].revents().is_empty() => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(_) if !fds[0].revents().is_empty() => return Ok(()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Carries whole lines to the daemon; what it cannot get is answered here.
    fn carry(&mut self, lines: &[u8]) {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let glance: Option<Glance<'_>> = serde_json::from_slice(line).ok();
            let glance = glance.filter(|it| it.method.is_some());
            if let Some(id) = glance.as_ref().and_then(Glance::given_up) {
                self.waiting.lock().remove(id);
            }
            let id = glance.and_then(|it| it.id).map(|id| id.get().to_owned());
            if let Some(id) = &id {
                self.waiting.lock().insert(id.clone());
            }
            if let Err(why) = self.send(line)
                && let Some(id) = id
                && self.waiting.lock().remove(&id)
                && answer(Some(&id), &why).is_err()
            {
                self.over.ring();
            }
        }
    }

    fn send(&mut self, line: &[u8]) -> Result<(), String> {
        if self.link.as_ref().is_none_or(|link| link.carrying.is_finished()) {
            self.link = None;
            let found = (self.connect)().map_err(|error| Failure::from(error).to_string())?;
            self.take_up(found).map_err(|error| error.to_string())?;
        }
        let Some(link) = &self.link else { return Err("there is no daemon".to_owned()) };
        let line = [line, b"\n"].concat();
        (&link.stream).write_all(&line).map_err(|error| format!("the daemon has gone: {error}"))
    }

    fn take_up(&mut self, (stream, early): (UnixStream, Vec<u8>)) -> io::Result<()> {
        let from = stream.try_clone()?;
        let (waiting, over) = (Arc::clone(&self.waiting), Arc::clone(&self.over));
        let (has_ended, start) = (Arc::clone(&self.has_ended), self.start.clone());
        let carrying = Joined::spawn("mcp-out", move || {
            if carry_back(from, early, &waiting, &has_ended, &start).is_err() {
                over.ring();
            }
        })?;
        self.link = Some(Link { stream, carrying });
        Ok(())
    }
}

/// What has come on one side, up to the end of its last line and beyond.
#[derive(Default)]
struct Gathered {
    bytes: Vec<u8>,
}

impl Gathered {
    /// Reads once, when there is no whole line in it. How many bytes whole lines have then; `None` at the end.
    fn read(&mut self, from: &mut impl Read) -> io::Result<Option<usize>> {
        let old = self.bytes.len();
        self.bytes.resize(old + READ_BYTES, 0);
        let read = from.read(&mut self.bytes[old..]);
        self.bytes.truncate(old + read.as_ref().copied().unwrap_or(0));
        match read {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(match last_line_end(&self.bytes[old..]) {
                0 => 0,
                end => old + end,
            })),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }
}

/// Bytes up to the end of the last whole line; 0 when there is none.
fn last_line_end(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// Bytes of the first line, its end included; 0 when it has none.
fn first_line(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// Carries what the daemon says, and when it has gone answers those who wait in vain.
///
/// # Errors
/// Nobody reads it.
fn carry_back(
    mut from: UnixStream,
    early: Vec<u8>,
    waiting: &Waiting,
    has_ended: &AtomicBool,
    start: &str,
) -> io::Result<()> {
    let mut whole = last_line_end(&early);
    let mut said = Gathered { bytes: early };
    loop {
        if whole > 0 {
            for line in said.bytes[..whole].split(|byte| *byte == b'\n') {
                let glance: Option<Glance<'_>> = serde_json::from_slice(line).ok();
                if let Some(id) = glance.filter(|it| it.method.is_none()).and_then(|it| it.id) {
                    waiting.lock().remove(id.get());
                }
            }
            write(&said.bytes[..whole])?;
            said.bytes.drain(..whole);
        }
        match said.read(&mut from) {
            Ok(Some(lines)) => whole = lines,
            // However it went, it has gone.
            Ok(None) | Err(_) => break,
        }
    }
    if has_ended.load(Ordering::Acquire) {
        return Ok(());
    }
    let lost: Vec<String> = waiting.lock().drain().collect();
    let why = format!(
        "the daemon has gone; what it had accepted is kept. After a stop, what ran is run again; after a crash, questions are, \
         and other tasks have failed unless their on_crash is requeue. Start it with: {start}; list_tasks and list_messages show \
         what has become of it"
    );
    lost.iter().try_for_each(|id| answer(Some(id), &why))
}

fn answer(id: Option<&str>, why: &str) -> io::Result<()> {
    let (id, why) = (id.unwrap_or("null"), serde_json::Value::from(why));
    write(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{LOST},\"message\":{why}}}}}\n").as_bytes())
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}
