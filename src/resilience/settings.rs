//! What all settings share: ratios without NaN, and an error that names every field in the wrong and its range.

use std::borrow::Cow;
use std::fmt;

/// A factor or a share, kept as millionths so that comparing and multiplying it is exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ratio {
    millionths: u32,
}

impl Ratio {
    pub const ONE: Ratio = Ratio::times(1);

    /// `n` to one; saturates at about 4294.
    pub const fn times(n: u32) -> Ratio {
        Ratio { millionths: n.saturating_mul(1_000_000) }
    }

    /// `n` in a hundred; saturates at about 4294 to one.
    pub const fn percent(n: u32) -> Ratio {
        Ratio { millionths: n.saturating_mul(10_000) }
    }

    /// From a configuration file or a command line.
    ///
    /// # Errors
    /// The value is no number, infinite, negative or beyond 4000.
    pub fn from_f64(value: f64) -> Result<Ratio, SettingsError> {
        let mut checks = Checks::default();
        // Written so that NaN, for which no comparison holds, is refused too.
        checks.require((0.0..=4000.0).contains(&value), "ratio", value, "from 0 to 4000");
        checks.done()?;
        Ok(Ratio { millionths: (value * 1e6).round() as u32 })
    }

    pub const fn as_millionths(self) -> u32 {
        self.millionths
    }

    /// Whether `part` of `whole` is at least this share; never of nothing.
    pub(super) fn reached_by(self, part: u64, whole: u64) -> bool {
        whole > 0 && u128::from(part) * 1_000_000 >= u128::from(self.millionths) * u128::from(whole)
    }
}

/// One setting that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub field: &'static str,
    pub value: String,
    pub range: Cow<'static, str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} must be {}, not {}", self.field, self.range, self.value)
    }
}

/// Settings that cannot work, refused before anything is built; all problems at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "))]
pub struct SettingsError {
    pub problems: Vec<Problem>,
}

/// Collects problems while settings are looked through.
#[derive(Default)]
pub(super) struct Checks {
    problems: Vec<Problem>,
}

impl Checks {
    pub(super) fn require(&mut self, holds: bool, field: &'static str, value: impl fmt::Debug, range: &'static str) {
        if !holds {
            self.problems.push(Problem { field, value: format!("{value:?}"), range: Cow::Borrowed(range) });
        }
    }

    /// Only what is there already will do.
    pub(super) fn require_same<T: PartialEq + fmt::Debug>(&mut self, field: &'static str, value: &T, there: &T) {
        if value != there {
            let range = Cow::Owned(format!("{there:?}"));
            self.problems.push(Problem { field, value: format!("{value:?}"), range });
        }
    }

    pub(super) fn done(self) -> Result<(), SettingsError> {
        if self.problems.is_empty() { Ok(()) } else { Err(SettingsError { problems: self.problems }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_ratio_is_refused_by_name_and_range() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.1, 4000.1] {
            let error = Ratio::from_f64(value).unwrap_err();
            assert!(error.to_string().starts_with("ratio must be from 0 to 4000, not "), "{error}");
        }
        assert_eq!(Ratio::from_f64(1.5).unwrap().as_millionths(), 1_500_000);
        assert_eq!(Ratio::from_f64(0.0).unwrap(), Ratio::percent(0));
    }

    #[test]
    fn a_share_is_reached_exactly_and_never_by_nothing() {
        let half = Ratio::percent(50);
        assert!(half.reached_by(2, 4));
        assert!(!half.reached_by(1, 3));
        assert!(!Ratio::percent(0).reached_by(0, 0));
        assert!(Ratio::ONE.reached_by(u64::MAX, u64::MAX));
    }
}
