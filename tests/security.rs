//! SECURITY.md names a test for every claim: each exists. What can be seen of the command line alone is tested here.
#![allow(clippy::unwrap_used, reason = "this is a test as a whole")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use claude_comms::cli;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The names of all functions that are marked as tests, and of those that a test calls by its own list.
fn tests_below(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(tests_in(&fs::read_to_string(path).unwrap()));
        }
    }
}

fn tests_in(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut marked = false;
    for line in source.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split_once("()")).map(|(name, _)| name) {
            if marked || source.contains(&format!("(\"{name}\", {name})")) {
                found.insert(name.to_owned());
            }
            marked = false;
        } else if line == "#[test]" {
            marked = true;
        } else if !line.starts_with("#[") && !line.starts_with("//") {
            marked = false;
        }
    }
    found
}

/// What stands between backquotes and has the form of a test's name.
fn named(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_name = |text: &&str| {
        text.matches('_').count() >= 3 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    quoted.filter(is_name).collect()
}

#[test]
fn every_test_that_is_named_exists() {
    let page = fs::read_to_string(format!("{ROOT}/SECURITY.md")).unwrap();
    let mut tests = BTreeSet::new();
    for folder in ["src", "tests"] {
        tests_below(&Path::new(ROOT).join(folder), &mut tests);
    }
    let missing: Vec<&str> = named(&page).into_iter().filter(|name| !tests.contains(*name)).collect();
    assert!(missing.is_empty(), "SECURITY.md names tests that do not exist: {missing:#?}");
    assert!(named(&page).len() > 50, "the names were not found");
}

#[test]
fn every_claim_names_a_test_and_no_test_of_security_is_left_out() {
    let page = fs::read_to_string(format!("{ROOT}/SECURITY.md")).unwrap();
    let claims = page
        .split("| claim | tests |")
        .skip(1)
        .flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|')));
    let without: Vec<&str> = claims.filter(|row| named(row).is_empty()).collect();
    assert!(without.is_empty(), "claims without a test: {without:#?}");
    let source = fs::read_to_string(format!("{ROOT}/tests/it/security.rs")).unwrap();
    let unnamed: Vec<String> = tests_in(&source).into_iter().filter(|name| !named(&page).contains(&**name)).collect();
    assert!(unnamed.is_empty(), "tests/it/security.rs shows more than SECURITY.md says: {unnamed:#?}");
}

#[test]
fn a_test_is_known_by_its_mark() {
    let source = "#[test]\nfn a_real_one() {}\nfn a_helper() {}\n#[test]\n// why\n#[cfg(unix)]\nfn another() {}\n[(\"listed\", listed)];\nfn listed() {}";
    assert_eq!(tests_in(source).into_iter().collect::<Vec<_>>(), ["a_real_one", "another", "listed"]);
}

#[test]
fn no_verb_takes_a_secret_as_an_argument() {
    fn walk(path: &str, command: &clap::Command, found: &mut Vec<String>) {
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let id = argument.get_id().as_str();
            let is_secret =
                ["token", "secret", "password", "header", "bearer", "credential"].iter().any(|word| id.contains(word));
            if is_secret && !id.ends_with("file") {
                found.push(format!("{path} {id}"));
            }
        }
        for verb in command.get_subcommands() {
            walk(&format!("{path} {}", verb.get_name()), verb, found);
        }
    }
    let mut found = Vec::new();
    walk("claude-comms", &cli::command(), &mut found);
    assert!(found.is_empty(), "everybody can see these in ps: {found:?}");
}
