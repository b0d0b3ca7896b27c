//! The settings: where each is kept, and the table that names it, bounds it and describes it.
//! A new setting is a field and a row here; parsing, checks, origins and the man page follow from the row.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use log::LevelFilter;

use super::value::{Kind, Value};

/// Everything that can be configured, checked. [`Config::default`] has the documented defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub daemon: Daemon,
    pub executor: Executor,
    pub ask: Ask,
    pub watch: Watch,
    pub retention: Retention,
}

/// `[daemon]`: the process itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Daemon {
    pub interval: Duration,
    pub max_messages: u32,
    /// `None`: no TCP port.
    pub listen: Option<SocketAddr>,
    pub stop_grace: Duration,
    pub log_level: Option<LevelFilter>,
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
}

impl Default for Config {
    fn default() -> Config {
        let mut config = Config {
            daemon: Daemon::default(),
            executor: Executor::default(),
            ask: Ask::default(),
            watch: Watch::default(),
            retention: Retention::default(),
        };
        for setting in SETTINGS {
            if let Some(value) = setting.default() {
                setting.apply(&mut config, &value);
            }
        }
        config
    }
}

/// One row of the table.
#[derive(Debug)]
pub struct Setting {
    pub section: &'static str,
    pub name: &'static str,
    /// The flag that sets it too.
    pub flag: Option<&'static str>,
    pub about: &'static str,
    pub(super) kind: Kind,
}

impl Setting {
    /// As people write it: `daemon.listen`.
    pub fn key(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    pub fn environment_name(&self) -> String {
        format!("CLAUDE_COMMS_{}__{}", self.section.to_uppercase(), self.name.to_uppercase())
    }

    /// `None`: not set unless somebody sets it.
    pub fn default(&self) -> Option<Value> {
        self.kind.default()
    }

    /// What may be written there, in words: `a number of seconds from 0.05 to 3600`.
    pub fn expects(&self) -> String {
        self.kind.expects()
    }

    pub(super) fn apply(&self, config: &mut Config, value: &Value) {
        self.kind.apply(config, value);
    }

    pub(super) fn find(section: &str, name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.section == section && setting.name == name)
    }
}

const SECONDS_PER_WEEK: f64 = 604_800.0;

/// Every setting, in the order of the man page.
pub static SETTINGS: &[Setting] = &[
    Setting {
        section: "daemon",
        name: "interval_seconds",
        flag: Some("--interval"),
        about: "How often the database is looked at even when nothing said that it changed.",
        kind: Kind::Seconds { default: 1.0, least: 0.05, most: 3600.0, field: |c| &mut c.daemon.interval },
    },
    Setting {
        section: "daemon",
        name: "max_messages",
        flag: Some("--max-messages"),
        about: "How many messages may be watched at the same time.",
        kind: Kind::Count { default: 1000, least: 1, most: 1_000_000, field: |c| &mut c.daemon.max_messages },
    },
    Setting {
        section: "daemon",
        name: "listen",
        flag: Some("--listen"),
        about: "Where the TCP port is to be opened, or \"none\". Checked, but not opened by this version.",
        kind: Kind::Address { default: "127.0.0.1:8690", field: |c| &mut c.daemon.listen },
    },
    Setting {
        section: "daemon",
        name: "stop_grace_seconds",
        flag: None,
        about: "How long running tasks have from TERM to KILL when the daemon stops. They are queued again, uncounted.",
        kind: Kind::Seconds { default: 10.0, least: 0.0, most: 3600.0, field: |c| &mut c.daemon.stop_grace },
    },
    Setting {
        section: "daemon",
        name: "log_level",
        flag: None,
        about: "How much is logged, unless CLAUDE_COMMS_LOG, LOGURU_LEVEL or -v says otherwise.",
        kind: Kind::Choice {
            default: Some("info"),
            names: &["off", "error", "warn", "info", "debug", "trace"],
            set: |config, name| config.daemon.log_level = name.parse().ok(),
        },
    },
    Setting {
        section: "executor",
        name: "command",
        flag: None,
        about: "The program that performs a task, and its arguments; never a shell line.",
        kind: Kind::Words {
            default: &["claude", "-p", "--output-format", "stream-json", "--verbose"],
            field: |c| &mut c.executor.command,
        },
    },
    Setting {
        section: "executor",
        name: "timeout_seconds",
        flag: None,
        about: "How long one attempt at a task may take, unless the task says so itself.",
        kind: Kind::Seconds { default: 1800.0, least: 0.1, most: SECONDS_PER_WEEK, field: |c| &mut c.executor.timeout },
    },
    Setting {
        section: "executor",
        name: "kill_grace_seconds",
        flag: None,
        about: "How long a process has between being asked to end (TERM) and being killed (KILL).",
        kind: Kind::Seconds { default: 5.0, least: 0.0, most: 60.0, field: |c| &mut c.executor.kill_grace },
    },
    Setting {
        section: "executor",
        name: "queue_max",
        flag: None,
        about: "How many tasks may wait in a pool, unless the pool says so itself.",
        kind: Kind::Count { default: 1000, least: 1, most: 1_000_000, field: |c| &mut c.executor.queue_max },
    },
    Setting {
        section: "executor",
        name: "stuck_after_seconds",
        flag: None,
        about: "A worker whose task has written nothing for so long counts as stuck; `pool create --on-stuck` says what then.",
        kind: Kind::Seconds {
            default: 300.0,
            least: 1.0,
            most: SECONDS_PER_WEEK,
            field: |c| &mut c.executor.stuck_after,
        },
    },
    Setting {
        section: "executor",
        name: "failure_threshold",
        flag: None,
        about: "After so many tasks in a row that showed the command itself to be at fault (it cannot be started, has no login, is over a limit) its pool holds what is queued.",
        kind: Kind::Count { default: 3, least: 1, most: 1000, field: |c| &mut c.executor.failure_threshold },
    },
    Setting {
        section: "executor",
        name: "recovery_timeout_seconds",
        flag: None,
        about: "How long it is held before one task is tried; doubled after each try in vain, up to 15 minutes. An agent that says when its limit is lifted is not tried before.",
        kind: Kind::Seconds { default: 60.0, least: 0.1, most: 86400.0, field: |c| &mut c.executor.recovery_timeout },
    },
    Setting {
        section: "executor",
        name: "on_crash",
        flag: None,
        about: "Whether a task is done again when the daemon was killed while it ran; unset, questions are and commands are not.",
        kind: Kind::Choice {
            default: None,
            names: &["requeue", "fail"],
            set: |config, name| {
                let again = name == "requeue";
                config.executor.on_crash = Some(if again { OnCrash::Requeue } else { OnCrash::Fail });
            },
        },
    },
    Setting {
        section: "executor",
        name: "environment",
        flag: None,
        about: "Variables that every child process gets besides the daemon's own.",
        kind: Kind::Table { field: |c| &mut c.executor.environment },
    },
    Setting {
        section: "ask",
        name: "timeout_seconds",
        flag: None,
        about: "How long a question waits for its answer.",
        kind: Kind::Seconds { default: 600.0, least: 0.1, most: SECONDS_PER_WEEK, field: |c| &mut c.ask.timeout },
    },
    Setting {
        section: "watch",
        name: "timeout_seconds",
        flag: None,
        about: "How long a message is watched before the watch expires.",
        kind: Kind::Seconds { default: 3600.0, least: 0.1, most: SECONDS_PER_WEEK, field: |c| &mut c.watch.timeout },
    },
    Setting {
        section: "retention",
        name: "events_days",
        flag: None,
        about: "How many days events are kept.",
        kind: Kind::Count { default: 7, least: 1, most: 3650, field: |c| &mut c.retention.events_days },
    },
    Setting {
        section: "retention",
        name: "events_max",
        flag: None,
        about: "How many events are kept at most, the newest ones.",
        kind: Kind::Count {
            default: 1_000_000,
            least: 1000,
            most: 1_000_000_000,
            field: |c| &mut c.retention.events_max,
        },
    },
];

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
        assert_eq!((config.retention.events_days, config.retention.events_max), (7, 1_000_000));
    }

    #[test]
    fn every_default_passes_its_own_check() {
        for setting in SETTINGS {
            let Some(default) = setting.default() else { continue };
            let again = setting.kind.read_text(&default.to_plain_text()).unwrap();
            assert_eq!(setting.kind.check(&again), Ok(default), "{}", setting.key());
        }
    }

    #[test]
    fn no_name_appears_twice() {
        for (at, setting) in SETTINGS.iter().enumerate() {
            let again = &SETTINGS[at + 1..];
            assert!(again.iter().all(|other| other.key() != setting.key()), "{}", setting.key());
        }
    }
}
