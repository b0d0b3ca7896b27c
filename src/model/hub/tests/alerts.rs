//! Alerts: what is told of numbers that are read once a second.

use super::*;
use crate::model::alert::{Alert, Bound, Labels, Look, Reading, Rule};
use crate::model::event::Body;
use crate::model::hub::driver::Fate;
use crate::model::limits::{ALERT_RETURN_MAX, ALERT_SERIES_MAX};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Raised above 90, cleared at 75.
fn rule(hold: u64) -> Rule {
    let hold = Duration::from_secs(hold);
    Rule {
        name: "r".into(),
        metric: "m".into(),
        labels: Labels::default(),
        bound: Bound::Above(90.0),
        clear: 75.0,
        hold,
    }
}

fn ruled(rules: Vec<Rule>) -> Driver {
    let mut desk = desk();
    desk.batch(vec![Input::AlertRules(rules)]);
    desk
}

fn series(pool: &str) -> Labels {
    Arc::new(BTreeMap::from([("pool".to_owned(), pool.to_owned())]))
}

fn read(desk: &Driver, numbers: &[(&str, f64)]) -> Input {
    let readings = numbers.iter().map(|(pool, value)| Reading { labels: series(pool), value: *value });
    let metrics = BTreeMap::from([("m".to_owned(), readings.collect())]);
    Input::Looked(Arc::new(Look { at: desk.clock.now(), metrics }))
}

/// One look.
fn look(desk: &mut Driver, numbers: &[(&str, f64)]) {
    let input = read(desk, numbers);
    desk.batch(vec![input]);
}

/// Looks once a second at the series `a`: a number each, `-` where there is none. Returns what was told, and at which
/// number, counted from 1.
fn looks(desk: &mut Driver, numbers: &str) -> String {
    let mut told = Vec::new();
    for (at, word) in numbers.split_whitespace().enumerate() {
        desk.clock.advance(SECOND);
        let value = word.parse().ok();
        look(desk, &value.map(|value: f64| ("a", value)).into_iter().collect::<Vec<_>>());
        told.extend(news(desk).into_iter().map(|news| format!("{}:{news}", at + 1)));
    }
    told.join(" ")
}

/// What was told of alerts since the last call: `raised a=95`.
fn news(desk: &mut Driver) -> Vec<String> {
    let pool = |alert: &Alert| alert.labels["pool"].clone();
    let told = desk.events.drain(..).filter_map(|event| match event.body {
        Body::AlertRaised(alert) => Some(format!("raised({}={})", pool(&alert), alert.value)),
        Body::AlertCleared { alert, value: Some(value) } => Some(format!("cleared({}={value})", pool(&alert))),
        Body::AlertCleared { alert, value: None } => Some(format!("cleared({})", pool(&alert))),
        _ => None,
    });
    told.collect()
}

fn check(rule: Rule, numbers: &str, expected: &str) {
    let mut desk = ruled(vec![rule]);
    assert_eq!(looks(&mut desk, numbers), expected, "{numbers}");
    desk.assert_sound();
}

#[test]
fn the_threshold_must_be_crossed_for_as_long_as_the_rule_says() {
    check(rule(0), "90 91", "2:raised(a=91)");
    check(rule(3), "91 92 93 94", "4:raised(a=94)");
    check(rule(3), "91 92 93 90 91 92 93", "");
    check(rule(3), "91 92 93 90 91 92 93 94", "8:raised(a=94)");
}

#[test]
fn a_number_that_trembles_around_the_threshold_is_told_once() {
    check(rule(0), "91 89 91 76 91 75", "1:raised(a=91) 6:cleared(a=75)");
    check(rule(2), "91 92 93 74 91 92 93", "3:raised(a=93) 4:cleared(a=74) 7:raised(a=93)");
    let below = Rule { bound: Bound::Below(10.0), clear: 20.0, ..rule(0) };
    check(below, "10 9 11 19 9 20", "2:raised(a=9) 6:cleared(a=20)");
}

#[test]
fn a_reading_that_is_missing_or_no_number_breaks_the_hold() {
    check(rule(2), "91 - 91 92", "");
    check(rule(2), "91 - 91 92 93", "5:raised(a=93)");
    check(rule(2), "91 NaN 91 92 93", "5:raised(a=93)");
    check(rule(0), "NaN NaN", "");
}

#[test]
fn looks_that_lie_far_apart_show_nothing_of_what_was_in_between() {
    let mut desk = ruled(vec![rule(10)]);
    assert_eq!(looks(&mut desk, "91 91"), "");
    desk.clock.advance(6 * SECOND);
    assert_eq!(looks(&mut desk, "91 91 91 91 91 91 91 91 91 91"), "");
    assert_eq!(looks(&mut desk, "91"), "1:raised(a=91)");
}

#[test]
fn a_series_that_is_gone_for_some_seconds_clears_its_alert() {
    check(rule(0), "91 - - - - - 91", "1:raised(a=91)");
    check(rule(0), "91 NaN - - - - - -", "1:raised(a=91) 7:cleared(a)");
    check(rule(0), "91 - - - - - - - 91", "1:raised(a=91) 7:cleared(a) 9:raised(a=91)");
}

#[test]
fn each_series_of_a_rule_has_an_alert_of_its_own() {
    let mut desk = ruled(vec![rule(1)]);
    look(&mut desk, &[("a", 95.0), ("b", 80.0)]);
    desk.clock.advance(SECOND);
    look(&mut desk, &[("a", 96.0), ("b", 99.0)]);
    assert_eq!(news(&mut desk), ["raised(a=96)"]);
    desk.clock.advance(SECOND);
    look(&mut desk, &[("a", 10.0), ("b", 98.0)]);
    assert_eq!(news(&mut desk), ["cleared(a=10)", "raised(b=98)"]);
}

#[test]
fn a_rule_with_labels_is_about_nothing_else() {
    let mut desk = ruled(vec![Rule { labels: series("b"), ..rule(0) }]);
    look(&mut desk, &[("a", 95.0), ("b", 95.0)]);
    assert_eq!(news(&mut desk), ["raised(b=95)"]);
}

#[test]
fn an_alert_says_since_when_and_shows_the_last_number() {
    let mut desk = ruled(vec![rule(2)]);
    let begin = desk.clock.wall();
    assert_eq!(looks(&mut desk, "91 92 93 94"), "3:raised(a=93)");
    let ask = desk.ask(Command::ListAlerts);
    let Some(Ok(Reply::Alerts(alerts))) = desk.answer(ask) else { panic!("{:?}", desk.answer(ask)) };
    let (since, raised_at) = (begin.after(SECOND), begin.after(3 * SECOND));
    let (rule, metric, bound) = ("r".into(), "m".into(), Bound::Above(90.0));
    assert_eq!(*alerts, [Alert { rule, metric, labels: series("a"), bound, value: 94.0, since, raised_at }]);
    assert!(Command::ListAlerts.is_read());
}

#[test]
fn what_raises_and_clears_nothing_needs_no_write() {
    let mut desk = ruled(vec![rule(1)]);
    for (value, is_news) in [(91.0, false), (91.0, true), (92.0, false), (70.0, true)] {
        desk.clock.advance(SECOND);
        let input = read(&desk, &[("a", value)]);
        let Input::Looked(look) = &input else { unreachable!() };
        assert_eq!(desk.hub.is_news(look), is_news, "{value}");
        desk.batch(vec![input]);
        assert_eq!(news(&mut desk).len(), usize::from(is_news));
    }
}

#[test]
fn what_a_failed_batch_has_told_is_told_by_the_next() {
    let mut desk = ruled(vec![rule(2)]);
    for fate in [Fate::CommitFails, Fate::NothingWorks] {
        looks(&mut desk, "91 91");
        for (value, expected) in [(91.0, "raised(a=91)"), (70.0, "cleared(a=70)")] {
            desk.clock.advance(SECOND);
            let input = read(&desk, &[("a", value)]);
            desk.batch_with(vec![input], fate);
            assert_eq!(news(&mut desk), Vec::<String>::new());
            desk.batch(Vec::new());
            assert_eq!(news(&mut desk), [expected]);
        }
    }
    desk.assert_sound();
}

#[test]
fn an_alert_outlives_the_daemon_and_is_not_raised_again() {
    let mut desk = ruled(vec![rule(0)]);
    looks(&mut desk, "91");
    desk.crash();
    desk.batch(vec![Input::AlertRules(vec![rule(0)])]);
    assert_eq!(looks(&mut desk, "92 93"), "");
    desk.crash();
    desk.batch(vec![Input::AlertRules(vec![rule(0)])]);
    assert_eq!(looks(&mut desk, "60"), "1:cleared(a=60)");
    assert!(desk.rows.tables.alerts.is_empty());
}

/// A gauge of an upstream is there again once that was polled.
#[test]
fn after_a_start_a_series_has_time_to_come_back() {
    let mut desk = ruled(vec![rule(0)]);
    looks(&mut desk, "91");
    for returns in [true, false] {
        desk.crash();
        desk.batch(vec![Input::AlertRules(vec![rule(0)])]);
        assert_eq!(looks(&mut desk, "- - - - - - - -"), "");
        if returns {
            assert_eq!(looks(&mut desk, "91 - 92"), "");
        }
    }
    desk.clock.advance(ALERT_RETURN_MAX);
    assert_eq!(looks(&mut desk, "-"), "1:cleared(a)");
}

#[test]
fn what_no_rule_stands_behind_any_more_is_cleared() {
    let named = |name: &str| Rule { name: name.into(), ..rule(0) };
    let changed: [(&str, Vec<Rule>); 5] = [
        ("gone", vec![named("other")]),
        ("another metric", vec![Rule { metric: "n".into(), ..rule(0) }]),
        ("another threshold", vec![Rule { bound: Bound::Above(80.0), ..rule(0) }]),
        ("the other side", vec![Rule { bound: Bound::Below(90.0), clear: 95.0, ..rule(0) }]),
        ("another series", vec![Rule { labels: series("b"), ..rule(0) }]),
    ];
    for (what, rules) in changed {
        for crashes in [true, false] {
            let mut desk = ruled(vec![rule(0)]);
            looks(&mut desk, "91");
            if crashes {
                desk.crash();
            }
            desk.batch_with(vec![Input::AlertRules(rules.clone())], Fate::CommitFails);
            desk.batch(Vec::new());
            assert_eq!(news(&mut desk), ["cleared(a)"], "{what}");
        }
    }
    let mut desk = ruled(vec![rule(0)]);
    looks(&mut desk, "91");
    desk.batch(vec![Input::AlertRules(vec![Rule { clear: 50.0, ..rule(9) }])]);
    assert_eq!(looks(&mut desk, "60 50"), "2:cleared(a=50)");
}

#[test]
fn what_was_seen_before_the_rules_changed_is_judged_by_the_old_ones() {
    for fate in [Fate::CommitFails, Fate::NothingWorks] {
        let mut desk = ruled(vec![rule(1)]);
        looks(&mut desk, "91");
        desk.clock.advance(SECOND);
        let seen = read(&desk, &[("a", 92.0), ("b", 60.0)]);
        let rules = Input::AlertRules(vec![Rule { bound: Bound::Above(50.0), clear: 50.0, ..rule(0) }]);
        desk.batch_with(vec![seen, rules], fate);
        desk.batch(Vec::new());
        assert_eq!(news(&mut desk), ["raised(a=92)", "cleared(a)"]);
    }
}

#[test]
fn a_rule_that_asks_something_else_holds_anew() {
    let mut desk = ruled(vec![rule(3)]);
    looks(&mut desk, "91 91 91");
    desk.batch(vec![Input::AlertRules(vec![Rule { bound: Bound::Above(80.0), ..rule(3) }])]);
    assert_eq!(looks(&mut desk, "91 91 91 91"), "4:raised(a=91)");
    for changed in [rule(2), Rule { clear: 50.0, ..rule(3) }, Rule { labels: series("a"), ..rule(3) }] {
        let mut desk = ruled(vec![rule(3)]);
        looks(&mut desk, "91 91 91");
        desk.batch(vec![Input::AlertRules(vec![changed.clone()])]);
        let held = changed.hold.as_secs() + 1;
        assert_eq!(looks(&mut desk, "91 91 91 91"), format!("{held}:raised(a=91)"), "{changed:?}");
    }
    // One that has not changed goes on.
    let mut desk = ruled(vec![rule(3)]);
    looks(&mut desk, "91 91 91");
    desk.batch(vec![Input::AlertRules(vec![rule(3), Rule { name: "new".into(), ..rule(9) }])]);
    assert_eq!(looks(&mut desk, "91 91"), "1:raised(a=91)");
}

#[test]
fn what_comes_when_there_are_too_many_does_not_push_out_what_is_known() {
    let mut desk = ruled(vec![rule(0)]);
    let names: Vec<String> = (0..ALERT_SERIES_MAX + 3).map(|number| format!("p{number:04}")).collect();
    let numbers: Vec<(&str, f64)> = names.iter().map(|name| (name.as_str(), 95.0)).collect();
    look(&mut desk, &numbers[3..]);
    assert_eq!((news(&mut desk).len(), desk.hub.alert_series_left_out()), (ALERT_SERIES_MAX, 0));
    desk.clock.advance(SECOND);
    look(&mut desk, &numbers);
    assert_eq!((news(&mut desk), desk.hub.alert_series_left_out()), (Vec::new(), 3));
    // The next daemon knows those that are raised, also before it has seen them.
    desk.crash();
    desk.batch(vec![Input::AlertRules(vec![rule(0)])]);
    look(&mut desk, &numbers[..6]);
    assert_eq!((news(&mut desk), desk.hub.alert_series_left_out()), (Vec::new(), 3));
}
