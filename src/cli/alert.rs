//! `alert`: the numbers that are where a rule of the configuration does not want them.

use clap::Subcommand;

use super::exit::{Failure, OK, Outcome};
use super::output::Output;
use super::session::Session;
use super::table;
use crate::control::wire::{self, Request};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms alert list                     those that are raised now
  claude-comms event tail --channel alerts    as they are raised and cleared

The rules stand in the configuration, under [[alert]].";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the alerts that are raised
    List,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    let Verb::List = verb;
    session.ask(&Request::AlertList(wire::Empty {}), |output, found: wire::Alerts| show(output, &found.alerts))?;
    Ok(OK)
}

fn show(output: &mut Output, alerts: &[wire::Alert]) -> Result<(), Failure> {
    let row = |alert: &wire::Alert| {
        vec![
            table::word(&alert.rule),
            table::float(alert.value),
            table::word(&limit(alert)),
            table::time(&alert.since),
            table::text(&series(alert)),
        ]
    };
    let heading = ["ALERT", "NUMBER", "LIMIT", "SINCE (UTC)", "METRIC"];
    table::print(output, &heading, alerts.iter().map(row).collect(), "no alert is raised")
}

/// On one line, for whoever shows other things too.
pub(super) fn line(alert: &wire::Alert) -> String {
    let since = table::short_time(&alert.since);
    format!("{}: {} is {}, {} since {since} UTC", alert.rule, series(alert), alert.value, limit(alert))
}

fn limit(alert: &wire::Alert) -> String {
    format!("{} {}", alert.bound, alert.threshold)
}

/// As Prometheus writes it.
fn series(alert: &wire::Alert) -> String {
    if alert.labels.is_empty() {
        return alert.metric.clone();
    }
    let labels: Vec<String> = alert.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{}{{{}}}", alert.metric, labels.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_says_what_is_where_and_since_when() {
        let labels = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let alert = wire::Alert {
            rule: "busy".to_owned(),
            metric: "cpu".to_owned(),
            labels: labels(&[("upstream", "u")]),
            value: 91.5,
            bound: "above".to_owned(),
            threshold: 90.0,
            since: "2026-11-03T10:20:30.123456+00:00".to_owned(),
            raised_at: "2026-11-03T10:22:30.123456+00:00".to_owned(),
        };
        assert_eq!(line(&alert), "busy: cpu{upstream=\"u\"} is 91.5, above 90 since 2026-11-03 10:20:30 UTC");
        assert_eq!(series(&wire::Alert { labels: labels(&[]), ..alert }), "cpu");
    }
}
