//! What a mistaken command line is told: one line, like every other error. Help and version are no mistakes.

use std::ffi::OsString;

use clap::error::ErrorKind;

use super::args::words_before_dashes;
use super::exit::{Failure, OK, USAGE};
use super::output::{Color, Output};

/// Prints what the parser has to say; returns the exit code.
pub(super) fn report(error: &clap::Error, arguments: &[OsString]) -> u8 {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // Nothing is left to do about a closed output.
            drop(error.print());
            OK
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            drop(error.print());
            USAGE
        }
        _ => {
            let json = words_before_dashes(arguments).any(|word| word == "--json");
            let mut output = Output::new(json, Color::Auto);
            output.fail(&Failure::usage(sentence(&error.render().to_string(), &meant(arguments))));
            drop(output.flush());
            USAGE
        }
    }
}

/// The verb that was meant, as far as it can be told, with the words that lead to it.
fn meant(arguments: &[OsString]) -> String {
    let whole = super::command();
    let (mut command, mut path) = (&whole, vec![whole.get_name()]);
    let mut words = words_before_dashes(arguments).skip(1);
    while let Some(word) = words.next() {
        if let Some(verb) = command.find_subcommand(word) {
            path.push(verb.get_name());
            command = verb;
        } else if !word.starts_with('-') || !command.has_subcommands() {
            break;
        } else if takes_value(&whole, word) {
            words.next();
        }
    }
    path.join(" ")
}

fn takes_value(command: &clap::Command, word: &str) -> bool {
    let flag =
        command.get_arguments().find(|flag| flag.get_long().is_some() && flag.get_long() == word.strip_prefix("--"));
    flag.is_some_and(|flag| flag.get_action().takes_values())
}

/// The parser's paragraphs as one sentence, with the command whose help to read.
fn sentence(rendered: &str, command: &str) -> String {
    let complaint = rendered.split("Usage:").next().unwrap_or_default();
    let complaint = complaint.split("For more information").next().unwrap_or_default();
    let words: Vec<&str> = complaint.trim_start_matches("error:").split_whitespace().collect();
    format!("{}; see: {command} --help", words.join(" ").replace(" tip: ", "; "))
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;
    use super::*;

    fn complaint(line: &str) -> String {
        let error = parse_words(line).unwrap_err();
        assert!(error.use_stderr());
        let words: Vec<OsString> = std::iter::once("claude-comms").chain(line.split(' ')).map(OsString::from).collect();
        sentence(&error.render().to_string(), &meant(&words))
    }

    #[test]
    fn a_complaint_is_one_line_that_names_the_help() {
        let missing = complaint("message reply");
        assert!(missing.contains("<ID>") && missing.ends_with("; see: claude-comms message reply --help"), "{missing}");
        let unknown = complaint("poll lst");
        assert!(unknown.contains("'lst'") && unknown.contains("'list'"), "{unknown}");
        assert!(unknown.ends_with("; see: claude-comms poll --help"), "{unknown}");
        let number = complaint("poll list --limit 0");
        assert!(number.contains("1..=1000") && !number.contains('\n'), "{number}");
        assert!(number.ends_with("; see: claude-comms poll list --help"), "{number}");
        let number = complaint("--state-dir poll message --json list --limit 0 --thread list");
        assert!(number.ends_with("; see: claude-comms message list --help"), "{number}");
        let nothing = complaint("--json dance list");
        assert!(nothing.ends_with("; see: claude-comms --help"), "{nothing}");
    }

    #[test]
    fn every_alternative_is_named() {
        for (line, one, other) in
            [("message update m", "--status", "--content"), ("poll add --source a", "--task-id", "--message-id")]
        {
            let said = complaint(line);
            assert!(said.contains(one) && said.contains(other), "{said}");
        }
    }
}
