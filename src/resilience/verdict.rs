//! What an error means: whether the same call may be made again, and whether it speaks against the service.

use std::io;
use std::time::Duration;

use super::event::Outcome;

/// The judgement of one error. Two questions that are often confused stay apart: a `429` is worth retrying but says
/// nothing about the health of the service; a `501` the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The same call might succeed if made again.
    pub retryable: bool,
    /// The breaker counts it as a failure; otherwise the outcome is *ignored*.
    pub counted: bool,
    /// The service asked not to be called again before this has passed.
    pub retry_after: Option<Duration>,
    /// A short stable word for metrics and logs; never a message.
    pub kind: &'static str,
}

impl Verdict {
    /// Might succeed next time, and counts: time-outs, refused connections, `503`.
    pub const fn transient(kind: &'static str) -> Verdict {
        Verdict { retryable: true, counted: true, retry_after: None, kind }
    }

    /// Ours, not theirs: bad arguments, most `4xx`. Neither retried nor counted.
    pub const fn permanent(kind: &'static str) -> Verdict {
        Verdict { retryable: false, counted: false, retry_after: None, kind }
    }

    /// The service is at fault, but asking again will not help.
    pub const fn broken(kind: &'static str) -> Verdict {
        Verdict { retryable: false, counted: true, retry_after: None, kind }
    }

    /// The service is well and asks for patience, as `429` does.
    pub const fn throttled(kind: &'static str, retry_after: Option<Duration>) -> Verdict {
        Verdict { retryable: true, counted: false, retry_after, kind }
    }

    /// What a breaker makes of the call that ended so.
    pub const fn outcome(&self) -> Outcome {
        if self.counted { Outcome::Failure } else { Outcome::Ignored }
    }

    /// The same verdict with the wait that the service asked for.
    #[must_use]
    pub const fn after(self, retry_after: Duration) -> Verdict {
        Verdict { retry_after: Some(retry_after), ..self }
    }
}

/// An error that can be judged. Implement it for the error type of your client, once.
pub trait Fault {
    fn verdict(&self) -> Verdict;
}

/// The filter that the decorators of old called `expected_exception`: what it accepts is transient, all else permanent.
pub fn expected<E>(accepts: impl Fn(&E) -> bool) -> impl Fn(&E) -> Verdict {
    move |error| {
        if accepts(error) { Verdict::transient("expected") } else { Verdict::permanent("unexpected") }
    }
}

impl Fault for io::Error {
    fn verdict(&self) -> Verdict {
        use io::ErrorKind;
        match self.kind() {
            ErrorKind::TimedOut => Verdict::transient("timeout"),
            ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::ResourceBusy => Verdict::transient("busy"),
            ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown => Verdict::transient("connect"),
            ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe
            | ErrorKind::NotConnected
            | ErrorKind::UnexpectedEof => Verdict::transient("disconnected"),
            ErrorKind::StorageFull => Verdict::broken("storage_full"),
            _ => Verdict::permanent("io"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retrying_and_counting_are_two_questions() {
        let answers = [
            Verdict::transient("a"),
            Verdict::permanent("b"),
            Verdict::broken("c"),
            Verdict::throttled("d", Some(Duration::from_secs(2))),
        ]
        .map(|verdict| (verdict.retryable, verdict.outcome()));
        use Outcome::{Failure, Ignored};
        assert_eq!(answers, [(true, Failure), (false, Ignored), (false, Failure), (true, Ignored)]);
        let asked = Verdict::transient("a").after(Duration::from_secs(1));
        assert_eq!((asked.retryable, asked.retry_after), (true, Some(Duration::from_secs(1))));
    }

    #[test]
    fn an_io_error_is_judged_by_its_kind() {
        let judge = |kind: io::ErrorKind| {
            let verdict = io::Error::from(kind).verdict();
            (verdict.kind, verdict.retryable, verdict.counted)
        };
        assert_eq!(judge(io::ErrorKind::TimedOut), ("timeout", true, true));
        assert_eq!(judge(io::ErrorKind::ConnectionRefused), ("connect", true, true));
        assert_eq!(judge(io::ErrorKind::InvalidInput), ("io", false, false));
        assert_eq!(judge(io::ErrorKind::StorageFull), ("storage_full", false, true));
    }

    #[test]
    fn a_filter_makes_all_else_permanent() {
        let judge = expected(|number: &u32| *number > 3);
        assert!(judge(&4).retryable && judge(&4).counted);
        assert!(!judge(&3).retryable && !judge(&3).counted);
    }
}
