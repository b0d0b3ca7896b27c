//! Our own client against the real server.

use super::super::wire::{Empty, EventFollow, Id, Request};
use super::*;
use crate::control::{Client, ClientError, Followed};
use crate::model::command::Code;
use crate::ports::StoredEvent;

pub(super) fn status() -> Request {
    Request::DaemonStop(Empty {})
}

impl Door {
    fn client(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }
}

#[test]
fn where_nobody_listens_there_is_no_daemon() {
    let mut door = Door::open();
    let missing = Client::connect(&door.directory.path().join("other")).unwrap_err();
    assert!(matches!(missing, ClientError::NoDaemon { .. }), "{missing:?}");
    door.close();
    let ended = Client::connect(&door.socket()).unwrap_err();
    assert!(matches!(ended, ClientError::NoDaemon { .. }), "{ended:?}");
    let unusable = Client::connect(std::path::Path::new("/dev/null/socket")).unwrap_err();
    assert!(matches!(unusable, ClientError::Unusable { .. }), "{unusable:?}");
}

#[test]
fn a_refusal_arrives_with_its_code() {
    let door = Door::open();
    let mut client = door.client();
    let asked = client.send(&status()).unwrap();
    door.next_ask().refused(Refusal::new(Code::QueueFull, "the queue is full"));
    let Followed::Answer { id, result } = client.receive(Some(LIMIT)).unwrap() else { panic!("no answer") };
    assert_eq!(id, asked);
    let Err(ClientError::Refused { code: Code::QueueFull, message, retry_after_ms: Some(250) }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(message, "the queue is full");
}

#[test]
fn an_answer_that_comes_too_late_is_not_taken_for_the_next() {
    let door = Door::open();
    let mut client = door.client();
    let impatient = client.call_raw(&status(), Some(Duration::from_millis(20)));
    assert!(matches!(impatient, Err(ClientError::NoAnswer)), "{impatient:?}");
    door.answer_one();
    let show = Request::MessageShow(Id { id: "3".to_owned() });
    let shown: super::super::wire::Message = client.call_within(&show, Some(LIMIT)).unwrap();
    assert_eq!(shown.content, "xxx");
}

#[test]
fn a_daemon_that_ends_is_gone() {
    let mut door = Door::open();
    let mut client = door.client();
    client.send(&status()).unwrap();
    door.next_ask();
    door.close();
    let gone = client.receive(Some(LIMIT));
    assert!(matches!(gone, Err(ClientError::Gone)), "{gone:?}");
}

#[test]
fn events_and_answers_are_told_apart() {
    let door = Door::open();
    let mut client = door.client();
    let following = client.follow(EventFollow::default()).unwrap();
    assert_eq!((following.seq, following.recovered, following.epoch.as_str()), (0, true, EPOCH));
    let frame: &[u8] = br#"{"id":"1","event":"x","data":"{\"v\":1}","seq":1}"#;
    let event = StoredEvent { seq: 1, channel: "pool:a".into(), name: "x".into(), frame: frame.into() };
    door.feed.publish(vec![event]);
    let Followed::Frame(text) = client.receive(Some(LIMIT)).unwrap() else { panic!("no frame") };
    assert_eq!(text.as_bytes(), frame);
    assert!(!client.has_received());
    let asked = client.send(&status()).unwrap();
    door.answer_one();
    assert!(matches!(client.receive(Some(LIMIT)).unwrap(), Followed::Answer { id, result: Ok(_) } if id == asked));
}
