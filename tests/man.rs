//! The manual pages say what the program does: every verb, flag, default, setting, command, event, exit code and thread
//! stands on its page, and nothing stands there that does not exist. The units that the pages speak of are good.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "this is a test as a whole")]

#[path = "man/page.rs"]
mod page;
#[path = "man/socket.rs"]
mod socket;
#[path = "man/source.rs"]
mod source;
#[path = "man/tools.rs"]
mod tools;
#[path = "man/units.rs"]
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use claude_comms::cli;
use claude_comms::config::{Config, Loaded, Overrides, SECTIONS, Setting, Sources, settings};
use page::{Page, Part, Usage, usages};

/// Variables that are no settings and have no underscore to be known by.
const PLAIN_VARIABLES: [&str; 4] = ["HOME", "PATH", "LANG", "CLAUDECODE"];
/// What the daemon only takes out of the environment of its children.
const ONLY_REMOVED: [&str; 2] = ["CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT"];
/// What the pages write for any setting's variable.
const ANY_SETTING: [&str; 2] = ["CLAUDE_COMMS_SECTION__FIELD", "CLAUDE_COMMS_SECTION__NAME"];

fn assert_same<T: Ord + std::fmt::Debug>(
    what: &str,
    exists: impl IntoIterator<Item = T>,
    written: impl IntoIterator<Item = T>,
) {
    let (exists, written): (BTreeSet<T>, BTreeSet<T>) = (exists.into_iter().collect(), written.into_iter().collect());
    let missing: Vec<&T> = exists.difference(&written).collect();
    let too_many: Vec<&T> = written.difference(&exists).collect();
    assert!(
        missing.is_empty() && too_many.is_empty(),
        "{what}\nmissing from the page: {missing:?}\non the page, and nowhere else: {too_many:?}"
    );
}

/// Every verb that can be run, with its path.
fn verbs() -> BTreeMap<String, clap::Command> {
    fn walk(path: &str, command: &clap::Command, found: &mut BTreeMap<String, clap::Command>) {
        // `help` is clap's own, and known to everybody.
        for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help" && !verb.is_hide_set()) {
            let path = format!("{path} {}", verb.get_name()).trim().to_owned();
            if verb.has_subcommands() {
                walk(&path, verb, found);
            } else {
                found.insert(path, verb.clone());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk("", &cli::command(), &mut found);
    found
}

fn own_arguments(verb: &clap::Command) -> impl Iterator<Item = &clap::Arg> {
    verb.get_arguments().filter(|argument| !argument.is_global_set() && argument.get_id() != "help")
}

fn value_name(argument: &clap::Arg) -> Option<String> {
    let takes = argument.get_action().takes_values();
    let given = argument.get_value_names().and_then(|names| names.first()).map(ToString::to_string);
    takes.then(|| given.unwrap_or_else(|| argument.get_id().as_str().to_uppercase()))
}

/// A verb's arguments as its page has to have them.
fn expected_usages(verb: &clap::Command) -> Vec<Usage> {
    let mut expected = Vec::new();
    for argument in own_arguments(verb) {
        let value = value_name(argument);
        let Some(long) = argument.get_long() else {
            expected.extend(value.map(Usage::Value));
            continue;
        };
        let optional = !argument.is_required_set();
        expected.push(Usage::Flag { name: format!("--{long}"), value, optional });
        let short = argument.get_short().map(|short| format!("-{short}"));
        expected.extend(short.map(|name| Usage::Flag { name, value: None, optional }));
    }
    expected
}

/// The pages that describe verbs.
fn command_pages() -> Vec<Page> {
    Page::all().into_iter().filter(|page| !page.name.ends_with(".7") && page.has_section("COMMANDS")).collect()
}

#[test]
fn every_verb_stands_in_a_synopsis_with_its_arguments() {
    let mut written: BTreeMap<String, Vec<Usage>> = BTreeMap::new();
    for page in command_pages() {
        let mut verb = None;
        for line in page.section("SYNOPSIS").lines {
            if let Some(name) = line.strip_prefix(".Cm ") {
                assert!(written.insert(name.to_owned(), Vec::new()).is_none(), "{name} has two synopses");
                verb = Some(name.to_owned());
            } else if line.starts_with(".Nm") || line == ".Pp" {
                verb = None;
            } else if let Some(verb) = &verb {
                written.get_mut(verb).unwrap().extend(usages(line));
            }
        }
    }
    let verbs = verbs();
    assert_same("verbs in the synopses", verbs.keys().cloned(), written.keys().cloned());
    for (name, verb) in &verbs {
        assert_same(&format!("synopsis of {name}"), expected_usages(verb), written[name].clone());
    }
}

#[test]
fn every_verb_is_described_once_with_its_flags() {
    let verbs = verbs();
    let mut described = Vec::new();
    for page in command_pages() {
        let commands = page.section("COMMANDS");
        for part in commands.subsections() {
            // What has no lower-case name is no verb, but a piece of the page.
            if part.head.chars().all(|char| char.is_lowercase() || char == ' ') {
                let verb = verbs.get(part.head).unwrap_or_else(|| panic!("{}: there is no {}", page.name, part.head));
                check_flags(part.head, verb, &part);
                described.push(part.head.to_owned());
            }
        }
    }
    let count = described.len();
    assert_same("verbs that are described", verbs.into_keys(), described.iter().cloned());
    assert_eq!(described.iter().collect::<BTreeSet<_>>().len(), count, "a verb is described twice");
}

/// What an item says of a flag: all its spellings together.
fn check_flags(name: &str, verb: &clap::Command, part: &Part<'_>) {
    let flags: Vec<&clap::Arg> = own_arguments(verb).filter(|argument| argument.get_long().is_some()).collect();
    let mut written = Vec::new();
    for item in part.items() {
        let long = long_flag(&item);
        let Some(argument) = flags.iter().find(|argument| argument.get_long() == Some(&long)) else {
            panic!("{name} has no flag --{long}");
        };
        check_item(&format!("{name} --{long}"), argument, &item);
        written.push(long);
    }
    assert_same(&format!("flags of {name}"), flags.iter().map(|flag| flag.get_long().unwrap().to_owned()), written);
}

fn long_flag(item: &Part<'_>) -> String {
    let flag = |usage: Usage| match usage {
        Usage::Flag { name, .. } => name.strip_prefix("--").map(ToOwned::to_owned),
        Usage::Value(_) => None,
    };
    usages(item.head).into_iter().find_map(flag).unwrap_or_else(|| panic!("{} is no flag", item.head))
}

fn check_item(name: &str, argument: &clap::Arg, item: &Part<'_>) {
    let head: Vec<Usage> = usages(item.head);
    let expected = Usage::Flag {
        name: format!("--{}", argument.get_long().unwrap()),
        value: value_name(argument),
        optional: false,
    };
    assert!(head.contains(&expected), "{name}: {head:?} should have {expected:?}");
    let short = argument.get_short().map(|short| format!("-{short}"));
    let has_short =
        |name: &str| head.iter().any(|usage| matches!(usage, Usage::Flag { name: found, .. } if found == name));
    assert!(short.is_none_or(|short| has_short(&short)), "{name}: its short spelling is missing");

    assert_eq!(
        item.line_after("Default: ").map(ToOwned::to_owned),
        default_of(name, argument),
        "the default of {name}"
    );
    let choices: Vec<String> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
    if argument.get_action().takes_values() && !choices.is_empty() {
        let written = item.arguments("Cm").into_iter().map(ToOwned::to_owned);
        assert_same(&format!("what {name} may be"), choices, written);
    }
}

/// What holds without the flag: the definition says it, or the setting that the flag of a daemon is for.
fn default_of(name: &str, argument: &clap::Arg) -> Option<String> {
    let flag = format!("--{}", argument.get_long()?);
    let starts = name.starts_with("daemon ") || name.starts_with("poll start ");
    let setting = settings().find(|setting| starts && setting.row.flag == Some(&flag));
    let of_setting =
        setting.and_then(|setting| setting.default()).map(|value| value.to_string().trim_matches('"').to_owned());
    let of_flag = argument.get_default_values().first().map(|value| value.to_string_lossy().into_owned());
    of_setting.or(of_flag.filter(|_| argument.get_action().takes_values()))
}

#[test]
fn every_global_flag_is_described() {
    let page = Page::read("claude-comms.1");
    let globals: Vec<clap::Arg> =
        cli::command().get_arguments().filter(|argument| argument.is_global_set()).cloned().collect();
    let mut written = Vec::new();
    for item in page.section("GLOBAL OPTIONS").items() {
        let long = long_flag(&item);
        if let Some(argument) = globals.iter().find(|argument| argument.get_long() == Some(&long)) {
            check_item(&long, argument, &item);
        }
        written.push(long);
    }
    let by_itself = ["help", "version"].map(ToOwned::to_owned);
    let expected = globals.iter().map(|argument| argument.get_long().unwrap().to_owned()).chain(by_itself);
    assert_same("global flags", expected, written);
}

#[test]
fn every_setting_is_described_with_all_that_its_row_says() {
    let page = Page::read("claude-comms.conf.5");
    let mut written = Vec::new();
    for section in page.section("SETTINGS").subsections() {
        let name = section.head.trim_matches(['[', ']']);
        let known = SECTIONS.iter().find(|known| known.name == name).unwrap_or_else(|| panic!("there is no {name}"));
        assert_eq!(section.head, known.heading());
        for item in section.items() {
            let key = format!("{name}.{}", item.head.strip_prefix("Ic ").unwrap());
            let setting = settings().find(|setting| setting.key() == key);
            check_setting(&setting.unwrap_or_else(|| panic!("there is no setting {key}")), &item);
            written.push(key);
        }
    }
    assert_same("settings", settings().map(|setting| setting.key()), written);
}

fn check_setting(setting: &Setting, item: &Part<'_>) {
    let key = setting.key();
    let kind = setting.expects();
    assert_eq!(item.line_after("Type: "), Some(kind.as_str()), "the type of {key}");
    let absent = if setting.is_required() { "none; it must be given" } else { "not set" };
    let default = setting.default().map_or_else(|| absent.to_owned(), |value| value.to_string());
    assert_eq!(item.line_after("Default: "), Some(default.as_str()), "the default of {key}");
    let variables = setting.environment_names();
    let written = item
        .lines
        .iter()
        .skip_while(|line| *line != "Environment:")
        .skip(1)
        .map_while(|line| line.strip_prefix(".Ev "));
    let written: Vec<&str> = written.map(|name| name.trim_end_matches([' ', ',', '.'])).collect();
    assert_eq!(written, variables, "the variables of {key}");
    assert_eq!(item.has_line("Environment: none."), variables.is_empty(), "the variables of {key}");
    match setting.row.flag {
        None => assert!(item.has_line("Flag: none."), "the flag of {key}"),
        Some(flag) => {
            let flag = flag.trim_start_matches('-');
            assert!(item.has_line("Flag:") && item.has_line(&format!(".Fl Fl {flag} .")), "the flag of {key}");
        }
    }
}

/// What comes of a display of the configuration's page as the user's file.
fn load_example(text: &str) -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.toml");
    fs::write(&file, text).unwrap();
    let sources = Sources { user_file: Some(file), ..Sources::default() };
    Config::load(&sources, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

#[test]
fn every_example_of_a_configuration_is_a_good_one() {
    let page = Page::read("claude-comms.conf.5");
    let examples: Vec<String> = page.displays().iter().map(|lines| lines.join("\n")).collect();
    let files: Vec<&String> =
        examples.iter().filter(|text| text.contains('[') && !text.contains("claude-comms ")).collect();
    assert!(files.len() > 6, "only {} examples were found", files.len());
    for text in files {
        load_example(text);
    }
}

#[test]
fn the_profiles_of_the_original_give_what_they_say() {
    let page = Page::read("claude-comms.conf.5");
    // Enabled, seconds between cycles and for a call, retries, and failures that open the breaker.
    for (profile, expected) in [
        ("# development", (true, 10, 10, 3, 5)),
        ("# production", (true, 60, 10, 5, 10)),
        ("# testing", (false, 30, 10, 3, 5)),
        ("# high-frequency", (true, 5, 3, 3, 5)),
    ] {
        let display = page.displays().into_iter().find(|lines| lines[0] == profile).unwrap();
        let loaded = load_example(&display.join("\n"));
        let upstream = &loaded.config.upstreams[0];
        let read = (
            upstream.enabled,
            upstream.interval.as_secs(),
            upstream.timeout.as_secs(),
            upstream.max_retries,
            upstream.circuit_breaker_threshold,
        );
        assert_eq!(read, expected, "{profile}");
        assert_eq!((upstream.retry_delay.as_secs(), upstream.metrics_to_collect.len()), (5, 4), "{profile}");
        // All that are on can need more than a cycle has.
        assert_eq!(loaded.warnings.len(), usize::from(upstream.enabled), "{profile}");
    }
}

#[test]
fn every_variable_of_the_environment_is_described() {
    let pages = Page::all();
    let is_variable = |word: &str| {
        // The states of a circuit breaker are shown in capitals too.
        let is_state = word == "HALF_OPEN";
        let of_capitals = word.chars().all(|char| char.is_ascii_uppercase() || char.is_ascii_digit() || char == '_');
        PLAIN_VARIABLES.contains(&word)
            || (of_capitals
                && !is_state
                && word.trim_matches('_').contains('_')
                && !word.starts_with("CARGO_")
                && !word.ends_with('_'))
    };
    let sources = source::all();
    // What is in capitals there are codes of errors; see below.
    let elsewhere = sources.iter().filter(|source| !source.path.starts_with("src/web/"));
    let read: Vec<String> =
        elsewhere.flat_map(|source| source::literals(&source.text)).filter(|text| is_variable(text)).collect();
    let explained = pages
        .iter()
        .filter(|page| page.has_section("ENVIRONMENT"))
        .flat_map(|page| page.section("ENVIRONMENT").items().into_iter().flat_map(|item| item.head_arguments("Ev")));
    let to_explain = read.iter().map(String::as_str).filter(|name| !ONLY_REMOVED.contains(name));
    assert_same("variables with an item", to_explain, explained);
    let settings = settings().flat_map(|setting| setting.environment_names());
    let written = pages.iter().flat_map(|page| page.arguments("Ev")).map(ToOwned::to_owned);
    let written = written.filter(|name| !ANY_SETTING.contains(&name.as_str()));
    assert_same("variables", read.iter().cloned().chain(settings), written);
}

/// Numbers with a name, as `const NAME: u8 = 1;` gives them.
fn constants(text: &str) -> impl Iterator<Item = (String, u8)> {
    text.lines().filter_map(|line| {
        let (name, value) = line.split_once("const ")?.1.split_once(": u8 = ")?;
        Some((name.to_owned(), value.trim_end_matches(';').parse().ok()?))
    })
}

fn daemon_exit_codes() -> BTreeSet<u8> {
    let texts = ["src/daemon/mod.rs", "src/daemon/hub_loop.rs"].map(source::read);
    texts.iter().flat_map(|text| constants(text)).map(|(_, number)| number).collect()
}

fn exit_codes(page: &Page) -> Vec<u8> {
    page.section("EXIT STATUS").items().iter().map(|item| item.head.parse().unwrap()).collect()
}

#[test]
fn every_exit_code_is_described() {
    let exit = source::read("src/cli/exit.rs");
    let ours = constants(&exit).map(|(_, number)| number);
    let all: BTreeSet<u8> = ours.chain(daemon_exit_codes()).collect();
    assert_same("exit codes", all.clone(), exit_codes(&Page::read("claude-comms.1")));
    // Wrong usage is found before there is a daemon, and `service status` says that there is none.
    let of_daemon = daemon_exit_codes().into_iter().chain([2, 3]);
    assert_same("exit codes of the daemon", of_daemon, exit_codes(&Page::read("claude-comms-daemon.8")));
    for page in command_pages() {
        let unknown: Vec<u8> = exit_codes(&page).into_iter().filter(|code| !all.contains(code)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", page.name);
    }
    let help = cli::command().render_help().to_string();
    let listed = source::between(&help, "Exit codes:", "\u{0}").split_whitespace().filter_map(|word| word.parse().ok());
    assert_same("exit codes of the help", all, listed);
}

#[test]
fn every_error_code_of_the_websocket_is_described() {
    let is_code = |text: &String| {
        text.contains('_')
            && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
            && !text.starts_with('_')
            && !text.starts_with("CARGO_")
    };
    let of_web = source::all().into_iter().filter(|source| source.path.starts_with("src/web/"));
    let codes: Vec<String> = of_web.flat_map(|source| source::literals(&source.text)).filter(is_code).collect();
    let page = Page::read("claude-comms-websocket.7");
    let written = page.arguments("Er").into_iter().map(ToOwned::to_owned);
    // Those without an underscore.
    assert_same("error codes", codes.into_iter().chain(["FORBIDDEN", "CONFLICT"].map(str::to_owned)), written);
}

/// Where the threads of the daemon are started.
const ROOMS_WITH_THREADS: [&str; 6] =
    ["src/daemon/", "src/control/", "src/service/", "src/upstream/", "src/hooks/", "src/web/"];

#[test]
fn every_thread_of_the_daemon_is_described() {
    let page = Page::read("claude-comms-daemon.8");
    let section = page.section("THREADS");
    let items = section.items();
    let written = items.iter().flat_map(|item| item.head_arguments("Li"));
    let sources = source::all();
    let in_daemon =
        |path: &str| ROOMS_WITH_THREADS.iter().any(|room| path.starts_with(room)) && !path.contains("/tests");
    let spawned = sources.iter().filter(|source| in_daemon(&source.path)).flat_map(|source| {
        source.text.split("Joined::spawn(").skip(1).filter_map(|rest| source::literals(rest).into_iter().next())
    });
    let placed = |name: String| {
        name.replace("poll-{}", "poll-NAME").replace("{name}", "NAME").replace("{number}", "N").replace("{slot}", "N")
    };
    let named = spawned.map(|name| placed(name).replace("{}", "POOL"));
    let written = written.map(ToOwned::to_owned);
    assert_same("threads", named.chain(["claude-comms".to_owned()]), written);
}

#[test]
fn every_text_under_troubleshooting_is_one_of_ours() {
    let sources = source::all();
    let literals: Vec<Vec<String>> = sources.iter().map(|source| source::literals(&source.text)).collect();
    // A sentence may be put together from texts that stand one after the other.
    let said: Vec<String> = literals
        .iter()
        .flat_map(|texts| (0..texts.len()).map(|at| texts[at..(at + 3).min(texts.len())].join("\n")))
        .collect();
    let mut unsaid = Vec::new();
    for page in Page::all() {
        let section = page.section("TROUBLESHOOTING");
        assert!(!section.items().is_empty(), "{} helps nobody", page.name);
        for item in section.items() {
            let says = |text: &str| {
                let constant = constant_parts(text);
                said.iter().any(|said| has_in_order(said, &constant))
            };
            // What stands in brackets may be put in by itself.
            let (text, aside) = without_brackets(item.head);
            let found = says(item.head) || (says(&text) && says(&aside));
            if !found {
                unsaid.push(format!("{}: {} (looked for {:?})", page.name, item.head, constant_parts(item.head)));
            }
        }
    }
    assert!(unsaid.is_empty(), "the program never says these: {unsaid:#?}");
}

fn without_brackets(text: &str) -> (String, String) {
    match text.split_once('(').and_then(|(before, rest)| Some((before, rest.split_once(')')?))) {
        Some((before, (aside, after))) => (format!("{}{after}", before.trim_end()), aside.to_owned()),
        None => (text.to_owned(), String::new()),
    }
}

/// A text without its places: the words in capitals, and the punctuation around them.
fn constant_parts(text: &str) -> Vec<String> {
    const AROUND: [char; 9] = ['(', ')', '[', ']', '"', '`', ';', ',', ':'];
    let is_place = |word: &str| {
        let bare = word.trim_matches(|char: char| !char.is_alphabetic());
        !bare.is_empty() && bare.chars().all(|char| char.is_uppercase() || char == '_')
    };
    let mut parts = vec![String::new()];
    for word in text.split(' ') {
        if is_place(word) {
            parts.push(String::new());
        } else {
            let part = parts.last_mut().unwrap();
            part.push_str(if part.is_empty() { "" } else { " " });
            part.push_str(word);
        }
    }
    let split = parts.iter().flat_map(|part| part.split(AROUND)).map(|part| part.trim().to_owned());
    split.filter(|part| part.chars().any(char::is_alphabetic)).collect()
}

fn has_in_order(text: &str, parts: &[String]) -> bool {
    let text = text.replace("{{", "{").replace("}}", "}");
    let mut rest = text.as_str();
    parts.iter().all(|part| match rest.split_once(part.as_str()) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn every_example_is_a_command_line_that_we_take() {
    let mut count = 0;
    for page in Page::all() {
        for line in page.literal_lines().into_iter().chain(page.quoted_lines()) {
            for command in commands_in(line) {
                let parsed = cli::command().try_get_matches_from(&command);
                assert!(parsed.is_ok(), "{}: {line}\n{}", page.name, parsed.unwrap_err());
                count += 1;
            }
        }
    }
    assert!(count > 50, "only {count} examples were found");
}

/// Each use of the program on a line of shell, as words.
fn commands_in(line: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut current: Option<Vec<String>> = None;
    let mut may_begin = true;
    for word in shell_words(line) {
        let separates = ["|", "||", "&&", ">", "<", "&", "do"].contains(&word.as_str());
        let name = word.rsplit_once("$(").map_or(word.as_str(), |(_, name)| name);
        if separates {
            commands.extend(current.take());
        } else if name == "claude-comms" && (may_begin || name != word) {
            current = Some(vec![name.to_owned()]);
        } else if let Some(words) = &mut current {
            words.push(word.trim_end_matches(')').to_owned());
        }
        // Variables may be set in front.
        may_begin = separates || (may_begin && word.contains('='));
    }
    commands.extend(current);
    commands
}

fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for char in line.chars() {
        match (quote, char) {
            (Some(open), close) if open == close => quote = None,
            (Some(_), char) => word.push(char),
            (None, '\'' | '"') => quote = Some(char),
            (None, ' ') => words.extend((!word.is_empty()).then(|| std::mem::take(&mut word))),
            (None, char) => word.push(char),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

#[test]
fn every_page_is_named_by_another_and_is_good_mdoc() {
    let pages = Page::all();
    let names = pages.iter().map(|page| page.name.rsplit_once('.').unwrap().0.to_owned());
    let referred: BTreeSet<String> = pages
        .iter()
        .flat_map(|page| page.arguments("Xr"))
        .filter(|name| name.starts_with("claude-comms"))
        .map(ToOwned::to_owned)
        .collect();
    assert_same("pages", names, referred);

    let Ok(linted) = Command::new("mandoc")
        .args(["-T", "lint", "-W", "warning"])
        .args(pages.iter().map(|page| page::directory().join(&page.name)))
        .output()
    else {
        println!("skipped: mandoc is not installed");
        return;
    };
    let said = String::from_utf8_lossy(&linted.stdout) + String::from_utf8_lossy(&linted.stderr);
    assert!(linted.status.success() && said.is_empty(), "{said}");
}
