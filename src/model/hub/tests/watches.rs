//! Watches: what they follow, how they end, and who waits for them.

use super::*;

#[test]
fn what_does_not_exist_yet_is_unknown_unless_it_must() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    assert_eq!(desk.watch_status("t"), "active unknown");
    let ask = desk.add_watch(AddWatch { must_exist: true, ..watch_task("t2") });
    assert_eq!(refusal(&desk, ask), Some(Code::NotFound));
    // That it is watched already does not make it exist.
    let ask = desk.add_watch(AddWatch { must_exist: true, ..watch_task("t") });
    assert_eq!((refusal(&desk, ask), desk.watch_status("t").as_str()), (Some(Code::NotFound), "active unknown"));
    desk.rows.foreign_insert("t", "pending", None);
    let ask = desk.add_watch(AddWatch { must_exist: true, ..watch_task("t") });
    assert_eq!(refusal(&desk, ask), None);
    let ask = desk.add_watch(AddWatch { task_id: None, ..watch_task("") });
    assert_eq!(refusal(&desk, ask), Some(Code::BadRequest));
}

#[test]
fn a_watch_follows_every_status_until_a_final_one() {
    let mut desk = desk();
    desk.add_watch(watch_message("f"));
    for (status, expected) in [
        ("pending", "active pending"),
        ("in review", "active in review"),
        ("processing", "active processing"),
        ("completed", "ended complete"),
        ("pending", "ended complete"),
    ] {
        if desk.rows.tables.messages.contains_key("f") {
            desk.rows.foreign_update("f", status);
        } else {
            desk.rows.foreign_insert("f", status, None);
        }
        desk.batch(Vec::new());
        assert_eq!(desk.watch_status("f"), expected);
    }
}

#[test]
fn an_unknown_task_turns_out_to_be_a_message_of_that_name() {
    let mut desk = desk();
    desk.add_watch(watch_task("m"));
    desk.rows.foreign_insert("m", "processing", None);
    desk.batch(Vec::new());
    assert_eq!(desk.watch_status("m"), "active processing");
    assert_eq!(desk.rows.watch("m").unwrap().message_id, Some(MessageId::new("m")));
    assert_eq!(desk.rows.watch("m").unwrap().source, Some(ModuleName::new("stranger")));
}

#[test]
fn an_unknown_task_turns_out_to_be_named_by_a_message() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    let wait = desk.wait_watch("t", 30);
    desk.rows.foreign_insert("m", "pending", Some("t"));
    desk.batch(Vec::new());
    assert_eq!(desk.watch_status("t"), "active pending");
    assert_eq!(desk.watch_status("m"), "active pending");
    desk.rows.foreign_update("m", "failed");
    desk.batch(Vec::new());
    assert_eq!(desk.waited(wait), "failed");
}

#[test]
fn a_task_is_followed_to_the_first_that_exists() {
    let mut desk = desk();
    desk.rows.foreign_insert("m", "pending", Some("t"));
    desk.add_watch(watch_task("t"));
    assert_eq!(desk.rows.watch("t").unwrap().message_id, Some(MessageId::new("m")));
    desk.submit("ours");
    desk.rows.foreign_insert("ours", "pending", None);
    desk.add_watch(watch_task("ours"));
    assert_eq!(
        (desk.watch_status("ours").as_str(), desk.rows.watch("ours").unwrap().message_id.as_ref()),
        ("active processing", None)
    );
}

#[test]
fn a_watch_on_a_task_of_ours_shows_its_states_as_those_of_messages() {
    let mut desk = desk();
    desk.occupy();
    desk.ask(Command::Submit(Submit { retries_max: 1, ..submit("t") }));
    desk.add_watch(watch_task("t"));
    let wait = desk.wait_watch("t", 30);
    assert_eq!(desk.watch_status("t"), "active pending");
    desk.finish("busy0", Ending::Succeeded);
    assert_eq!(desk.watch_status("t"), "active processing");
    desk.finish("t", Ending::Failed);
    assert_eq!(desk.watch_status("t"), "active pending");
    desk.pass(SECOND);
    desk.finish("t", Ending::Succeeded);
    assert_eq!((desk.watch_status("t").as_str(), desk.waited(wait).as_str()), ("ended complete", "complete"));
}

#[test]
fn what_is_final_already_is_reported_at_once() {
    let mut desk = desk();
    desk.rows.foreign_insert("m", "failed", None);
    let ask = desk.add_watch(watch_message("m"));
    let Some(Ok(Reply::Watching(watch))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    assert_eq!((&watch.status, watch.is_active()), (&Status::Failed, false));
    let wait = desk.wait_watch("m", 30);
    assert_eq!(desk.waited(wait), "failed");
    desk.assert_silent_after_an_interval();
}

#[test]
fn more_than_the_most_are_refused_until_one_ends() {
    let mut desk = Driver::new(2);
    for id in ["x", "y"] {
        desk.add_watch(watch_task(id));
    }
    let ask = desk.add_watch(watch_task("z"));
    assert_eq!(refusal(&desk, ask), Some(Code::Busy));
    let again = desk.add_watch(watch_task("x"));
    assert_eq!(refusal(&desk, again), None, "what is watched already takes no new place");
    desk.ask(Command::RemoveWatch { name: "x".to_owned() });
    let ask = desk.add_watch(watch_task("z"));
    assert_eq!(refusal(&desk, ask), None);
    desk.pass(Duration::from_secs(60));
    assert_eq!(desk.hub.status().active_messages, 0);
    let ask = desk.add_watch(watch_task("w"));
    assert_eq!(refusal(&desk, ask), None);
}

#[test]
fn a_watch_expires_by_the_monotonic_clock() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    let wait = desk.wait_watch("t", 600);
    desk.facts();
    desk.clock.set_wall(Timestamp::from_unix_seconds(9e9));
    desk.pass(Duration::from_secs(59));
    assert_eq!(desk.watch_status("t"), "active unknown");
    desk.clock.set_wall(Timestamp::from_unix_seconds(0.0));
    desk.pass(SECOND);
    assert_eq!((desk.watch_status("t").as_str(), desk.waited(wait).as_str()), ("ended expired", "expired"));
    assert_eq!(desk.facts(), ["message.status_changed"]);
    desk.assert_silent_after_an_interval();
}

#[test]
fn adding_again_replaces_the_deadline_and_the_modules() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    desk.pass(Duration::from_secs(50));
    desk.add_watch(AddWatch { source: Some(ModuleName::new("b")), ..watch_task("t") });
    desk.pass(Duration::from_secs(59));
    assert_eq!(desk.watch_status("t"), "active unknown");
    assert_eq!(desk.rows.watch("t").unwrap().source, Some(ModuleName::new("b")));
    desk.pass(SECOND);
    assert_eq!(desk.watch_status("t"), "ended expired");
    desk.add_watch(watch_task("t"));
    assert_eq!(desk.watch_status("t"), "active unknown");
    assert_eq!(desk.rows.tables.watches.len(), 1);
}

#[test]
fn removing_ends_every_wait() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    let waits = [desk.wait_watch("t", 30), desk.wait_watch("t", 40)];
    let ask = desk.ask(Command::RemoveWatch { name: "t".to_owned() });
    let Some(Ok(Reply::Watching(removed))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    assert_eq!(removed.name(), "t");
    assert_eq!(waits.map(|wait| desk.waited(wait)), ["removed", "removed"]);
    let again = desk.ask(Command::RemoveWatch { name: "t".to_owned() });
    assert_eq!(refusal(&desk, again), Some(Code::NotFound));
    desk.assert_silent_after_an_interval();
}

#[test]
fn a_deleted_message_fails_its_watch() {
    let mut desk = desk();
    desk.rows.foreign_insert("m", "pending", None);
    desk.add_watch(watch_message("m"));
    let wait = desk.wait_watch("m", 30);
    desk.rows.foreign_delete("m");
    desk.batch(Vec::new());
    assert_eq!((desk.watch_status("m").as_str(), desk.waited(wait).as_str()), ("ended failed", "failed"));
}

#[test]
fn waiting_for_what_nobody_watches_watches_it_for_as_long() {
    let mut desk = desk();
    desk.rows.foreign_insert("m", "pending", None);
    desk.submit("t");
    let message = desk.wait_watch("m", 30);
    let task = desk.wait_watch("t", 30);
    assert_eq!(
        (desk.watch_status("m").as_str(), desk.watch_status("t").as_str()),
        ("active pending", "active processing")
    );
    desk.finish("t", Ending::Failed);
    assert_eq!((desk.waited(message).as_str(), desk.waited(task).as_str()), ("waiting", "failed"));
    desk.pass(Duration::from_secs(30));
    assert_eq!((desk.waited(message).as_str(), desk.watch_status("m").as_str()), ("expired", "ended expired"));
}

#[test]
fn waiting_for_what_expired_and_never_was_is_expired() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    desk.pass(Duration::from_secs(60));
    let wait = desk.wait_watch("t", 30);
    assert_eq!(desk.waited(wait), "expired");
    // One that exists by now is watched anew.
    desk.rows.foreign_insert("t", "pending", None);
    desk.batch(Vec::new());
    let wait = desk.wait_watch("t", 30);
    assert_eq!((desk.waited(wait).as_str(), desk.watch_status("t").as_str()), ("waiting", "active pending"));
}

#[test]
fn waiting_for_nothing_known_is_refused() {
    let mut desk = desk();
    let wait = desk.wait_watch("nothing", 30);
    assert_eq!(desk.waited(wait), "not_found");
    assert_eq!(desk.watch_status("nothing"), "none");
}

#[test]
fn a_wait_may_end_before_its_watch() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    let wait = desk.wait_watch("t", 5);
    desk.pass(5 * SECOND);
    assert_eq!((desk.waited(wait).as_str(), desk.watch_status("t").as_str()), ("timed_out", "active unknown"));
}

#[test]
fn a_watch_goes_on_after_a_crash_and_expires_by_the_time_of_day() {
    let mut desk = desk();
    desk.rows.foreign_insert("m", "pending", None);
    desk.add_watch(watch_message("m"));
    desk.add_watch(watch_task("t"));
    desk.crash();
    desk.rows.foreign_update("m", "processing");
    desk.batch(Vec::new());
    assert_eq!(desk.watch_status("m"), "active processing");
    desk.clock.advance(Duration::from_secs(61));
    desk.crash();
    assert_eq!((desk.watch_status("m").as_str(), desk.watch_status("t").as_str()), ("ended expired", "ended expired"));
}

#[test]
fn a_task_that_goes_back_to_its_queue_is_shown_as_pending() {
    let mut desk = desk();
    desk.submit("t");
    desk.add_watch(watch_task("t"));
    desk.batch(vec![Input::Stopping]);
    desk.finish("t", Ending::Interrupted);
    assert_eq!(desk.watch_status("t"), "active pending");
}

#[test]
fn two_watches_do_not_share_a_task() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    let wait = desk.wait_watch("t", 30);
    desk.add_watch(AddWatch { task_id: Some(TaskId::new("t")), ..watch_message("m") });
    desk.assert_sound();
    assert_eq!(desk.hub.status().active_messages, 2);
    desk.ask(Command::RemoveWatch { name: "m".to_owned() });
    desk.rows.foreign_insert("n", "complete", Some("t"));
    desk.batch(Vec::new());
    assert_eq!(desk.waited(wait), "complete");
}

#[test]
fn a_message_of_ours_may_be_what_a_watch_waits_for() {
    let mut desk = desk();
    desk.add_watch(watch_task("t"));
    let metadata = Some("{\"task_id\":\"t\"}".to_owned());
    desk.ask(Command::Send(Send { metadata, ..send("m") }));
    assert_eq!(desk.watch_status("t"), "active pending");
    desk.update("m", "complete");
    assert_eq!(desk.watch_status("t"), "ended complete");
}

#[test]
fn a_response_can_be_watched_before_it_begins() {
    let mut desk = desk();
    desk.occupy();
    desk.ask(Command::Ask(Ask { no_wait: true, ..ask(1) }));
    desk.ask(Command::Ask(Ask { no_wait: true, ..ask(2) }));
    desk.add_watch(watch_message("r1"));
    desk.add_watch(watch_task("r2"));
    desk.finish("busy0", Ending::Succeeded);
    desk.finish("busy1", Ending::Succeeded);
    assert_eq!(desk.watch_status("r1"), "active processing");
    assert_eq!(desk.watch_status("r2"), "active processing");
    desk.finish("t2", Ending::Succeeded);
    assert_eq!(desk.watch_status("r2"), "ended complete");
}

#[test]
fn a_message_resolves_a_watch_though_another_one_has_its_name() {
    let mut desk = desk();
    desk.add_watch(watch_task("m"));
    desk.rows.foreign_insert("other", "pending", Some("m"));
    desk.batch(Vec::new());
    desk.add_watch(watch_task("t"));
    desk.rows.foreign_insert("m", "processing", Some("t"));
    desk.batch(Vec::new());
    assert_eq!(desk.watch_status("t"), "active processing");
    assert_eq!(desk.watch_status("other"), "active pending");
}

#[test]
fn a_wait_may_be_shorter_than_the_watch_that_it_makes() {
    let mut desk = desk();
    desk.rows.foreign_insert("m", "pending", None);
    desk.batch(Vec::new());
    let seconds = |number| Some(Duration::from_secs(number));
    let wait = Command::WaitWatch { name: "m".to_owned(), timeout: seconds(10), watched_for: seconds(60) };
    let first = desk.ask(wait.clone());
    desk.pass(Duration::from_secs(10));
    assert_eq!((refusal(&desk, first), desk.watch_status("m").as_str()), (Some(Code::TimedOut), "active pending"));
    desk.pass(Duration::from_secs(50));
    assert_eq!(desk.watch_status("m"), "ended expired");
}
