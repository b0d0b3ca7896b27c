//! The door over a real socket. Behind it the tests decide, in the part of the hub, and a few rows stand for the store.

mod client;
mod connections;
mod fakes;
mod following;
mod requests;
mod translating;

use super::server::{About, Means, Server};
use crate::clock::{Clock, SystemClock, Tick};
use crate::feed::Feed;
use crate::model::command::{Command, Refusal, Reply};
use crate::model::id::PoolId;
use crate::ports::{Answer, Exposition, HookView, Hooks};
use crossbeam_channel::Receiver;
use fakes::{FakeHub, FakeStore};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Longest that anything here may take.
const LIMIT: Duration = Duration::from_secs(20);
/// How soon a server must have ended, with all its threads.
const PROMPTLY: Duration = Duration::from_secs(10);
const EPOCH: &str = "0123456789abcdef";

struct Asked {
    client: u64,
    command: Command,
    answer: Box<dyn Answer>,
}

/// A server, and everything behind it.
struct Door {
    server: Option<Server>,
    asked: Receiver<Asked>,
    forgotten: Receiver<u64>,
    store: FakeStore,
    feed: Arc<Feed>,
    directory: TempDir,
}

/// Says how many pools it was asked about.
struct NoNumbers;

impl Exposition for NoNumbers {
    fn text(&self, pools: &[crate::model::pool::PoolView]) -> String {
        format!("pools {}", pools.len())
    }
}

fn defaults() -> super::Defaults {
    super::Defaults {
        ask_timeout: Duration::from_secs(1),
        watch_timeout: Duration::from_secs(2),
        task_timeout: Duration::from_secs(3),
        queue_max: 10,
        pool: PoolId::new("local"),
    }
}

struct NoHooks;

impl Hooks for NoHooks {
    fn hooks(&self) -> Vec<HookView> {
        Vec::new()
    }
}

impl Door {
    fn open() -> Door {
        Door::with_patience(LIMIT)
    }

    fn with_patience(patience: Duration) -> Door {
        Door::with(patience, FakeStore::default())
    }

    fn with(patience: Duration, store: FakeStore) -> Door {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("socket")).unwrap();
        let (hub, asked, forgotten) = FakeHub::new();
        let feed = Arc::new(Feed::new(EPOCH.to_owned(), store.newest()));
        let about = About {
            state_dir: "state".to_owned(),
            socket: "socket".to_owned(),
            database: "database".to_owned(),
            listen: None,
            listen_error: None,
            interval_seconds: 30.0,
            max_messages: 2000,
            log_level: || "info".to_owned(),
        };
        let means = Means {
            hand_over: Arc::new(|_, _, _| Err(std::io::Error::other("nobody takes it"))),
            asker: Arc::new(hub),
            readers: Arc::new(store.clone()),
            feed: Arc::clone(&feed),
            clock: Arc::new(SystemClock::new()),
            exposition: Arc::new(NoNumbers),
            hooks: Arc::new(NoHooks),
            defaults: defaults(),
            about,
        };
        let server = Server::start_with(patience, listener, means, ());
        Door { server: Some(server.unwrap()), asked, forgotten, store, feed, directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn connect(&self) -> Peer {
        Peer::new(UnixStream::connect(self.socket()).unwrap())
    }

    fn next_ask(&self) -> Asked {
        self.asked.recv_timeout(LIMIT).expect("the hub should have been asked")
    }

    /// Answers the next ask as done.
    fn answer_one(&self) {
        self.next_ask().done();
    }

    /// Ends the server, and says how long that took.
    fn close(&mut self) -> Duration {
        let clock = SystemClock::new();
        let started: Tick = clock.tick();
        drop(self.server.take());
        clock.tick().since(started)
    }
}

impl Asked {
    fn done(self) {
        self.answer.deliver(Ok(Reply::Done));
    }

    fn refused(self, refusal: Refusal) {
        self.answer.deliver(Err(refusal));
    }
}

/// A client that writes what it likes.
struct Peer {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Peer {
    fn new(stream: UnixStream) -> Peer {
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Peer { lines: BufReader::new(stream.try_clone().unwrap()), stream }
    }

    fn send(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).unwrap();
    }

    /// Sends a request with this number as its id.
    fn request(&mut self, id: usize, command: &str, args: &str) {
        self.send(format!("{{\"v\":1,\"id\":{id},\"command\":\"{command}\",\"args\":{args}}}\n"));
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the connection was closed");
        line
    }

    fn value(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The id and the code of a refusal.
    fn refusal(&mut self) -> (Value, String, String) {
        let answer = self.value();
        assert_eq!((&answer["v"], &answer["ok"]), (&Value::from(1), &Value::from(false)), "{answer}");
        let text = |key: &str| answer["error"][key].as_str().unwrap().to_owned();
        (answer["id"].clone(), text("code"), text("message"))
    }

    fn assert_closed(&mut self) {
        let mut rest = String::new();
        match self.lines.read_line(&mut rest) {
            Ok(0) => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
            other => panic!("not closed: {other:?} {rest}"),
        }
    }

    fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }
}
