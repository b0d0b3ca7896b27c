//! The text format 0.0.4 of Prometheus.

use super::family::{Distribution, Family, Kind, Number, Points, Series};
use super::labels::Labels;
use std::fmt::Write;

/// What an HTTP answer with this text says of itself.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Floats of this size are written out, others with an exponent, lest one number fills lines.
const WRITTEN_OUT: std::ops::Range<f64> = 1e-6..1e17;

/// Writes families in the order of their names, their series in the order of their labels.
///
/// Counters end in `_total`, added where a name does not say so itself.
///
/// The text says nothing twice, whatever it is given: families of one name become one, of which the first decides help
/// and kind, and others of that kind add their series; of series with the same labels the first counts. Families without
/// series are left out.
pub fn encode(families: &[Family]) -> String {
    let mut sorted: Vec<&Family> = families.iter().filter(|family| !family.is_empty()).collect();
    // Stable, here and below: "first" is the first one given.
    sorted.sort_by_cached_key(|family| family.exposed_name());
    let mut text = String::new();
    for same_name in sorted.chunk_by(|one, next| one.exposed_name() == next.exposed_name()) {
        write_family(&mut text, same_name);
    }
    text
}

fn write_family(text: &mut String, same_name: &[&Family]) {
    let Some(first) = same_name.first() else { return };
    let name = &*first.exposed_name();
    push(text, &["# HELP ", name, " "]);
    push_escaped(text, &first.help, false);
    push(text, &["\n# TYPE ", name, " ", first.kind().as_str(), "\n"]);
    match first.kind() {
        Kind::Counter => {
            for series in in_order(same_name, Points::counters) {
                write_line(text, &[name], &series.labels, None, series.value);
            }
        }
        Kind::Gauge => {
            for series in in_order(same_name, Points::gauges) {
                write_line(text, &[name], &series.labels, None, Number::Float(series.value));
            }
        }
        Kind::Histogram => {
            for series in in_order(same_name, Points::histograms) {
                write_histogram(text, name, &series.labels, &series.value);
            }
        }
    }
}

/// The series that `of_kind` finds in those families, by labels.
fn in_order<'a, T>(families: &[&'a Family], of_kind: impl Fn(&'a Points) -> &'a [Series<T>]) -> Vec<&'a Series<T>> {
    let mut series: Vec<&Series<T>> = families.iter().flat_map(|family| of_kind(&family.points)).collect();
    series.sort_by(|one, next| one.labels.cmp(&next.labels));
    series.dedup_by(|later, earlier| later.labels == earlier.labels);
    series
}

fn write_histogram(text: &mut String, name: &str, labels: &Labels, value: &Distribution) {
    let bounds = value.buckets().bounds().iter().copied().chain([f64::INFINITY]);
    let mut below = 0;
    for (bound, count) in bounds.zip(value.counts()) {
        below += count;
        write_line(text, &[name, "_bucket"], labels, Some(bound), Number::Whole(below));
    }
    write_line(text, &[name, "_sum"], labels, None, Number::Float(value.sum()));
    // The same number as the last bucket, not read a second time: the two agree in every text.
    write_line(text, &[name, "_count"], labels, None, Number::Whole(below));
}

/// One line: the name, in parts, the labels with the bound of a bucket as `le`, and the value.
fn write_line(text: &mut String, name: &[&str], labels: &Labels, bound: Option<f64>, value: Number) {
    push(text, name);
    let mut separator = "{";
    for (label, value) in labels.iter() {
        push(text, &[separator, label, "=\""]);
        push_escaped(text, value, true);
        text.push('"');
        separator = ",";
    }
    if let Some(bound) = bound {
        push(text, &[separator, "le=\""]);
        push_float(text, bound);
        text.push('"');
    }
    if bound.is_some() || !labels.is_empty() {
        text.push('}');
    }
    text.push(' ');
    match value {
        Number::Whole(whole) => push_formatted(text, format_args!("{whole}")),
        Number::Float(float) => push_float(text, float),
    }
    text.push('\n');
}

fn push_float(text: &mut String, value: f64) {
    if value.is_nan() {
        text.push_str("NaN");
    } else if value.is_infinite() {
        text.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if value == 0.0 || WRITTEN_OUT.contains(&value.abs()) {
        push_formatted(text, format_args!("{value}"));
    } else {
        push_formatted(text, format_args!("{value:e}"));
    }
}

/// Quotes are escaped in the values of labels, but not in help.
fn push_escaped(text: &mut String, raw: &str, quoted: bool) {
    for letter in raw.chars() {
        match letter {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quoted => text.push_str("\\\""),
            letter => text.push(letter),
        }
    }
}

fn push(text: &mut String, parts: &[&str]) {
    text.extend(parts.iter().copied());
}

fn push_formatted(text: &mut String, value: std::fmt::Arguments<'_>) {
    // A string takes whatever is written to it.
    let _ = text.write_fmt(value);
}
