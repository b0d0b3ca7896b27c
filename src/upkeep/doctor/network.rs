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

/// Those that are polled: as the daemon says, and where it says nothing, as the configuration does.
pub(super) fn upstreams(configured: &[config::Upstream], daemon: &Daemon, clock: &dyn Clock) -> Vec<Finding> {
    let asked = polled(configured, daemon);
    asked.iter().map(|(name, endpoint)| examine(name, endpoint, clock)).collect()
}

/// Names and endpoints.
fn polled(configured: &[config::Upstream], daemon: &Daemon) -> Vec<(String, String)> {
    let written = configured.iter().map(|upstream| (upstream.name.clone(), upstream.endpoint.clone()));
    let Some(answer) = daemon.answer() else {
        return written.filter(|(name, _)| configured.iter().any(|it| it.name == *name && it.enabled)).collect();
    };
    // The daemon does not tell what may be a password in an endpoint; the configuration has all of it.
    let written: Vec<(String, String)> = written.collect();
    let whole = |name: &String| written.iter().find(|(other, _)| other == name).map(|(_, endpoint)| endpoint.clone());
    let told = answer.polled.iter();
    told.map(|(name, endpoint)| (name.clone(), whole(name).unwrap_or_else(|| endpoint.clone()))).collect()
}

fn examine(name: &str, endpoint: &str, clock: &dyn Clock) -> Finding {
    const CHECK: &str = "upstreams";
    let shown = endpoint::shown(endpoint);
    let Ok(endpoint) = Endpoint::parse(endpoint) else {
        let sentence = format!("{name} at {shown} cannot be called");
        return Finding::fault(CHECK, sentence, "correct its endpoint in config.toml");
    };
    // Whatever it says: there is somebody.
    match Poster::new(endpoint, Vec::new()).post("application/json", PING, PATIENCE, clock.wall()) {
        Ok(_) => Finding::ok(CHECK, format!("{name} at {shown} answers")),
        Err(broken) => Finding::warning(
            CHECK,
            format!("{name} at {shown} does not answer: {broken}"),
            "start that server, correct its endpoint, or stop polling it: claude-comms upstream stop NAME, or enabled = false",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, State};
    use super::*;

    #[test]
    fn those_are_called_that_are_polled() {
        let upstream = |name: &str, enabled| config::Upstream {
            name: name.to_owned(),
            endpoint: format!("http://u:p@{name}/"),
            enabled,
            ..config::Config::default().upstreams.remove(0)
        };
        let configured = [upstream("a", true), upstream("b", false)];
        let names = |daemon: &Daemon| -> Vec<String> {
            polled(&configured, daemon).into_iter().map(|(name, endpoint)| format!("{name} {endpoint}")).collect()
        };
        assert_eq!(names(&Daemon::Absent), ["a http://u:p@a/"]);
        let told = [("b", "http://…@b/"), ("c", "http://c/")].map(|(name, at)| (name.to_owned(), at.to_owned()));
        let answers = Daemon::Answers(Answer { polled: told.to_vec(), ..Answer::default() });
        assert_eq!(names(&answers), ["b http://u:p@b/", "c http://c/"]);
    }

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
