//! `upstream.*`: requests checked, and upstreams as they are shown.

use super::intake::{duration, name};
use super::wire;
use crate::endpoint;
use crate::model::breaker::BreakerState;
use crate::model::command::{Command, Refusal};
use crate::model::id::UpstreamName;
use crate::model::upstream::{TOOL_BYTES_MAX, TOOLS_MAX, Upstream, UpstreamRow};
use crate::ports::Reader;
use std::time::Duration;

pub(super) fn named(text: &str) -> UpstreamName {
    UpstreamName::new(text)
}

pub(super) fn poll(args: &wire::UpstreamPoll) -> Result<Command, Refusal> {
    let timeout = args.timeout_seconds.map(|seconds| duration("timeout_seconds", seconds)).transpose()?;
    Ok(Command::PollUpstream { name: named(&args.name), timeout })
}

pub(super) fn add(args: &wire::UpstreamAdd) -> Result<Command, Refusal> {
    let seconds = |what: &str, given: Option<f64>, default: Duration, least: f64, most: f64| match given {
        None => Ok(default),
        Some(seconds) if (least..=most).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Some(seconds) => Err(Refusal::bad_request(format!("{what} is {seconds}; it goes from {least} to {most}"))),
    };
    let count = |what: &str, given: Option<u32>, default: u32, most: u32| match given {
        None => Ok(default),
        Some(count) if (1..=most).contains(&count) => Ok(count),
        Some(count) => Err(Refusal::bad_request(format!("{what} is {count}; it goes from 1 to {most}"))),
    };
    let row = UpstreamRow::new(UpstreamName::from(name("name", &args.name)?), &endpoint(&args.endpoint)?);
    let threshold = args.circuit_breaker_threshold;
    Ok(Command::AddUpstream(UpstreamRow {
        interval: seconds("interval_seconds", args.interval_seconds, row.interval, 5.0, 600.0)?,
        timeout: seconds("timeout_seconds", args.timeout_seconds, row.timeout, 1.0, 60.0)?,
        max_retries: count("max_retries", args.max_retries, row.max_retries, 10)?,
        retry_delay: seconds("retry_delay_seconds", args.retry_delay_seconds, row.retry_delay, 1.0, 60.0)?,
        failure_threshold: count("circuit_breaker_threshold", threshold, row.failure_threshold, 20)?,
        tools: if args.tools.is_empty() { row.tools } else { tools(&args.tools)? },
        ..row
    }))
}

/// As the configuration checks it.
fn endpoint(text: &str) -> Result<String, Refusal> {
    match endpoint::fault(text) {
        None => Ok(text.to_owned()),
        Some(fault) => {
            let shown = endpoint::shown(text);
            let message = format!("endpoint is a URL {fault}: {shown:?}; it is one like http://localhost:8678/mcp");
            Err(Refusal::bad_request(message))
        }
    }
}

fn tools(given: &[String]) -> Result<Vec<String>, Refusal> {
    let is_tool =
        |tool: &String| !tool.is_empty() && tool.len() <= TOOL_BYTES_MAX && !tool.contains(char::is_whitespace);
    let is_twice = |(at, tool): (usize, &String)| given[..at].contains(tool);
    if given.len() > TOOLS_MAX || !given.iter().all(is_tool) || given.iter().enumerate().any(is_twice) {
        let message = format!(
            "tools are at most {TOOLS_MAX} names without spaces, of at most {TOOL_BYTES_MAX} bytes, none twice"
        );
        return Err(Refusal::bad_request(message));
    }
    Ok(given.to_vec())
}

pub(super) fn history(
    args: &wire::UpstreamHistoryArgs,
    points_max: usize,
    reader: &mut dyn Reader,
) -> Result<wire::UpstreamHistory, Refusal> {
    let samples = reader.samples(&args.name, points_max)?;
    let shown = |point: crate::ports::SamplePoint| wire::UpstreamSample {
        metric: point.metric,
        at: point.at.to_string(),
        value: point.value,
    };
    Ok(wire::UpstreamHistory { name: args.name.clone(), samples: samples.into_iter().map(shown).collect() })
}

pub(super) fn list(upstreams: &[Upstream]) -> wire::Upstreams {
    wire::Upstreams { upstreams: upstreams.iter().map(shown).collect() }
}

pub(super) fn shown(upstream: &Upstream) -> wire::Upstream {
    let row = &upstream.row;
    let last = upstream.last.as_ref();
    wire::Upstream {
        name: row.name.to_string(),
        endpoint: endpoint::shown(&row.endpoint),
        running: row.polling,
        configured: row.configured,
        healthy: upstream.is_healthy(),
        interval_seconds: row.interval.as_secs_f64(),
        timeout_seconds: row.timeout.as_secs_f64(),
        max_retries: row.max_retries,
        retry_delay_seconds: row.retry_delay.as_secs_f64(),
        circuit_breaker_threshold: row.failure_threshold,
        poll_cycles: last.map_or(0, |report| report.cycle),
        errors: last.map_or(0, |report| report.failures),
        last_poll_time: last.map(|report| report.at.to_string()),
        last_round_failed: last.is_some_and(|report| report.is_failed),
        last_error: upstream.last_error.clone(),
        last_error_time: upstream.last_error_at.map(|at| at.to_string()),
        next_poll_at: upstream.next_poll_at.map(|at| at.to_string()),
        circuit_breaker: upstream.breaker.as_str().to_owned(),
        circuit_breaker_open: upstream.breaker == BreakerState::Open,
        retry_at: upstream.retry_at.map(|at| at.to_string()),
        consecutive_failures: last.map_or(0, |report| report.consecutive_failures),
        era: last.and_then(|report| report.era).map(str::to_owned),
        metrics_collected: last.map(|report| report.metrics.clone()).unwrap_or_default(),
        last_errors: last.map(|report| report.errors.clone()).unwrap_or_default(),
        tools: last.map(|report| report.tools.iter().map(tool).collect()).unwrap_or_default(),
    }
}

fn tool(state: &crate::model::upstream::ToolState) -> (String, wire::UpstreamTool) {
    let shown = wire::UpstreamTool {
        state: state.state.to_owned(),
        error: state.error.clone(),
        at: state.at.map(|at| at.to_string()),
    };
    (state.tool.clone(), shown)
}
