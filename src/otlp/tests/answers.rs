//! What collectors answer, and what it is taken for.

use super::super::outcome::{ExportError, Taken, outcome};
use super::collector::{Collector, Reaction};
use crate::clock::Timestamp;
use crate::http::{Endpoint, Poster};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);

fn answered(collector: &Collector, reaction: Reaction, timeout: Duration) -> Result<Taken, ExportError> {
    collector.react(reaction);
    let poster = Poster::new(Endpoint::parse(&collector.endpoint()).unwrap(), Vec::new());
    outcome(poster.post("application/x-protobuf", b"", timeout, Timestamp::default())?)
}

/// The kind, when to come again, and the sentence.
fn refused(collector: &Collector, reaction: Reaction) -> (&'static str, Option<u64>, String) {
    let error = answered(collector, reaction, TIMEOUT).unwrap_err();
    (error.kind(), error.retry_after().map(|wait| wait.as_secs()), error.to_string())
}

/// `google.rpc.Status`, as the specification wants it of a collector that refuses.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

#[test]
fn a_request_is_taken_whole_or_partly() {
    let collector = Collector::start(Reaction::taken());
    let taken = |reaction| answered(&collector, reaction, TIMEOUT).unwrap();
    let all = Taken::default();
    assert_eq!(taken(Reaction::taken()), all);
    assert_eq!(taken(Reaction::answer(202, "application/json", b"{}")), all);
    assert_eq!(taken(Reaction::answer(204, "", b"")), all);
    assert_eq!(taken(Reaction::answer(200, "text/plain", b"ok")), all);
    let response = ExportMetricsServiceResponse { partial_success: Some(Default::default()) };
    assert_eq!(taken(Reaction::answer(200, "application/x-protobuf; v=1", &response.encode_to_vec())), all);
    let said = Some("too many\u{2026}".to_owned());
    assert_eq!(taken(Reaction::partly(3, "too many\u{2026}")), Taken { rejected: 3, said: said.clone() });
    assert_eq!(taken(Reaction::partly(0, "too many\u{2026}")), Taken { rejected: 0, said });
    assert_eq!(taken(Reaction::partly(-4, "")), all);
}

#[test]
fn who_may_not_come_or_must_wait_is_told_so() {
    let collector = Collector::start(Reaction::taken());
    let refused = |reaction| refused(&collector, reaction);
    let plain = |status| Reaction::answer(status, "text/plain", b"go\naway");
    assert_eq!(
        refused(plain(503).with("retry-after", "7")),
        ("unavailable", Some(7), "it is not available (HTTP 503): go away".to_owned())
    );
    assert_eq!(refused(plain(429).with("retry-after", "0")).1, Some(0));
    assert_eq!(
        (refused(plain(429)).0, refused(plain(502)).0, refused(plain(504)).0),
        ("throttled", "unavailable", "unavailable")
    );
    assert_eq!(
        (refused(plain(500)).0, refused(plain(501)).0, refused(plain(199 + 400)).0),
        ("failed", "failed", "failed")
    );
    assert_eq!(
        (refused(plain(400)).0, refused(plain(401)).0, refused(plain(413)).0),
        ("refused", "refused", "refused")
    );
    let (_, _, said) = refused(plain(404));
    assert!(said.ends_with("It mostly ends in /v1/metrics"), "{said}");
    let status = Status { code: 3, message: "no such tenant".to_owned() }.encode_to_vec();
    let (_, _, said) = refused(Reaction::answer(400, "application/x-protobuf", &status));
    assert!(said.starts_with("it refused the numbers (HTTP 400): no such tenant;"), "{said}");
    let (_, _, said) = refused(Reaction::answer(400, "application/x-protobuf", &[]));
    assert!(said.contains("it said nothing"), "{said}");
}

#[test]
fn a_redirect_is_shown_and_not_followed() {
    let collector = Collector::start(Reaction::taken());
    let elsewhere = Reaction::answer(308, "text/plain", b"").with("location", "http://localhost:1/elsewhere");
    let (kind, _, said) = refused(&collector, elsewhere);
    assert_eq!(kind, "redirected");
    assert_eq!(said, "it points to http://localhost:1/elsewhere (HTTP 308); if that is right, make it the endpoint");
    assert_eq!(refused(&collector, Reaction::answer(302, "", b"")).0, "redirected");
}

#[test]
fn what_is_no_collector_is_found_out() {
    let collector = Collector::start(Reaction::taken());
    let (kind, _, said) = refused(&collector, Reaction::answer(200, "text/html; charset=utf-8", b"<p>Log in</p>"));
    assert_eq!(kind, "no_collector");
    assert!(said.contains("<p>Log in</p>"), "{said}");
    assert_eq!(refused(&collector, Reaction::answer(200, "application/x-protobuf", b"\x0a\x7f")).0, "no_collector");
}

#[test]
fn no_answer_in_time_is_the_end_of_waiting() {
    let collector = Collector::start(Reaction::taken());
    let short = Duration::from_millis(100);
    for reaction in [Reaction::Hang, Reaction::Stall] {
        let error = answered(&collector, reaction, short).unwrap_err();
        assert_eq!(error.kind(), "timeout", "{error}");
    }
    assert_eq!(refused(&collector, Reaction::Close).0, "disconnected");
    let endpoint = collector.endpoint();
    drop(collector);
    let poster = Poster::new(Endpoint::parse(&endpoint).unwrap(), Vec::new());
    let error = ExportError::from(poster.post("", b"", TIMEOUT, Timestamp::default()).unwrap_err());
    assert_eq!(error.kind(), "connect", "{error}");
}

#[test]
fn a_huge_answer_is_not_read_to_its_end() {
    let collector = Collector::start(Reaction::taken());
    let huge = vec![b'x'; 8 << 20];
    let (kind, _, said) = refused(&collector, Reaction::answer(500, "text/plain", &huge));
    assert_eq!(kind, "failed");
    assert!(said.len() < 1_000, "{} bytes", said.len());
    assert_eq!(answered(&collector, Reaction::answer(200, "text/plain", &huge), TIMEOUT).unwrap(), Taken::default());
}
