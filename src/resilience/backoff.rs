//! How long to wait before the next attempt: a curve, a ceiling and jitter, in whole nanoseconds.

use std::borrow::Cow;
use std::time::Duration;

use super::rng::{Rng, between};
use super::settings::{Checks, Ratio, SettingsError};

/// How delays grow from one retry to the next, before the ceiling and jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Curve {
    /// `delay` every time.
    Fixed { delay: Duration },
    /// `base`, then `step` more each time.
    Linear { base: Duration, step: Duration },
    /// `base`, then `factor` times as long each time.
    Exponential { base: Duration, factor: Ratio },
    /// These, one after the other; the last one for ever.
    Table { delays: Cow<'static, [Duration]> },
}

/// How much of a delay is left to chance, so that callers who failed together do not come back together.
/// Never above [`Backoff::max_delay`], and chance remains when the ceiling is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Jitter {
    /// The exact curve.
    #[default]
    None,
    /// Anything from nothing to the delay.
    Full,
    /// Half the delay, and up to as much again.
    Equal,
    /// From the base to three times the previous delay, whatever the curve says.
    Decorrelated,
}

/// A curve under a ceiling, with jitter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    pub curve: Curve,
    /// No delay is longer, jitter included.
    pub max_delay: Duration,
    pub jitter: Jitter,
}

impl Backoff {
    const MAX_DELAY: Duration = Duration::from_secs(60);

    /// 1 s, 2 s, 4 s … up to 60 s.
    pub const EXPONENTIAL: Backoff =
        Backoff::of(Curve::Exponential { base: Duration::from_secs(1), factor: Ratio::times(2) });
    /// 1 s, 2 s, 3 s … up to 60 s.
    pub const LINEAR: Backoff =
        Backoff::of(Curve::Linear { base: Duration::from_secs(1), step: Duration::from_secs(1) });
    /// 1 s every time.
    pub const FIXED: Backoff = Backoff::of(Curve::Fixed { delay: Duration::from_secs(1) });

    /// That curve, at most 60 s, without jitter.
    pub const fn of(curve: Curve) -> Backoff {
        Backoff { curve, max_delay: Backoff::MAX_DELAY, jitter: Jitter::None }
    }

    /// The same with that jitter.
    #[must_use]
    pub fn jitter(self, jitter: Jitter) -> Backoff {
        Backoff { jitter, ..self }
    }

    /// The same under that ceiling.
    #[must_use]
    pub fn max_delay(self, max_delay: Duration) -> Backoff {
        Backoff { max_delay, ..self }
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.require(self.base() <= self.max_delay, "backoff.base", self.base(), "at most backoff.max_delay");
        match &self.curve {
            Curve::Exponential { factor, .. } => {
                checks.require(*factor >= Ratio::ONE, "backoff.factor", factor, "at least 1");
            }
            Curve::Table { delays } => {
                checks.require(!delays.is_empty(), "backoff.delays", delays, "at least one delay");
            }
            Curve::Fixed { .. } | Curve::Linear { .. } => {}
        }
    }

    /// Refuses a curve that cannot work.
    ///
    /// # Errors
    /// The base is above the ceiling, the factor below 1, or the table empty.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let mut checks = Checks::default();
        self.check(&mut checks);
        checks.done()
    }

    /// The delay before retry `number` (1 is the first) without jitter, at most the ceiling.
    pub fn exact_delay(&self, number: u32) -> Duration {
        let before = number.saturating_sub(1);
        let delay = match &self.curve {
            Curve::Fixed { delay } => *delay,
            Curve::Linear { base, step } => base.saturating_add(step.saturating_mul(before)),
            Curve::Exponential { base, factor } => grown(*base, *factor, before),
            Curve::Table { delays } => {
                let last = delays.len().saturating_sub(1);
                let place = usize::try_from(before).unwrap_or(usize::MAX).min(last);
                delays.get(place).copied().unwrap_or(Duration::ZERO)
            }
        };
        delay.min(self.max_delay)
    }

    /// The delays of one operation, drawn one by one.
    pub fn schedule(&self) -> Schedule<'_> {
        Schedule { backoff: self, retries: 0, previous: self.base() }
    }

    fn base(&self) -> Duration {
        match &self.curve {
            Curve::Fixed { delay } => *delay,
            Curve::Linear { base, .. } | Curve::Exponential { base, .. } => *base,
            Curve::Table { delays } => delays.first().copied().unwrap_or(Duration::ZERO),
        }
    }

    /// Retry `number` with jitter, after a delay of `previous`.
    fn drawn(&self, number: u32, previous: Duration, rng: &dyn Rng) -> Duration {
        let exact = nanos(self.exact_delay(number));
        let drawn = match self.jitter {
            // Not by way of nanoseconds: a ceiling beyond 584 years keeps its exact schedule.
            Jitter::None => return self.exact_delay(number),
            Jitter::Full => between(rng, 0, exact),
            // Rounded up, so that half of an odd number is still half of it.
            Jitter::Equal => between(rng, exact.div_ceil(2), exact),
            Jitter::Decorrelated => {
                let ceiling = nanos(self.max_delay);
                let base = nanos(self.base()).min(ceiling);
                // The ceiling bounds the choice rather than the result, so that delays do not pile up on it.
                between(rng, base, nanos(previous).saturating_mul(3).clamp(base, ceiling))
            }
        };
        Duration::from_nanos(drawn)
    }
}

/// Where one operation stands on its curve.
#[derive(Clone, Debug)]
pub struct Schedule<'a> {
    backoff: &'a Backoff,
    retries: u32,
    previous: Duration,
}

impl Schedule<'_> {
    /// The delay before the next retry.
    pub fn next_delay(&mut self, rng: &dyn Rng) -> Duration {
        self.retries = self.retries.saturating_add(1);
        self.previous = self.backoff.drawn(self.retries, self.previous, rng);
        self.previous
    }
}

/// Whole nanoseconds; what is longer than 584 years becomes that.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// `base · factor^times`, saturating. By squaring in 32-bit fixed point, so at most 64 multiplications for any `times`:
/// exact for whole factors, others are rounded down to the nearest 2^-32.
pub(super) fn grown(base: Duration, factor: Ratio, times: u32) -> Duration {
    // A base that is no whole number of nanoseconds in 64 bits, 584 years, has no need to grow.
    let Ok(base_nanos) = u64::try_from(base.as_nanos()) else { return base };
    if times == 0 {
        return base;
    }
    const ONE: u128 = 1 << 32;
    let mut square = u128::from(factor.as_millionths()) * ONE / 1_000_000;
    let mut power = ONE;
    let mut left = times;
    while left > 0 {
        if left & 1 == 1 {
            // An overflow here is a factor beyond 2^64, and no duration of a nanosecond or more outgrows that.
            let Some(product) = power.checked_mul(square) else { return longest(base) };
            power = product >> 32;
        }
        left >>= 1;
        if left > 0 {
            let Some(product) = square.checked_mul(square) else { return longest(base) };
            square = product >> 32;
        }
    }
    let Some(product) = u128::from(base_nanos).checked_mul(power) else { return longest(base) };
    u64::try_from(product >> 32).map_or(longest(base), Duration::from_nanos)
}

fn longest(base: Duration) -> Duration {
    if base.is_zero() { Duration::ZERO } else { Duration::MAX }
}
