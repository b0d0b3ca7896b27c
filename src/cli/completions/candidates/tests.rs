use super::*;

fn ask(line: &str) -> Wanted {
    let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
    wanted(&crate::cli::command(), &words)
}

#[track_caller]
fn words(line: &str) -> Vec<String> {
    match ask(line) {
        Wanted::Words(words) => words.into_iter().map(|(word, _)| word).collect(),
        other => panic!("{line:?}: {other:?}"),
    }
}

#[track_caller]
fn live(line: &str) -> Kind {
    match ask(line) {
        Wanted::Live { kind, .. } => kind,
        other => panic!("{line:?}: {other:?}"),
    }
}

#[test]
fn verbs_come_with_what_they_are_for() {
    assert_eq!(words("wo"), ["workflow"]);
    assert_eq!(words("--json --state-dir /x task c"), ["cancel"]);
    assert!(words("pool ").contains(&"scale".to_owned()) && words("").contains(&"help".to_owned()));
    assert!(!words("").iter().any(|verb| verb.starts_with('_')), "hidden verbs are not offered");
    let Wanted::Words(found) = ask("workflow ca") else { panic!() };
    assert!(!found[0].1.is_empty());
}

#[test]
fn flags_are_those_of_the_verb_and_the_global_ones_once_each() {
    let flags = words("task list --");
    for flag in ["--pool", "--status", "--json", "--state-dir", "--help"] {
        assert!(flags.contains(&flag.to_owned()), "{flag} is missing in {flags:?}");
    }
    assert!(!words("task list --pool local --").contains(&"--pool".to_owned()));
    assert!(words("pool run local --after x --").contains(&"--after".to_owned()), "it may be given many times");
    assert_eq!(words("--js"), ["--json"]);
}

#[test]
fn values_are_those_that_the_definition_has() {
    assert_eq!(words("completions "), ["bash", "zsh", "fish"]);
    assert_eq!(words("--color a"), ["auto", "always"]);
    assert_eq!(words("task list --color=n"), ["--color=never"]);
    assert!(words("task list --status ").contains(&"completed".to_owned()));
}

#[test]
fn the_daemon_is_asked_for_what_it_knows() {
    for (line, kind) in [
        ("pool status ", Kind::Pools),
        ("pool run ", Kind::Pools),
        ("ask --pool ", Kind::Pools),
        ("pool scale ", Kind::Groups),
        ("task show ", Kind::Tasks),
        ("pool run local --after ", Kind::Tasks),
        ("message show ", Kind::Messages),
        ("poll wait ", Kind::Messages),
        ("thread show ", Kind::Threads),
        ("thread export ", Kind::Threads),
        ("message list --to ", Kind::Modules),
        ("ask --to ", Kind::Modules),
        ("module remove ", Kind::Modules),
        ("workflow cancel ", Kind::Workflows),
        ("upstream poll ", Kind::Upstreams),
        ("event tail --channel ", Kind::Channels),
    ] {
        assert_eq!(live(line), kind, "{line}");
    }
    let Wanted::Live { typed, before, places, .. } = ask("--state-dir /s --socket=/x task list --pool=lo") else {
        panic!()
    };
    assert_eq!((typed.as_str(), before.as_str()), ("lo", "--pool="));
    assert_eq!(places, [("state-dir".to_owned(), "/s".to_owned()), ("socket".to_owned(), "/x".to_owned())]);
}

#[test]
fn every_argument_that_takes_an_id_is_known() {
    fn check(path: &[&str], command: &Command) {
        for verb in command.get_subcommands() {
            check(&[path, &[verb.get_name()]].concat(), verb);
        }
        for argument in command.get_positionals().filter(|argument| argument.get_id() == "id") {
            let made_here = path == ["pool", "create"];
            assert_eq!(kind(path, "id").is_none(), made_here, "{path:?} {}", argument.get_id());
        }
    }
    check(&[], &crate::cli::command());
}

#[test]
fn files_and_commands_are_for_the_shell() {
    for (line, what) in [
        ("--state-dir ", "directories"),
        ("--config=/e", "files"),
        ("module add name ", "directories"),
        ("workflow run ", "files"),
        ("pool create p -- my", "commands"),
        ("pool create p -- ./my", "files"),
        ("pool create p -- my-agent ", "files"),
    ] {
        assert_eq!(ask(line), Wanted::Shell(what), "{line}");
    }
}

#[test]
fn where_nobody_can_know_nothing_is_offered() {
    for line in ["pool create ", "module add ", "task list --limit ", "task show a b", "none such ", "message search "]
    {
        assert!(matches!(ask(line), Wanted::Nothing | Wanted::Words(_)), "{line}: {:?}", ask(line));
    }
    assert_eq!(wanted(&crate::cli::command(), &[]), Wanted::Nothing);
    assert_eq!(ask("task list --none="), Wanted::Nothing);
}
