//! The TCP port, and the servers that are polled.

use std::time::Duration;

use super::{Daemon, Finding};
use crate::clock::Clock;
use crate::config;
use crate::endpoint;
use crate::http::{Endpoint, Poster};
use crate::service::{open_port, port_holder};

/// How long a server may take to say anything at all.
const PATIENCE: Duration = Duration::from_secs(3);
/// What every server that speaks JSON-RPC has an answer to, and that does nothing.
const PING: &[u8] = br#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// `lock_pid`: the process that has the lock, which is a daemon even when it does not answer.
pub(super) fn port(settings: &config::Daemon, daemon: &Daemon, lock_pid: Option<u32>) -> Finding {
    const CHECK: &str = "port";
    const ADVICE: &str = "end that program, or choose another port: [daemon] listen in config.toml, or --listen; then \
                          restart the daemon";
    let taken = |sentence: String| {
        // The daemon does without a port that nobody has asked for.
        let judged = if settings.listen_chosen { Finding::fault } else { Finding::warning };
        judged(CHECK, sentence, ADVICE)
    };
    if let Daemon::Answers(answer) = daemon {
        return match (&answer.listen, &answer.listen_error) {
            (Some(address), _) => Finding::ok(CHECK, format!("the daemon listens at {address}")),
            (None, Some(error)) => taken(error.clone()),
            (None, None) => Finding::ok(CHECK, "the daemon was told to listen nowhere"),
        };
    }
    let Some(address) = settings.listen else { return Finding::ok(CHECK, "none is wanted") };
    match open_port(address) {
        Ok(_) => Finding::ok(CHECK, format!("{address} is free")),
        Err(sentence) => match port_holder(address).filter(|pid| Some(*pid) == lock_pid) {
            Some(pid) => {
                Finding::ok(CHECK, format!("the daemon (process {pid}), which does not answer, has {address}"))
            }
            None => taken(sentence),
        },
    }
}

pub(super) fn upstreams(configured: &[config::Upstream], clock: &dyn Clock) -> Vec<Finding> {
    configured.iter().filter(|upstream| upstream.enabled).map(|upstream| examine(upstream, clock)).collect()
}

fn examine(upstream: &config::Upstream, clock: &dyn Clock) -> Finding {
    const CHECK: &str = "upstreams";
    let (name, shown) = (&upstream.name, endpoint::shown(&upstream.endpoint));
    let Ok(endpoint) = Endpoint::parse(&upstream.endpoint) else {
        let sentence = format!("{name} at {shown} cannot be called");
        return Finding::fault(CHECK, sentence, "correct its endpoint in config.toml");
    };
    // Whatever it says: there is somebody.
    match Poster::new(endpoint, Vec::new()).post("application/json", PING, PATIENCE, clock.wall()) {
        Ok(_) => Finding::ok(CHECK, format!("{name} at {shown} answers")),
        Err(broken) => Finding::warning(
            CHECK,
            format!("{name} at {shown} does not answer: {broken}"),
            "start that server, correct its endpoint in config.toml, or set enabled = false",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, State};
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_a_fault_only_when_it_was_asked_for() {
        let settings = |listen_chosen| config::Daemon { listen_chosen, ..config::Daemon::default() };
        let answers = |error: Option<&str>| {
            Daemon::Answers(Answer { listen_error: error.map(ToOwned::to_owned), ..Answer::default() })
        };
        let taken = answers(Some("127.0.0.1:8690 is taken by python3 (process 7)"));
        for (finding, state) in [
            (port(&settings(true), &taken, None), State::Fault),
            (port(&settings(false), &taken, None), State::Warning),
            (port(&settings(true), &answers(None), None), State::Ok),
            (port(&settings(false), &Daemon::Absent, None), State::Ok),
        ] {
            assert_eq!(finding.state, state, "{finding:?}");
            assert_eq!(finding.advice.is_some_and(|advice| advice.contains("--listen")), state != State::Ok);
        }
    }

    #[test]
    fn the_port_of_a_daemon_that_does_not_answer_is_its_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen = listener.local_addr().ok();
        let settings = config::Daemon { listen, listen_chosen: true, ..config::Daemon::default() };
        let us = std::process::id();
        // Where processes cannot be seen there is nothing to tell it by.
        let own = if port_holder(listen.unwrap()) == Some(us) { State::Ok } else { State::Fault };
        assert_eq!(port(&settings, &Daemon::Absent, Some(us)).state, own);
        assert_eq!(port(&settings, &Daemon::Absent, Some(us + 1)).state, State::Fault);
        assert_eq!(port(&settings, &Daemon::Absent, None).state, State::Fault);
    }
}
