//! The settings as the rest of the program reads them: typed, checked, and made from the rows of `sections.rs`.

use std::collections::BTreeMap;
use std::iter;
use std::net::SocketAddr;
use std::time::Duration;

use log::LevelFilter;

use super::alert::Alert;
use super::hook::Hook;
use super::layers::Origins;
use super::record::Record;
use super::sections;
use super::upstream::Upstream;
use super::value::Secret;

/// Everything that can be configured, checked. [`Config::default`] has the documented defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub daemon: Daemon,
    pub web: Web,
    pub executor: Executor,
    pub ask: Ask,
    pub watch: Watch,
    pub retention: Retention,
    pub otlp: Otlp,
    /// `session-buddy` first, then the others in the order of the file; also those that are not enabled.
    pub upstreams: Vec<Upstream>,
    /// In the order of the file.
    pub alerts: Vec<Alert>,
    /// In the order of the file.
    pub hooks: Vec<Hook>,
}

/// `[daemon]`: the process itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Daemon {
    pub interval: Duration,
    pub max_messages: u32,
    /// `None`: no TCP port.
    pub listen: Option<SocketAddr>,
    /// Somebody wants it to be there, so it must.
    pub listen_chosen: bool,
    pub stop_grace: Duration,
    pub log_level: Option<LevelFilter>,
}

/// `[web]`: who may use the TCP port.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Web {
    pub require_auth: bool,
    pub connections_max: u32,
    pub allowed_hosts: Vec<String>,
    pub allowed_origins: Vec<String>,
}

/// `[executor]`: how a task becomes a child process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Executor {
    /// Program and arguments; never empty.
    pub command: Vec<String>,
    pub timeout: Duration,
    pub kill_grace: Duration,
    pub stuck_after: Duration,
    pub failure_threshold: u32,
    pub recovery_timeout: Duration,
    pub queue_max: u32,
    /// `None`: as the kind of task has it.
    pub on_crash: Option<OnCrash>,
    pub environment: BTreeMap<String, String>,
}

/// What becomes of a task whose process was lost with the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrash {
    Requeue,
    Fail,
}

/// `[ask]`: questions to modules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ask {
    pub timeout: Duration,
}

/// `[watch]`: messages being watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Watch {
    pub timeout: Duration,
}

/// `[retention]`: how much of the past is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Retention {
    pub events_days: u32,
    pub events_max: u32,
    /// 0: for ever.
    pub tasks_days: u32,
}

/// `[otlp]`: exporting metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Otlp {
    pub enabled: bool,
    /// Used as it is.
    pub endpoint: Option<String>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Names in small letters.
    pub headers: BTreeMap<String, Secret>,
    pub service_name: String,
    /// Without `service.name`.
    pub resource: BTreeMap<String, String>,
}

impl Otlp {
    /// Where to, if anything is to be exported.
    pub fn target(&self) -> Option<&str> {
        self.endpoint.as_deref().filter(|_| self.enabled)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::from(&Origins::defaults())
    }
}

impl From<&Origins> for Config {
    fn from(origins: &Origins) -> Config {
        Config {
            daemon: Daemon::from(&origins.section(&sections::DAEMON)),
            web: Web::from(&origins.section(&sections::WEB)),
            executor: Executor::from(&origins.section(&sections::EXECUTOR)),
            ask: Ask { timeout: origins.section(&sections::ASK).seconds("timeout_seconds") },
            watch: Watch { timeout: origins.section(&sections::WATCH).seconds("timeout_seconds") },
            retention: Retention::from(&origins.section(&sections::RETENTION)),
            otlp: Otlp::from(&origins.section(&sections::OTLP)),
            upstreams: upstreams(origins),
            alerts: origins.all(&sections::ALERT).map(Alert::from).collect(),
            hooks: origins.all(&sections::HOOK).map(Hook::from).collect(),
        }
    }
}

fn upstreams(origins: &Origins) -> Vec<Upstream> {
    let session_buddy = Upstream::session_buddy(&origins.section(&sections::SESSION_BUDDY_POLLING));
    iter::once(session_buddy).chain(origins.all(&sections::UPSTREAM).map(Upstream::from)).collect()
}

impl From<&Record> for Daemon {
    fn from(record: &Record) -> Daemon {
        Daemon {
            interval: record.seconds("interval_seconds"),
            max_messages: record.count("max_messages"),
            listen: record.address("listen"),
            listen_chosen: record.place_of("listen").is_some(),
            stop_grace: record.seconds("stop_grace_seconds"),
            log_level: record.choice("log_level").and_then(|name| name.parse().ok()),
        }
    }
}

impl From<&Record> for Web {
    fn from(record: &Record) -> Web {
        Web {
            require_auth: record.switch("require_auth"),
            connections_max: record.count("connections_max"),
            allowed_hosts: record.words("allowed_hosts"),
            allowed_origins: record.words("allowed_origins"),
        }
    }
}

impl From<&Record> for Executor {
    fn from(record: &Record) -> Executor {
        let on_crash = |name| if name == "requeue" { OnCrash::Requeue } else { OnCrash::Fail };
        Executor {
            command: record.words("command"),
            timeout: record.seconds("timeout_seconds"),
            kill_grace: record.seconds("kill_grace_seconds"),
            stuck_after: record.seconds("stuck_after_seconds"),
            failure_threshold: record.count("failure_threshold"),
            recovery_timeout: record.seconds("recovery_timeout_seconds"),
            queue_max: record.count("queue_max"),
            on_crash: record.choice("on_crash").map(on_crash),
            environment: record.table("environment"),
        }
    }
}

impl From<&Record> for Retention {
    fn from(record: &Record) -> Retention {
        Retention {
            events_days: record.count("events_days"),
            events_max: record.count("events_max"),
            tasks_days: record.count("tasks_days"),
        }
    }
}

impl From<&Record> for Otlp {
    fn from(record: &Record) -> Otlp {
        Otlp {
            enabled: record.switch("enabled"),
            endpoint: record.text_if_set("endpoint"),
            interval: record.seconds("interval_seconds"),
            timeout: record.seconds("timeout_seconds"),
            headers: record.secrets("headers"),
            service_name: record.text("service_name"),
            resource: record.table("resource"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        let config = Config::default();
        assert_eq!(config.daemon.interval, Duration::from_secs(1));
        assert_eq!(config.daemon.max_messages, 1000);
        assert_eq!(config.daemon.listen, "127.0.0.1:8690".parse().ok());
        assert_eq!(config.daemon.stop_grace, Duration::from_secs(10));
        assert_eq!(config.daemon.log_level, Some(LevelFilter::Info));
        assert_eq!(config.executor.command, ["claude", "-p", "--output-format", "stream-json", "--verbose"]);
        assert_eq!(config.executor.timeout, Duration::from_secs(1800));
        assert_eq!(config.executor.kill_grace, Duration::from_secs(5));
        assert_eq!(config.executor.queue_max, 1000);
        assert_eq!(config.executor.failure_threshold, 3);
        assert_eq!(config.executor.recovery_timeout, Duration::from_secs(60));
        assert_eq!(config.executor.on_crash, None);
        assert!(config.executor.environment.is_empty());
        assert_eq!(config.ask.timeout, Duration::from_secs(600));
        assert_eq!(config.watch.timeout, Duration::from_secs(3600));
        assert_eq!(config.otlp.target(), None);
        assert_eq!((config.otlp.interval.as_secs(), config.otlp.timeout.as_secs()), (60, 10));
        assert_eq!((config.otlp.enabled, config.otlp.service_name.as_str()), (true, "claude-comms"));
        assert_eq!((config.retention.events_days, config.retention.events_max), (7, 1_000_000));
        assert_eq!(config.retention.tasks_days, 0);
    }
}
