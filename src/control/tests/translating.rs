//! Requests that come in other clothes.

use super::super::wire::{self, Request};
use super::super::{Meaning, Translator};
use super::*;
use crate::model::command::Code;
use crate::model::id::TaskId;
use serde_json::value::RawValue;
use serde_json::{Value, json};

fn translator() -> Translator {
    Translator::new(defaults(), Arc::new(SystemClock::new()))
}

fn cancel(id: &str) -> Request {
    Request::TaskCancel(wire::TaskId { task_id: id.to_owned() })
}

fn shown(text: Result<Box<RawValue>, Refusal>) -> Value {
    serde_json::from_str(text.unwrap().get()).unwrap()
}

fn commanded(meaning: Meaning) -> Command {
    match meaning {
        Meaning::Command(command) => *command,
        other => panic!("no command: {other:?}"),
    }
}

#[test]
fn a_short_id_needs_a_reader_and_a_whole_one_does_not() {
    let translator = translator();
    let whole = "0190c0de-0000-7000-8000-000000000001";
    let meaning = translator.meaning(&cancel(whole), None).unwrap();
    assert_eq!(commanded(meaning), Command::CancelTask { id: TaskId::new(whole) });
    assert!(matches!(translator.meaning(&cancel("short"), None), Ok(Meaning::Unresolved)));
    let mut store = FakeStore::default();
    let meaning = translator.meaning(&cancel("short"), Some(&mut store)).unwrap();
    assert_eq!(commanded(meaning), Command::CancelTask { id: TaskId::new("short") });
    let refused = translator.meaning(&cancel("many"), Some(&mut store)).unwrap_err();
    assert_eq!(refused.code, Code::NotFound);
}

#[test]
fn what_is_wrong_is_refused_as_on_the_socket_and_what_reads_is_read() {
    let translator = translator();
    let submit = wire::TaskSubmit { selector: Some("fastest".to_owned()), ..wire::TaskSubmit::default() };
    let refused = translator.meaning(&Request::TaskSubmit(submit), None).unwrap_err();
    assert_eq!(refused.message, "Unknown selector strategy: fastest");
    let show = Request::MessageShow(wire::Id { id: "3".to_owned() });
    assert!(matches!(translator.meaning(&show, None), Ok(Meaning::Read)));
    assert_eq!(shown(translator.read(&show, &mut FakeStore::default()))["content"], "xxx");
    assert_eq!(shown(translator.shown(Reply::Published(7))), json!({"seq": 7}));
    assert_eq!(translator.shown(Reply::Metrics(Vec::new(), Vec::new())).unwrap_err().code, Code::Internal);
}
