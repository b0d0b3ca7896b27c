//! What a person or a program gets to see: data on standard output, talk on standard error.

use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;
use serde_json::json;

use super::exit::Failure;
use crate::service::logging;

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    pub(super) fn is_wanted(self, terminal: bool) -> bool {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        match self {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
        }
    }
}

/// Standard output and error of one command.
pub(super) struct Output {
    out: Box<dyn Write>,
    pub(super) json: bool,
    /// Whether standard output is a terminal: then foreign text must not command it, and tables fit it.
    pub(super) terminal: bool,
    color: bool,
    color_err: bool,
}

impl Output {
    pub(super) fn new(json: bool, color: Color) -> Output {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Output {
            out: Box::new(BufWriter::new(stdout)),
            json,
            terminal,
            color: color.is_wanted(terminal),
            color_err: color.is_wanted(io::stderr().is_terminal()),
        }
    }

    /// One line of text of our own, or of foreign text that was made safe.
    pub(super) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        writeln!(self.out, "{line}").map_err(Failure::Output)
    }

    /// Foreign text of any number of lines, as it is; on a terminal without what would command it.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        if self.terminal { self.bytes(harmless(text).as_bytes()) } else { self.bytes(text.as_bytes()) }
    }

    /// As [`Output::text`], with an end of line if it has none.
    pub(super) fn paragraph(&mut self, text: &str) -> Result<(), Failure> {
        self.text(text)?;
        if text.is_empty() || text.ends_with('\n') { Ok(()) } else { self.line("") }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::Output)
    }

    /// A document that is JSON already, on a line of its own.
    pub(super) fn json_text(&mut self, json: &str) -> Result<(), Failure> {
        self.json_part_text(json)?;
        self.line("")
    }

    pub(super) fn json(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.json_part(value)?;
        self.line("")
    }

    /// A part of a larger document.
    pub(super) fn json_part(&mut self, value: &impl Serialize) -> Result<(), Failure> {
        self.json_part_text(&serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?)
    }

    fn json_part_text(&mut self, json: &str) -> Result<(), Failure> {
        if self.terminal { self.bytes(harmless_json(json).as_bytes()) } else { self.bytes(json.as_bytes()) }
    }

    /// Hands everything to whoever reads: before each wait, and at the end.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::Output)
    }

    /// Whether standard output is coloured.
    pub(super) fn has_color(&self) -> bool {
        self.color
    }

    /// A status word, in its colour where there are colours. The word alone says it.
    pub(super) fn status(&self, word: &str) -> String {
        let word = logging::escape(word);
        let color = match word.as_str() {
            "complete" | "completed" | "running" | "healthy" | "ok" => 32,
            "failed" | "expired" | "cancelled" | "stopped" | "fault" => 31,
            "pending" | "processing" | "unknown" | "paused" | "draining" | "warning" => 33,
            _ => return word,
        };
        if self.color { format!("\x1b[{color}m{word}\x1b[0m") } else { word }
    }

    /// Something that a person should know besides the data. One line on standard error.
    pub(super) fn say(&mut self, sentence: impl Display) {
        self.tell(format_args!("{}", logging::escape(&sentence.to_string())));
    }

    /// What a person could do next; not for scripts.
    pub(super) fn hint(&mut self, sentence: impl Display) {
        if !self.json && io::stderr().is_terminal() {
            self.say(sentence);
        }
    }

    /// Says why the command failed, to the person and, with `--json`, to the program.
    pub(super) fn fail(&mut self, failure: &Failure) {
        match failure {
            Failure::Shown { .. } => return,
            Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => return,
            Failure::Mistakes(problems) => problems.0.iter().for_each(|problem| self.complain(problem)),
            failure => self.complain(failure),
        }
        if self.json {
            let mut error = json!({"code": failure.code(), "message": failure.to_string()});
            if let Some(wait) = failure.retry_after_ms() {
                error["retry_after_ms"] = wait.into();
            }
            // Nothing is left to do about a closed output.
            drop(self.json(&json!({ "error": error })));
        }
    }

    /// An error, as one line.
    pub(super) fn complain(&mut self, sentence: impl Display) {
        let (bold, plain) = if self.color_err { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        self.tell(format_args!("{bold}claude-comms:{plain} {}", logging::escape(&sentence.to_string())));
    }

    /// A line on standard error, behind all that was printed before it.
    fn tell(&mut self, line: impl Display) {
        // What cannot be written now is tried again, and complained of, at the end.
        drop(self.out.flush());
        // Without standard error there is nobody to tell.
        drop(writeln!(io::stderr(), "{line}"));
    }

    /// Waits until `source` can be read, at most so long; nobody reading standard output any more is an error.
    /// False when the time is up.
    pub(super) fn wait_for(&mut self, source: impl AsFd, limit: Option<Duration>) -> Result<bool, Failure> {
        self.flush()?;
        // A limit beyond what the system counts to is none.
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let stdout = io::stdout();
        loop {
            let mut both = [PollFd::new(&stdout, PollFlags::empty()), PollFd::new(&source, PollFlags::IN)];
            match poll(&mut both, limit.as_ref()) {
                Ok(0) => return Ok(false),
                Ok(_) if !both[1].revents().is_empty() => return Ok(true),
                Ok(_) => return Err(Failure::Output(io::ErrorKind::BrokenPipe.into())),
                Err(Errno::INTR) => {}
                Err(error) => return Err(Failure::Output(error.into())),
            }
        }
    }

    /// Waits for so long, or until nobody reads standard output any more, which is an error.
    pub(super) fn pause(&mut self, wait: Duration) -> Result<(), Failure> {
        self.flush()?;
        let wait = Timespec::try_from(wait).map_err(|error| Failure::Output(io::Error::other(error)))?;
        let stdout = io::stdout();
        // No kind of readiness is asked for, so that only the other end's going is told.
        match poll(&mut [PollFd::new(&stdout, PollFlags::empty())], Some(&wait)) {
            Ok(0) | Err(Errno::INTR) => Ok(()),
            Ok(_) => Err(Failure::Output(io::ErrorKind::BrokenPipe.into())),
            Err(error) => Err(Failure::Output(error.into())),
        }
    }
}

/// Text whose lines and tabs are kept and whose other control characters are shown instead of obeyed.
fn harmless(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if logging::is_treacherous(char) && !matches!(char, '\n' | '\t') {
            safe.extend(char.escape_default());
        } else {
            safe.push(char);
        }
    }
    safe
}

/// The same document: in JSON such characters only stand in strings, where they can be written as escapes.
pub(super) fn harmless_json(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for char in json.chars() {
        if logging::is_treacherous(char) {
            // All of them lie below U+FFFF.
            safe.push_str(&format!("\\u{:04x}", u32::from(char)));
        } else {
            safe.push(char);
        }
    }
    safe
}

#[cfg(test)]
impl Output {
    /// Writes to `out` as to a pipe.
    pub(super) fn to(out: impl Write + 'static, json: bool) -> Output {
        Output { out: Box::new(out), json, terminal: false, color: false, color_err: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_keeps_its_lines_and_loses_its_power() {
        assert_eq!(harmless("a\n\tb\u{1b}[2J\u{9b}c\u{202e}d\r"), "a\n\tb\\u{1b}[2J\\u{9b}c\\u{202e}d\\r");
        assert_eq!(harmless("grüße 你好"), "grüße 你好");
    }

    #[test]
    fn json_says_the_same_without_power() {
        let dangerous = "{\"a\":\"x\u{9b}31m\u{7f}\u{202e}y\"}";
        let safe = harmless_json(dangerous);
        assert_eq!(safe, "{\"a\":\"x\\u009b31m\\u007f\\u202ey\"}");
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(read(&safe), read(dangerous));
    }

    #[test]
    fn colour_follows_the_flag_before_the_terminal() {
        assert!(Color::Always.is_wanted(false));
        assert!(!Color::Never.is_wanted(true));
        assert!(!Color::Auto.is_wanted(false));
    }
}
