//! Requests, decoded.

use super::super::message::{POINTS_MAX, Span, requests};
use super::super::resource::Resource;
use super::super::wire::{Unreadable, Value, Writer, fields};
use super::collector::{labels, points, value};
use super::{registry, started};
use crate::clock::Timestamp;
use crate::telemetry::{Family, Name, Number, Points, Registry, Series};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, Metric, metric};
use proptest::prelude::*;
use prost::Message;
use std::time::Duration;

fn span() -> Span<'static> {
    Span { from: &|_, _| started(), to: started().after(Duration::from_secs(60)) }
}

fn decoded(families: &[Family]) -> Vec<ExportMetricsServiceRequest> {
    let resource = Resource::of_service("claude-comms").text("host.name", "h");
    requests(families, &resource, span()).map(|one| Message::decode(&*one.bytes).unwrap()).collect()
}

fn metrics(families: &[Family]) -> Vec<Metric> {
    let [request] = &decoded(families)[..] else { panic!("more than one request") };
    request.resource_metrics[0].scope_metrics[0].metrics.clone()
}

const FROM: u64 = 1_795_514_400_000_001_000;
const TO: u64 = FROM + 60_000_000_000;

#[test]
fn a_request_says_who_speaks_once() {
    let [request] = &decoded(&registry().snapshot())[..] else { panic!() };
    let [all] = &request.resource_metrics[..] else { panic!() };
    let resource = labels(&all.resource.as_ref().unwrap().attributes);
    let version = env!("CARGO_PKG_VERSION");
    let pid = std::process::id();
    assert_eq!(resource, format!("host.name=h,process.pid={pid},service.name=claude-comms,service.version={version}"));
    let [scope] = &all.scope_metrics[..] else { panic!() };
    let of_scope = scope.scope.as_ref().unwrap();
    assert_eq!((of_scope.name.as_str(), of_scope.version.as_str()), ("claude-comms", version));
}

#[test]
fn a_counter_is_a_cumulative_sum_with_a_start() {
    let metrics = metrics(&registry().snapshot());
    let find = |name: &str| metrics.iter().find(|metric| metric.name == name).unwrap();
    let total = find("session_buddy.sessions.total");
    assert_eq!((total.description.as_str(), total.unit.as_str()), ("Sessions.", ""));
    let Some(metric::Data::Sum(sum)) = &total.data else { panic!("{total:?}") };
    assert!(sum.is_monotonic);
    assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Cumulative);
    let [point] = &sum.data_points[..] else { panic!() };
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (FROM, TO));
    assert_eq!((labels(&point.attributes).as_str(), value(point)), ("upstream=a", 41.0));
    let busy = find("busy_seconds_total");
    assert_eq!((busy.unit.as_str(), value(&points(busy)[0])), ("s", 0.25));
}

#[test]
fn a_gauge_is_what_it_is_now() {
    let metrics = metrics(&registry().snapshot());
    let active = metrics.iter().find(|metric| metric.name == "session_buddy.sessions.active").unwrap();
    let Some(metric::Data::Gauge(gauge)) = &active.data else { panic!("{active:?}") };
    let [point] = &gauge.data_points[..] else { panic!() };
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (0, TO));
    assert_eq!((labels(&point.attributes).as_str(), value(point)), ("upstream=", -2.5));
}

#[test]
fn a_histogram_has_its_bounds_and_the_count_of_each_bucket() {
    let metrics = metrics(&registry().snapshot());
    let run = metrics.iter().find(|metric| metric.name == "task_run_seconds").unwrap();
    assert_eq!(run.unit, "s");
    let Some(metric::Data::Histogram(histogram)) = &run.data else { panic!("{run:?}") };
    assert_eq!(histogram.aggregation_temporality(), AggregationTemporality::Cumulative);
    let [point] = &histogram.data_points[..] else { panic!() };
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (FROM, TO));
    assert_eq!((&point.explicit_bounds[..], &point.bucket_counts[..]), (&[0.1, 1.0, 10.0][..], &[2, 0, 1, 1][..]));
    assert_eq!((point.count, point.sum), (4, Some(0.05 + 0.1 + 2.5 + 60.0)));
    assert_eq!(labels(&point.attributes), "a=é,pool=b");
}

#[test]
fn numbers_that_do_not_fit_or_are_none_are_floats() {
    fn series<T>(value: T) -> Series<T> {
        Series { labels: Default::default(), value }
    }
    let family = |points| Family { name: Name::new("a").unwrap(), help: "A.".into(), points };
    let shown = |points| value(&super::collector::points(&metrics(&[family(points)])[0])[0]);
    assert_eq!(shown(Points::Counters(vec![series(Number::Whole(u64::MAX))])), u64::MAX as f64);
    assert_eq!(shown(Points::Counters(vec![series(Number::Whole(0))])), 0.0);
    assert!(shown(Points::Gauges(vec![series(f64::NAN)])).is_nan());
    assert_eq!(shown(Points::Gauges(vec![series(f64::INFINITY)])), f64::INFINITY);
}

#[test]
fn many_series_go_into_several_requests_each_of_them_once() {
    let registry = Registry::new();
    let series = 1_500;
    for family in ["a", "b", "c", "d"] {
        for number in 0..series {
            registry.gauge(family, "G.", &[("n", &number.to_string())]).unwrap().set(f64::from(number));
        }
    }
    let decoded = decoded(&registry.snapshot());
    let counts = decoded.iter().map(|request| {
        let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
        metrics.iter().map(|metric| points(metric).len()).sum::<usize>()
    });
    // And the count of dropped series.
    let rest = 4 * series as usize + 1 - POINTS_MAX;
    assert_eq!(counts.collect::<Vec<_>>(), [POINTS_MAX, rest]);
    let all = decoded.iter().flat_map(|request| &request.resource_metrics[0].scope_metrics[0].metrics);
    let of_c: Vec<f64> = all.filter(|metric| metric.name == "c").flat_map(points).map(value).collect();
    assert_eq!(of_c.len(), series as usize);
    assert!((0..series).all(|number| of_c.contains(&f64::from(number))));
    assert_eq!(decoded.iter().filter(|request| request.resource_metrics[0].resource.is_some()).count(), 2);
}

#[test]
fn nothing_is_no_request() {
    assert_eq!(decoded(&[]).len(), 0);
}

#[test]
fn a_time_before_the_epoch_is_unknown() {
    let long_ago = Span { from: &|_, _| Timestamp::from_micros(-5), to: Timestamp::from_micros(i64::MAX) };
    let families = registry().snapshot();
    let bytes = requests(&families, &Resource::default(), long_ago).next().unwrap().bytes;
    let request: ExportMetricsServiceRequest = Message::decode(&*bytes).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let total = metrics.iter().find(|metric| metric.name == "busy_seconds_total").unwrap();
    assert_eq!((points(total)[0].start_time_unix_nano, points(total)[0].time_unix_nano), (0, u64::MAX));
}

#[test]
fn fields_of_other_kinds_are_passed_over() {
    let mut writer = Writer::default();
    writer.number(1, 300);
    writer.fixed(2, 7);
    writer.message(3, |inner| inner.text(1, &"x".repeat(200)));
    let bytes = [writer.into_bytes(), vec![4 << 3 | 5, 1, 2, 3, 4]].concat();
    let read: Vec<_> = fields(&bytes).map(|field| field.unwrap()).collect();
    let inner = [&[0x0a, 0xc8, 0x01][..], &[b'x'; 200]].concat();
    assert_eq!(read, [(1, Value::Number(300)), (2, Value::Other), (3, Value::Bytes(&inner)), (4, Value::Other)]);
    for broken in [
        &[0x08][..],
        &[0x0a, 5, 1],
        &[0x09, 1],
        &[0x0b],
        &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    ] {
        assert_eq!(fields(broken).collect::<Vec<_>>(), [Err(Unreadable)], "{broken:?}");
    }
}

proptest! {
    #[test]
    fn reading_anything_ends(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        prop_assert!(fields(&bytes).count() <= bytes.len());
    }

    #[test]
    fn any_text_and_any_number_survive(label in any::<String>(), help in any::<String>(), number in any::<f64>()) {
        let registry = Registry::new();
        registry.gauge("a", &help, &[("x", &label)]).unwrap().set(number);
        let families = registry.snapshot();
        let metrics = metrics(&families[..1]);
        prop_assert_eq!(&metrics[0].description, &help);
        let point = &points(&metrics[0])[0];
        prop_assert_eq!(labels(&point.attributes), format!("x={label}"));
        prop_assert_eq!(value(point).to_bits(), number.to_bits());
    }
}
