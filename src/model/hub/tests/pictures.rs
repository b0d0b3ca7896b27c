//! Pictures of a state: few, never stale, and none without need.

use super::*;
use crate::model::event::Body;
use crate::model::limits::PICTURE_INTERVAL;

#[test]
fn a_subject_is_pictured_ten_times_a_second_at_most() {
    let mut desk = desk();
    for number in 0..100 {
        let id = format!("t{number}");
        desk.submit(&id);
        desk.finish(&id, Ending::Succeeded);
        desk.pass(Duration::from_millis(10));
    }
    for (subject, count) in desk.pictures() {
        assert!((9..=11).contains(&count), "{subject}: {count} in a second");
    }
}

#[test]
fn the_last_state_is_always_shown() {
    let mut desk = desk();
    desk.occupy();
    for id in ["busy0", "busy1", "busy2"] {
        desk.finish(id, Ending::Succeeded);
    }
    desk.pass(PICTURE_INTERVAL);
    let last = desk.events.iter().rev().find_map(|event| match &event.body {
        Body::PoolStatus { active_workers, completed, .. } => Some((*active_workers, *completed)),
        _ => None,
    });
    assert_eq!(last, Some((0, 3)));
}

#[test]
fn nothing_is_shown_and_nothing_due_while_nothing_changes() {
    let mut desk = desk();
    desk.submit("t");
    desk.finish("t", Ending::Succeeded);
    desk.assert_silent_after_an_interval();
    desk.events.clear();
    desk.pass(Duration::from_secs(3600));
    assert!(desk.events.is_empty());
}

#[test]
fn numbers_are_given_to_what_is_shown_without_gaps() {
    let mut desk = desk();
    for number in 0..20 {
        desk.ask(Command::Ask(Ask { no_wait: true, ..ask(number) }));
        desk.pass(Duration::from_millis(30));
    }
    let numbers: Vec<u64> = desk.events.iter().map(|event| event.seq).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
    assert_eq!(desk.hub.status().seq, *numbers.last().unwrap());
    desk.assert_sound();
}
