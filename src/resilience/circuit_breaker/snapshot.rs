//! A breaker's state as one line of text, so that it survives a restart. It holds remaining times and ages, never
//! stamps: the clock of the next process starts elsewhere.

use std::time::Duration;

use super::settings::BreakerSettings;
use super::state::{Core, Period, Phase};
use super::window::{Call, CountWindow, Sums, Tally, TimeWindow};
use crate::clock::Tick;

/// Longest snapshot that is read, in bytes: a full window, with room.
pub const SNAPSHOT_BYTES_MAX: usize = 128 * 1024;

/// The text is no snapshot of a breaker with these settings; the breaker is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a snapshot of a breaker with these settings; it starts closed")]
pub struct SnapshotError;

/// Writes down what `core` would need to decide the same after a restart. Probes under way are not part of it:
/// they end with the process, and their places are free again.
pub(super) fn encode(core: &Core, now: Tick) -> String {
    match &core.phase {
        Phase::Closed { tally: Tally::Consecutive(failures) } => format!("1 closed run {failures}"),
        Phase::Closed { tally: Tally::Count(window) } => {
            let calls: String = window.calls().map(letter).collect();
            format!("1 closed calls .{calls}")
        }
        Phase::Closed { tally: Tally::Time(window) } => {
            let mut text = String::from("1 closed buckets");
            for (age, sums) in window.aged(now) {
                text.push_str(&format!(" {age}:{}:{}:{}", sums.calls, sums.failures, sums.slow));
            }
            text
        }
        Phase::Open { period, opening, failures, .. } => {
            format!("1 open {} {opening} {failures}", period.left(now).as_nanos())
        }
        Phase::HalfOpen { successes, opening, failures, .. } => {
            format!("1 half_open {successes} {opening} {failures}")
        }
        Phase::Disabled => "1 disabled".to_owned(),
        // The guards end with the process, and the last one closes.
        Phase::ForcedOpen { .. } => "1 closed".to_owned(),
    }
}

/// Reads what [`encode`] wrote `elapsed` ago.
pub(super) fn decode(
    text: &str,
    elapsed: Duration,
    settings: BreakerSettings,
    wait_max: Duration,
    now: Tick,
) -> Result<Phase, SnapshotError> {
    if text.len() > SNAPSHOT_BYTES_MAX {
        return Err(SnapshotError);
    }
    let mut words = text.split_ascii_whitespace();
    let version = words.next();
    let state = words.next();
    let words: Vec<&str> = words.collect();
    match (version, state, words.as_slice()) {
        (Some("1"), Some("closed"), memory) => {
            let mut tally = Tally::new(settings.trip);
            match (&mut tally, memory) {
                (_, []) => {}
                (Tally::Consecutive(failures), ["run", run]) => *failures = number(run)?,
                (Tally::Count(window), ["calls", calls]) => read_calls(window, calls)?,
                (Tally::Time(window), ["buckets", buckets @ ..]) => read_buckets(window, buckets, elapsed, now)?,
                _ => return Err(SnapshotError),
            }
            Ok(Phase::Closed { tally })
        }
        (Some("1"), Some("open"), [left, opening, failures]) => {
            let left = left.parse::<u128>().map_err(|_| SnapshotError)?;
            let left = u64::try_from(left).map_or(Duration::MAX, Duration::from_nanos).saturating_sub(elapsed);
            // Settings may have changed in between; no open period is longer than they allow.
            let period = Period::new(now, left.min(wait_max));
            Ok(Phase::Open { period, opening: number(opening)?, failures: number(failures)?, told: false })
        }
        (Some("1"), Some("half_open"), [successes, opening, failures]) => Ok(Phase::HalfOpen {
            leases: Vec::new(),
            successes: number(successes)?,
            opening: number(opening)?,
            failures: number(failures)?,
        }),
        (Some("1"), Some("disabled"), []) => Ok(Phase::Disabled),
        _ => Err(SnapshotError),
    }
}

fn number(text: &str) -> Result<u32, SnapshotError> {
    text.parse().map_err(|_| SnapshotError)
}

fn letter(call: Call) -> char {
    match (call.failed, call.slow) {
        (false, false) => 's',
        (false, true) => 'S',
        (true, false) => 'f',
        (true, true) => 'F',
    }
}

fn read_calls(window: &mut CountWindow, calls: &str) -> Result<(), SnapshotError> {
    let calls = calls.strip_prefix('.').ok_or(SnapshotError)?;
    for letter in calls.chars() {
        let (failed, slow) = match letter {
            's' => (false, false),
            'S' => (false, true),
            'f' => (true, false),
            'F' => (true, true),
            _ => return Err(SnapshotError),
        };
        window.record(Call { failed, slow });
    }
    Ok(())
}

fn read_buckets(window: &mut TimeWindow, buckets: &[&str], elapsed: Duration, now: Tick) -> Result<(), SnapshotError> {
    for bucket in buckets {
        let fields: Vec<&str> = bucket.split(':').collect();
        let [age, calls, failures, slow] = fields.as_slice() else { return Err(SnapshotError) };
        let age: u128 = age.parse().map_err(|_| SnapshotError)?;
        let sums = Sums {
            calls: u64::from(number(calls)?),
            failures: u64::from(number(failures)?),
            slow: u64::from(number(slow)?),
        };
        if sums.failures > sums.calls || sums.slow > sums.calls {
            return Err(SnapshotError);
        }
        window.put_back(age.saturating_add(elapsed.as_nanos()), sums, now);
    }
    Ok(())
}
