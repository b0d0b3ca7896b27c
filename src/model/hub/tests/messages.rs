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
fn a_question_that_a_task_answers_has_no_second_answer() {
    let mut desk = desk();
    desk.occupy();
    desk.ask(Command::Ask(ask(1)));
    let reply = |desk: &mut Driver, id: &str| {
        let answer = Command::Reply { id: MessageId::new(id), question: MessageId::new("q1"), content: "42".into() };
        let ask = desk.ask(answer);
        desk.answer(ask).expect("it was answered").clone()
    };
    let said = reply(&mut desk, "x").unwrap_err();
    assert_eq!(said.code, Code::Conflict);
    assert!(said.message.contains("task t1 is to answer q1") && said.message.contains("task cancel t1"), "{said}");
    desk.finish("busy0", Ending::Succeeded);
    assert_eq!(reply(&mut desk, "y").unwrap_err().code, Code::Conflict);
    assert!(!desk.rows.tables.messages.contains_key("x") && !desk.rows.tables.messages.contains_key("y"));
    desk.finish("t1", Ending::Succeeded);
    assert_eq!((desk.message_status("q1"), &*desk.rows.message("r1").content), ("complete", "result of t1"));
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
fn a_directory_is_not_taken_for_that_of_a_module_of_the_same_name() {
    let mut desk = desk();
    let other = || Party::Directory { name: ModuleName::new("b"), path: "/other/b".to_owned() };
    let asks = [
        desk.ask(Command::Send(Send { to: other(), ..send("m") })),
        desk.ask(Command::Send(Send { from: other(), ..send("n") })),
        desk.ask(Command::Ask(Ask { to: other(), ..ask(1) })),
        desk.ask(Command::Ask(Ask { from: other(), ..ask(2) })),
    ];
    for ask in asks {
        let Some(Err(said)) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
        assert_eq!(said.code, Code::Conflict);
        for part in ["/other/b", "the module in /b", "module add NAME /other/b"] {
            assert!(said.message.contains(part), "{said}");
        }
    }
    assert!(desk.rows.tables.messages.is_empty());
    let same = Party::Directory { name: ModuleName::new("b"), path: "/b".to_owned() };
    let ask = desk.ask(Command::Send(Send { to: same, ..send("o") }));
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

fn brought(id: &str, content: &str) -> Command {
    Command::ImportMessage(Box::new(crate::model::message::Message {
        id: MessageId::new(id),
        thread_id: ThreadId::new("old"),
        thread_title: None,
        module: ModuleName::new("a"),
        target: None,
        content: content.to_owned(),
        truncated: false,
        kind: "note".to_owned(),
        at: crate::clock::Timestamp::from_micros(5),
        status: Status::Complete,
        metadata: None,
        error: None,
    }))
}

#[test]
fn what_is_brought_is_told_once_and_what_is_here_stays() {
    let mut desk = desk();
    desk.add_watch(watch_message("m"));
    let waiting = desk.wait_watch("m", 60);
    let early = desk.ask(brought("m", "hello"));
    assert_eq!(refusal(&desk, early), Some(Code::NotFound), "its thread is not here");
    desk.ask(Command::ImportThread(Box::new(crate::model::message::Thread {
        id: ThreadId::new("old"),
        title: None,
        modules: Vec::new(),
        metadata: None,
        created_at: crate::clock::Timestamp::from_micros(4),
        messages: 0,
    })));
    desk.facts();
    for expected in [true, false] {
        let ask = desk.ask(brought("m", "hello"));
        let Some(Ok(Reply::Imported { added, .. })) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
        assert_eq!((*added, desk.facts().is_empty()), (expected, !expected));
    }
    assert!(matches!(desk.answer(waiting), Some(Ok(Reply::Waited(_)))), "who waits for it is answered");
    let other = desk.ask(brought("m", "something else"));
    assert_eq!(refusal(&desk, other), Some(Code::Conflict));
    assert_eq!(&*desk.rows.message("m").content, "hello");
    desk.assert_sound();
}
