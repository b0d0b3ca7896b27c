//! Time, in the two kinds that must not be mixed: a [`Tick`] measures how long, a [`Timestamp`] says when.
//! This is the only room that reads the machine's clocks; everybody else is given `now` or a [`Clock`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A point on the monotonic clock: nanoseconds since an arbitrary start within this process.
/// It never goes back, and says nothing about the time of day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u64);

impl Tick {
    pub const ZERO: Tick = Tick(0);
    /// Further away than any wait.
    pub const FAR: Tick = Tick(u64::MAX);

    pub const fn from_nanos(nanos: u64) -> Tick {
        Tick(nanos)
    }

    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The point `wait` later; saturates at [`Tick::FAR`].
    #[must_use]
    pub fn after(self, wait: Duration) -> Tick {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Tick(self.0.saturating_add(nanos))
    }

    /// How long from here to `later`; zero when that has passed.
    pub fn until(self, later: Tick) -> Duration {
        Duration::from_nanos(later.0.saturating_sub(self.0))
    }

    /// How long ago `earlier` was; zero when it is yet to come.
    pub fn since(self, earlier: Tick) -> Duration {
        earlier.until(self)
    }
}

/// A point in civil time: microseconds since 1970-01-01 00:00 UTC.
/// It jumps when somebody sets the clock, so it is stored and shown, never waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Timestamp {
        Timestamp(micros)
    }

    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// From Unix seconds as the database keeps them. What is no number becomes 0.
    pub fn from_unix_seconds(seconds: f64) -> Timestamp {
        // `as` saturates and turns NaN into 0: a foreign value cannot break us here.
        Timestamp((seconds * 1e6).round() as i64)
    }

    pub fn as_unix_seconds(self) -> f64 {
        self.0 as f64 / 1e6
    }

    #[must_use]
    pub fn after(self, wait: Duration) -> Timestamp {
        let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        Timestamp(self.0.saturating_add(micros))
    }

    /// How long from here to `later`; zero when that has passed.
    pub fn until(self, later: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(later.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// Reads what [`fmt::Display`] writes, and any other RFC 3339 date and time.
    pub fn parse(text: &str) -> Option<Timestamp> {
        text.parse::<jiff::Timestamp>().ok().map(|time| Timestamp(time.as_microsecond()))
    }

    /// Reads a date as HTTP headers have it: `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn parse_http_date(text: &str) -> Option<Timestamp> {
        let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
        Some(Timestamp(time.as_microsecond()))
    }

    /// As HTTP headers have it; what HTTP cannot say is 1970.
    pub fn http_date(self) -> String {
        let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
        let printed = printer.timestamp_to_rfc9110_string(&self.civil());
        printed.unwrap_or_else(|_| "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())
    }

    fn civil(self) -> jiff::Timestamp {
        let end = if self.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(end)
    }
}

/// RFC 3339 in UTC with microseconds and `+00:00`, as every format of ours has it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let utc = jiff::tz::Offset::UTC.to_datetime(self.civil());
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}+00:00",
            utc.year(),
            utc.month(),
            utc.day(),
            utc.hour(),
            utc.minute(),
            utc.second(),
            utc.subsec_nanosecond() / 1000
        )
    }
}

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub tick: Tick,
    pub wall: Timestamp,
}

impl Now {
    /// Where on the monotonic clock the civil time `at` lies, as things stand now.
    pub fn tick_of(&self, at: Timestamp) -> Tick {
        self.tick.after(self.wall.until(at))
    }
}

/// Where time comes from. Shared between threads, never blocks.
pub trait Clock: Send + Sync {
    fn tick(&self) -> Tick;
    fn wall(&self) -> Timestamp;

    fn now(&self) -> Now {
        Now { tick: self.tick(), wall: self.wall() }
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn new() -> SystemClock {
        SystemClock { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    fn tick(&self) -> Tick {
        Tick::ZERO.after(self.started.elapsed())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn wall(&self) -> Timestamp {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            // A machine that believes it is before 1970 still gets a usable, if wrong, date.
            Err(_) => Timestamp(0),
        }
    }
}

/// Clocks that stand still until told otherwise; clones share the same hands. For tests and simulations.
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    tick: Arc<AtomicU64>,
    wall: Arc<AtomicI64>,
}

impl ManualClock {
    pub fn new() -> ManualClock {
        ManualClock::default()
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, wait: Duration) {
        let later = self.tick().after(wait);
        self.tick.store(later.0, Ordering::SeqCst);
        self.set_wall(self.wall().after(wait));
    }

    /// Sets the time of day, as an administrator would; the monotonic clock does not notice.
    pub fn set_wall(&self, wall: Timestamp) {
        self.wall.store(wall.0, Ordering::SeqCst);
    }

    /// Sets the monotonic clock, even backwards: for tests of code that must survive a broken one.
    pub fn set_tick(&self, tick: Tick) {
        self.tick.store(tick.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn tick(&self) -> Tick {
        Tick(self.tick.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        Timestamp(self.wall.load(Ordering::SeqCst))
    }
}

/// A new id, unique everywhere: a UUID that sorts by the time at which it was made.
pub fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_shown_in_utc_with_microseconds() {
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000000+00:00");
        let text = "2026-11-22T02:04:33.000123+00:00";
        assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        assert_eq!(Timestamp::parse(text).unwrap().http_date(), "Sun, 22 Nov 2026 02:04:33 GMT");
    }

    #[test]
    fn impossible_times_saturate_instead_of_panicking() {
        assert_eq!(Timestamp::from_unix_seconds(f64::NAN), Timestamp::from_micros(0));
        assert!(Timestamp::from_unix_seconds(1e300).to_string().starts_with("9999-"));
        assert!(Timestamp::from_unix_seconds(-1e300).to_string().starts_with("-9999-"));
        assert_eq!(Tick::from_nanos(5).after(Duration::MAX), Tick::FAR);
    }

    #[test]
    fn setting_the_clock_does_not_move_the_monotonic_one() {
        let clock = ManualClock::new();
        clock.advance(Duration::from_secs(5));
        clock.set_wall(Timestamp::from_unix_seconds(1e9));
        assert_eq!(clock.tick(), Tick::ZERO.after(Duration::from_secs(5)));
        let expires = Timestamp::from_unix_seconds(1e9 + 2.0);
        assert_eq!(clock.now().tick_of(expires), Tick::ZERO.after(Duration::from_secs(7)));
    }
}
