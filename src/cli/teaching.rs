//! What `--help` shows of a verb besides its flags: those examples of its group that are about it, and where there is more.

use clap::Command;

/// Gives each verb of a group its examples. The group has all of them.
pub(super) fn with_examples(command: Command) -> Command {
    command.mut_subcommands(|group| {
        let examples = group.get_after_help().map(ToString::to_string).unwrap_or_default();
        let name = group.get_name().to_owned();
        group.mut_subcommands(|verb| {
            let about = examples_of(&examples, &name, verb.get_name());
            if about.is_empty() {
                return verb;
            }
            let more = format!("All examples, and what holds for each: claude-comms {name} --help");
            verb.after_help(format!("Examples:\n{}\n\n{more}", about.join("\n")))
        })
    })
}

fn examples_of<'a>(examples: &'a str, group: &str, verb: &str) -> Vec<&'a str> {
    let call = format!(" {group} {verb}");
    let is_about = |line: &&str| {
        let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', ')']);
        line.starts_with("  ")
            && line.contains("claude-comms")
            && line.match_indices(&call).any(|(at, _)| ends(&line[at + call.len()..]))
    };
    examples.lines().filter(is_about).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_teaches_by_an_example() {
        let whole = with_examples(super::super::command());
        let mut missing = Vec::new();
        for group in whole.get_subcommands().filter(|group| !group.is_hide_set()) {
            let teaches = |command: &Command| {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                help.starts_with("Examples:\n") || help.contains("\nExamples:\n")
            };
            let verbs: Vec<&Command> = group.get_subcommands().collect();
            let all = verbs.iter().map(|verb| (format!("{} {}", group.get_name(), verb.get_name()), *verb));
            let all = all.chain([(group.get_name().to_owned(), group)]);
            missing.extend(all.filter(|(_, command)| !teaches(command)).map(|(name, _)| name));
        }
        assert!(missing.is_empty(), "no example of {missing:?}");
    }

    #[test]
    fn every_example_is_a_command_line_that_we_take() {
        let whole = super::super::command();
        let mut count = 0;
        for group in whole.get_subcommands().chain([&whole]) {
            let help = group.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in help.lines().filter(|line| line.starts_with("  claude-comms ")) {
                // What it is for stands behind two spaces; what only a shell understands is left to the manual's tests.
                let command = line.trim_start().split("  ").next().unwrap_or_default();
                if command.contains(['\'', '<', '>', '|', '"', '$', '&']) {
                    continue;
                }
                let parsed = super::super::command().try_get_matches_from(command.split(' '));
                assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
                count += 1;
            }
        }
        assert!(count > 50, "only {count} examples were found");
    }

    #[test]
    fn an_example_is_about_the_verb_that_it_names() {
        let examples =
            "Examples:\n  claude-comms poll start --if-needed   x\n  claude-comms poll starts\nclaude-comms poll start";
        assert_eq!(examples_of(examples, "poll", "start"), ["  claude-comms poll start --if-needed   x"]);
        assert!(examples_of(examples, "poll", "stop").is_empty());
    }

    #[test]
    fn defaults_and_variables_are_said_where_they_hold() {
        let whole = super::super::command();
        let mut silent = Vec::new();
        for group in whole.get_subcommands() {
            for verb in group.get_subcommands().chain([group]) {
                for argument in verb.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                    let shown = argument.get_default_values().is_empty() || !argument.is_hide_default_value_set();
                    silent.extend((!shown).then(|| format!("{} {}", verb.get_name(), argument.get_id())));
                }
            }
        }
        assert!(silent.is_empty(), "{silent:?}");
        let daemon = whole.find_subcommand("daemon").unwrap().get_after_help().unwrap().to_string();
        for setting in crate::config::settings().filter(|setting| setting.row.flag.is_some()) {
            let name = &setting.environment_names()[0];
            assert!(daemon.contains(name.as_str()), "{name} is not said");
        }
    }
}
