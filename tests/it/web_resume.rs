//! Subscribers whose connection or daemon dies, over and over: nothing is lost, nothing comes twice.
//! `CLAUDE_COMMS_RESUME_CYCLES=1000` for the full figure, `CLAUDE_COMMS_RESUME_SEED` to repeat one.

use std::env;
use std::time::Duration;

use claude_comms::control::wire::{EventPublish, Request};
use claude_comms::control::{Client as Control, Followed};
use serde_json::{Value, json};

use crate::support::{Daemon, LIMIT};
use crate::web::{Client, address, start};

const CYCLES: u64 = 30;
/// Published at most in each cycle, before and after whatever happens in it.
const EVENTS_MAX: u64 = 60;

fn number(name: &str, otherwise: u64) -> u64 {
    env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// A small generator of our own: the same seed is the same run, as far as threads allow.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What was published, all of it known to be on the disk.
struct Publisher {
    next: u64,
}

impl Publisher {
    fn publish(&mut self, control: &mut Control, count: u64) {
        for _ in 0..count {
            let data = Some(json!({"number": self.next}));
            let (channel, event) = ("notes:mine".to_owned(), "note.taken".to_owned());
            let publish = EventPublish { channel, event, data, ..EventPublish::default() };
            control.send(&Request::EventPublish(publish)).unwrap();
            self.next += 1;
        }
        for _ in 0..count {
            let Followed::Answer { result, .. } = control.receive(Some(LIMIT)).unwrap() else { panic!() };
            result.unwrap();
        }
    }
}

/// A subscriber that remembers where it was.
struct Follower {
    client: Client,
    epoch: Value,
    seq: u64,
    /// The number that the next event has to have.
    next: u64,
}

impl Follower {
    fn begin(address: &str) -> Follower {
        let mut client = Client::connect(address);
        let epoch = client.welcome["data"]["epoch"].clone();
        let answer = client.subscribe(json!({"channel": "notes:mine"}));
        Follower { client, epoch, seq: answer["data"]["seq"].as_u64().unwrap(), next: 0 }
    }

    /// Reads so many, or until the connection ends.
    fn read(&mut self, count: u64) {
        for _ in 0..count {
            let event = self.client.next();
            let seq = event["seq"].as_u64().unwrap_or_else(|| panic!("{event}"));
            assert!(seq > self.seq, "{event} after {}", self.seq);
            assert_eq!(event["data"]["number"], self.next, "after {}", self.seq);
            self.seq = seq;
            self.next += 1;
        }
    }

    fn resume(&mut self, address: &str, rate: u64) {
        self.client = Client::connect(address);
        let since = json!({"epoch": self.epoch, "seq": self.seq});
        let answer = self.client.subscribe(json!({"channel": "notes:mine", "since": since, "max_rate_hz": rate}));
        assert_eq!((&answer["data"]["recovered"], &answer["data"]["seq"]), (&json!(true), &json!(self.seq)));
    }
}

/// Whoever comes with numbers of another log, or of the future, is told so, and how things stand.
fn check_unrecovered(address: &str, since: &Value) {
    let mut client = Client::connect(address);
    client.socket.get_mut().set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let answer = client.subscribe(json!({"channel": "pool:echo", "since": since}));
    assert_eq!(answer["data"]["recovered"], false, "{answer}");
    let first = client.next();
    assert_eq!((&first["event"], &first["data"]["snapshot"]), (&json!("pool.status_changed"), &json!(true)));
}

fn cycle(daemon: &mut Daemon, random: &mut Random, publisher: &mut Publisher, follower: &mut Follower) {
    let mut control = daemon.connect();
    publisher.publish(&mut control, random.below(EVENTS_MAX));
    follower.read(random.below(publisher.next - follower.next + 1));
    publisher.publish(&mut control, random.below(EVENTS_MAX));
    match random.below(4) {
        0 => {
            daemon.kill9();
            daemon.restart();
        }
        1 => {
            daemon.stop();
            daemon.restart();
        }
        _ => {}
    }
    let mut control = daemon.connect();
    publisher.publish(&mut control, random.below(EVENTS_MAX));
    let address = address(daemon);
    follower.resume(&address, [0, 20, 1000][random.below(3) as usize]);
    publisher.publish(&mut control, random.below(EVENTS_MAX));
    if random.below(2) == 0 {
        follower.read(publisher.next - follower.next);
    }
    match random.below(8) {
        0 => check_unrecovered(&address, &json!({"epoch": "0123456789abcdef", "seq": follower.seq})),
        1 => check_unrecovered(&address, &json!({"epoch": follower.epoch, "seq": follower.seq + 1_000_000})),
        _ => {}
    }
}

#[test]
fn whoever_comes_back_misses_nothing_and_hears_nothing_twice() {
    let seed = number("CLAUDE_COMMS_RESUME_SEED", 0x5eed);
    let cycles = number("CLAUDE_COMMS_RESUME_CYCLES", CYCLES);
    println!("seed {seed}, {cycles} cycles");
    let (mut daemon, address) = start("");
    daemon.run(&["pool", "create", "echo", "--executor", "echo"]).good();
    let (mut random, mut publisher) = (Random(seed), Publisher { next: 0 });
    let mut follower = Follower::begin(&address);
    for _ in 0..cycles {
        cycle(&mut daemon, &mut random, &mut publisher, &mut follower);
    }
    follower.resume(&self::address(&daemon), 0);
    follower.read(publisher.next - follower.next);
    println!("{} events, each once and in order", publisher.next);
}
