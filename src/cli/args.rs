//! The command line as a whole: global flags and the groups of verbs.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::output::Color;
use super::{
    alert, ask, backup, completions, config, daemon, demo, doctor, event, hook, mcp, message, module, monitor, poll,
    pool, service, task, teaching, thread, upstream, vacuum, workflow,
};
use crate::service::PathOptions;

const EXAMPLES: &str = "\
Examples:
  claude-comms poll start                         start the daemon in the background
  claude-comms ask --to ../backend 'Which port?'  ask the module there, and print its answer
  claude-comms poll list                          what is being waited for
  claude-comms poll stop                          stop the daemon

Environment:
  CLAUDE_COMMS_STATE_DIR, CLAUDE_COMMS_SOCKET, CLAUDE_COMMS_CONFIG   as the flags of that name
  CLAUDE_COMMS_LOG              what the daemon logs: off, error, warn, info, debug or trace
  CLAUDE_COMMS_SECTION__FIELD   any setting; `claude-comms config show` lists them
  NO_COLOR                      no colours

Exit codes:
  0 done   1 failed   2 wrong usage   3 no daemon   4 no answer   5 not found   70 internal error
  75 busy or full, try again   78 bad configuration   124 waited too long   130 interrupted
  141 nobody reads the output";

/// Dependable messages and tasks between AI coding agents on one machine
#[derive(Debug, Parser)]
#[command(name = "claude-comms", version, after_help = EXAMPLES)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) globals: Globals,
    #[command(subcommand)]
    pub(super) verb: Verb,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Globals {
    /// Directory that everything lives under [env: CLAUDE_COMMS_STATE_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The daemon's control socket [env: CLAUDE_COMMS_SOCKET]
    #[arg(long, global = true, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Configuration file [env: CLAUDE_COMMS_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document instead of text (with --follow: one object a line)
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Have the daemon that is started log more (twice: everything)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(super) verbose: u8,
    /// When to use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(super) color: Color,
}

impl Globals {
    pub(super) fn paths(&self) -> PathOptions {
        PathOptions { state_dir: self.state_dir.clone(), socket: self.socket.clone(), config: self.config.clone() }
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run the daemon in the foreground, as service units do
    #[command(after_help = daemon::EXAMPLES)]
    Daemon(daemon::Flags),
    /// Start and stop the daemon, and watch what becomes of messages
    #[command(after_help = poll::EXAMPLES)]
    Poll {
        #[command(subcommand)]
        verb: poll::Verb,
    },
    /// Send messages between modules, answer them, read and search them
    #[command(after_help = message::EXAMPLES)]
    Message {
        #[command(subcommand)]
        verb: message::Verb,
    },
    /// Read the conversations that messages belong to
    #[command(after_help = thread::EXAMPLES)]
    Thread {
        #[command(subcommand)]
        verb: thread::Verb,
    },
    /// Give names to the directories that agents work in
    #[command(after_help = module::EXAMPLES)]
    Module {
        #[command(subcommand)]
        verb: module::Verb,
    },
    /// Ask a module a question and print its answer
    #[command(after_help = ask::EXAMPLES)]
    Ask(ask::Ask),
    /// Hand out work to pools of three workers
    #[command(after_help = pool::EXAMPLES)]
    Pool {
        #[command(subcommand)]
        verb: pool::Verb,
    },
    /// See, await and cancel tasks
    #[command(after_help = task::EXAMPLES)]
    Task {
        #[command(subcommand)]
        verb: task::Verb,
    },
    /// Run files of stages of tasks that need each other
    #[command(after_help = workflow::EXAMPLES)]
    Workflow {
        #[command(subcommand)]
        verb: workflow::Verb,
    },
    /// Poll MCP servers for metrics, and print all numbers
    #[command(after_help = upstream::EXAMPLES)]
    Upstream {
        #[command(subcommand)]
        verb: upstream::Verb,
    },
    /// See which numbers are too high or too low
    #[command(after_help = alert::EXAMPLES)]
    Alert {
        #[command(subcommand)]
        verb: alert::Verb,
    },
    /// See how the commands fare that run for what happens
    #[command(after_help = hook::EXAMPLES)]
    Hook {
        #[command(subcommand)]
        verb: hook::Verb,
    },
    /// Serve agents: the tools, over the Model Context Protocol on standard input and output
    #[command(after_help = mcp::EXAMPLES)]
    Mcp(mcp::Mcp),
    /// Follow everything that happens
    #[command(after_help = event::EXAMPLES)]
    Event {
        #[command(subcommand)]
        verb: event::Verb,
    },
    /// Watch pools, workflows and services on a screen of their own
    #[command(after_help = monitor::EXAMPLES)]
    Monitor {
        #[command(subcommand)]
        verb: monitor::Verb,
    },
    /// Check and show the configuration
    #[command(after_help = config::EXAMPLES)]
    Config {
        #[command(subcommand)]
        verb: config::Verb,
    },
    /// Write a copy of everything that is stored, while the daemon runs
    #[command(after_help = backup::BACKUP_EXAMPLES)]
    Backup(backup::Backup),
    /// Put a backup into the place of the database
    #[command(after_help = backup::RESTORE_EXAMPLES)]
    Restore(backup::Restore),
    /// Shrink the database: give back to the disk what it does not need any more
    #[command(after_help = vacuum::EXAMPLES)]
    Vacuum,
    /// Find out what is wrong with the installation, and how to mend it
    #[command(after_help = doctor::EXAMPLES)]
    Doctor(doctor::Doctor),
    /// Have systemd or launchd keep the daemon running
    #[command(after_help = service::EXAMPLES)]
    Service {
        #[command(subcommand)]
        verb: service::Verb,
    },
    /// Print a script that lets a shell complete verbs, flags and ids
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Completions),
    /// Say what could come next on a command line, for the scripts of completions
    #[command(name = "__complete", hide = true)]
    Complete(completions::Words),
    /// Watch the main job, a kill -9 included, in a throwaway directory
    #[command(after_help = demo::EXAMPLES)]
    Demo,
}

/// Reads the command line.
pub(super) fn parse(arguments: &[OsString]) -> Result<Cli, clap::Error> {
    // What the short description does not understand is for the whole one to explain.
    if let Some(cli) = parse_shortly(arguments) {
        return Ok(cli);
    }
    let mut command = teaching::with_examples(Cli::command());
    // Help and complaints are printed before the flags are known.
    match words_before_dashes(arguments).find_map(|word| word.strip_prefix("--color=")) {
        Some("always") => command = command.color(clap::ColorChoice::Always),
        Some("never") => command = command.color(clap::ColorChoice::Never),
        _ => {}
    }
    Cli::from_arg_matches(&command.try_get_matches_from(arguments)?)
}

/// Describes only the one verb that seems to be meant: describing all of them, with the global flags of each, takes
/// longer than what most of them do. Nothing means anything else here than in the whole description.
fn parse_shortly(arguments: &[OsString]) -> Option<Cli> {
    let mut words = words_before_dashes(arguments).skip(1);
    let (group, describe) = words.find_map(|word| GROUPS.iter().find(|(group, _)| *group == word))?;
    let verbs = describe(Command::new(*group));
    let verb = words.find_map(|word| verbs.find_subcommand(word))?.clone();
    let group = Command::new(*group).subcommand_required(true).subcommand(verb);
    let command = Globals::augment_args(Command::new("claude-comms")).subcommand_required(true).subcommand(group);
    Cli::from_arg_matches(&command.try_get_matches_from(arguments).ok()?).ok()
}

/// Adds the verbs of a group to its description.
type Describe = fn(Command) -> Command;

/// What describes the verbs of each group.
const GROUPS: [(&str, Describe); 14] = [
    ("poll", poll::Verb::augment_subcommands),
    ("message", message::Verb::augment_subcommands),
    ("thread", thread::Verb::augment_subcommands),
    ("module", module::Verb::augment_subcommands),
    ("pool", pool::Verb::augment_subcommands),
    ("task", task::Verb::augment_subcommands),
    ("workflow", workflow::Verb::augment_subcommands),
    ("upstream", upstream::Verb::augment_subcommands),
    ("alert", alert::Verb::augment_subcommands),
    ("hook", hook::Verb::augment_subcommands),
    ("event", event::Verb::augment_subcommands),
    ("monitor", monitor::Verb::augment_subcommands),
    ("config", config::Verb::augment_subcommands),
    ("service", service::Verb::augment_subcommands),
];

/// The arguments that may be flags of ours.
pub(super) fn words_before_dashes(arguments: &[OsString]) -> impl Iterator<Item = &str> {
    arguments.iter().map(|word| word.to_str().unwrap_or_default()).take_while(|word| *word != "--")
}

#[cfg(test)]
pub(super) fn parse_words(line: &str) -> Result<Cli, clap::Error> {
    let words: Vec<OsString> =
        std::iter::once("claude-comms").chain(line.split_whitespace()).map(OsString::from).collect();
    parse(&words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_contradicts_itself_nowhere() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_says_what_it_is_for() {
        fn check(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} of {}", argument.get_id(), command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn every_verb_of_a_group_has_a_short_description() {
        let whole = Cli::command();
        let names = |command: &Command| -> Vec<String> {
            command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect()
        };
        let groups: Vec<&Command> = whole.get_subcommands().filter(|group| group.has_subcommands()).collect();
        assert!(groups.iter().map(|group| group.get_name()).eq(GROUPS.iter().map(|(group, _)| *group)));
        for (group, (_, describe)) in groups.into_iter().zip(GROUPS) {
            assert_eq!(names(&describe(Command::new("group"))), names(group), "{}", group.get_name());
        }
    }

    #[test]
    fn the_short_description_is_enough_or_says_nothing() {
        let shortly = |line: &str| {
            let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
            parse_shortly(&words).map(|cli| format!("{cli:?}"))
        };
        for line in ["poll status", "--json poll status", "poll wait --quiet message", "--state-dir poll poll list"] {
            let line = format!("claude-comms {line}");
            let whole = Cli::from_arg_matches(&Cli::command().get_matches_from(line.split_whitespace())).unwrap();
            assert_eq!(shortly(&line), Some(format!("{whole:?}")), "{line}");
        }
        for line in ["", "poll", "poll --help", "poll lst", "help poll list", "--state-dir message poll list", "demo"] {
            assert_eq!(shortly(&format!("claude-comms {line}")), None, "{line}");
        }
        let parsed = parse_words("--state-dir message poll list").unwrap();
        assert!(matches!(parsed.verb, Verb::Poll { .. }));
    }

    #[test]
    fn global_flags_stand_anywhere() {
        for line in
            ["--json --state-dir /x poll list", "poll --json list --state-dir /x", "poll list --json --state-dir=/x"]
        {
            let cli = parse_words(line).unwrap();
            assert!(cli.globals.json, "{line}");
            assert_eq!(cli.globals.paths().state_dir, Some(PathBuf::from("/x")), "{line}");
        }
    }

    #[test]
    fn what_stands_behind_two_dashes_is_no_flag_of_ours() {
        let words = ["claude-comms", "pool", "create", "p", "--", "run", "--json"].map(OsString::from);
        assert!(!parse(&words).unwrap().globals.json);
        assert!(words_before_dashes(&words).all(|word| word != "--json"));
    }
}
