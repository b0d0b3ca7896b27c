//! What a metric is called, and the unit that its name ends in.

use super::error::MetricError;
use super::family::Kind;
use std::borrow::Cow;
use std::sync::Arc;

/// Longest name of a metric.
pub const NAME_BYTES_MAX: usize = 200;

/// What the name of every counter ends in, in Prometheus.
const ENDING_OF_COUNTERS: &str = "_total";

/// Endings that the text format gives to the lines of a histogram.
const ENDINGS_OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// The name of a metric: ASCII letters, digits, `_`, and dots, which OpenTelemetry writes and Prometheus does not know.
/// Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name {
    given: Arc<str>,
    exported: Arc<str>,
}

impl Name {
    /// # Errors
    /// [`MetricError::Name`] when it is empty or longer than [`NAME_BYTES_MAX`], begins with a digit, holds anything
    /// else than the above (a colon is for the rules of whoever runs Prometheus), or ends as the lines of a histogram
    /// do: `_bucket`, `_count`, `_sum`.
    pub fn new(name: &str) -> Result<Name, MetricError> {
        let exported = exported(name);
        let known = exported.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let fault = if name.is_empty() || name.len() > NAME_BYTES_MAX {
            "it is empty or too long"
        } else if !known || !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            "only ASCII letters, digits, _ and dots are allowed, and a letter or _ at the front"
        } else if ENDINGS_OF_HISTOGRAMS.iter().any(|ending| exported.ends_with(ending)) {
            "_bucket, _count and _sum are the endings of a histogram's own lines"
        } else {
            return Ok(Name { given: name.into(), exported: exported.into() });
        };
        Err(MetricError::Name { name: name.to_owned(), fault })
    }

    /// As it was given, with dots.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// As Prometheus has it, with underscores for dots.
    pub fn exported(&self) -> &str {
        &self.exported
    }

    /// As the text for Prometheus has it: the name of a counter ends in `_total` there, whether or not it was given so.
    ///
    /// It is what the client libraries of Prometheus do, and OpenTelemetry's rules for translating names. So a name
    /// that was chosen for either of them is found under the name that they would have given it.
    pub(super) fn exposed(&self, kind: Kind) -> Cow<'_, str> {
        match kind {
            Kind::Counter if !self.exported.ends_with(ENDING_OF_COUNTERS) => {
                Cow::Owned(format!("{}{ENDING_OF_COUNTERS}", self.exported))
            }
            _ => Cow::Borrowed(&self.exported),
        }
    }

    /// The one that a counter may have that is exposed under this name too.
    pub(super) fn without_total(&self) -> Option<&str> {
        self.exported.strip_suffix(ENDING_OF_COUNTERS).filter(|bare| !bare.ends_with(ENDING_OF_COUNTERS))
    }

    /// The unit that it ends in, `_total` left out.
    pub fn unit(&self) -> Unit {
        let bare = self.exported.strip_suffix(ENDING_OF_COUNTERS).unwrap_or(&self.exported);
        if bare.ends_with("_seconds") {
            Unit::Seconds
        } else if bare.ends_with("_bytes") {
            Unit::Bytes
        } else {
            Unit::One
        }
    }
}

pub(super) fn exported(name: &str) -> String {
    name.replace('.', "_")
}

/// What the numbers of a metric are measured in. Names end in base units, so there are few.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
    /// Things that are counted, shares, and whatever names no unit.
    One,
}

impl Unit {
    /// The symbol that OTLP wants, of the Unified Code for Units of Measure.
    pub const fn ucum(self) -> &'static str {
        match self {
            Unit::Seconds => "s",
            Unit::Bytes => "By",
            Unit::One => "1",
        }
    }
}
