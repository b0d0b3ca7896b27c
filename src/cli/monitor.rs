//! `monitor`: pools, workflows and services as they are at the moment, over WebSocket.

use std::env;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use crossbeam_channel::bounded;
use serde_json::Value;

use super::config::load;
use super::exit::{Failure, INTERRUPTED, NO_ANSWER, NO_DAEMON, NOT_FOUND, OK, Outcome};
use super::output::Output;
use super::session::Session;
use super::table::terminal_width;
use crate::clock::{Clock, SystemClock};
use crate::config::Overrides;
use crate::control::Client;
use crate::control::wire::{self, Request};
use crate::monitor::{
    self, Address, Find, Glyphs, Look, Looked, MonitorError, Outside, PanelSettings, Settings, Sink, Token,
};
use crate::service::{Paths, Signal, Signals};
use crate::thread::Bell;

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms monitor pool local
  claude-comms monitor workflow ID --url ws://127.0.0.1:8690
  claude-comms monitor dashboard --service tests=ws://127.0.0.1:8686#global
  claude-comms monitor pool local --json | jq .event     one object a line, for programs

It never gives up: a server that is away is waited for. The screen explains itself with ?, and q leaves.";

const HOST: &str = "127.0.0.1";
const PORT: u16 = 8690;
const AKOSHA_PORT: u16 = 8692;
const TOKEN_VARIABLE: &str = "CLAUDE_COMMS_TOKEN";
/// What stands for a service that is not to be shown.
const NO_SERVICE: &str = "none";
/// Of a picture that no terminal gives a width, in columns.
const WIDTH: u16 = 80;
const SERVICES_MAX: usize = 32;
const NAME_CHARS_MAX: usize = 32;
/// Longest token file that is read, in bytes.
const TOKEN_BYTES_MAX: usize = 4096;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Watch a pool: its workers, its queue, and what becomes of its tasks
    Pool(One),
    /// Watch a workflow: its stages, and who works on them
    Workflow(One),
    /// Watch several services beside each other
    Dashboard(Dashboard),
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Its id, whole
    id: String,
    #[command(flatten)]
    server: Server,
}

/// Of the first server.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// Where the server answers, like ws://127.0.0.1:8690; otherwise where the running daemon does
    #[arg(long, value_name = "URL", conflicts_with_all = ["host", "port"])]
    url: Option<String>,
    /// The same by host; otherwise 127.0.0.1
    #[arg(long, value_name = "H")]
    host: Option<String>,
    /// The same by port; otherwise 8690
    #[arg(long, value_name = "P")]
    port: Option<u16>,
    /// A file that holds the token to show to the server
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Print one picture, or with --json one document, and end
    #[arg(long)]
    once: bool,
}

#[derive(Debug, Args)]
pub(super) struct Dashboard {
    #[command(flatten)]
    server: Server,
    /// Host of the panel Mahavishnu; otherwise as the server's
    #[arg(long, value_name = "H")]
    mahavishnu_host: Option<String>,
    /// Its port; otherwise as the server's
    #[arg(long, value_name = "P")]
    mahavishnu_port: Option<u16>,
    /// Host of the panel Pool; otherwise as the server's
    #[arg(long, value_name = "H")]
    pool_host: Option<String>,
    /// Its port; otherwise as the server's
    #[arg(long, value_name = "P")]
    pool_port: Option<u16>,
    /// Host of the panel Akosha; otherwise 127.0.0.1
    #[arg(long, value_name = "H")]
    akosha_host: Option<String>,
    /// Its port; otherwise 8692
    #[arg(long, value_name = "P")]
    akosha_port: Option<u16>,
    /// Another panel, as NAME=ws://HOST:PORT#CHANNEL, or without a panel, as NAME=none; may be given several times
    #[arg(long, value_name = "NAME=URL")]
    service: Vec<String>,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    let look = look(&session.output);
    let (mut settings, server) = match verb {
        Verb::Pool(one) => (Settings::pool(named(one.id)?, of_server(&one.server, session)?, look), one.server),
        Verb::Workflow(one) => (Settings::workflow(named(one.id)?, of_server(&one.server, session)?, look), one.server),
        Verb::Dashboard(dashboard) => (Settings::dashboard(panels(&dashboard, session)?, look), dashboard.server),
    };
    if settings.question().is_some() {
        settings.panels.iter_mut().for_each(|panel| panel.find = find(&server, session));
    }
    let settings = Settings { token: token(server.token_file.as_deref())?, ..settings };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (_listening, outside) = outside()?;
    if server.once {
        let width =
            Some(&session.output).filter(|output| output.terminal).and_then(|_| terminal_width()).unwrap_or(WIDTH);
        let looked = monitor::run_once(&settings, &clock, &outside.signals, width, &mut session.output);
        return looked.map_err(failure).and_then(told);
    }
    let shown = if session.output.json || !session.output.terminal {
        monitor::run_lines(&settings, &clock, &outside.signals, &mut session.output)
    } else {
        monitor::run_screen(&settings, &clock, &outside)
    };
    shown.map_err(failure)?;
    Ok(OK)
}

/// Colours as for all that is printed; signs as the locale has them.
fn look(output: &Output) -> Look {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    Look { glyphs: Glyphs::of_locale(&locale), has_colour: output.has_color() }
}

/// From here on no signal ends the process by itself.
fn outside() -> Result<(Signals, Outside), Failure> {
    let (told, signals) = bounded(4);
    let stop = Arc::new(Bell::new().map_err(|error| failure(MonitorError::Start(error)))?);
    let bell = Arc::clone(&stop);
    // One that does not fit says nothing that the others do not.
    let listening = Signals::listen_on_screen(move |signal| {
        let _ = told.try_send(signal);
        if matches!(signal, Signal::Stop | Signal::StopNow | Signal::Reload) {
            bell.ring();
        }
    });
    Ok((listening.map_err(|error| failure(MonitorError::Start(error)))?, Outside { signals, stop }))
}

fn failure(error: MonitorError) -> Failure {
    match error {
        MonitorError::Output(error) => Failure::Output(error),
        MonitorError::Died => Failure::internal(error.to_string()),
        error => Failure::failed(error.to_string()),
    }
}

fn told(looked: Looked) -> Outcome {
    match looked {
        Looked::Shown => Ok(OK),
        // The picture says it, with what there is instead.
        Looked::Unknown => Err(Failure::Shown { exit_code: NOT_FOUND }),
        Looked::Interrupted => Err(Failure::Shown { exit_code: INTERRUPTED }),
        Looked::Unreachable { url, why: Some(why) } if !why.is_somebody() => Err(Failure::Told {
            exit_code: NO_DAEMON,
            code: "no_daemon",
            sentence: format!("{why} at {url}; start the daemon with: claude-comms poll start"),
        }),
        Looked::Unreachable { url, why } => {
            let why = why.map_or_else(|| "no answer came in time".to_owned(), |why| why.to_string());
            let sentence = format!("there is no picture of {url}: {why}");
            Err(Failure::Told { exit_code: NO_ANSWER, code: "no_answer", sentence })
        }
    }
}

fn of_server(server: &Server, session: &mut Session) -> Result<Address, Failure> {
    if let Some(url) = &server.url {
        let (address, channel) = Address::parse(url).map_err(|error| Failure::usage(format!("--url: {error}")))?;
        if channel.is_some() {
            return Err(Failure::usage("--url: the channel is known; leave out what stands behind the #"));
        }
        return Ok(address);
    }
    if server.host.is_none() && server.port.is_none() {
        let found = session.paths().ok().and_then(|paths| of_daemon(&paths));
        return Ok(found.unwrap_or_else(|| Address::new(HOST, PORT)));
    }
    at(server.host.as_deref().unwrap_or(HOST), server.port.unwrap_or(PORT))
}

/// Only of a server of which nobody has said where it is.
fn find(server: &Server, session: &Session) -> Option<Find> {
    let is_named = server.url.is_some() || server.host.is_some() || server.port.is_some();
    let paths = session.paths().ok().filter(|_| !is_named)?;
    Some(Find::new(move || of_daemon(&paths)))
}

fn named(id: String) -> Result<String, Failure> {
    if id.is_empty() { Err(Failure::usage("ID is empty; name a pool or a workflow")) } else { Ok(id) }
}

fn at(host: &str, port: u16) -> Result<Address, Failure> {
    let brackets = host.contains(':') && !host.starts_with('[');
    let url = if brackets { format!("ws://[{host}]:{port}") } else { format!("ws://{host}:{port}") };
    Address::parse(&url).map(|(address, _)| address).map_err(|error| Failure::usage(error.to_string()))
}

/// Where the daemon of this state directory answers; or will, as it is configured, while it does not run.
fn of_daemon(paths: &Paths) -> Option<Address> {
    let listen = match Client::connect(&paths.socket) {
        Ok(mut client) => {
            let status: wire::DaemonStatus = client.call(&Request::PollStatus(wire::Empty {})).ok()?;
            status.listen?.parse().ok()?
        }
        Err(_) => load(paths, &Overrides::default()).ok()?.config.daemon.listen?,
    };
    address_of(listen)
}

fn address_of(listen: SocketAddr) -> Option<Address> {
    // One that is chosen by the system is not known before it runs.
    if listen.port() == 0 {
        return None;
    }
    // Who listens everywhere is reached here.
    let host = if listen.ip().is_unspecified() { HOST.to_owned() } else { listen.ip().to_string() };
    Some(Address::new(&host, listen.port()))
}

/// The three panels of the original, and what was added or left out.
fn panels(dashboard: &Dashboard, session: &mut Session) -> Result<Vec<PanelSettings>, Failure> {
    let server = of_server(&dashboard.server, session)?;
    let placed = |host: &Option<String>, port: Option<u16>, usual: &Address| match (host, port) {
        (None, None) => Ok(usual.clone()),
        (host, port) => at(host.as_deref().unwrap_or(&usual.host), port.unwrap_or(usual.port)),
    };
    let mahavishnu = placed(&dashboard.mahavishnu_host, dashboard.mahavishnu_port, &server)?;
    let pool = placed(&dashboard.pool_host, dashboard.pool_port, &server)?;
    let akosha = placed(&dashboard.akosha_host, dashboard.akosha_port, &Address::new(HOST, AKOSHA_PORT))?;
    let channel = |channel: &str| Some(channel.to_owned());
    let found = |host: &Option<String>, port: Option<u16>| {
        if host.is_none() && port.is_none() { find(&dashboard.server, session) } else { None }
    };
    let mut panels = vec![
        PanelSettings::new("Mahavishnu", mahavishnu, None),
        PanelSettings::new("Pool", pool, channel("pool:local")),
        PanelSettings::new("Akosha", akosha, channel("insights")),
    ];
    panels[0].find = found(&dashboard.mahavishnu_host, dashboard.mahavishnu_port);
    panels[1].find = found(&dashboard.pool_host, dashboard.pool_port);
    for service in &dashboard.service {
        add_service(&mut panels, service)?;
    }
    if panels.is_empty() {
        return Err(Failure::usage("no panel is left; give one with --service NAME=URL"));
    }
    Ok(panels)
}

/// A name that is there already is replaced.
fn add_service(panels: &mut Vec<PanelSettings>, service: &str) -> Result<(), Failure> {
    let usage = |why: String| Failure::usage(format!("--service: {why}"));
    let (name, url) = service.split_once('=').unwrap_or_default();
    let is_good = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-' | ' ');
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || !name.chars().all(is_good) {
        return Err(usage(format!("{service:?} is none; one is like tests=ws://127.0.0.1:8686#global")));
    }
    let place = panels.iter().position(|panel| panel.name.eq_ignore_ascii_case(name));
    if url == NO_SERVICE {
        place.map(|place| panels.remove(place));
        return Ok(());
    }
    let (address, channel) = Address::parse(url).map_err(|error| usage(error.to_string()))?;
    let panel = PanelSettings::new(name, address, channel);
    match place {
        Some(place) => panels[place] = panel,
        None if panels.len() >= SERVICES_MAX => return Err(usage(format!("more than {SERVICES_MAX}"))),
        None => panels.push(panel),
    }
    Ok(())
}

/// A file is looked at now, so that a mistake is told at once, and again for each connection.
fn token(file: Option<&Path>) -> Result<Option<Token>, Failure> {
    let Some(file) = file else {
        let given = env::var(TOKEN_VARIABLE).ok().map(|token| token.trim().to_owned());
        let given = given.filter(|token| !token.is_empty());
        return Ok(given.map(|token| Arc::new(move || Some(token.clone())) as Token));
    };
    let file = file.to_owned();
    read_token(&file).map_err(|error| Failure::usage(format!("--token-file {}: {error}", file.display())))?;
    Ok(Some(Arc::new(move || read_token(&file).ok())))
}

fn read_token(file: &Path) -> io::Result<String> {
    use io::Read;
    let mut text = String::new();
    fs::File::open(file)?.take(TOKEN_BYTES_MAX as u64).read_to_string(&mut text)?;
    let token = text.trim();
    if token.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "there is no token in it"));
    }
    Ok(token.to_owned())
}

impl Sink for Output {
    fn line(&mut self, line: &str) -> io::Result<()> {
        Output::line(self, line).map_err(of_output)
    }

    fn json(&mut self, value: &Value) -> io::Result<()> {
        Output::json(self, value).map_err(of_output)
    }

    fn say(&mut self, sentence: &str) {
        Output::say(self, sentence);
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pause(Duration::ZERO).map_err(of_output)
    }

    fn is_json(&self) -> bool {
        self.json
    }
}

fn of_output(failure: Failure) -> io::Error {
    match failure {
        Failure::Output(error) => error,
        failure => io::Error::other(failure.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;
    use super::*;

    fn shown(services: &[&str]) -> Result<String, String> {
        let mut panels = vec![PanelSettings::new("Akosha", Address::new("h", 1), None)];
        for service in services {
            add_service(&mut panels, service).map_err(|failure| failure.to_string())?;
        }
        let one = |panel: &PanelSettings| format!("{} {} {}", panel.name, panel.address, panel.channel);
        Ok(panels.iter().map(one).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn services_are_added_replaced_and_left_out() {
        let added = shown(&["tests=ws://h:2/x?a=b#pool:local"]);
        assert_eq!(added.unwrap(), "Akosha ws://h:1 global, tests ws://h:2/x?a=b pool:local");
        assert_eq!(shown(&["akosha=ws://h:3#insights"]).unwrap(), "akosha ws://h:3 insights");
        assert_eq!(shown(&["AKOSHA=none", "other=none"]).unwrap(), "");
        for bad in ["", "x", "=ws://h:1", "a\u{1b}=ws://h:1", "x=http://h", "x=wss://h:1"] {
            assert!(shown(&[bad]).unwrap_err().starts_with("--service: "), "{bad}");
        }
        assert!(shown(&["x=wss://h:1"]).unwrap_err().contains("wss:// is not supported"));
    }

    #[test]
    fn a_server_is_named_in_one_way() {
        for good in ["pool p", "pool p --url ws://h:1", "workflow w --host h --port 1", "dashboard --service a=ws://h"]
        {
            assert!(parse_words(&format!("monitor {good}")).is_ok(), "{good}");
        }
        for bad in ["pool", "pool p --url ws://h:1 --port 2", "dashboard d", "pool p --port 70000"] {
            assert!(parse_words(&format!("monitor {bad}")).is_err(), "{bad}");
        }
        assert_eq!(at("::1", 5).unwrap().to_string(), "ws://[::1]:5");
        assert!(at("a b", 5).is_err() && at("h", 0).is_err());
    }

    #[test]
    fn a_token_file_is_read_without_its_end_of_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        assert!(token(Some(&file)).is_err());
        fs::write(&file, " \n").unwrap();
        assert!(token(Some(&file)).is_err());
        fs::write(&file, "one\n").unwrap();
        let token = token(Some(&file)).unwrap().unwrap();
        assert_eq!(token().as_deref(), Some("one"));
        fs::write(&file, "two").unwrap();
        assert_eq!(token().as_deref(), Some("two"));
    }
}
