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
            output.fail(&Failure::usage(sentence(&error.render().to_string())));
            drop(output.flush());
            USAGE
        }
    }
}

/// The parser's paragraphs as one sentence, with the command whose help to read.
fn sentence(rendered: &str) -> String {
    let (complaint, rest) = rendered.split_once("Usage:").unwrap_or((rendered, ""));
    let complaint = complaint.split("For more information").next().unwrap_or_default();
    let words: Vec<&str> = complaint.trim_start_matches("error:").split_whitespace().collect();
    let command: Vec<&str> = rest.split_whitespace().take_while(|word| !word.starts_with(['-', '<', '['])).collect();
    let command = if command.is_empty() { "claude-comms".to_owned() } else { command.join(" ") };
    format!("{}; see: {command} --help", words.join(" ").replace(" tip: ", "; "))
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;
    use super::*;

    fn complaint(line: &str) -> String {
        let error = parse_words(line).unwrap_err();
        assert!(error.use_stderr());
        sentence(&error.render().to_string())
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
    }
}
