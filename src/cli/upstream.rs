//! `upstream`: the MCP servers that are polled for metrics, and all numbers of this program.

use clap::{Args, Subcommand};
use serde_json::json;

use super::exit::{FAILED, Failure, OK, Outcome};
use super::input;
use super::output::Output;
use super::session::{Session, patience, read};
use super::table::{self, Details};
use crate::control::PATIENCE;
use crate::control::wire::{self, Request};

/// The upstream of the configuration's section `session_buddy_polling`.
const FIRST: &str = "session-buddy";
/// A cycle takes at most nine tenths of an interval, which is at most ten minutes.
const POLL_PATIENCE_SECONDS: f64 = 600.0;
/// Numbers that a line of history shows, the newest.
const HISTORY_POINTS: usize = 40;
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms upstream start                              polls session-buddy from now on
  claude-comms upstream poll                               one round now, started or not
  claude-comms upstream status --health                    exit code 1 when it is not well
  claude-comms upstream add other http://localhost:9000/mcp --tool get_numbers
  claude-comms upstream list
  claude-comms upstream stop other                         polls it no more
  claude-comms upstream reset other                        closes its circuit breaker, and tries again
  claude-comms upstream remove other
  claude-comms upstream metrics                            all numbers, for Prometheus

Without a NAME the upstream is session-buddy, that of the section session_buddy_polling.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the upstreams
    List,
    /// Show an upstream and how its tools fare
    Status(Status),
    /// Poll an upstream by schedule, also after a restart
    Start(Name),
    /// Poll it no longer; what is polled by hand still works
    Stop(Name),
    /// Poll an upstream once, now, and show what came of it; exit code 1 when a call failed or could not be made
    Poll(Name),
    /// Close an upstream's circuit breaker
    Reset(Name),
    /// Have another MCP server polled
    Add(Add),
    /// Forget an upstream that was added, with its history
    Remove {
        /// The upstream
        name: String,
    },
    /// Print all numbers in the text format of Prometheus
    Metrics,
}

#[derive(Debug, Args)]
pub(super) struct Name {
    /// The upstream
    #[arg(default_value = FIRST)]
    name: String,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    /// The upstream
    #[arg(default_value = FIRST)]
    name: String,
    /// Only whether it is well, judged by the last round; exit code 1 when it is not
    #[arg(long, conflicts_with = "history")]
    health: bool,
    /// What it has told, metric by metric
    #[arg(long)]
    history: bool,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// What to call it
    name: String,
    /// Where it answers, like http://localhost:9000/mcp
    endpoint: String,
    /// From one round to the next, in seconds or like 2m: 5 s to 10 minutes; otherwise 30 s
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    interval: Option<f64>,
    /// How long one call may take: 1 to 60 s; otherwise 10 s
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    timeout: Option<f64>,
    /// How often a call is tried again, 1 to 10; otherwise 3
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// Before the first of these tries, doubled with each: 1 to 60 s; otherwise 5 s
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    retry_delay: Option<f64>,
    /// Failed calls in a row that open the circuit breaker, 1 to 20; otherwise 5
    #[arg(long, value_name = "N")]
    threshold: Option<u32>,
    /// A tool to call; may be given several times; otherwise the four of Session-Buddy
    #[arg(long, value_name = "TOOL")]
    tool: Vec<String>,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::List => session.ask(&Request::UpstreamList(wire::Empty {}), show_all)?,
        Verb::Status(status) => return self::status(status, session),
        Verb::Start(name) => {
            session.ask(&Request::UpstreamStart(named(name.name)), |output, one: wire::Upstream| {
                output.line(format_args!("upstream {} is polled every {} s", one.name, one.interval_seconds))
            })?
        }
        Verb::Stop(name) => session.ask(&Request::UpstreamStop(named(name.name)), |output, one: wire::Upstream| {
            output.line(format_args!("upstream {} is not polled any more", one.name))
        })?,
        Verb::Poll(name) => return poll(name.name, session),
        Verb::Reset(name) => {
            session.ask(&Request::UpstreamReset(named(name.name)), |output, one: wire::Upstream| {
                output.line(format_args!("the circuit breaker of upstream {} is closed", one.name))
            })?
        }
        Verb::Add(add) => session.ask(&Request::UpstreamAdd(added(add)), show)?,
        Verb::Remove { name } => {
            let request = Request::UpstreamRemove(named(name.clone()));
            session
                .ask(&request, |output, _: wire::Empty| output.line(format_args!("upstream {name} is forgotten")))?;
        }
        Verb::Metrics => session.ask(&Request::UpstreamMetrics(wire::Empty {}), |output, metrics: wire::Metrics| {
            output.line(metrics.text.trim_end())
        })?,
    }
    Ok(OK)
}

fn named(name: String) -> wire::UpstreamName {
    wire::UpstreamName { name }
}

fn added(add: Add) -> wire::UpstreamAdd {
    wire::UpstreamAdd {
        name: add.name,
        endpoint: add.endpoint,
        interval_seconds: add.interval,
        timeout_seconds: add.timeout,
        max_retries: add.max_retries,
        retry_delay_seconds: add.retry_delay,
        circuit_breaker_threshold: add.threshold,
        tools: add.tool,
    }
}

fn poll(name: String, session: &mut Session) -> Outcome {
    let request = Request::UpstreamPoll(wire::UpstreamPoll { name, timeout_seconds: Some(POLL_PATIENCE_SECONDS) });
    let answer = session.connect()?.call_raw(&request, patience(Some(POLL_PATIENCE_SECONDS)))?;
    let one: wire::Upstream = read(&answer)?;
    let failed = one.last_round_failed;
    session.print(&answer, |output, one: wire::Upstream| {
        for error in &one.last_errors {
            output.line(error)?;
        }
        let told = counted(one.metrics_collected.len(), "tool with numbers", "tools with numbers");
        output.line(format_args!("round {}: {told}", one.poll_cycles))?;
        one.metrics_collected.iter().try_for_each(|tool| output.line(format_args!("  {tool}")))
    })?;
    Ok(if failed { FAILED } else { OK })
}

fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Why it is not well, or what is to be known besides; nothing when it is polled and well.
fn reason(one: &wire::Upstream) -> Option<String> {
    let stopped = (!one.running).then(|| match &one.last_poll_time {
        Some(at) => format!("it is stopped, and judged by its last round, at {} UTC", table::short_time(at)),
        None => "it is stopped".to_owned(),
    });
    let never = (one.last_poll_time.is_none()).then(|| "it has not been polled yet".to_owned());
    let error = one.last_errors.first().filter(|_| !one.healthy).cloned().or(never);
    // While nothing is called, what it said before that is why.
    let before = one.last_error.clone().filter(|before| !one.healthy && !one.last_errors.contains(before));
    let before = before.map(|before| format!("before that: {before}"));
    let all: Vec<String> = error.into_iter().chain(before).chain(stopped).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn status(status: Status, session: &mut Session) -> Outcome {
    if status.history {
        // One that is not there has no history either, and that is to be said.
        session.connect()?.call_raw(&Request::UpstreamStatus(named(status.name.clone())), Some(PATIENCE))?;
        let args = wire::UpstreamHistoryArgs { name: status.name, limit: Some(HISTORY_POINTS) };
        session.ask(&Request::UpstreamHistory(args), show_history)?;
        return Ok(OK);
    }
    let request = Request::UpstreamStatus(named(status.name));
    if !status.health {
        session.ask(&request, show)?;
        return Ok(OK);
    }
    let one: wire::Upstream = read(&session.connect()?.call_raw(&request, Some(PATIENCE))?)?;
    let health = json!({
        "poller_running": one.running,
        "circuit_breaker": one.circuit_breaker,
        "poll_cycles": one.poll_cycles,
        "error_count": one.errors,
        "last_poll": one.last_poll_time,
        "last_error": one.last_error,
        "healthy": one.healthy,
        "reason": reason(&one),
    });
    if session.output.json {
        session.output.json(&health)?;
    } else {
        let word = if one.healthy { "healthy" } else { "not healthy" };
        let reason = reason(&one).map_or_else(String::new, |reason| format!(": {reason}"));
        session.output.line(format_args!("upstream {} is {word}{reason}", one.name))?;
    }
    Ok(if one.healthy { OK } else { FAILED })
}

fn show_all(output: &mut Output, found: wire::Upstreams) -> Result<(), Failure> {
    let row = |one: &wire::Upstream| {
        vec![
            table::word(&one.name),
            table::word(if one.running { "running" } else { "stopped" }),
            table::word(&one.circuit_breaker),
            table::number(one.poll_cycles),
            table::number(one.errors),
            table::maybe_time(one.last_poll_time.as_deref()),
            table::text(&one.endpoint),
        ]
    };
    let heading = ["UPSTREAM", "POLLING", "BREAKER", "ROUNDS", "FAILED", "LAST (UTC)", "ENDPOINT"];
    table::print(output, &heading, found.upstreams.iter().map(row).collect(), "there are no upstreams")
}

fn show(output: &mut Output, one: wire::Upstream) -> Result<(), Failure> {
    let time = |at: &Option<String>| at.as_deref().map(|at| format!("{} UTC", table::short_time(at)));
    Details::default()
        .foreign("upstream", &one.name)
        .foreign("endpoint", &one.endpoint)
        .add("polling", if one.running { "running" } else { "stopped" })
        .add("healthy", if one.healthy { "yes" } else { "NO" })
        .add("interval", format_args!("{} s", one.interval_seconds))
        .add("breaker", &one.circuit_breaker)
        .maybe("tried at", time(&one.retry_at).as_deref())
        .add("rounds", format_args!("{}, with {}", one.poll_cycles, counted(one.errors, "failed call", "failed calls")))
        .maybe("last", time(&one.last_poll_time).as_deref())
        .maybe("next", time(&one.next_poll_at).as_deref())
        .maybe("speaks", one.era.as_deref())
        .maybe("last error", one.last_error.as_deref())
        .maybe("error at", time(&one.last_error_time).as_deref())
        .print(output)?;
    output.line("")?;
    let row = |(name, tool): (&String, &wire::UpstreamTool)| {
        vec![
            table::word(name),
            table::word(&tool.state),
            table::maybe_time(tool.at.as_deref()),
            table::maybe_text(tool.error.as_deref()),
        ]
    };
    let heading = ["TOOL", "STATE", "CALLED (UTC)", "WHAT IS WRONG"];
    table::print(output, &heading, one.tools.iter().map(row).collect(), "no tool was called yet")
}

/// A line for each metric: its newest value, and how it came there.
fn show_history(output: &mut Output, history: wire::UpstreamHistory) -> Result<(), Failure> {
    let rows = history.samples.chunk_by(|one, next| one.metric == next.metric).map(|points| {
        let newest = points.last().map_or(0.0, |point| point.value);
        let values: Vec<f64> = points.iter().rev().take(HISTORY_POINTS).rev().map(|point| point.value).collect();
        vec![table::word(&points[0].metric), table::float(newest), table::text(&sparkline(&values))]
    });
    table::print(output, &["METRIC", "NEWEST", "HISTORY"], rows.collect(), "nothing was sampled yet")
}

/// The values as bars between the least and the most of them.
fn sparkline(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |value: &f64| {
        let share = if most > least { (value - least) / (most - least) } else { 0.0 };
        SPARKS[((share * 7.0).round() as usize).min(SPARKS.len() - 1)]
    };
    values.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;
    use super::*;

    #[test]
    fn a_sparkline_goes_from_the_least_to_the_most() {
        assert_eq!(sparkline(&[0.0, 5.0, 10.0]), "▁▅█");
        assert_eq!(sparkline(&[3.0, 3.0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }

    #[test]
    fn health_gives_its_reason() {
        let shown = |last_errors: &[&str], last_error: Option<&str>, healthy: bool, running: bool| {
            let one = serde_json::json!({
                "name": "u", "endpoint": "http://h", "running": running, "configured": false, "healthy": healthy,
                "interval_seconds": 30.0, "timeout_seconds": 10.0, "max_retries": 3, "retry_delay_seconds": 5.0,
                "circuit_breaker_threshold": 5, "poll_cycles": 1, "errors": 0, "last_round_failed": !healthy,
                "last_poll_time": "2026-11-03T10:20:30.123456+00:00", "last_error": last_error, "last_error_time": null,
                "next_poll_at": null, "circuit_breaker": "CLOSED", "circuit_breaker_open": false, "retry_at": null,
                "consecutive_failures": 0, "era": null, "metrics_collected": [], "last_errors": last_errors, "tools": {}
            });
            reason(&serde_json::from_value(one).unwrap()).unwrap_or_default()
        };
        assert_eq!(shown(&[], Some("old"), true, true), "");
        assert_eq!(shown(&["t: no"], Some("t: no"), false, true), "t: no");
        assert_eq!(shown(&["it is open"], Some("t: no"), false, true), "it is open; before that: t: no");
        let stopped = "it is stopped, and judged by its last round, at 2026-11-03 10:20:30 UTC";
        assert_eq!(shown(&[], None, true, false), stopped);
    }

    #[test]
    fn the_first_upstream_needs_no_name() {
        for good in ["status", "status other --health", "start", "stop other", "poll", "reset", "status --history"] {
            assert!(parse_words(&format!("upstream {good}")).is_ok(), "{good}");
        }
        for bad in ["remove", "add other", "status --health --history", "add a b --interval soon"] {
            assert!(parse_words(&format!("upstream {bad}")).is_err(), "{bad}");
        }
    }
}
