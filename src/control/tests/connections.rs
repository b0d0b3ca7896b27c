//! Many connections, slow, broken and vanished peers, and the end of the door.

use super::super::wire::LINE_BYTES_MAX;
use super::*;
use crate::thread::Joined;
use std::collections::BTreeSet;
use std::io::Read;

const UNANSWERED_MAX: usize = 1024;
const CONNECTIONS_MAX: usize = 128;
/// Long enough for what should not happen to happen.
const A_WHILE: Duration = Duration::from_millis(150);

#[test]
fn a_line_that_is_too_long_is_refused_and_ends_the_connection() {
    let door = Door::open();
    let mut peer = door.connect();
    peer.request(1, "daemon.stop", "{}");
    peer.send(vec![b'x'; LINE_BYTES_MAX + 1]);
    let (id, code, message) = peer.refusal();
    assert_eq!((id, code.as_str()), (Value::Null, "too_large"), "{message}");
    // What was asked before is still answered.
    door.answer_one();
    assert_eq!(peer.value()["id"], 1);
    peer.assert_closed();
}

#[test]
fn a_line_may_be_as_long_as_is_said() {
    let door = Door::open();
    let mut peer = door.connect();
    let mut line = b"{\"id\":1,\"command\":\"daemon.stop\"".to_vec();
    line.resize(LINE_BYTES_MAX - 1, b' ');
    line.extend_from_slice(b"}\n");
    peer.send(line);
    door.answer_one();
    assert_eq!(peer.value()["ok"], true);
}

#[test]
fn half_a_line_is_given_up_and_an_idle_connection_is_not() {
    let door = Door::with_patience(Duration::from_millis(100));
    let (mut idle, mut half) = (door.connect(), door.connect());
    half.send("{\"v\":1,");
    let (id, code, message) = half.refusal();
    assert_eq!((id, code.as_str()), (Value::Null, "bad_request"));
    assert!(message.contains("half a line"), "{message}");
    half.assert_closed();
    idle.request(1, "daemon.stop", "{}");
    door.answer_one();
    assert_eq!(idle.value()["ok"], true);
}

#[test]
fn a_peer_that_takes_no_answers_is_closed() {
    let door = Door::with_patience(Duration::from_millis(100));
    let mut peer = door.connect();
    peer.request(1, "message.show", "{\"id\":\"4000000\"}");
    door.forgotten.recv_timeout(LIMIT).unwrap();
}

#[test]
fn a_peer_that_takes_some_and_then_nothing_is_not_given_twice_the_time() {
    let patience = Duration::from_secs(2);
    let door = Door::with_patience(patience);
    let mut peer = door.connect();
    let clock = SystemClock::new();
    peer.request(1, "message.show", "{\"id\":\"4000000\"}");
    // As much as comes: what the socket holds makes room for a part of the rest, and no more.
    let mut taken = [0; 1 << 16];
    peer.stream.read_exact(&mut taken).unwrap();
    let began = clock.tick();
    door.forgotten.recv_timeout(LIMIT).unwrap();
    let took = clock.tick().since(began);
    // Others may want the processor too.
    assert!(took < patience * 7 / 4, "{took:?}");
}

#[test]
fn five_thousand_requests_in_one_go_are_answered_in_any_order() {
    const REQUESTS: usize = 5_000;
    let door = Door::open();
    let mut peer = door.connect();
    let mut writing = Peer::new(peer.stream.try_clone().unwrap());
    let writer = Joined::spawn("writes", move || {
        let lines: String = (0..REQUESTS).map(|id| format!("{{\"id\":{id},\"command\":\"daemon.stop\"}}\n")).collect();
        writing.send(lines);
    })
    .unwrap();
    let asked = door.asked.clone();
    let answering = Joined::spawn("answers", move || {
        let mut answered = 0;
        while answered < REQUESTS {
            // Always the last of a handful first.
            let count = 250.min(REQUESTS - answered);
            let mut handful: Vec<_> = (0..count).map(|_| asked.recv_timeout(LIMIT).unwrap()).collect();
            while let Some(ask) = handful.pop() {
                ask.done();
            }
            answered += count;
        }
    })
    .unwrap();
    let ids: Vec<u64> = (0..REQUESTS).map(|_| peer.value()["id"].as_u64().unwrap()).collect();
    assert!(!ids.is_sorted());
    assert_eq!(ids.into_iter().collect::<BTreeSet<_>>().len(), REQUESTS);
    assert_eq!((writer.join(), answering.join()), (Some(()), Some(())));
}

/// A peer with as many unanswered requests as there may be, and some more on their way.
fn paused(door: &Door) -> (Peer, Vec<Asked>) {
    let mut peer = door.connect();
    for id in 0..UNANSWERED_MAX + 10 {
        peer.request(id, "poll.wait", "{\"id\":\"m\"}");
    }
    let asked = (0..UNANSWERED_MAX).map(|_| door.next_ask()).collect();
    (peer, asked)
}

#[test]
fn reading_pauses_when_too_much_is_unanswered_and_goes_on_afterwards() {
    let door = Door::open();
    let (mut peer, mut asked) = paused(&door);
    assert!(door.asked.recv_timeout(A_WHILE).is_err(), "one too many was taken");

    // The peer's own writing comes to a halt.
    peer.stream.set_nonblocking(true).unwrap();
    let mut line = format!("{{\"id\":\"more\",\"command\":\"daemon.stop\",\"args\":{{}}{}}}\n", " ".repeat(1000));
    let mut more = 0;
    loop {
        match peer.stream.write(line.as_bytes()) {
            Ok(written) if written == line.len() => more += 1,
            // The rest of a line that was cut.
            Ok(written) => line = line.split_off(written),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                break;
            }
        }
        assert!(more < 100_000, "everything was taken");
    }
    peer.stream.set_nonblocking(false).unwrap();

    // For every answer one more is taken.
    for _ in 0..3 {
        asked.pop().unwrap().done();
        peer.line();
        asked.push(door.next_ask());
        assert!(door.asked.try_recv().is_err());
    }
    assert_eq!(asked.len(), UNANSWERED_MAX);
    asked.into_iter().for_each(Asked::done);
    for _ in 0..UNANSWERED_MAX {
        peer.line();
    }
}

#[test]
fn a_peer_that_vanishes_is_forgotten_whatever_it_left_behind() {
    let door = Door::open();
    let mut idle = door.connect();
    idle.request(1, "poll.wait", "{\"id\":\"m\"}");
    let ask = door.next_ask();
    drop(idle);
    assert_eq!(door.forgotten.recv_timeout(LIMIT).unwrap(), ask.client);
    // An answer that comes late has nowhere to go, and does no harm.
    ask.done();

    let (peer, asked) = paused(&door);
    drop(peer);
    assert_eq!(door.forgotten.recv_timeout(LIMIT).unwrap(), asked[0].client);
}

#[test]
fn a_peer_that_has_finished_sending_gets_its_answers() {
    let door = Door::open();
    let mut peer = door.connect();
    for id in 0..3 {
        peer.request(id, "poll.wait", "{\"id\":\"m\"}");
    }
    peer.request(3, "poll.remove", "{\"id\":\"refuse\"}");
    peer.send("{\"id\":4,\"command\":\"thread.list\"}");
    peer.finish_sending();
    assert_eq!(peer.refusal().1, "busy");
    assert_eq!(peer.value()["id"], 4, "the last line needs no end");
    let asked: Vec<_> = (0..3).map(|_| door.next_ask()).collect();
    for (ask, id) in asked.into_iter().rev().zip([2, 1, 0]) {
        ask.done();
        assert_eq!(peer.value()["id"], id);
    }
    peer.assert_closed();
    door.forgotten.recv_timeout(LIMIT).unwrap();
}

#[test]
fn there_is_room_for_so_many_and_when_one_leaves_for_another() {
    let door = Door::open();
    let mut inside: Vec<Peer> = (0..CONNECTIONS_MAX)
        .map(|_| {
            let mut peer = door.connect();
            peer.request(1, "thread.list", "{}");
            peer.line();
            peer
        })
        .collect();
    let mut outside = door.connect();
    let (id, code, message) = outside.refusal();
    assert_eq!((id, code.as_str()), (Value::Null, "busy"), "{message}");
    outside.assert_closed();
    assert!(matches!(
        crate::control::Client::connect(&door.socket()).unwrap().call_raw(&super::client::status(), Some(LIMIT)),
        Err(crate::control::ClientError::Refused { code: crate::model::command::Code::Busy, .. })
    ));

    inside.pop();
    door.forgotten.recv_timeout(LIMIT).unwrap();
    // The place is free a moment after its peer was forgotten.
    let clock = SystemClock::new();
    let until = clock.tick().after(LIMIT);
    loop {
        let mut peer = door.connect();
        // A door that is full closes at once.
        let _ = peer.stream.write_all(b"{\"id\":7,\"command\":\"thread.list\"}\n");
        if peer.value()["ok"] == true {
            break;
        }
        assert!(clock.tick() < until, "the place was not given back");
    }
}

#[test]
fn answers_that_nobody_takes_do_not_pile_up() {
    let door = Door::open();
    let mut peer = door.connect();
    let mut writing = Peer::new(peer.stream.try_clone().unwrap());
    const ANSWERS: usize = 60;
    let writer = Joined::spawn("writes", move || {
        for id in 0..ANSWERS {
            writing.request(id, "message.show", "{\"id\":\"1000000\"}");
        }
        writing.finish_sending();
    })
    .unwrap();
    // Only so much is read from the store ahead of the peer.
    assert!(door.store.reads_settle() < 40, "{}", door.store.reads_settle());
    for id in 0..ANSWERS {
        assert!(peer.line().starts_with(&format!("{{\"v\":1,\"id\":{id},\"ok\":true")));
    }
    peer.assert_closed();
    assert_eq!(writer.join(), Some(()));
}

#[test]
fn the_door_closes_promptly_whatever_goes_on_inside() {
    let mut door = Door::open();
    let mut idle = door.connect();
    idle.request(1, "thread.list", "{}");
    idle.line();
    let mut half = door.connect();
    half.send("{\"v\":1");
    let mut following = door.connect();
    following.request(1, "event.follow", "{}");
    following.line();
    let mut finished = door.connect();
    finished.request(1, "poll.wait", "{\"id\":\"m\"}");
    finished.finish_sending();
    let waiting = door.next_ask();
    let mut stuffed = door.connect();
    for id in 0..20 {
        stuffed.request(id, "message.show", "{\"id\":\"1000000\"}");
    }
    let (mut paused, asked) = paused(&door);

    let took = door.close();
    assert!(took < PROMPTLY, "{took:?}");
    assert_eq!(door.forgotten.len(), 6, "every connection's thread has ended");
    // Nothing more is read, so half a line is told as one that ended there.
    assert_eq!(half.refusal().1, "bad_request");
    // Whoever follows hears that this was all.
    let (id, code, _) = following.refusal();
    assert!(id.is_null() && code == "not_running", "{id} {code}");
    for peer in [&mut idle, &mut half, &mut following, &mut finished, &mut paused] {
        peer.assert_closed();
    }
    assert!(UnixStream::connect(door.socket()).is_err());
    waiting.done();
    asked.into_iter().for_each(Asked::done);
}

#[test]
fn a_door_that_lets_nobody_in_serves_those_inside() {
    let mut door = Door::open();
    let mut peer = door.connect();
    peer.request(1, "thread.list", "{}");
    peer.line();
    door.server.as_mut().unwrap().close_door();
    assert!(UnixStream::connect(door.socket()).is_err());
    peer.request(2, "daemon.stop", "{}");
    door.answer_one();
    assert_eq!(peer.value()["id"], 2);
}
