//! How many requests a connection may make: so many a second, and some at once.

use crate::clock::Tick;
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance {
    per_second: f64,
    burst: f64,
    left: f64,
    at: Tick,
}

impl Allowance {
    pub(super) fn new(per_second: u32, burst: u32, now: Tick) -> Allowance {
        Allowance { per_second: f64::from(per_second), burst: f64::from(burst), left: f64::from(burst), at: now }
    }

    /// Takes one; or says how long to wait for it.
    pub(super) fn take(&mut self, now: Tick) -> Result<(), Duration> {
        self.left = (self.left + now.since(self.at).as_secs_f64() * self.per_second).min(self.burst);
        self.at = now;
        if self.left >= 1.0 {
            self.left -= 1.0;
            return Ok(());
        }
        Err(Duration::from_secs_f64((1.0 - self.left) / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_so_many_a_second() {
        let mut allowance = Allowance::new(100, 3, Tick::ZERO);
        let late = |millis: u64| Tick::ZERO.after(Duration::from_millis(millis));
        assert_eq!([(); 3].map(|()| allowance.take(Tick::ZERO)), [Ok(()); 3]);
        assert_eq!(allowance.take(Tick::ZERO), Err(Duration::from_millis(10)));
        assert_eq!(allowance.take(late(5)), Err(Duration::from_millis(5)));
        assert_eq!(allowance.take(late(11)), Ok(()));
        assert_eq!([(); 4].map(|()| allowance.take(late(9000)).is_ok()), [true, true, true, false]);
    }
}
