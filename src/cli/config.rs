//! `config`: whether the configuration is good, and what it comes to.

use std::env;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Subcommand;
use serde_json::{Map, json};

use super::exit::{Failure, OK, Outcome};
use super::output::Output;
use super::session::Session;
use crate::config::{Config, Entry, Loaded, Origins, Overrides, Record, SECTIONS, Secret, Section, Sources, Value};
use crate::control::wire::{DaemonStatus, Empty, Request};
use crate::service::{Paths, token};

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms config check               0 when all is well, 78 and every mistake with its place when not
  claude-comms config show --origin       every setting, its value and where that comes from
  claude-comms config token --url         the page, with the right to see contents and to act
  CLAUDE_COMMS_DAEMON__LISTEN=none claude-comms config show

Layers, later ones win: defaults, /etc/claude-comms/config.toml, ~/.config/claude-comms/config.toml (or --config),
environment (CLAUDE_COMMS_SECTION__FIELD), flags. With --state-dir only the config.toml in that directory is read.";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Find every mistake in the configuration files and variables
    Check,
    /// Print the token that opens the TCP port
    Token {
        /// The one that only lets look on
        #[arg(long)]
        read_only: bool,
        /// As an address to open in a browser: the daemon's page, with the token
        #[arg(long)]
        url: bool,
    },
    /// Print the settings as TOML
    Show {
        /// Say where each value comes from
        #[arg(long)]
        origin: bool,
    },
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    let paths = session.paths()?;
    if let Verb::Token { read_only, url } = verb {
        return print_token(&paths, read_only, url, session);
    }
    let loaded = match load(&paths, &Overrides::default()) {
        Err(Failure::Configuration(problems)) if matches!(verb, Verb::Check) => {
            return Err(Failure::Mistakes(problems));
        }
        loaded => loaded?,
    };
    match verb {
        Verb::Token { .. } => {}
        Verb::Check => tell_good(&paths, &loaded, &mut session.output)?,
        Verb::Show { origin } => show(&loaded, origin, &mut session.output)?,
    }
    Ok(OK)
}

/// Made here when the daemon has not yet been started with a port.
fn print_token(paths: &Paths, read_only: bool, url: bool, session: &mut Session) -> Outcome {
    paths.prepare().map_err(|error| Failure::failed(error.to_string()))?;
    let path = if read_only { &paths.token_read_only } else { &paths.token };
    let token = token(path).map_err(|error| Failure::failed(error.to_string()))?;
    let url = if url { Some(page_url(&token, session)?) } else { None };
    if session.output.json {
        let mut shown = json!({"token": token, "read_only": read_only, "file": path});
        if let Some(url) = url {
            shown["url"] = json!(url);
        }
        session.output.json(&shown)?;
    } else {
        session.output.line(url.unwrap_or(token))?;
    }
    Ok(OK)
}

/// Behind the # nothing is sent to anybody: the page itself takes the token from there.
fn page_url(token: &str, session: &Session) -> Result<String, Failure> {
    let status: DaemonStatus = session.connect()?.call(&Request::PollStatus(Empty {}))?;
    let listen = status.listen.as_deref().and_then(|address| address.parse::<SocketAddr>().ok());
    let mut address = listen.ok_or_else(|| {
        Failure::failed("the daemon has no TCP port; give it one with --listen or [daemon] listen and restart it")
    })?;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
    }
    Ok(format!("http://{address}/#token={token}"))
}

/// Reads every layer of the configuration that applies here.
pub(super) fn load(paths: &Paths, overrides: &Overrides) -> Result<Loaded, Failure> {
    let sources = Sources {
        system_file: paths.system_config.clone(),
        user_file: paths.config_file.clone(),
        user_file_required: paths.config_required,
        environment: env::vars_os().collect(),
    };
    Ok(Config::load(&sources, overrides)?)
}

fn tell_good(paths: &Paths, loaded: &Loaded, output: &mut Output) -> Result<(), Failure> {
    let files = [&paths.system_config, &paths.config_file];
    let files: Vec<String> =
        files.into_iter().flatten().filter(|file| file.exists()).map(|file| file.display().to_string()).collect();
    let warnings = loaded.warnings.iter().chain(&loaded.ignored);
    if output.json {
        let warnings: Vec<String> = warnings.map(ToString::to_string).collect();
        return output.json(&json!({"ok": true, "files": files, "warnings": warnings}));
    }
    for warning in warnings {
        output.say(format_args!("warning: {warning}"));
    }
    let read = if files.is_empty() { "there is no file; defaults hold".to_owned() } else { files.join(", ") };
    output.paragraph(&format!("the configuration is good ({read})\n"))
}

fn show(loaded: &Loaded, origin: bool, output: &mut Output) -> Result<(), Failure> {
    if output.json {
        return output.json(&document(&loaded.origins, origin));
    }
    for (at, &section) in SECTIONS.iter().enumerate() {
        let mut gap = if at == 0 { "" } else { "\n" };
        let heading = section.heading();
        if loaded.origins.all(section).next().is_none() {
            output.line(format_args!("{gap}# there is no {heading}"))?;
        }
        for record in loaded.origins.all(section) {
            output.line(format_args!("{gap}{heading}"))?;
            gap = "\n";
            for entry in &record.entries {
                output.paragraph(&line(entry, origin))?;
            }
        }
    }
    Ok(())
}

fn line(entry: &Entry, origin: bool) -> String {
    let name = entry.row.name;
    let setting = match &entry.value {
        Some(value) => format!("{name} = {value}"),
        None => format!("# {name} is not set"),
    };
    if origin && entry.value.is_some() { format!("{setting}  # {}\n", entry.origin) } else { format!("{setting}\n") }
}

fn document(origins: &Origins, origin: bool) -> serde_json::Value {
    let shown = |section: &'static Section| {
        let mut objects = origins.all(section).map(|record| object(record, origin).into());
        if section.is_list() { objects.collect::<Vec<_>>().into() } else { objects.next().unwrap_or_default() }
    };
    let sections = SECTIONS.iter().map(|&section| (section.name.to_owned(), shown(section)));
    sections.collect::<Map<_, _>>().into()
}

fn object(record: &Record, origin: bool) -> Map<String, serde_json::Value> {
    let shown = |entry: &Entry| {
        let value = entry.value.as_ref().map_or(serde_json::Value::Null, to_json);
        if origin { json!({"value": value, "origin": entry.origin.to_string()}) } else { value }
    };
    record.entries.iter().map(|entry| (entry.row.name.to_owned(), shown(entry))).collect()
}

fn to_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Seconds(seconds) => json!(seconds),
        Value::Count(count) => json!(count),
        Value::Address(Some(address)) => json!(address.to_string()),
        Value::Address(None) => json!("none"),
        Value::Choice(name) => json!(name),
        Value::Words(words) => json!(words),
        Value::Table(table) => json!(table),
        Value::Switch(on) => json!(on),
        Value::Text(text) => json!(text),
        Value::Number(number) => json!(number),
        Value::Secret(_) => json!(Secret::SHOWN),
        Value::Secrets(table) => table.keys().map(|name| (name.clone(), json!(Secret::SHOWN))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(interval: &str) -> Loaded {
        let overrides = Overrides { interval: Some(interval.to_owned()), ..Overrides::default() };
        Config::load(&Sources::default(), &overrides).unwrap()
    }

    #[test]
    fn what_is_shown_is_toml_that_says_the_same() {
        let loaded = loaded("2.5");
        let daemon = loaded.origins.all(SECTIONS[0]).next().unwrap();
        let text: String = daemon.entries.iter().map(|entry| line(entry, true)).collect();
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["interval_seconds"].as_float(), Some(2.5));
        assert!(text.contains("interval_seconds = 2.5  # --interval\n"), "{text}");
        assert!(text.contains("listen = \"127.0.0.1:8690\"  # default\n"), "{text}");
    }

    #[test]
    fn programs_get_sections_of_values() {
        let loaded = loaded("2.5");
        let shown = document(&loaded.origins, false);
        assert_eq!(shown["daemon"]["interval_seconds"], json!(2.5));
        assert_eq!(shown["executor"]["on_crash"], serde_json::Value::Null);
        let shown = document(&loaded.origins, true);
        assert_eq!(shown["daemon"]["interval_seconds"], json!({"value": 2.5, "origin": "--interval"}));
    }

    /// What comes of `text` as the user's file.
    fn read(text: &str) -> Loaded {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let sources = Sources { user_file: Some(file.path().to_owned()), ..Sources::default() };
        Config::load(&sources, &Overrides::default()).unwrap()
    }

    #[test]
    fn lists_are_shown_as_arrays_without_their_tokens() {
        let loaded = read("[[upstream]]\nname = \"a\"\nendpoint = \"http://h\"\ntoken = \"hunter2\"\n");
        let shown = document(&loaded.origins, false);
        assert_eq!(shown["upstream"][0]["name"], json!("a"));
        assert_eq!(shown["upstream"][0]["token"], json!("(set)"));
        assert_eq!(shown["upstream"][0]["enabled"], json!(true));
        assert_eq!(shown["session_buddy_polling"]["enabled"], json!(false));
        let origin = document(&loaded.origins, true)["upstream"][0]["token"]["origin"].clone();
        assert!(origin.as_str().unwrap().ends_with(":4:9"), "{origin}");
        let record = loaded.origins.all(Section::named("upstream").unwrap()).next().unwrap();
        let text: String = record.entries.iter().map(|entry| line(entry, false)).collect();
        assert!(text.contains("token = \"(set)\"\n") && !text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_list_of_none_is_an_empty_array() {
        let shown = document(&read("").origins, false);
        assert_eq!((&shown["upstream"], &shown["alert"]), (&json!([]), &json!([])));
    }
}
