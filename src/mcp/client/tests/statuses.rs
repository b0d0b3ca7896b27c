//! What HTTP says instead of an answer.

use super::*;
use crate::clock::Timestamp;

#[test]
fn a_server_that_cannot_just_now_is_asked_again() {
    for status in [408, 425, 500, 502, 503, 504] {
        let error = check(&status.to_string(), move |_| Reaction::status(status, "busy"), &transient("unavailable"));
        assert!(error.to_string().contains(&format!("HTTP {status}): busy")), "{error}");
    }
}

#[test]
fn too_many_requests_are_not_the_servers_fault() {
    let expected = Expected { kind: "throttled", tried: AsOftenAsAllowed, counted: false };
    let error = check("429", |_| Reaction::status(429, "").with("retry-after", "7"), &expected);
    assert_eq!(error.verdict().retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn the_wait_that_a_server_asks_for_is_handed_on() {
    let error = check("503", |_| Reaction::status(503, "").with("retry-after", "11"), &transient("unavailable"));
    assert_eq!(error.verdict().retry_after, Some(Duration::from_secs(11)));
    let date = http_date(SystemClock::new().wall().after(Duration::from_secs(60)));
    let error = check("503", move |_| Reaction::status(503, "").with("retry-after", &date), &transient("unavailable"));
    let wait = error.verdict().retry_after.unwrap();
    assert!((50..=60).contains(&wait.as_secs()), "{wait:?}");
    let error = check("503", |_| Reaction::status(503, "").with("retry-after", "later"), &transient("unavailable"));
    assert_eq!(error.verdict().retry_after, None);
}

fn http_date(time: Timestamp) -> String {
    let seconds = time.as_micros() / 1_000_000;
    jiff::Timestamp::from_second(seconds).unwrap().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[test]
fn another_failure_of_the_server_counts_but_is_final() {
    for status in [501, 505, 511] {
        let expected = Expected { kind: "failed", tried: Once, counted: true };
        check(&status.to_string(), move |_| Reaction::status(status, ""), &expected);
    }
}

#[test]
fn a_refusal_is_a_matter_of_configuration() {
    for status in [400, 401, 403, 405, 406, 410, 413, 415, 422] {
        let error = check(&status.to_string(), move |_| Reaction::status(status, "<b>no\r\n"), &configuration());
        assert!(error.to_string().contains(&format!("(HTTP {status}): <b>no; ")), "{error}");
    }
    let error = check("401", |_| Reaction::status(401, ""), &configuration());
    assert!(error.to_string().contains("bearer token"), "{error}");
}

#[test]
fn a_redirect_is_not_followed_but_shown() {
    let elsewhere = FaultyServer::legacy(|seen| Reaction::json(&seen.result(&numbers())));
    for status in [301, 302, 303, 307, 308] {
        let target = elsewhere.endpoint();
        let shown = target.clone();
        let redirect = move |_: &Seen| Reaction::status(status, "").with("location", &target);
        let error = check(&status.to_string(), redirect, &configuration());
        assert!(error.to_string().contains(&shown), "{error}");
    }
    assert_eq!(elsewhere.seen().len(), 0, "a token would have been carried there");
    check("304", |_| Reaction::status(304, ""), &configuration());
}

#[test]
fn not_found_without_a_session_is_the_wrong_address() {
    let server = FaultyServer::start(|_| Reaction::status(404, "nothing here"));
    let error = check_client("404", &client(&server), &configuration());
    assert!(error.to_string().contains("path"), "{error}");
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn a_refused_beginning_is_a_matter_of_configuration() {
    for method in ["initialize", "notifications/initialized"] {
        let server = FaultyServer::legacy_but(method, |_| Reaction::status(403, "who are you?"));
        check_client(method, &client(&server), &configuration());
        // Nobody would use it any more.
        assert_eq!(server.count("DELETE"), usize::from(method != "initialize"));
    }
}

#[test]
fn a_refusal_whose_text_never_ends_is_a_refusal() {
    let head = b"HTTP/1.1 403 X\r\n\r\n".to_vec();
    let endless =
        move |_: &Seen| Reaction::Repeat { first: head.clone(), rest: vec![b'x'; 10_000], pause: Duration::ZERO };
    check("endless 403", endless, &configuration());
}
