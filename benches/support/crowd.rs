//! A crowd of WebSocket clients on one thread: it counts what it is told, and sees that each of them hears of everything
//! once and in order.

use claude_comms::clock::{Clock, SystemClock, Timestamp};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const READ_BYTES: usize = 256 << 10;
/// Between two looks at whether it is to end.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
const FINAL_TEXT: u8 = 0x81;
const FINAL_CLOSE: u8 = 0x88;
const FINAL_PING: u8 = 0x89;
const FINAL_PONG: u8 = 0x8a;

/// Lets this process, and those that it starts, have as many connections as the machine allows.
pub(crate) fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
}

/// A connection that follows, when `until` has come: after `request`, where one is needed.
pub(crate) fn follow(address: &str, request: Option<&str>, until: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut out = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .into_bytes();
    if let Some(request) = request {
        put(&mut out, FINAL_TEXT, request.as_bytes());
    }
    stream.write_all(&out).unwrap();
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while !text.windows(until.len()).any(|window| window == until.as_bytes()) {
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&text));
        text.extend_from_slice(&buffer[..count]);
    }
    stream
}

/// A frame as clients send them, short, and masked with zeros.
fn put(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    assert!(payload.len() < 126);
    out.extend_from_slice(&[kind, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
}

pub(crate) struct Crowd {
    pub(crate) size: usize,
    first: u64,
    shared: Arc<Shared>,
    delays: Receiver<Vec<f64>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    /// Events that have come, of all clients together.
    delivered: AtomicU64,
    /// Delays are asked for; from the first time on they are taken.
    is_asked: AtomicBool,
    must_end: AtomicBool,
}

impl Crowd {
    /// `first`: the number of the first event that each is to hear of.
    pub(crate) fn gather(first: u64, streams: Vec<std::net::TcpStream>) -> Crowd {
        let size = streams.len();
        let shared = Arc::new(Shared::default());
        let (told, delays) = channel();
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::spawn(move || Listening::new(first, streams, of_thread, told).run());
        Crowd { size, first, shared, delays, thread: Some(thread) }
    }

    /// Waits until each has heard of everything before the event of that number.
    pub(crate) fn wait_for(&self, next: u64) {
        let (start, wanted) = (Instant::now(), (next - self.first) * self.size as u64);
        while self.shared.delivered.load(Ordering::Acquire) < wanted {
            assert!(!self.thread.as_ref().unwrap().is_finished(), "a client was told something wrong");
            let count = self.shared.delivered.load(Ordering::Acquire);
            assert!(start.elapsed() < Duration::from_secs(120), "{count} of {wanted} deliveries");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(self.shared.delivered.load(Ordering::Acquire), wanted);
    }

    /// How long events took from their timestamp to a client, in milliseconds: those that came since this was last asked.
    /// Before the first time nobody looks at the clock.
    pub(crate) fn delays(&self) -> Vec<f64> {
        self.shared.is_asked.store(true, Ordering::Release);
        self.delays.recv().unwrap()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.must_end.store(true, Ordering::Release);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking(), "a client was told something wrong");
    }
}

struct Listening {
    poll: Poll,
    clients: Vec<Client>,
    shared: Arc<Shared>,
    told: Sender<Vec<f64>>,
    delays: Vec<f64>,
    is_timing: bool,
    clock: SystemClock,
}

struct Client {
    stream: TcpStream,
    /// The beginning of a frame.
    rest: Vec<u8>,
    next: u64,
}

impl Listening {
    fn new(first: u64, streams: Vec<std::net::TcpStream>, shared: Arc<Shared>, told: Sender<Vec<f64>>) -> Listening {
        let poll = Poll::new().unwrap();
        let client = |(at, stream): (usize, std::net::TcpStream)| {
            stream.set_nonblocking(true).unwrap();
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(at), Interest::READABLE).unwrap();
            Client { stream, rest: Vec::new(), next: first }
        };
        let clients = streams.into_iter().enumerate().map(client).collect();
        let clock = SystemClock::new();
        Listening { poll, clients, shared, told, delays: Vec::new(), is_timing: false, clock }
    }

    fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        let mut buffer = vec![0; READ_BYTES];
        while !self.shared.must_end.load(Ordering::Acquire) {
            self.poll.poll(&mut events, Some(LOOK_INTERVAL)).unwrap();
            if self.shared.is_asked.swap(false, Ordering::AcqRel) {
                self.is_timing = true;
                let _ = self.told.send(std::mem::take(&mut self.delays));
            }
            for event in &events {
                self.hear(event.token().0, &mut buffer);
            }
        }
    }

    /// Takes all that there is for one client.
    fn hear(&mut self, at: usize, buffer: &mut [u8]) {
        loop {
            let client = &mut self.clients[at];
            let held = client.rest.len();
            buffer[..held].copy_from_slice(&client.rest);
            client.rest.clear();
            match client.stream.read(&mut buffer[held..]) {
                Ok(0) => panic!("a client was cut off before event {}", client.next),
                Ok(count) => {
                    let now = self.is_timing.then(|| self.clock.wall());
                    let used = self.take(at, &buffer[..held + count], now);
                    self.clients[at].rest.extend_from_slice(&buffer[used..held + count]);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    client.rest.extend_from_slice(&buffer[..held]);
                    return;
                }
                Err(error) => panic!("a client was cut off before event {}: {error}", client.next),
            }
        }
    }

    /// Takes the whole frames; returns where the first begins that is not.
    fn take(&mut self, at: usize, bytes: &[u8], now: Option<Timestamp>) -> usize {
        let client = &mut self.clients[at];
        let (mut begin, mut events) = (0, 0);
        while let Some((kind, payload, length)) = frame(&bytes[begin..]) {
            begin += length;
            match kind {
                FINAL_TEXT => {
                    assert_eq!(number(payload), Some(client.next), "{}", String::from_utf8_lossy(payload));
                    client.next += 1;
                    events += 1;
                    if let Some(now) = now {
                        self.delays.push(stamp(payload).until(now).as_secs_f64() * 1e3);
                    }
                }
                FINAL_PING => {
                    let mut pong = Vec::new();
                    put(&mut pong, FINAL_PONG, payload);
                    assert_eq!(client.stream.write(&pong).unwrap(), pong.len());
                }
                FINAL_CLOSE => panic!("a client was sent away before event {}", client.next),
                _ => panic!("a frame of kind {kind}"),
            }
        }
        self.shared.delivered.fetch_add(events, Ordering::AcqRel);
        begin
    }
}

/// The first byte of the first frame, its payload and its length, if it is whole. Servers do not mask.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (head, length) = match *bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]))),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize),
        length => (2, usize::from(length)),
    };
    Some((bytes[0], bytes.get(head..head + length)?, head + length))
}

/// What stands behind `name`.
fn behind<'a>(payload: &'a [u8], name: &str) -> &'a [u8] {
    let at = payload.windows(name.len()).position(|window| window == name.as_bytes());
    at.map_or(&[], |at| &payload[at + name.len()..])
}

fn number(payload: &[u8]) -> Option<u64> {
    let digits = behind(payload, "\"n\":");
    let digits = &digits[..digits.iter().take_while(|byte| byte.is_ascii_digit()).count()];
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// When the event was decided on.
fn stamp(payload: &[u8]) -> Timestamp {
    let text = behind(payload, "\"timestamp\":\"").split(|byte| *byte == b'"').next().unwrap_or_default();
    Timestamp::parse(std::str::from_utf8(text).unwrap()).unwrap()
}
