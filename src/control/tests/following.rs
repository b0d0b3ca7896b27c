//! Following events: where to begin, what was missed, and those who do not keep up.

use super::*;
use crate::ports::StoredEvent;
use serde_json::json;

fn event(seq: u64, bytes: usize) -> StoredEvent {
    let frame = format!("{{\"id\":\"{seq}\",\"seq\":{seq},\"data\":\"{}\"}}", "x".repeat(bytes));
    let channel = if seq.is_multiple_of(2) { "message:even" } else { "message:odd" };
    StoredEvent { seq, channel: channel.into(), name: "e".into(), frame: frame.into_bytes().into() }
}

impl Door {
    /// Stores events and tells of them, as the hub does.
    fn tell(&self, events: Vec<StoredEvent>) {
        self.store.events.lock().extend(events.iter().cloned());
        self.feed.publish(events);
    }

    fn tell_of(&self, seqs: std::ops::RangeInclusive<u64>) {
        self.tell(seqs.map(|seq| event(seq, 10)).collect());
    }
}

/// A door with the events 5 to 9; those before have been forgotten.
fn with_history() -> Door {
    let store = FakeStore::default();
    store.events.lock().extend((5..=9).map(|seq| event(seq, 10)));
    Door::with(LIMIT, store)
}

fn follow(door: &Door, args: &Value) -> (Peer, Value) {
    let mut peer = door.connect();
    peer.request(1, "event.follow", &args.to_string());
    let answer = peer.value();
    (peer, answer)
}

#[test]
fn a_follower_begins_where_it_stopped_if_that_can_be_told() {
    let door = with_history();
    let other = "fedcba9876543210";
    let table = [
        (json!({}), 9, true),
        (json!({"since": 7}), 7, true),
        (json!({"since": 7, "since_epoch": EPOCH}), 7, true),
        (json!({"since": 9}), 9, true),
        (json!({"since": 4}), 4, true),
        (json!({"since": 3}), 9, false),
        (json!({"since": 0}), 9, false),
        (json!({"since": 7, "since_epoch": other}), 9, false),
        (json!({"since_epoch": other}), 9, true),
        (json!({"since": 10}), 9, false),
        (json!({"since": u64::MAX}), 9, false),
    ];
    for (args, seq, recovered) in table {
        let (mut peer, answer) = follow(&door, &args);
        let expected = json!({"seq": seq, "epoch": EPOCH, "recovered": recovered});
        assert_eq!(answer["result"], expected, "{args}");
        // The answer comes first, then what was missed, in order.
        for missed in seq + 1..=9 {
            assert_eq!(peer.value()["seq"], missed, "{args}");
        }
    }
}

#[test]
fn what_happens_later_is_told_to_all_who_want_it() {
    let door = with_history();
    let (mut all, _) = follow(&door, &json!({}));
    let (mut even, _) = follow(&door, &json!({"channels": ["message:even"]}));
    let (mut named, _) = follow(&door, &json!({"since": 5, "events": ["other"]}));
    door.tell_of(10..=13);
    for seq in 10..=13 {
        assert_eq!(all.value()["seq"], seq);
    }
    for seq in [10, 12] {
        assert_eq!(even.value()["seq"], seq);
    }
    // It is told nothing, and still answered.
    named.request(2, "thread.list", "{}");
    assert_eq!(named.value()["id"], 2);
}

#[test]
fn a_follower_that_has_finished_sending_is_told_on() {
    let door = with_history();
    let (mut peer, _) = follow(&door, &json!({}));
    peer.finish_sending();
    door.tell_of(10..=10);
    assert_eq!(peer.value()["seq"], 10);
    assert!(door.forgotten.try_recv().is_err());
    drop(peer);
    door.forgotten.recv_timeout(LIMIT).unwrap();
}

#[test]
fn what_was_forgotten_in_between_is_said() {
    let door = Door::open();
    let (mut peer, _) = follow(&door, &json!({}));
    // Far more than the ring holds, and the oldest are gone from the table as well.
    let events: Vec<_> = (1..=100).map(|seq| event(seq, 100_000)).collect();
    door.store.events.lock().extend(events[30..].iter().cloned());
    door.feed.publish(events);
    let gap = peer.value();
    assert_eq!((&gap["event"], &gap["id"], &gap["seq"]), (&json!("gap"), &Value::Null, &Value::Null));
    assert_eq!(gap["data"], json!({"from": 1, "to": 30, "severity": "warning"}));
    for seq in 31..=100 {
        assert_eq!(peer.value()["seq"], seq);
    }
}

#[test]
fn nothing_is_missed_in_silence_when_it_is_forgotten_meanwhile() {
    let door = Door::open();
    let (mut peer, _) = follow(&door, &json!({}));
    door.store.forgotten_after_a_look.store(10, std::sync::atomic::Ordering::SeqCst);
    door.tell((1..=100).map(|seq| event(seq, 100_000)).collect());
    let first = peer.value();
    assert!(first["seq"] == 1 || first["event"] == "gap", "the first is {}", first["seq"]);
}

#[test]
fn a_follower_that_never_reads_is_in_nobodys_way() {
    let mut door = Door::open();
    let (stuck, _) = follow(&door, &json!({}));
    let (mut quick, _) = follow(&door, &json!({}));
    let mut other = door.connect();
    for round in 0..20 {
        door.tell((1..=50).map(|number| event(round * 50 + number, 10_000)).collect());
        other.request(1, "daemon.stop", "{}");
        door.answer_one();
        other.line();
    }
    for seq in 1..=1000 {
        assert_eq!(quick.value()["seq"], seq);
    }
    let took = door.close();
    assert!(took < PROMPTLY, "{took:?}");
    drop(stuck);
}

#[test]
fn what_is_no_channel_is_refused() {
    let door = Door::open();
    let mut peer = door.connect();
    peer.request(1, "event.follow", "{\"channels\":[\"nonsense\"]}");
    let (id, code, message) = peer.refusal();
    assert_eq!((id, code.as_str()), (Value::from(1), "bad_request"));
    assert!(message.contains("\"nonsense\" is no channel"), "{message}");
}
