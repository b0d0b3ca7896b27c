//! Settings: ranges, defaults, and what follows from them.

use super::super::{DEFAULT_TOOLS, Poller, PollerError, PollerSettings};
use super::SECOND;
use crate::resilience::Effects;
use std::sync::Arc;
use std::time::Duration;

const ENDPOINT: &str = "http://localhost:8678/mcp";

fn documented() -> PollerSettings {
    PollerSettings::new("session-buddy", ENDPOINT)
}

#[test]
fn the_defaults_are_the_documented_ones() {
    let settings = documented();
    let PollerSettings { interval, timeout, max_retries, retry_delay, failure_threshold, ref tools, .. } = settings;
    assert_eq!((interval, timeout, retry_delay), (30 * SECOND, 10 * SECOND, 5 * SECOND));
    assert_eq!((max_retries, failure_threshold), (3, 5));
    assert_eq!(*tools, DEFAULT_TOOLS);
    assert_eq!((settings.cycle_limit(), settings.cooldown()), (27 * SECOND, 150 * SECOND));
    assert_eq!(settings.validate(), Ok(()));
}

#[test]
fn what_cannot_be_is_refused_by_name_and_range_all_at_once() {
    let wrong = PollerSettings {
        name: "a b".to_owned(),
        interval: SECOND,
        timeout: 61 * SECOND,
        max_retries: 0,
        retry_delay: Duration::ZERO,
        failure_threshold: 21,
        tools: vec![],
        token: Some(String::new()),
        ..documented()
    };
    let said = wrong.validate().unwrap_err().to_string();
    for part in [
        "name must be 1 to 64 ASCII letters",
        "interval must be from 5 to 600 s, not 1s",
        "timeout must be from 1 to 60 s, not 61s",
        "max_retries must be from 1 to 10, not 0",
        "retry_delay must be from 1 to 60 s, not 0ns",
        "failure_threshold must be from 1 to 20, not 21",
        "tools must be 1 to 32 names",
        "token must be left out or not empty",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let twice = PollerSettings { tools: vec!["a".to_owned(), "a".to_owned()], ..documented() };
    assert!(twice.validate().is_err());
    let ends = PollerSettings { interval: 600 * SECOND, timeout: 60 * SECOND, max_retries: 10, ..documented() };
    assert_eq!(ends.validate(), Ok(()));
}

#[test]
fn an_address_or_a_token_that_can_never_work_is_refused() {
    let refused = |settings| Poller::new(settings, &Effects::system(), Arc::new(())).unwrap_err();
    let no_scheme = PollerSettings::new("a", "localhost:8678/mcp");
    assert!(matches!(refused(no_scheme), PollerError::Client(_)));
    let token = PollerSettings { token: Some("sec\nret".to_owned()), ..documented() };
    let said = refused(token).to_string();
    assert!(!said.contains("sec"), "{said}");
    assert!(matches!(refused(PollerSettings::new("", ENDPOINT)), PollerError::Settings(_)));
}

#[test]
fn a_token_is_not_shown() {
    let shown = format!("{:?}", PollerSettings { token: Some("secret".to_owned()), ..documented() });
    assert!(!shown.contains("secret") && shown.contains("has_token: true"), "{shown}");
}

/// The four documented profiles; "testing" differs in being off.
#[test]
fn a_retry_fits_into_every_profile() {
    let development = PollerSettings { interval: 10 * SECOND, ..documented() };
    let production = PollerSettings { interval: 60 * SECOND, max_retries: 5, failure_threshold: 10, ..documented() };
    let frequent = PollerSettings { interval: 5 * SECOND, timeout: 3 * SECOND, ..documented() };
    for (settings, attempt, delay) in
        [(documented(), 10.0, 5.0), (development, 6.0, 1.5), (production, 10.0, 5.0), (frequent, 3.0, 0.75)]
    {
        assert_eq!(settings.validate(), Ok(()));
        let left = settings.cycle_limit();
        let (limit, first) = (settings.attempt_timeout(left), settings.first_delay(left));
        assert_eq!((limit.as_secs_f64(), first.as_secs_f64()), (attempt, delay));
        assert!(limit + first < left, "a retry fits");
        assert!(settings.tight().is_some(), "they are all tight");
    }
}

#[test]
fn the_arithmetic_of_what_does_not_fit_is_told() {
    // 4 × 10 s, and 5 + 10 + 20 s between them.
    let said = documented().tight().unwrap();
    assert!(said.contains("4 attempts of 10s") && said.contains("75s in all") && said.contains("27s"), "{said}");
    let roomy = PollerSettings { interval: 600 * SECOND, ..documented() };
    assert_eq!(roomy.tight(), None);
}
