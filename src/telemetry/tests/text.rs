//! The text, letter by letter, and read again by somebody else.

use super::parser::{Line, parse};
use super::shown;
use crate::telemetry::{
    Buckets, CONTENT_TYPE, Distribution, Family, Labels, Name, Number, Points, Registry, Series, encode,
};
use proptest::prelude::*;

fn family(name: &str, help: &str, points: Points) -> Family {
    Family { name: Name::new(name).unwrap(), help: help.into(), points }
}

fn series<T>(labels: &[(&str, &str)], value: T) -> Series<T> {
    Series { labels: Labels::new(labels).unwrap(), value }
}

#[test]
fn the_whole_text_of_a_registry() {
    let registry = Registry::new();
    let run = registry.histogram("task_run_seconds", "How long tasks ran.", &[0.1, 1.0, 10.0], &[("pool", "b")]);
    let run = run.unwrap();
    [0.05, 0.1, 2.5, 60.0].into_iter().for_each(|seconds| run.observe(seconds));
    registry.histogram("task_run_seconds", "", &[0.1, 1.0, 10.0], &[("pool", "a")]).unwrap();
    registry.gauge("queue.size", "Tasks that wait.", &[]).unwrap().set(12.0);
    registry.counter("tasks_total", "Tasks.", &[("pool", "a"), ("status", "done")]).unwrap().add(3);
    let expected = "\
# HELP claude_comms_telemetry_series_dropped_total Instruments that count for nobody because the registry is full.
# TYPE claude_comms_telemetry_series_dropped_total counter
claude_comms_telemetry_series_dropped_total 0
# HELP queue_size Tasks that wait.
# TYPE queue_size gauge
queue_size 12
# HELP task_run_seconds How long tasks ran.
# TYPE task_run_seconds histogram
task_run_seconds_bucket{pool=\"a\",le=\"0.1\"} 0
task_run_seconds_bucket{pool=\"a\",le=\"1\"} 0
task_run_seconds_bucket{pool=\"a\",le=\"10\"} 0
task_run_seconds_bucket{pool=\"a\",le=\"+Inf\"} 0
task_run_seconds_sum{pool=\"a\"} 0
task_run_seconds_count{pool=\"a\"} 0
task_run_seconds_bucket{pool=\"b\",le=\"0.1\"} 2
task_run_seconds_bucket{pool=\"b\",le=\"1\"} 2
task_run_seconds_bucket{pool=\"b\",le=\"10\"} 3
task_run_seconds_bucket{pool=\"b\",le=\"+Inf\"} 4
task_run_seconds_sum{pool=\"b\"} 62.65
task_run_seconds_count{pool=\"b\"} 4
# HELP tasks_total Tasks.
# TYPE tasks_total counter
tasks_total{pool=\"a\",status=\"done\"} 3
";
    assert_eq!(encode(&registry.snapshot()), expected);
    assert_eq!(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
}

#[test]
fn quotes_backslashes_and_ends_of_lines_are_escaped() {
    let registry = Registry::new();
    registry.gauge("a", "It's \"so\" \\ or\nso.", &[("x", "\"so\" \\ or\nso")]).unwrap();
    let expected = "# HELP a It's \"so\" \\\\ or\\nso.\n# TYPE a gauge\na{x=\"\\\"so\\\" \\\\ or\\nso\"} 0\n";
    assert_eq!(shown(&registry), expected);
}

#[test]
fn numbers_are_written_as_prometheus_reads_them() {
    let written = |value: f64| {
        let text = encode(&[family("a", "A.", Points::Gauges(vec![series(&[], value)]))]);
        text.lines().last().unwrap().strip_prefix("a ").unwrap().to_owned()
    };
    let values = [0.0, -0.0, 1.0, 0.1, 1e15, 123_456_789.25, 1e300, 2.5e-7, f64::NAN, f64::INFINITY, f64::NEG_INFINITY];
    let expected =
        ["0", "-0", "1", "0.1", "1000000000000000", "123456789.25", "1e300", "2.5e-7", "NaN", "+Inf", "-Inf"];
    assert_eq!(values.map(written), expected);
    let counter = encode(&[family("a", "A.", Points::Counters(vec![series(&[], Number::Whole(u64::MAX))]))]);
    assert!(counter.ends_with("\na_total 18446744073709551615\n"));
}

#[test]
fn families_of_one_name_become_one() {
    let first = family("a", "First.", Points::Gauges(vec![series(&[("x", "2")], 1.0), series(&[("x", "1")], 1.0)]));
    let second = family("a", "Second.", Points::Gauges(vec![series(&[("x", "2")], 2.0), series(&[("x", "0")], 2.0)]));
    let buckets = Distribution::new(Buckets::new(&[1.0]).unwrap(), vec![0, 9], 9.0).unwrap();
    let other_kind = family("a", "A.", Points::Histograms(vec![series(&[("x", "9")], buckets)]));
    let expected = "# HELP a First.\n# TYPE a gauge\na{x=\"0\"} 2\na{x=\"1\"} 1\na{x=\"2\"} 1\n";
    assert_eq!(encode(&[first, other_kind, second]), expected);
}

#[test]
fn a_counter_gets_the_ending_that_prometheus_wants() {
    let counter = |name, value| family(name, "A.", Points::Counters(vec![series(&[], Number::Whole(value))]));
    let gauge = family("a", "G.", Points::Gauges(vec![series(&[], 3.0)]));
    let text = encode(&[counter("a.b", 1), counter("a_b_total", 2), counter("a", 4), gauge]);
    let expected = "# HELP a G.\n# TYPE a gauge\na 3\n# HELP a_b_total A.\n# TYPE a_b_total counter\na_b_total 1\n\
                    # HELP a_total A.\n# TYPE a_total counter\na_total 4\n";
    assert_eq!(text, expected);
}

#[test]
fn families_without_series_are_left_out() {
    assert_eq!(encode(&[family("a", "A.", Points::Histograms(Vec::new()))]), "");
}

/// Any text, with many of the letters that mean something to the format.
fn any_text() -> impl Strategy<Value = String> {
    let special =
        prop::sample::select(vec!['\\', '"', '\n', '\r', '{', '}', ',', '=', '#', ' ', 'n', '\0', '\u{2028}']);
    prop::collection::vec(prop_oneof![special, any::<char>()], 0..20).prop_map(String::from_iter)
}

proptest! {
    #[test]
    fn any_value_of_a_label_any_help_and_any_number_survive(
        values in prop::collection::btree_set((any_text(), any_text()), 1..6), help in any_text(), number in any::<f64>(),
    ) {
        let gauges = values.iter().rev().map(|(x, y)| series(&[("x", x), ("y", y)], number)).collect();
        let parsed = parse(&encode(&[family("a", &help, Points::Gauges(gauges))]));
        prop_assert_eq!(&parsed.families["a"], &("gauge".to_owned(), help));
        prop_assert_eq!(parsed.lines.len(), values.len());
        for (line, (x, y)) in parsed.lines.iter().zip(&values) {
            let Line { name, labels, value } = line;
            prop_assert_eq!(name, "a");
            prop_assert_eq!(&labels[..], &[("x".to_owned(), x.clone()), ("y".to_owned(), y.clone())]);
            prop_assert!(value.to_bits() == number.to_bits() || value.is_nan() && number.is_nan());
        }
    }

    #[test]
    fn buckets_are_cumulative_and_end_in_the_count(
        bounds in prop::collection::btree_set(-1_000_000_000i32..1_000_000_000, 1..10),
        counts in prop::collection::vec(0..1_000_000u64, 10), sum in prop::num::f64::NORMAL, label in any_text(),
    ) {
        let bounds: Vec<f64> = bounds.into_iter().map(|bound| f64::from(bound) / 1e7).collect();
        let counts = counts[..=bounds.len()].to_vec();
        let value = Distribution::new(Buckets::new(&bounds).unwrap(), counts.clone(), sum).unwrap();
        let parsed = parse(&encode(&[family("h", "H.", Points::Histograms(vec![series(&[("x", &label)], value)]))]));
        let mut below = 0;
        for (place, count) in counts.iter().enumerate() {
            below += count;
            let bound = bounds.get(place).copied().unwrap_or(f64::INFINITY);
            let line = &parsed.lines[place];
            let written: f64 = line.labels[1].1.parse().unwrap();
            prop_assert_eq!((line.name.as_str(), line.labels[1].0.as_str(), written), ("h_bucket", "le", bound));
            prop_assert_eq!(line.value, below as f64);
        }
        prop_assert_eq!(parsed.value("h_sum", &[("x", &label)]), sum);
        prop_assert_eq!(parsed.value("h_count", &[("x", &label)]), below as f64);
    }
}
