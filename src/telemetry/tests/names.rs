//! What may be the name of a metric or a label, and what its ending says.

use crate::telemetry::{Family, Kind, Labels, MetricError, NAME_BYTES_MAX, Name, Points, Unit};

#[test]
fn names_follow_the_rules_of_prometheus_but_for_dots() {
    for good in ["a", "_a9", "A_b", "session_buddy.sessions.active", "counts_total", &"n".repeat(NAME_BYTES_MAX)] {
        assert_eq!(Name::new(good).unwrap().as_str(), good);
    }
    let long = "n".repeat(NAME_BYTES_MAX + 1);
    for bad in ["", "9a", ".a", "a b", "a-b", "a:b", "a\n", "ä", "a{", "x_count", "x_sum", "x.bucket", &long] {
        assert!(matches!(Name::new(bad), Err(MetricError::Name { name, .. }) if name == bad), "{bad:?}");
    }
}

#[test]
fn dots_become_underscores_for_prometheus_only() {
    let name = Name::new("session_buddy.sessions.active").unwrap();
    assert_eq!((name.as_str(), name.exported()), ("session_buddy.sessions.active", "session_buddy_sessions_active"));
}

#[test]
fn counters_end_in_total_for_prometheus_only() {
    let exposed = |name: &str, points: Points| {
        Family { name: Name::new(name).unwrap(), help: "".into(), points }.exposed_name().into_owned()
    };
    let counter = || Points::Counters(Vec::new());
    assert_eq!(exposed("retry_attempts", counter()), "retry_attempts_total");
    assert_eq!(exposed("session_buddy.workflows.failed", counter()), "session_buddy_workflows_failed_total");
    assert_eq!(exposed("session_buddy.sessions.total", counter()), "session_buddy_sessions_total");
    assert_eq!(exposed("total", counter()), "total_total");
    assert_eq!(exposed("a.b", Points::Gauges(Vec::new())), "a_b");
    assert_eq!(exposed("a_seconds", Points::Histograms(Vec::new())), "a_seconds");
    assert_eq!(Name::new("retry_attempts").unwrap().exposed(Kind::Gauge), "retry_attempts");
}

#[test]
fn a_name_ends_in_its_unit() {
    let unit = |name| Name::new(name).unwrap().unit();
    assert_eq!(unit("task_run_seconds"), Unit::Seconds);
    assert_eq!(unit("busy_seconds_total"), Unit::Seconds);
    assert_eq!(unit("poller.poll.duration.seconds"), Unit::Seconds);
    assert_eq!(unit("ws_bytes_sent_total"), Unit::One);
    assert_eq!(unit("log_bytes"), Unit::Bytes);
    assert_eq!([Unit::Seconds, Unit::Bytes, Unit::One].map(Unit::ucum), ["s", "By", "1"]);
}

#[test]
fn labels_are_the_same_in_any_order() {
    let one = Labels::new(&[("pool", "a"), ("kind", "b")]).unwrap();
    assert_eq!(one, Labels::new(&[("kind", "b"), ("pool", "a")]).unwrap());
    assert_eq!(one.iter().collect::<Vec<_>>(), [("kind", "b"), ("pool", "a")]);
    assert_eq!((one.get("pool"), one.get("other")), (Some("a"), None));
}

#[test]
fn labels_that_prometheus_does_not_allow_are_refused() {
    for bad in ["", "9a", "a.b", "a-b", "ä", "__a", "le", "quantile"] {
        assert!(matches!(Labels::new(&[(bad, "x")]), Err(MetricError::Label { name, .. }) if name == bad), "{bad:?}");
    }
    let twice = Labels::new(&[("a", "x"), ("b", ""), ("a", "y")]).unwrap_err();
    assert_eq!(twice.to_string(), "\"a\" cannot name a label: it is there twice");
}
