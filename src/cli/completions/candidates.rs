//! What could come next on a command line, from the definition of all of them.

use clap::{Arg, Command};

use super::live::Kind;

/// What the last word may become.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    Nothing,
    /// Words of ours, and what they mean.
    Words(Vec<(String, String)>),
    /// The shell knows: `files`, `directories` or `commands`.
    Shell(&'static str),
    /// The daemon knows.
    Live {
        kind: Kind,
        typed: String,
        /// What stands in front of the value in the same word: `--pool=`.
        before: String,
        /// Global flags that say where the daemon is, and their values.
        places: Vec<(String, String)>,
    },
}

/// A walk along the words that are there already.
struct Walk<'a> {
    root: &'a Command,
    command: &'a Command,
    path: Vec<&'a str>,
    /// A flag that waits for its value.
    waiting: Option<&'a Arg>,
    given: Vec<&'a str>,
    places: Vec<(String, String)>,
    positions: usize,
    /// Behind `--` nothing is a flag.
    dashes: bool,
}

/// `words` are those behind the program's name; the last, which may be empty, is the one in question.
pub(super) fn wanted(root: &Command, words: &[String]) -> Wanted {
    let Some((last, before)) = words.split_last() else { return Wanted::Nothing };
    let mut walk = Walk {
        root,
        command: root,
        path: Vec::new(),
        waiting: None,
        given: Vec::new(),
        places: Vec::new(),
        positions: 0,
        dashes: false,
    };
    for word in before {
        walk.pass(word);
    }
    walk.finish(last)
}

impl<'a> Walk<'a> {
    fn arguments(&self) -> impl Iterator<Item = &'a Arg> + use<'a> {
        let own = self.command.get_arguments().filter(|argument| !argument.is_global_set());
        own.chain(self.root.get_arguments().filter(|argument| argument.is_global_set()))
    }

    fn long(&self, name: &str) -> Option<&'a Arg> {
        self.arguments().find(|argument| argument.get_long() == Some(name))
    }

    fn pass(&mut self, word: &str) {
        if let Some(flag) = self.waiting.take() {
            self.note(flag, word);
        } else if self.dashes {
            self.positions += 1;
        } else if word == "--" {
            self.dashes = true;
        } else if let Some(flag) = word.strip_prefix("--") {
            let (name, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let Some(argument) = self.long(name) else { return };
            self.given.extend(argument.get_long());
            match value {
                Some(value) => self.note(argument, value),
                None => self.waiting = takes_value(argument).then_some(argument),
            }
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            let short = letters.chars().next_back();
            let argument = self.arguments().find(|argument| argument.get_short() == short);
            self.given.extend(argument.and_then(Arg::get_long));
            self.waiting = argument.filter(|argument| takes_value(argument));
        } else if let Some(verb) = self.command.find_subcommand(word) {
            self.path.push(verb.get_name());
            self.command = verb;
        } else {
            self.positions += 1;
        }
    }

    fn note(&mut self, flag: &Arg, value: &str) {
        if let Some(name) = flag.get_long().filter(|_| flag.is_global_set()) {
            self.places.push((name.to_owned(), value.to_owned()));
        }
    }

    fn finish(self, last: &str) -> Wanted {
        if let Some(flag) = self.waiting {
            return self.value(flag, last, "");
        }
        if self.dashes {
            return self.position(last);
        }
        if let Some((name, value)) = last.strip_prefix("--").and_then(|flag| flag.split_once('=')) {
            let before = &last[..last.len() - value.len()];
            return self.long(name).map_or(Wanted::Nothing, |flag| self.value(flag, value, before));
        }
        if last.starts_with('-') {
            return Wanted::Words(self.flags(last));
        }
        if self.command.has_subcommands() {
            return Wanted::Words(self.verbs(last));
        }
        self.position(last)
    }

    fn verbs(&self, typed: &str) -> Vec<(String, String)> {
        let verbs = self.command.get_subcommands().filter(|verb| !verb.is_hide_set());
        let named = verbs.map(|verb| (verb.get_name().to_owned(), first_line(verb.get_about())));
        // The parser adds this one by itself.
        let help = ("help".to_owned(), "Print help".to_owned());
        named.chain([help]).filter(|(name, _)| name.starts_with(typed)).collect()
    }

    fn flags(&self, typed: &str) -> Vec<(String, String)> {
        let may_come = |argument: &&Arg| {
            let given = argument.get_long().is_some_and(|long| self.given.contains(&long));
            !argument.is_hide_set() && (!given || may_repeat(argument))
        };
        let described = |argument: &Arg| Some((format!("--{}", argument.get_long()?), first_line(argument.get_help())));
        let help = ("--help".to_owned(), "Print help".to_owned());
        let all = self.arguments().filter(may_come).filter_map(described).chain([help]);
        all.filter(|(flag, _)| flag.starts_with(typed)).collect()
    }

    fn position(self, typed: &str) -> Wanted {
        let positionals: Vec<&Arg> = self.command.get_positionals().collect();
        // What may be many takes all that are left.
        let last = positionals.last().copied().filter(|argument| may_repeat(argument));
        match positionals.get(self.positions).copied().or(last) {
            Some(argument) if argument.get_id() == "command" => {
                let is_first = positionals.get(self.positions).is_some();
                Wanted::Shell(if is_first && !typed.contains('/') { "commands" } else { "files" })
            }
            Some(argument) => self.value(argument, typed, ""),
            None => Wanted::Nothing,
        }
    }

    fn value(self, argument: &Arg, typed: &str, before: &str) -> Wanted {
        let possible = argument.get_possible_values();
        if !possible.is_empty() {
            let shown = possible.iter().filter(|value| !value.is_hide_set() && value.get_name().starts_with(typed));
            let named = shown.map(|value| (format!("{before}{}", value.get_name()), first_line(value.get_help())));
            return Wanted::Words(named.collect());
        }
        let name = argument.get_value_names().and_then(|names| names.first()).map_or("", |name| name.as_str());
        if let Some(kind) = kind(&self.path, argument.get_id().as_str()) {
            let (typed, before) = (typed.to_owned(), before.to_owned());
            return Wanted::Live { kind, typed, before, places: self.places };
        }
        match name {
            "DIR" => Wanted::Shell("directories"),
            "FILE" | "PATH" => Wanted::Shell("files"),
            _ => Wanted::Nothing,
        }
    }
}

fn takes_value(argument: &Arg) -> bool {
    argument.get_action().takes_values()
}

fn may_repeat(argument: &Arg) -> bool {
    let many = argument.get_num_args().is_some_and(|range| range.max_values() > 1);
    many || matches!(argument.get_action(), clap::ArgAction::Append | clap::ArgAction::Count)
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

/// What the daemon has for an argument of a verb.
fn kind(path: &[&str], argument: &str) -> Option<Kind> {
    Some(match (path, argument) {
        (["pool", "create"] | ["upstream", "add"] | ["module", "add"], "id" | "name") => return None,
        (["pool", _] | ["monitor", "pool"], "id") | (_, "pool") => Kind::Pools,
        (["pool", _], "group") => Kind::Groups,
        (["task", _], "id") | (_, "after") => Kind::Tasks,
        (["message" | "poll", _], "id") | (["poll", "add"], "message_id") => Kind::Messages,
        (["thread", _], "id" | "ids") | (["ask"] | ["message", _], "thread") | (["poll", "add"], "thread_id") => {
            Kind::Threads
        }
        (["module", "remove"], "name") | (["ask"] | ["message", "send"], "from" | "to") => Kind::Modules,
        (["message", "list"], "module" | "to") | (["poll", "add"], "source" | "target") => Kind::Modules,
        (["workflow", _] | ["monitor", "workflow"], "id") => Kind::Workflows,
        (["upstream", _], "name") => Kind::Upstreams,
        (["event", _], "channel") => Kind::Channels,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
