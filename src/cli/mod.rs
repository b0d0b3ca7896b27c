//! The command line: one file for each group of verbs, what they print, and the exit codes they end with.

mod alert;
mod args;
mod ask;
mod backup;
mod batch;
mod completions;
mod config;
mod daemon;
mod demo;
mod doctor;
mod event;
mod exit;
mod export;
mod hook;
mod input;
mod logs;
mod mcp;
mod message;
mod module;
mod monitor;
mod output;
mod pages;
mod poll;
mod pool;
mod service;
mod session;
mod stop;
mod submit;
mod table;
mod task;
mod teaching;
mod thread;
mod transfer;
mod upstream;
mod usage;
mod vacuum;
mod wait;
mod workflow;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Cli, Verb};
use exit::Outcome;
use output::Output;
use session::Session;

/// Does what the arguments say, the first of them being the program's own name, and returns the exit code.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let exit_code = match args::parse(&arguments) {
        Ok(cli) => perform(cli),
        Err(error) => usage::report(&error, &arguments),
    };
    ExitCode::from(exit_code)
}

/// The whole command line as it is defined, for those who describe it.
pub fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

fn perform(Cli { globals, verb }: Cli) -> u8 {
    let output = Output::new(globals.json, globals.color);
    let mut session = Session { options: globals.paths(), verbose: globals.verbose, output };
    let outcome = dispatch(verb, &mut session);
    // What cannot be written is a failure too, if nothing else was.
    let outcome = session.output.flush().and(outcome);
    match outcome {
        Ok(exit_code) => exit_code,
        Err(failure) => {
            session.output.fail(&failure);
            // The sentence went out; whether a program read the document changes nothing.
            drop(session.output.flush());
            failure.exit_code()
        }
    }
}

fn dispatch(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Daemon(flags) => daemon::foreground(flags, session),
        Verb::Poll { verb } => poll::run(verb, session),
        Verb::Message { verb } => message::run(verb, session),
        Verb::Thread { verb } => thread::run(verb, session),
        Verb::Module { verb } => module::run(verb, session),
        Verb::Ask(ask) => ask::run(ask, session),
        Verb::Pool { verb } => pool::run(verb, session),
        Verb::Task { verb } => task::run(verb, session),
        Verb::Workflow { verb } => workflow::run(verb, session),
        Verb::Upstream { verb } => upstream::run(verb, session),
        Verb::Alert { verb } => alert::run(verb, session),
        Verb::Hook { verb } => hook::run(verb, session),
        Verb::Mcp(flags) => mcp::run(flags, session),
        Verb::Event { verb } => event::run(verb, session),
        Verb::Monitor { verb } => monitor::run(verb, session),
        Verb::Config { verb } => config::run(verb, session),
        Verb::Backup(order) => backup::back_up(&order, session),
        Verb::Restore(order) => backup::restore(&order, session),
        Verb::Vacuum => vacuum::run(session),
        Verb::Doctor(arguments) => doctor::run(&arguments, session),
        Verb::Service { verb } => service::run(verb, session),
        Verb::Completions(wanted) => completions::print(&wanted, session),
        Verb::Complete(words) => completions::complete(&words, session),
        Verb::Demo => demo::run(session),
    }
}
