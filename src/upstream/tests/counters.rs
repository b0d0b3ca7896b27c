//! Totals that only grow.

use super::super::CounterFold;
use proptest::prelude::*;

#[test]
fn two_identical_polls_leave_a_counter_unchanged() {
    let mut fold = CounterFold::default();
    assert_eq!((fold.fold(41.0), fold.total()), (Some(41.0), 41.0));
    assert_eq!((fold.fold(41.0), fold.total()), (Some(0.0), 41.0));
    assert_eq!((fold.fold(44.0), fold.total()), (Some(3.0), 44.0));
}

#[test]
fn a_smaller_value_is_a_restart_of_the_server() {
    let mut fold = CounterFold { last: 44.0, offset: 100.0 };
    assert_eq!((fold.fold(2.0), fold.total()), (Some(2.0), 146.0));
    assert_eq!(fold, CounterFold { last: 2.0, offset: 144.0 });
    assert_eq!((fold.fold(0.0), fold.total()), (Some(0.0), 146.0));
}

#[test]
fn what_cannot_be_a_total_changes_nothing() {
    let before = CounterFold { last: 3.0, offset: f64::MAX };
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX] {
        let mut fold = before;
        assert_eq!(fold.fold(value), None, "{value}");
        assert_eq!(fold, before);
    }
}

/// A server that counts, is restarted now and then, and is asked now and then.
#[derive(Clone, Debug)]
enum Event {
    Counts(u32),
    Restarts,
    IsAsked,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (1_u32..1000).prop_map(Event::Counts),
        Just(Event::Restarts),
        Just(Event::IsAsked),
        Just(Event::IsAsked)
    ];
    prop::collection::vec(event, 0..200)
}

proptest! {
    #[test]
    fn the_total_is_what_can_be_known_of_all_lives(events in events()) {
        let (mut fold, mut now, mut last, mut known) = (CounterFold::default(), 0.0, 0.0, 0.0);
        for event in events {
            match event {
                Event::Counts(more) => now += f64::from(more),
                Event::Restarts => now = 0.0,
                Event::IsAsked => {
                    // The sum of what was added since the last look, or since the restart that it shows.
                    known += if now >= last { now - last } else { now };
                    last = now;
                    let before = fold.total();
                    let grown = fold.fold(now).unwrap();
                    prop_assert_eq!(fold.total(), known);
                    prop_assert_eq!(before + grown, known);
                    prop_assert_eq!(fold.fold(now), Some(0.0));
                }
            }
        }
    }

    #[test]
    fn the_total_never_shrinks_whatever_comes(values in prop::collection::vec(any::<f64>(), 0..50), cut in 0_usize..50) {
        let mut fold = CounterFold::default();
        for (number, value) in values.into_iter().enumerate() {
            if number == cut {
                // Stored and taken up again.
                fold = CounterFold { last: fold.last, offset: fold.offset };
            }
            let before = fold.total();
            let grown = fold.fold(value);
            prop_assert!(fold.total() >= before && fold.total().is_finite());
            prop_assert!(grown.unwrap_or(0.0) >= 0.0);
        }
    }
}
