//! The table of settings: what each is called, what may be written there, and what it is for.
//! A new setting is a row here and a field in `settings.rs`; parsing, checks, origins and the man page follow from the row.

use super::kind::Kind;
use super::record::Record;
use super::value::Value;
use super::{alert, hook, upstream};

/// A section of the file.
#[derive(Debug)]
pub struct Section {
    pub name: &'static str,
    /// `None`: there is one, `[name]`. Otherwise it is a list of any number of `[[name]]`.
    pub(super) list: Option<List>,
    /// Whether the spellings of the original hold too: flat names in a file, `MAHAVISHNU_` in the environment.
    pub(super) original: bool,
    pub(super) rows: &'static [Row],
    /// Rows that another section has too.
    pub(super) shared: &'static [Row],
}

/// What is different in a section that may be there many times. Each has a `name`, and no two the same.
#[derive(Debug)]
pub(super) struct List {
    pub(super) most: usize,
    /// What is wrong with one whose values are all good by themselves: the row to point at, and the sentence.
    pub(super) fault: fn(&Record) -> Option<(&'static str, String)>,
}

/// A section without anything special.
const PLAIN: Section = Section { name: "", list: None, original: false, rows: &[], shared: &[] };

impl Section {
    pub(super) fn rows(&self) -> impl Iterator<Item = &'static Row> + use<> {
        self.rows.iter().chain(self.shared)
    }

    /// Whether there may be many of it.
    pub fn is_list(&self) -> bool {
        self.list.is_some()
    }

    pub fn named(name: &str) -> Option<&'static Section> {
        SECTIONS.iter().copied().find(|section| section.name == name)
    }

    /// As it is written: `[daemon]`, `[[upstream]]`.
    pub fn heading(&self) -> String {
        if self.is_list() { format!("[[{}]]", self.name) } else { format!("[{}]", self.name) }
    }

    pub(super) fn setting(&'static self, name: &str) -> Option<Setting> {
        self.rows().find(|row| row.name == name).map(|row| Setting { section: self, row })
    }
}

/// A key that may stand in a section.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    /// The flag that sets it too.
    pub flag: Option<&'static str>,
    pub about: &'static str,
    pub(super) kind: Kind,
}

/// A row in one of the sections that have it.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub section: &'static Section,
    pub row: &'static Row,
}

impl Setting {
    /// As people write it: `daemon.listen`.
    pub fn key(&self) -> String {
        format!("{}.{}", self.section.name, self.row.name)
    }

    /// The variables that set it, ours first, which wins; none for what stands in a list.
    pub fn environment_names(&self) -> Vec<String> {
        let prefixes: &[&str] = match self.section {
            Section { list: Some(_), .. } => &[],
            Section { original: true, .. } => &[PREFIX, ORIGINAL_PREFIX],
            _ => &[PREFIX],
        };
        let (section, name) = (self.section.name.to_uppercase(), self.row.name.to_uppercase());
        prefixes.iter().map(|prefix| format!("{prefix}{section}__{name}")).collect()
    }

    /// The name outside of any section that the original has: `session_buddy_polling_enabled`.
    pub(super) fn flat_name(&self) -> Option<String> {
        self.section.original.then(|| format!("{}_{}", self.section.name, self.row.name))
    }

    /// Whether a section is not complete without it.
    pub fn is_required(&self) -> bool {
        self.row.kind.is_required()
    }

    /// `None`: not set unless somebody sets it.
    pub fn default(&self) -> Option<Value> {
        self.row.kind.default()
    }

    /// What may be written there, in words: `a number of seconds from 0.05 to 3600`.
    pub fn expects(&self) -> String {
        self.row.kind.expects()
    }
}

/// Every setting, in the order of the man page.
pub fn settings() -> impl Iterator<Item = Setting> {
    SECTIONS.iter().flat_map(|&section| section.rows().map(move |row| Setting { section, row }))
}

/// How the names of our variables begin.
pub(super) const PREFIX: &str = "CLAUDE_COMMS_";
/// How the original's begin.
pub(super) const ORIGINAL_PREFIX: &str = "MAHAVISHNU_";

const SECONDS_PER_WEEK: f64 = 604_800.0;

/// Every section, in the order of the man page.
pub static SECTIONS: &[&Section] =
    &[&DAEMON, &WEB, &EXECUTOR, &ASK, &WATCH, &RETENTION, &OTLP, &SESSION_BUDDY_POLLING, &UPSTREAM, &ALERT, &HOOK];

pub(super) static DAEMON: Section = Section {
    name: "daemon",
    rows: &[
        Row {
            name: "interval_seconds",
            flag: Some("--interval"),
            about: "How often the database is looked at even when nothing said that it changed.",
            kind: Kind::Seconds { default: 1.0, least: 0.05, most: 3600.0 },
        },
        Row {
            name: "max_messages",
            flag: Some("--max-messages"),
            about: "How many messages may be watched at the same time.",
            kind: Kind::Count { default: 1000, least: 1, most: 1_000_000 },
        },
        Row {
            name: "listen",
            flag: Some("--listen"),
            about: "Where the TCP port is opened, or \"none\". When the default is taken, the daemon does without.",
            kind: Kind::Address { default: "127.0.0.1:8690" },
        },
        Row {
            name: "stop_grace_seconds",
            flag: None,
            about: "How long running tasks have from TERM to KILL when the daemon stops. They are queued again, uncounted.",
            kind: Kind::Seconds { default: 10.0, least: 0.0, most: 3600.0 },
        },
        Row {
            name: "log_level",
            flag: None,
            about: "How much is logged, unless CLAUDE_COMMS_LOG, LOGURU_LEVEL or -v says otherwise.",
            kind: Kind::Choice { default: Some("info"), names: &["off", "error", "warn", "info", "debug", "trace"] },
        },
    ],
    ..PLAIN
};

pub(super) static WEB: Section = Section {
    name: "web",
    rows: &[
        Row {
            name: "require_auth",
            flag: None,
            about: "Whether a token is needed even to follow events from this machine; from others it always is.",
            kind: Kind::Switch { default: false },
        },
        Row {
            name: "connections_max",
            flag: None,
            about: "How many WebSocket connections there may be.",
            kind: Kind::Count { default: 1000, least: 1, most: 100_000 },
        },
        Row {
            name: "allowed_hosts",
            flag: None,
            about: "Names by which browsers may address the port, besides localhost and addresses.",
            kind: Kind::Hosts,
        },
        Row {
            name: "allowed_origins",
            flag: None,
            about: "Pages that may speak to the port, besides its own, like https://board.example.",
            kind: Kind::Origins,
        },
    ],
    ..PLAIN
};

pub(super) static EXECUTOR: Section = Section {
    name: "executor",
    rows: &[
        Row {
            name: "command",
            flag: None,
            about: "The program that performs a task, and its arguments; never a shell line.",
            kind: Kind::Words { default: &["claude", "-p", "--output-format", "stream-json", "--verbose"] },
        },
        Row {
            name: "timeout_seconds",
            flag: None,
            about: "How long one attempt at a task may take, unless the task says so itself.",
            kind: Kind::Seconds { default: 1800.0, least: 0.1, most: SECONDS_PER_WEEK },
        },
        Row {
            name: "kill_grace_seconds",
            flag: None,
            about: "How long a process has between being asked to end (TERM) and being killed (KILL).",
            kind: Kind::Seconds { default: 5.0, least: 0.0, most: 60.0 },
        },
        Row {
            name: "queue_max",
            flag: None,
            about: "How many tasks may wait in a pool, unless the pool says so itself.",
            kind: Kind::Count { default: 1000, least: 1, most: 1_000_000 },
        },
        Row {
            name: "stuck_after_seconds",
            flag: None,
            about: "A worker whose task has written nothing for so long counts as stuck; `pool create --on-stuck` says what then.",
            kind: Kind::Seconds { default: 300.0, least: 1.0, most: SECONDS_PER_WEEK },
        },
        Row {
            name: "failure_threshold",
            flag: None,
            about: "After so many tasks in a row that showed the command itself to be at fault (it cannot be started, has no login, is over a limit) its pool holds what is queued.",
            kind: Kind::Count { default: 3, least: 1, most: 1000 },
        },
        Row {
            name: "recovery_timeout_seconds",
            flag: None,
            about: "How long it is held before one task is tried; doubled after each try in vain, up to 15 minutes. An agent that says when its limit is lifted is not tried before.",
            kind: Kind::Seconds { default: 60.0, least: 0.1, most: 86400.0 },
        },
        Row {
            name: "on_crash",
            flag: None,
            about: "Whether a task is done again when the daemon was killed while it ran; unset, questions are and commands are not.",
            kind: Kind::Choice { default: None, names: &["requeue", "fail"] },
        },
        Row {
            name: "environment",
            flag: None,
            about: "Variables that every child process gets besides the daemon's own.",
            kind: Kind::Table,
        },
    ],
    ..PLAIN
};

pub(super) static ASK: Section = Section {
    name: "ask",
    rows: &[Row {
        name: "timeout_seconds",
        flag: None,
        about: "How long a question waits for its answer.",
        kind: Kind::Seconds { default: 600.0, least: 0.1, most: SECONDS_PER_WEEK },
    }],
    ..PLAIN
};

pub(super) static WATCH: Section = Section {
    name: "watch",
    rows: &[Row {
        name: "timeout_seconds",
        flag: None,
        about: "How long a message is watched before the watch expires.",
        kind: Kind::Seconds { default: 3600.0, least: 0.1, most: SECONDS_PER_WEEK },
    }],
    ..PLAIN
};

pub(super) static RETENTION: Section = Section {
    name: "retention",
    rows: &[
        Row {
            name: "events_days",
            flag: None,
            about: "How many days events are kept, and the history of upstreams.",
            kind: Kind::Count { default: 7, least: 1, most: 3650 },
        },
        Row {
            name: "events_max",
            flag: None,
            about: "How many events are kept at most, the newest ones, and as many numbers of the history of upstreams.",
            kind: Kind::Count { default: 1_000_000, least: 1000, most: 1_000_000_000 },
        },
        Row {
            name: "tasks_days",
            flag: None,
            about: "How many days tasks and workflows that have ended are kept, with their answers and logs; 0: for ever.",
            kind: Kind::Count { default: 0, least: 0, most: 3650 },
        },
    ],
    ..PLAIN
};

/// Where the numbers are exported to.
pub(super) static OTLP: Section = Section {
    name: "otlp",
    rows: &[
        Row {
            name: "enabled",
            flag: None,
            about: "Whether metrics are exported, if there is an endpoint.",
            kind: Kind::Switch { default: true },
        },
        Row {
            name: "endpoint",
            flag: None,
            about: "Where a collector of OpenTelemetry takes metrics, path and all.",
            kind: Kind::Collector,
        },
        Row {
            name: "interval_seconds",
            flag: None,
            about: "From one export to the next.",
            kind: Kind::Seconds { default: 60.0, least: 0.1, most: 86400.0 },
        },
        Row {
            name: "timeout_seconds",
            flag: None,
            about: "How long one export may take.",
            kind: Kind::Seconds { default: 10.0, least: 0.1, most: 300.0 },
        },
        Row {
            name: "headers",
            flag: None,
            about: "Headers that are sent with every request; their values are never shown to anybody else.",
            kind: Kind::Headers,
        },
        Row {
            name: "service_name",
            flag: None,
            about: "What the daemon is called at the collector.",
            kind: Kind::Text { default: "claude-comms" },
        },
        Row {
            name: "resource",
            flag: None,
            about: "What else is to be said of the daemon there.",
            kind: Kind::Attributes,
        },
    ],
    ..PLAIN
};

/// The upstream that the original polls.
pub(super) static SESSION_BUDDY_POLLING: Section = Section {
    name: "session_buddy_polling",
    original: true,
    rows: &[
        Row { name: "enabled", flag: None, about: "Whether it is polled.", kind: Kind::Switch { default: false } },
        Row {
            name: "endpoint",
            flag: None,
            about: "Where its MCP server answers.",
            kind: Kind::Endpoint { default: Some("http://localhost:8678/mcp") },
        },
    ],
    shared: POLLING,
    ..PLAIN
};

/// Any other upstream.
pub(super) static UPSTREAM: Section = Section {
    name: "upstream",
    list: Some(List { most: 128, fault: upstream::fault }),
    rows: &[
        Row { name: "name", flag: None, about: "What it is called, here and wherever it is shown.", kind: Kind::Id },
        Row { name: "enabled", flag: None, about: "Whether it is polled.", kind: Kind::Switch { default: true } },
        Row {
            name: "endpoint",
            flag: None,
            about: "Where its MCP server answers.",
            kind: Kind::Endpoint { default: None },
        },
        Row {
            name: "token",
            flag: None,
            about: "What the server is shown as the bearer; never shown to anybody else.",
            kind: Kind::Secret,
        },
    ],
    shared: POLLING,
    ..PLAIN
};

/// How an upstream is polled.
const POLLING: &[Row] = &[
    Row {
        name: "interval_seconds",
        flag: None,
        about: "From the start of one cycle, in which each tool is called, to the start of the next.",
        kind: Kind::Seconds { default: 30.0, least: 5.0, most: 600.0 },
    },
    Row {
        name: "timeout_seconds",
        flag: None,
        about: "How long one call may take.",
        kind: Kind::Seconds { default: 10.0, least: 1.0, most: 60.0 },
    },
    Row {
        name: "max_retries",
        flag: None,
        about: "How often a call that failed is made again, after the first attempt.",
        kind: Kind::Count { default: 3, least: 1, most: 10 },
    },
    Row {
        name: "retry_delay_seconds",
        flag: None,
        about: "How long it waits before the first retry; twice as long before each further one, up to a minute.",
        kind: Kind::Seconds { default: 5.0, least: 1.0, most: 60.0 },
    },
    Row {
        name: "circuit_breaker_threshold",
        flag: None,
        about: "After so many failed tools in a row it is left alone for five intervals.",
        kind: Kind::Count { default: 5, least: 1, most: 20 },
    },
    Row {
        name: "metrics_to_collect",
        flag: None,
        about: "The tools that are called, in this order.",
        kind: Kind::Tools {
            default: &[
                "get_activity_summary",
                "get_workflow_metrics",
                "get_session_analytics",
                "get_performance_metrics",
            ],
        },
    },
];

/// A rule over one metric.
pub(super) static ALERT: Section = Section {
    name: "alert",
    list: Some(List { most: 256, fault: alert::fault }),
    rows: &[
        Row { name: "name", flag: None, about: "What it is called, here and wherever it is raised.", kind: Kind::Id },
        Row {
            name: "metric",
            flag: None,
            about: "What is looked at, as Prometheus names it or with dots.",
            kind: Kind::Metric,
        },
        Row {
            name: "labels",
            flag: None,
            about: "What a series must have to be looked at; all series of the metric when there are none.",
            kind: Kind::Labels,
        },
        Row {
            name: "above",
            flag: None,
            about: "It is raised when the number is greater than this; either this or below.",
            kind: Kind::Number,
        },
        Row {
            name: "below",
            flag: None,
            about: "It is raised when the number is less than this; either this or above.",
            kind: Kind::Number,
        },
        Row {
            name: "clear",
            flag: None,
            about: "How far the number must come back until it is cleared; unset, to the threshold.",
            kind: Kind::Number,
        },
        Row {
            name: "hold_seconds",
            flag: None,
            about: "How long the threshold must be crossed without a break before it is raised.",
            kind: Kind::Seconds { default: 0.0, least: 0.0, most: 86400.0 },
        },
    ],
    ..PLAIN
};

/// A command for what happens.
pub(super) static HOOK: Section = Section {
    name: "hook",
    list: Some(List { most: 64, fault: hook::fault }),
    rows: &[
        Row { name: "name", flag: None, about: "What it is called, here and wherever it is shown.", kind: Kind::Id },
        Row {
            name: "command",
            flag: None,
            about: "The program that is run for each event, and its arguments; never a shell line.",
            kind: Kind::Command,
        },
        Row {
            name: "channels",
            flag: None,
            about: "Only events of these channels, as subscribers name them.",
            kind: Kind::Channels,
        },
        Row {
            name: "events",
            flag: None,
            about: "Only events of these names; all when there are none.",
            kind: Kind::Events,
        },
        Row {
            name: "min_severity",
            flag: None,
            about: "Only events of this severity or a greater one.",
            kind: Kind::Choice { default: Some("info"), names: &["info", "warning", "error"] },
        },
        Row {
            name: "timeout_seconds",
            flag: None,
            about: "How long one run of the command may take.",
            kind: Kind::Seconds { default: 60.0, least: 0.1, most: 86400.0 },
        },
    ],
    ..PLAIN
};

#[cfg(test)]
mod tests;
