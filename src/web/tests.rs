//! The port under a clock of the test's own: who is kept, and who is given up.

use super::meters::Meters;
use super::{Means, Settings, Tokens, Web};
use crate::clock::ManualClock;
use crate::feed::Feed;
use crate::model::command::{Code, Command, Refusal};
use crate::model::pool::PoolView;
use crate::ports::{Answer, Asker, Exposition, ReadError, Reader, Readers, StoredEvent};
use crate::telemetry::Registry;
use rustix::net::sockopt::set_socket_recv_buffer_size;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Longest that anything is waited for.
const LIMIT: Duration = Duration::from_secs(30);
/// As much as the feed holds, nearly.
const BACKLOG_BYTES: usize = 3 << 20;
const FRAME_BYTES: usize = 10_000;

/// Nobody is behind this door: what is told comes from the feed alone.
struct Nobody;

impl Asker for Nobody {
    fn ask(&self, _: u64, _: Command, _: Box<dyn Answer>) -> Result<(), Refusal> {
        Err(Refusal::new(Code::NotRunning, "nobody is here"))
    }

    fn forget(&self, _: u64) {}
}

impl Readers for Nobody {
    fn open(&self) -> Result<Box<dyn Reader>, ReadError> {
        Err(ReadError("nothing is stored".to_owned()))
    }
}

impl Exposition for Nobody {
    fn text(&self, _: &[PoolView]) -> String {
        String::new()
    }
}

struct Door {
    web: Web,
    feed: Arc<Feed>,
    clock: ManualClock,
    registry: Registry,
}

impl Door {
    fn open() -> Door {
        let (clock, registry) = (ManualClock::new(), Registry::new());
        let feed = Arc::new(Feed::new("0123456789abcdef".to_owned(), 0));
        let means = Means {
            offer: Arc::new(()),
            asker: Arc::new(Nobody),
            readers: Arc::new(Nobody),
            exposition: Arc::new(Nobody),
            feed: Arc::clone(&feed),
            clock: Arc::new(clock.clone()),
            registry: registry.clone(),
        };
        let tokens = Tokens { full: "full".to_owned(), read_only: "read".to_owned() };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = Web::start(Some(listener), Settings::new(tokens), means, [(), ()]).unwrap();
        Door { web, feed, clock, registry }
    }

    /// Events of so many bytes together.
    fn publish(&self, bytes: usize) {
        let first = self.feed.last_seq() + 1;
        let event = |seq| StoredEvent {
            seq,
            channel: "notes:mine".into(),
            name: "note.taken".into(),
            frame: vec![b'x'; FRAME_BYTES].into(),
        };
        self.feed.publish((first..).take(bytes / FRAME_BYTES).map(event).collect());
    }

    fn connections(&self) -> usize {
        Meters::new(&self.registry).unwrap().connections.value() as usize
    }

    /// Lets time pass. Whoever asks for the page afterwards gets it in a turn that has seen to everybody else's time.
    fn pass(&self, wait: Duration) {
        self.clock.advance(wait);
        let mut stream = connect(self.web.address().unwrap());
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Follows everything, and reads only when it is told to.
struct Reading(TcpStream);

impl Reading {
    fn begin(door: &Door) -> Reading {
        let stream = connect(door.web.address().unwrap());
        set_socket_recv_buffer_size(&stream, 32 << 10).unwrap();
        let url = format!("ws://{}/", door.web.address().unwrap());
        let (mut socket, _) = tungstenite::client(url, stream).unwrap();
        let request = r#"{"type":"subscribe","data":{"channel":"*","max_rate_hz":0}}"#;
        socket.send(request.into()).unwrap();
        while !socket.read().unwrap().to_text().unwrap().contains("subscribed") {}
        Reading(socket.get_ref().try_clone().unwrap())
    }

    /// Waits for so many bytes.
    fn read(&mut self, bytes: usize) -> io::Result<()> {
        self.0.read_exact(&mut vec![0; bytes])
    }
}

#[test]
fn who_reads_slowly_but_reads_is_kept() {
    let door = Door::open();
    let mut slow = Reading::begin(&door);
    door.publish(BACKLOG_BYTES);
    // In the end more has come than the kernel could have held for it: a ping waits behind the backlog all the time, and is
    // answered never.
    let (step, steps) = (150_000, 100);
    for at in 0..steps {
        door.pass(Duration::from_secs(9));
        slow.read(step).unwrap_or_else(|error| panic!("it was given up after {at} steps: {error}"));
        door.publish(step);
    }
}

#[test]
fn who_takes_nothing_and_says_nothing_is_given_up() {
    let door = Door::open();
    let mut stalled = Reading::begin(&door);
    door.publish(BACKLOG_BYTES);
    stalled.read(150_000).unwrap();
    // Both kernels go on for a moment to fill what room they have.
    let passes = (0..10).take_while(|_| door.connections() > 0).map(|_| door.pass(Duration::from_secs(11))).count();
    assert!((3..10).contains(&passes), "{passes}");

    let silent = Reading::begin(&door);
    door.pass(Duration::from_secs(21));
    assert_eq!(door.connections(), 1);
    door.pass(Duration::from_secs(11));
    assert_eq!(door.connections(), 0);
    drop(silent);
}
