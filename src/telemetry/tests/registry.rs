//! What the registry hands out, refuses, forgets and drops.

use super::shown;
use crate::telemetry::{
    FAMILIES_MAX, FAMILIES_OWN, Kind, LABELS_BYTES_MAX, MetricError, Number, Points, Registry, SERIES_DROPPED,
    SERIES_MAX, Unit,
};

fn dropped(registry: &Registry) -> Number {
    registry.counter(SERIES_DROPPED, "", &[]).unwrap().value()
}

#[test]
fn one_name_and_the_same_labels_are_one_instrument() {
    let registry = Registry::new();
    registry.counter("a_total", "A.", &[("x", "1"), ("y", "2")]).unwrap().increment();
    registry.clone().counter("a_total", "Other.", &[("y", "2"), ("x", "1")]).unwrap().increment();
    registry.counter("a_total", "A.", &[("x", "1"), ("y", "3")]).unwrap().increment();
    let expected = "# HELP a_total A.\n# TYPE a_total counter\n\
                    a_total{x=\"1\",y=\"2\"} 2\na_total{x=\"1\",y=\"3\"} 1\n";
    assert_eq!(shown(&registry), expected);
}

#[test]
fn another_kind_other_labels_and_other_buckets_are_refused_naming_both() {
    let registry = Registry::new();
    registry.counter("a.b", "A.", &[("x", "1")]).unwrap();
    registry.histogram("h", "H.", &[0.5, 1.0], &[]).unwrap();
    let said = |error: MetricError| error.to_string();

    let kind = registry.gauge("a.b", "A.", &[("x", "1")]).map(drop).map_err(said);
    assert_eq!(kind, Err("there is a counter a.b{x} already, so there cannot be a gauge a.b{x}".to_owned()));
    let labels = registry.counter("a.b", "A.", &[("y", "1"), ("x", "1")]).map(drop).map_err(said);
    assert_eq!(labels, Err("there is a counter a.b{x} already, so there cannot be a counter a.b{x,y}".to_owned()));
    let dots = registry.counter("a_b", "A.", &[("x", "1")]).map(drop).map_err(said);
    assert_eq!(dots, Err("there is a counter a.b{x} already, so there cannot be a counter a_b{x}".to_owned()));
    let buckets = registry.histogram("h", "H.", &[0.5], &[]).map(drop).map_err(said);
    let expected = "there is a histogram h{} of buckets [0.5, 1.0] already, \
                    so there cannot be a histogram h{} of buckets [0.5]";
    assert_eq!(buckets, Err(expected.to_owned()));
}

/// Two metrics that Prometheus could not tell apart.
#[test]
fn a_counter_and_what_is_called_like_it_with_total_exclude_each_other() {
    let registry = Registry::new();
    registry.counter("a", "A.", &[]).unwrap();
    registry.counter("b_total", "B.", &[]).unwrap();
    registry.gauge("c_total", "C.", &[]).unwrap();
    registry.gauge("d", "D.", &[]).unwrap();
    let said = registry.gauge("a_total", "A.", &[]).unwrap_err().to_string();
    assert_eq!(said, "there is a counter a{} already, so there cannot be a gauge a_total{}");
    for name in ["b", "c"] {
        assert!(matches!(registry.counter(name, "", &[]), Err(MetricError::Conflict { .. })), "{name}");
    }
    // These are told apart, and asking again is no conflict.
    registry.counter("d_total", "D.", &[]).unwrap().increment();
    registry.gauge("b", "B.", &[]).unwrap();
    registry.counter("a_total_total", "A.", &[]).unwrap();
    registry.counter("a", "A.", &[]).unwrap().increment();
    assert!(shown(&registry).contains("# TYPE a_total counter\na_total 1\n"));
    assert!(shown(&registry).contains("# TYPE d gauge\nd 0\n# HELP d_total D.\n# TYPE d_total counter\nd_total 1\n"));
}

#[test]
fn a_refusal_leaves_nothing_behind() {
    let registry = Registry::new();
    assert!(registry.counter("a b", "A.", &[]).is_err());
    assert!(registry.gauge("a", "A.", &[("le", "1")]).is_err());
    assert!(registry.histogram("a", "A.", &[], &[]).is_err());
    assert_eq!(shown(&registry), "");
}

#[test]
fn series_beyond_the_limit_work_without_being_shown() {
    let registry = Registry::new();
    for number in 0..SERIES_MAX {
        registry.gauge("a", "A.", &[("x", &number.to_string())]).unwrap();
    }
    let beyond = registry.gauge("a", "A.", &[("x", "beyond")]).unwrap();
    beyond.set(1.0);
    assert_eq!(beyond.value(), 1.0);
    assert!(!shown(&registry).contains("beyond"));
    assert_eq!(dropped(&registry), Number::Whole(1));

    // Those that are there are still found, and whoever goes makes room.
    registry.gauge("a", "A.", &[("x", "7")]).unwrap();
    assert_eq!(dropped(&registry), Number::Whole(1));
    assert!(registry.remove("a", &[("x", "7")]));
    registry.gauge("a", "A.", &[("x", "beyond")]).unwrap().set(2.0);
    assert!(shown(&registry).contains("a{x=\"beyond\"} 2\n"));
}

#[test]
fn metrics_beyond_the_limit_work_without_being_shown() {
    let registry = Registry::new();
    for number in 0..FAMILIES_MAX {
        registry.counter(&format!("m{number}"), "M.", &[]).unwrap();
    }
    // The registry's own is one of them, so the last one had no place.
    assert_eq!(dropped(&registry), Number::Whole(1));
    assert_eq!(registry.snapshot().len(), FAMILIES_MAX);
}

#[test]
fn what_others_name_leaves_room_for_the_program_s_own() {
    let registry = Registry::new();
    let named = registry.for_names_of_others();
    for number in 0..FAMILIES_MAX {
        named.gauge(&format!("m{number}"), "M.", &[]).unwrap();
    }
    assert!(named.has_dropped());
    assert_eq!(registry.snapshot().len(), FAMILIES_MAX - FAMILIES_OWN);
    registry.gauge("own", "Own.", &[]).unwrap().set(1.0);
    assert!(shown(&registry).contains("own 1"));
}

#[test]
fn labels_that_are_too_long_are_dropped_rather_than_cut() {
    let registry = Registry::new();
    registry.gauge("a", "A.", &[("x", &"v".repeat(LABELS_BYTES_MAX - 1))]).unwrap();
    assert_eq!(dropped(&registry), Number::Whole(0));
    registry.gauge("a", "A.", &[("x", &"v".repeat(LABELS_BYTES_MAX))]).unwrap();
    assert_eq!(dropped(&registry), Number::Whole(1));
}

#[test]
fn what_was_removed_is_shown_no_longer_and_begins_anew() {
    let registry = Registry::new();
    let old = registry.counter("a.b", "A.", &[("x", "1")]).unwrap();
    old.add(41);
    assert!(registry.remove("a.b", &[("x", "1")]));
    assert!(!registry.remove("a.b", &[("x", "1")]));
    old.increment();
    assert_eq!(shown(&registry), "");
    assert_eq!(registry.counter("a.b", "A.", &[("x", "1")]).unwrap().value(), Number::Whole(0));
    // With its last series a metric goes, and its name may become another's.
    assert!(registry.remove("a.b", &[("x", "1")]));
    registry.gauge("a_b", "A.", &[]).unwrap();
}

#[test]
fn a_deleted_pool_goes_from_all_metrics() {
    let registry = Registry::new();
    for pool in ["local", "gone"] {
        registry.counter("t_total", "T.", &[("pool", pool), ("status", "done")]).unwrap();
        registry.gauge("q", "Q.", &[("pool", pool)]).unwrap();
        registry.histogram("r_seconds", "R.", &[1.0], &[("pool", pool)]).unwrap();
    }
    registry.gauge("other", "O.", &[("name", "gone")]).unwrap();
    assert_eq!(registry.remove_labelled("pool", "gone"), 3);
    assert_eq!(registry.remove_labelled("pool", "gone"), 0);
    let text = shown(&registry);
    assert_eq!(text.matches("gone").count(), 1);
    assert_eq!(text.matches("pool=\"local\"").count(), 1 + 1 + 4);
}

#[test]
fn an_exporter_finds_everything_in_the_snapshot() {
    let registry = Registry::new();
    let run = registry.histogram("task.run.seconds", "Running.", &[1.0], &[("pool", "local")]).unwrap();
    run.observe(0.5);
    let snapshot = registry.snapshot();
    let family = snapshot.iter().find(|family| family.name.as_str() == "task.run.seconds").unwrap();
    assert_eq!((family.kind(), family.unit(), &*family.help), (Kind::Histogram, Unit::Seconds, "Running."));
    let Points::Histograms(series) = &family.points else { panic!("{family:?}") };
    assert_eq!(series[0].labels.iter().collect::<Vec<_>>(), [("pool", "local")]);
    assert_eq!((series[0].value.buckets().bounds(), series[0].value.counts()), (&[1.0][..], &[1, 0][..]));
}
