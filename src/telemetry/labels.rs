//! What tells the series of one metric apart.

use super::error::MetricError;
use std::sync::Arc;

/// Pairs of name and value in the order of their names, each name once. Cheap to clone.
///
/// Names are made of ASCII letters, digits and `_`, not beginning with a digit; those beginning with `__` belong to
/// Prometheus, `le` and `quantile` to its histograms and summaries. Any text is a value; an empty one is for Prometheus
/// the same as no such label.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

impl Labels {
    /// The order of the pairs does not matter.
    ///
    /// # Errors
    /// [`MetricError::Label`] when a name breaks the rules above or is there twice.
    pub fn new(pairs: &[(&str, &str)]) -> Result<Labels, MetricError> {
        let mut sorted = pairs.to_vec();
        sorted.sort_unstable();
        for (name, _) in &sorted {
            check(name)?;
        }
        if let Some(same) = sorted.windows(2).find(|two| two[0].0 == two[1].0) {
            return Err(MetricError::Label { name: same[0].0.to_owned(), fault: "it is there twice" });
        }
        Ok(Labels(sorted.into_iter().map(|(name, value)| (name.into(), value.into())).collect()))
    }

    /// The pairs, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of one label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much text they hold.
    pub(super) fn bytes(&self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

fn check(name: &str) -> Result<(), MetricError> {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let fault = if name.is_empty() || name.starts_with(|first: char| first.is_ascii_digit()) || !letters {
        "only ASCII letters, digits and _ are allowed, and no digit at the front"
    } else if name.starts_with("__") {
        "names beginning with __ belong to Prometheus"
    } else if name == "le" || name == "quantile" {
        "it belongs to histograms and summaries"
    } else {
        return Ok(());
    };
    Err(MetricError::Label { name: name.to_owned(), fault })
}
