//! Families as the requests that OTLP sends: `ExportMetricsServiceRequest` and what is in it. The numbers are those of the
//! fields in `opentelemetry/proto/metrics/v1/metrics.proto` and its neighbours, which are stable.

use super::resource::{Attribute, Resource};
use super::wire::Writer;
use crate::clock::Timestamp;
use crate::telemetry::{Distribution, Family, Labels, Number, Points, Series, Unit};
use std::ops::Range;

/// Most points in one request; what is more goes into further ones. A collector takes a few megabytes at once.
pub(super) const POINTS_MAX: usize = 4_096;

const SCOPE: &str = "claude-comms";
const CUMULATIVE: u64 = 2;

/// A body to be posted.
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
    pub(super) points: usize,
}

/// Since when a series counts.
pub(super) type Start = dyn Fn(&Family, &Labels) -> Timestamp + Send;

/// Since when series count, and the time that all points are of.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    pub(super) from: &'a Start,
    pub(super) to: Timestamp,
}

/// Some of the series of a family.
type Part<'a> = (&'a Family, Range<usize>);

/// Everything in as few requests as will do; none when there is nothing.
pub(super) fn requests<'a>(
    families: &'a [Family],
    resource: &'a Resource,
    span: Span<'a>,
) -> impl Iterator<Item = Request> + use<'a> {
    split(families, POINTS_MAX).into_iter().map(move |parts| {
        let points = parts.iter().map(|(_, range)| range.len()).sum();
        Request { bytes: request(&parts, resource, span), points }
    })
}

fn split(families: &[Family], points_max: usize) -> Vec<Vec<Part<'_>>> {
    let mut requests = Vec::new();
    let (mut parts, mut room) = (Vec::new(), points_max);
    for family in families {
        let (mut from, all) = (0, length(&family.points));
        while from < all {
            let to = all.min(from + room);
            parts.push((family, from..to));
            room -= to - from;
            from = to;
            if room == 0 {
                requests.push(std::mem::take(&mut parts));
                room = points_max;
            }
        }
    }
    requests.extend(Some(parts).filter(|parts| !parts.is_empty()));
    requests
}

fn length(points: &Points) -> usize {
    match points {
        Points::Counters(series) => series.len(),
        Points::Gauges(series) => series.len(),
        Points::Histograms(series) => series.len(),
    }
}

/// `ExportMetricsServiceRequest`.
fn request(parts: &[Part<'_>], resource: &Resource, span: Span<'_>) -> Vec<u8> {
    let mut writer = Writer::default();
    // ResourceMetrics, and in it Resource and ScopeMetrics.
    writer.message(1, |all| {
        all.message(1, |of_resource| {
            for (key, value) in resource.attributes() {
                key_value(of_resource, 1, key, value);
            }
        });
        all.message(2, |of_scope| {
            of_scope.message(1, |scope| {
                scope.text(1, SCOPE);
                scope.text(2, env!("CARGO_PKG_VERSION"));
            });
            for (family, range) in parts {
                of_scope.message(2, |writer| metric(writer, family, range.clone(), span));
            }
        });
    });
    writer.into_bytes()
}

/// `Metric`.
fn metric(writer: &mut Writer, family: &Family, range: Range<usize>, span: Span<'_>) {
    writer.text(1, family.name.as_str());
    writer.text(2, &family.help);
    writer.text(3, unit(family.unit()));
    match &family.points {
        Points::Gauges(series) => writer.message(5, |gauge| {
            for one in &series[range] {
                gauge.message(1, |point| number(point, &one.labels, Number::Float(one.value), span.to));
            }
        }),
        Points::Counters(series) => writer.message(7, |sum| {
            for one in &series[range] {
                sum.message(1, |point| {
                    point.fixed(2, nanos((span.from)(family, &one.labels)));
                    number(point, &one.labels, one.value, span.to);
                });
            }
            sum.number(2, CUMULATIVE);
            // Monotonic.
            sum.number(3, 1);
        }),
        Points::Histograms(series) => writer.message(9, |histogram| {
            for one in &series[range] {
                let from = (span.from)(family, &one.labels);
                histogram.message(1, |point| distribution(point, one, from, span.to));
            }
            histogram.number(2, CUMULATIVE);
        }),
    }
}

/// Left out where no unit is known. `1` would say that it is a share, and in Prometheus a collector would append `_ratio`.
fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::One => "",
        known => known.ucum(),
    }
}

/// `NumberDataPoint`.
fn number(point: &mut Writer, labels: &Labels, value: Number, to: Timestamp) {
    point.fixed(3, nanos(to));
    match value {
        // Signed on the wire.
        Number::Whole(whole) if i64::try_from(whole).is_ok() => point.fixed(6, whole),
        other => point.double(4, other.as_f64()),
    }
    attributes(point, 7, labels);
}

/// `HistogramDataPoint`.
fn distribution(point: &mut Writer, series: &Series<Distribution>, from: Timestamp, to: Timestamp) {
    let value = &series.value;
    point.fixed(2, nanos(from));
    point.fixed(3, nanos(to));
    point.fixed(4, value.count());
    point.double(5, value.sum());
    point.packed(6, value.counts().iter().copied());
    point.packed(7, value.buckets().bounds().iter().map(|bound| bound.to_bits()));
    attributes(point, 9, &series.labels);
}

fn attributes(point: &mut Writer, field: u32, labels: &Labels) {
    for (name, value) in labels.iter() {
        point.message(field, |pair| {
            pair.text(1, name);
            pair.message(2, |any| any.text(1, value));
        });
    }
}

/// `KeyValue`, and in it `AnyValue`.
fn key_value(writer: &mut Writer, field: u32, key: &str, value: &Attribute) {
    writer.message(field, |pair| {
        pair.text(1, key);
        pair.message(2, |any| match value {
            Attribute::Text(text) => any.text(1, text),
            Attribute::Number(number) => any.number(3, u64::from(*number)),
        });
    });
}

/// What lies before 1970 is 0, which means unknown.
fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(0).saturating_mul(1_000)
}
