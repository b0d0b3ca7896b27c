//! What is to be run, and how it becomes a command line: the prompt is data on the way from a person to a program, so it
//! is put in place of whole placeholders and never passes through a shell.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROMPT: &str = "{prompt}";
const SYSTEM_PROMPT: &str = "{system_prompt}";

/// The one agent whose option for a system prompt is known.
const CLAUDE: &str = "claude";

/// What a process is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A task of a pool.
    Task,
    /// An event that a hook waits for: it goes to standard input, and the arguments are passed on as they are.
    Hook,
}

/// One attempt at a task, or one run of a hook.
#[derive(Clone, Debug)]
pub struct Job {
    pub purpose: Purpose,
    pub task_id: String,
    /// `<epoch>/<task id>/<attempt>`; every process of the run carries it as `CLAUDE_COMMS_TASK`. Unlike any other's.
    pub marker: String,
    /// The program and its arguments. `{prompt}` and `{system_prompt}` in an argument are replaced.
    pub argv: Vec<String>,
    /// Goes to standard input, unless `argv` has a place for it.
    pub prompt: String,
    /// JSON, handed over as `CLAUDE_COMMS_CONTEXT`.
    pub context: Option<String>,
    /// Where `argv` has no place for it: an option of `claude`; for other programs put before the prompt.
    pub system_prompt: Option<String>,
    /// Absolute.
    pub directory: PathBuf,
    /// Added to that of the daemon.
    pub environment: Vec<(String, String)>,
    pub timeout: Duration,
    /// From TERM to KILL, when the time is up or the run was cancelled.
    pub grace: Duration,
    /// The same, when the daemon stops.
    pub stop_grace: Duration,
    /// Gets the files `stdout` and `stderr` (0600); created (0700) when there is something to write.
    pub output_directory: PathBuf,
    pub result_bytes_max: usize,
    /// For each of the two files; then they end with a note.
    pub log_bytes_max: u64,
}

impl Job {
    pub const GRACE: Duration = Duration::from_secs(5);
    pub const RESULT_BYTES_MAX: usize = 1 << 20;
    pub const LOG_BYTES_MAX: u64 = 64 << 20;

    /// The arguments after the program's name, placeholders filled in.
    pub(super) fn arguments(&self) -> Vec<Cow<'_, str>> {
        if self.purpose == Purpose::Hook {
            return self.argv.iter().skip(1).map(Cow::from).collect();
        }
        let system_prompt = self.system_prompt.as_deref().unwrap_or_default();
        let prompt = self.whole_prompt();
        let mut arguments: Vec<Cow<'_, str>> =
            self.argv.iter().skip(1).map(|argument| filled(argument, &prompt, system_prompt)).collect();
        if let Some(system_prompt) = self.system_prompt.as_deref()
            && self.system_prompt_goes_to() == SystemPrompt::Option
        {
            // Options end at a lone `--`.
            let end = self.argv.iter().skip(1).position(|argument| argument == "--").unwrap_or(arguments.len());
            arguments.splice(end..end, [Cow::from("--append-system-prompt"), Cow::from(system_prompt)]);
        }
        arguments
    }

    /// What the program reads; `None` when its prompt is an argument.
    pub(super) fn input(&self) -> Option<Cow<'_, str>> {
        if self.has_place_for(PROMPT) {
            return None;
        }
        Some(self.whole_prompt())
    }

    fn whole_prompt(&self) -> Cow<'_, str> {
        match &self.system_prompt {
            Some(system_prompt) if self.system_prompt_goes_to() == SystemPrompt::Prompt => {
                Cow::from(format!("{system_prompt}\n\n{}", self.prompt))
            }
            _ => Cow::from(&self.prompt),
        }
    }

    fn system_prompt_goes_to(&self) -> SystemPrompt {
        let program = self.argv.first().and_then(|program| Path::new(program).file_name());
        if self.has_place_for(SYSTEM_PROMPT) {
            SystemPrompt::Placeholder
        } else if program.is_some_and(|name| name == CLAUDE) {
            SystemPrompt::Option
        } else {
            SystemPrompt::Prompt
        }
    }

    fn has_place_for(&self, placeholder: &str) -> bool {
        self.purpose == Purpose::Task && self.argv.iter().skip(1).any(|argument| argument.contains(placeholder))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SystemPrompt {
    Placeholder,
    Option,
    Prompt,
}

/// Fills both placeholders in one pass, so that a prompt which contains one of them is passed on as it is.
fn filled<'a>(argument: &'a str, prompt: &str, system_prompt: &str) -> Cow<'a, str> {
    let mut filled = String::new();
    let mut rest = argument;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        rest = if let Some(after) = from.strip_prefix(PROMPT) {
            filled.push_str(prompt);
            after
        } else if let Some(after) = from.strip_prefix(SYSTEM_PROMPT) {
            filled.push_str(system_prompt);
            after
        } else {
            filled.push('{');
            &from[1..]
        };
    }
    if rest.len() == argument.len() {
        return Cow::from(argument);
    }
    filled.push_str(rest);
    Cow::from(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::tests::job;

    /// The command line and the input, for a prompt `P` and perhaps a system prompt `S`.
    fn invoked(argv: &[&str], system_prompt: Option<&str>) -> (String, Option<String>) {
        let job = Job { prompt: "P".to_owned(), system_prompt: system_prompt.map(str::to_owned), ..job(argv) };
        (job.arguments().join(" "), job.input().map(Cow::into_owned))
    }

    #[test]
    fn the_prompt_goes_to_the_input_or_to_its_places() {
        assert_eq!(invoked(&["cat", "-"], None), ("-".to_owned(), Some("P".to_owned())));
        assert_eq!(invoked(&["a", "{prompt}", "--text={prompt}!", "{x}"], None), ("P --text=P! {x}".to_owned(), None));
    }

    #[test]
    fn the_system_prompt_goes_where_the_program_expects_it() {
        let input = |text: &str| Some(text.to_owned());
        assert_eq!(invoked(&["a", "--system={system_prompt}"], Some("S")), ("--system=S".to_owned(), input("P")));
        assert_eq!(invoked(&["a", "{system_prompt}"], None), (String::new(), input("P")));
        assert_eq!(invoked(&["/opt/claude", "-p"], Some("S")), ("-p --append-system-prompt S".to_owned(), input("P")));
        assert_eq!(
            invoked(&["claude", "-p", "--", "{prompt}"], Some("S")),
            ("-p --append-system-prompt S -- P".to_owned(), None)
        );
        assert_eq!(invoked(&["cat"], Some("S")), (String::new(), input("S\n\nP")));
    }

    #[test]
    fn the_system_prompt_stays_with_a_prompt_that_is_an_argument() {
        assert_eq!(invoked(&["a", "{prompt}"], Some("S")), ("S\n\nP".to_owned(), None));
    }

    #[test]
    fn the_arguments_of_a_hook_are_passed_on_as_they_are() {
        let job =
            Job { purpose: Purpose::Hook, prompt: "P".to_owned(), ..job(&["claude", "{prompt}", "{system_prompt}"]) };
        assert_eq!(job.arguments(), ["{prompt}", "{system_prompt}"]);
        assert_eq!(job.input().as_deref(), Some("P"));
    }

    #[test]
    fn a_placeholder_inside_a_prompt_is_just_text() {
        let job = Job {
            prompt: "say {system_prompt} and {prompt}".to_owned(),
            system_prompt: Some("secret".to_owned()),
            ..job(&["a", "{prompt}", "{system_prompt}"])
        };
        assert_eq!(job.arguments(), ["say {system_prompt} and {prompt}", "secret"]);
    }
}
