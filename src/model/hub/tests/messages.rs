//! Our own verbs on messages, and what other programs do to them.

use super::*;
use crate::model::event::Body;

#[test]
fn our_verbs_walk_the_table_and_no_further() {
    let statuses = ["pending", "processing", "complete", "failed"];
    let allowed = |from, to| matches!((from, to), ("pending", _) | ("processing", "complete" | "failed")) || from == to;
    for from in statuses {
        for to in statuses {
            let mut desk = desk();
            desk.ask(Command::Send(send("m")));
            desk.update("m", from);
            let ask = desk.update("m", to);
            let expected = if allowed(from, to) { to } else { from };
            assert_eq!(desk.message_status("m"), expected, "{from} -> {to}");
            assert_eq!(refusal(&desk, ask).is_none(), allowed(from, to), "{from} -> {to}");
            desk.assert_sound();
        }
    }
}

#[test]
fn a_step_to_the_same_status_writes_and_tells_nothing() {
    let mut desk = desk();
    desk.ask(Command::Send(send("m")));
    desk.facts();
    let ask = desk.update("m", "pending");
    let Some(Ok(Reply::Updated { changed, .. })) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    assert!(!changed);
    assert!(desk.facts().is_empty());
}

#[test]
fn the_content_of_what_has_ended_stays() {
    let mut desk = desk();
    desk.ask(Command::Send(send("m")));
    desk.update("m", "complete");
    let ask = desk.ask(Command::Update { id: MessageId::new("m"), status: None, content: Some("new".into()) });
    assert_eq!(refusal(&desk, ask), Some(Code::Conflict));
    assert_eq!(&*desk.rows.message("m").content, "hello");
}

#[test]
fn a_reply_completes_its_question_in_one_step() {
    let mut desk = desk();
    desk.ask(Command::Send(send("m")));
    let reply =
        |id: &str| Command::Reply { id: MessageId::new(id), question: MessageId::new("m"), content: "42".into() };
    let ask = desk.ask(reply("r"));
    assert_eq!(refusal(&desk, ask), None);
    let response = desk.rows.message("r");
    assert_eq!((response.kind.as_str(), &response.status), ("response", &Status::Complete));
    assert_eq!(response.in_reply_to, Some(MessageId::new("m")));
    assert_eq!((response.module.as_str(), response.thread.as_str()), ("b", "thread of m"));
    assert_eq!(desk.message_status("m"), "complete");
    let again = desk.ask(reply("r2"));
    assert_eq!(refusal(&desk, again), Some(Code::Conflict));
}

#[test]
fn a_message_goes_from_and_to_somebody_known_into_a_thread_that_exists() {
    let mut desk = desk();
    for (from, to) in [("a", "nobody"), ("nobody", "a")] {
        let ask = desk.ask(Command::Send(Send { from: module(from), to: module(to), ..send("m") }));
        assert_eq!(refusal(&desk, ask), Some(Code::NotFound), "{from} {to}");
    }
    let thread = IntoThread::Existing(ThreadId::new("nowhere"));
    let ask = desk.ask(Command::Send(Send { thread, ..send("m") }));
    assert_eq!(refusal(&desk, ask), Some(Code::NotFound));
    assert!(desk.rows.tables.messages.is_empty());
    let path = Party::Directory { name: ModuleName::new("c"), path: "/c".to_owned() };
    let ask = desk.ask(Command::Send(Send { to: path, ..send("m") }));
    assert_eq!(refusal(&desk, ask), None);
}

#[test]
fn each_foreign_change_is_one_event() {
    let mut desk = desk();
    desk.rows.foreign_insert("f", "pending", None);
    desk.rows.foreign_update("f", "processing");
    desk.rows.foreign_update("f", "in review");
    desk.rows.foreign_delete("f");
    desk.batch(Vec::new());
    let told: Vec<_> = desk
        .events
        .drain(..)
        .filter_map(|event| match event.body {
            Body::MessageStatus { previous, current, .. } => Some((previous, current)),
            _ => None,
        })
        .collect();
    let status = |word: &str| Some(Status::parse(word));
    assert_eq!(
        told,
        [
            (None, status("pending")),
            (status("pending"), status("processing")),
            (status("processing"), status("in review")),
            (status("in review"), None),
        ]
    );
}

#[test]
fn modules_come_and_go() {
    let mut desk = desk();
    let name = ModuleName::new("b");
    let ask = desk.ask(Command::RemoveModule { name: name.clone() });
    assert_eq!(refusal(&desk, ask), None);
    let ask = desk.ask(Command::RemoveModule { name });
    assert_eq!(refusal(&desk, ask), Some(Code::NotFound));
    let ask = desk.ask(Command::Send(send("m")));
    assert_eq!(refusal(&desk, ask), Some(Code::NotFound));
}
