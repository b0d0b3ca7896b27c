//! Log lines on standard error: which ones, and what they look like. One record is always one line.

use std::ffi::OsString;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use env_logger::Logger;
use log::{Level, LevelFilter, Log, Metadata, Record};

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::thread;

const FILTER_VARIABLE: &str = "CLAUDE_COMMS_LOG";
const LOGURU_VARIABLE: &str = "LOGURU_LEVEL";
const LEVEL_DEFAULT: LevelFilter = LevelFilter::Info;
/// Longest message, in bytes; more is cut.
const MESSAGE_BYTES_MAX: usize = 8192;

/// What is logged, and whether that is fixed for the life of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// In the syntax of env_logger, laid over the default level.
    spec: String,
    /// Who fixed it, above the configuration.
    fixed_by: Option<&'static str>,
}

impl Filter {
    /// The first of: `CLAUDE_COMMS_LOG` (a filter), `LOGURU_LEVEL` (a level's name), `-v` (debug; twice: trace), the
    /// configured level, info.
    pub fn choose(env: &dyn Fn(&str) -> Option<OsString>, verbose: u8, configured: Option<LevelFilter>) -> Filter {
        let set = |name: &str| env(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty());
        let fixed = |spec: String, by| Filter { spec, fixed_by: Some(by) };
        if let Some(spec) = set(FILTER_VARIABLE) {
            return fixed(spec, FILTER_VARIABLE);
        }
        if let Some(level) = set(LOGURU_VARIABLE).as_deref().and_then(loguru_level) {
            return fixed(level.to_string(), LOGURU_VARIABLE);
        }
        match verbose {
            0 => Filter { spec: configured.unwrap_or(LEVEL_DEFAULT).to_string(), fixed_by: None },
            1 => fixed(LevelFilter::Debug.to_string(), "-v"),
            _ => fixed(LevelFilter::Trace.to_string(), "-v"),
        }
    }
}

/// The levels of the Python library that the programs around us log with.
fn loguru_level(name: &str) -> Option<LevelFilter> {
    Some(match name.to_uppercase().as_str() {
        "TRACE" => LevelFilter::Trace,
        "DEBUG" => LevelFilter::Debug,
        "INFO" | "SUCCESS" => LevelFilter::Info,
        "WARNING" => LevelFilter::Warn,
        "ERROR" | "CRITICAL" => LevelFilter::Error,
        _ => return None,
    })
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For journald: the level as a prefix, no time.
    Journal,
    /// For files and terminals.
    Timed,
}

/// Begins to log; until then records are dropped. To be called after detaching.
///
/// # Errors
/// Somebody in this process logs already.
pub fn start(filter: Filter, style: Style) -> Result<(), log::SetLoggerError> {
    log::set_logger(&SWITCHABLE)?;
    SWITCHABLE.switch(Active::new(filter, style));
    Ok(())
}

/// Changes the level while running. False, and nothing changes, when the environment or a flag has fixed it.
pub fn set_level(level: LevelFilter) -> bool {
    let Some(active) = SWITCHABLE.active() else { return false };
    if active.filter.fixed_by.is_some() {
        return false;
    }
    let filter = Filter { spec: level.to_string(), fixed_by: None };
    SWITCHABLE.switch(Active::new(filter, active.style));
    true
}

/// What `set_level` could not change: the variable or flag that has fixed the level.
pub fn fixed_by() -> Option<&'static str> {
    SWITCHABLE.active().and_then(|active| active.filter.fixed_by)
}

static SWITCHABLE: Switchable = Switchable { active: RwLock::new(None) };

/// The process's logger, whose filter can be replaced.
struct Switchable {
    active: RwLock<Option<Arc<Active>>>,
}

struct Active {
    logger: Logger,
    filter: Filter,
    style: Style,
}

impl Active {
    fn new(filter: Filter, style: Style) -> Active {
        let mut builder = env_logger::Builder::new();
        // A filter that only names modules says nothing about the others.
        builder.filter_level(LEVEL_DEFAULT).parse_filters(&filter.spec);
        let clock = SystemClock::new();
        builder.format(move |out, record| {
            let thread = thread::current_name().unwrap_or_default();
            write_line(out, style, clock.wall(), &thread, record)
        });
        Active { logger: builder.build(), filter, style }
    }
}

impl Switchable {
    /// A copy, so that no lock is held while a record is written: writing one may log again.
    fn active(&self) -> Option<Arc<Active>> {
        self.active.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn switch(&self, active: Active) {
        log::set_max_level(active.logger.filter());
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(active));
    }
}

impl Log for Switchable {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.active().is_some_and(|active| active.logger.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if let Some(active) = self.active() {
            active.logger.log(record);
        }
    }

    fn flush(&self) {}
}

fn write_line(
    out: &mut impl io::Write,
    style: Style,
    now: Timestamp,
    thread: &str,
    record: &Record<'_>,
) -> io::Result<()> {
    match style {
        Style::Journal => write!(out, "<{}>", priority(record.level()))?,
        Style::Timed => write!(out, "{now} {:<5} ", record.level())?,
    }
    let mut line = OneLine { text: String::new(), bytes_left: MESSAGE_BYTES_MAX };
    // An error means that the line is full, or that a value cannot be shown: what was written until then is kept.
    let complete = write!(line, "[{thread}] {}", record.args());
    let rest = if complete.is_err() { "… (cut)" } else { "" };
    writeln!(out, "{}{rest}", line.text)
}

/// The levels of syslog; journald reads them from the start of a line.
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

/// `text` as one line that cannot end itself, command the terminal, or run against the reading direction.
pub fn escape(text: &str) -> String {
    let mut line = OneLine { text: String::new(), bytes_left: MESSAGE_BYTES_MAX };
    if line.write_str(text).is_err() {
        line.text.push_str("… (cut)");
    }
    line.text
}

/// Collects a bounded text, escaping what could forge another line.
struct OneLine {
    text: String,
    bytes_left: usize,
}

impl fmt::Write for OneLine {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            let before = self.text.len();
            if is_treacherous(char) {
                self.text.extend(char.escape_default())
            } else {
                self.text.push(char)
            }
            match self.bytes_left.checked_sub(self.text.len() - before) {
                Some(left) => self.bytes_left = left,
                None => {
                    self.text.truncate(before);
                    self.bytes_left = 0;
                    return Err(fmt::Error);
                }
            }
        }
        Ok(())
    }
}

/// Control characters, the separators of Unicode, and what turns the direction of writing.
pub fn is_treacherous(char: char) -> bool {
    char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests;
