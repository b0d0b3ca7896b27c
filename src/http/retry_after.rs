//! The header `Retry-After`.

use crate::clock::Timestamp;
use std::time::Duration;

/// Longer waits are taken for this long.
const RETRY_AFTER_SECONDS_MAX: u64 = 86_400;

/// Reads seconds or an HTTP date; `None` for anything else.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let most = Duration::from_secs(RETRY_AFTER_SECONDS_MAX);
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than a number can hold is longer than anything, too.
        return Some(value.parse().map_or(most, |seconds| Duration::from_secs(seconds).min(most)));
    }
    Timestamp::parse_http_date(value).map(|until| now.until(until).min(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read_and_capped() {
        let now = Timestamp::parse("2026-11-24T10:00:00Z").unwrap();
        let read = |value: &str| retry_after(value, now).map(|wait| wait.as_secs());
        assert_eq!(read("7"), Some(7));
        assert_eq!(read(" 0 "), Some(0));
        assert_eq!(read("99999999999999999999999"), Some(RETRY_AFTER_SECONDS_MAX));
        assert_eq!(read("Tue, 24 Nov 2026 10:01:30 GMT"), Some(90));
        assert_eq!(read("Tue, 24 Nov 2026 09:00:00 GMT"), Some(0));
        assert_eq!(read("Sun, 24 Nov 2999 09:00:00 GMT"), Some(RETRY_AFTER_SECONDS_MAX));
        assert_eq!((read("-1"), read("1.5"), read("soon"), read("")), (None, None, None, None));
    }
}
