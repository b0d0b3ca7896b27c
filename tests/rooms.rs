//! The arrows between the rooms: reads every `use` and path in `src` and fails on one that points the wrong way.
//! The table is the same as in ARCHITECTURE.md.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which rooms each room may name. A room may always name itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("thread", &[]),
    ("endpoint", &[]),
    ("config", &["endpoint", "clock"]),
    ("telemetry", &[]),
    ("resilience", &["clock"]),
    ("http", &["endpoint", "clock"]),
    ("otlp", &["telemetry", "http", "endpoint", "clock"]),
    ("mcp", &["http", "endpoint", "resilience", "model", "ports", "clock", "thread"]),
    ("upstream", &["mcp", "resilience", "telemetry", "model", "clock", "thread"]),
    ("model", &["clock"]),
    ("ports", &["model", "clock"]),
    ("store", &["model", "ports", "clock"]),
    ("feed", &["model", "ports", "clock"]),
    ("executor", &["model", "thread", "clock"]),
    ("hooks", &["feed", "executor", "resilience", "model", "ports", "thread", "clock"]),
    ("workflow_file", &["model"]),
    ("control", &["model", "ports", "feed", "workflow_file", "endpoint", "thread", "clock"]),
    ("web", &["feed", "ports", "mcp", "model", "telemetry", "thread", "clock"]),
    ("tools", &["control", "mcp", "ports", "model", "clock"]),
    ("service", &["config", "thread", "clock"]),
    (
        "daemon",
        &[
            "clock",
            "thread",
            "endpoint",
            "config",
            "model",
            "ports",
            "store",
            "feed",
            "executor",
            "hooks",
            "control",
            "tools",
            "web",
            "service",
            "telemetry",
            "resilience",
            "mcp",
            "otlp",
            "upstream",
        ],
    ),
    ("upkeep", &["config", "store", "executor", "service", "http", "endpoint", "clock"]),
    ("pools", &["model", "resilience", "thread", "clock"]),
    ("comms", &["control", "model", "thread", "clock"]),
    ("monitor", &["resilience", "service", "clock", "thread"]),
    ("cli", &["config", "control", "ports", "model", "monitor", "service", "upkeep", "clock", "thread"]),
];

/// Files that may do what their room may not.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    // Starting the daemon is the one thing that the command line does not do over the socket.
    ("cli/daemon.rs", "daemon", "poll start and daemon"),
    // A file of the user's own, not the daemon's, but SQL all the same.
    ("cli/export.rs", "store", "event export --sqlite"),
    // One curve for all that is tried again; it is arithmetic, and as pure as the model.
    ("model/limits.rs", "resilience", "the delays between the attempts of a task"),
];

#[test]
fn imports_follow_the_arrows() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> =
        MAY_IMPORT.iter().map(|(room, may)| (*room, may.iter().copied().collect())).collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room_of(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let Some(may) = allowed.get(room.as_str()) else {
            wrong.push(format!("{path}: the room {room} is not in the table"));
            continue;
        };
        for other in rooms_named(&code(&text)) {
            let excepted = EXCEPTIONS.iter().any(|(file, to, _)| *file == path && *to == other);
            if other != room && !may.contains(other.as_str()) && !excepted && allowed.contains_key(other.as_str()) {
                wrong.push(format!("{path} names {other}, which {room} may not"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_only_one_room_may_do_is_done_nowhere_else() {
    let rules: &[(&str, &[&str], &[&str])] = &[
        (
            "the model is pure",
            &["std::fs", "std::net", "::now(", "serde", "rusqlite", "crossbeam", "std::env"],
            &["!model", "!ports"],
        ),
        ("only the store knows SQL", &["rusqlite", "INSERT INTO", "SELECT ", "UPDATE messages"], &["store"]),
        ("threads are started in one way", &["thread::spawn", "thread::Builder", "thread::scope"], &["thread"]),
        ("only the clock reads the time", &["Instant::now(", "SystemTime::now(", "Uuid::now_v7("], &["clock"]),
        ("nobody sleeps", &["sleep("], &[]),
        ("every queue has a bound", &["unbounded("], &[]),
        ("HTTP is spoken in one way", &["ureq::"], &["http", "mcp/client"]),
        ("daemonize is used in one file", &["daemonize::"], &["service/detach.rs"]),
    ];
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let code = code(&text);
        for (rule, needles, places) in rules {
            // "!room": forbidden there; otherwise forbidden everywhere else.
            let negated: Vec<&str> = places.iter().filter_map(|place| place.strip_prefix('!')).collect();
            let inside = |place: &&str| path.starts_with(*place);
            let inside = &inside;
            let applies = if negated.is_empty() { !places.iter().any(inside) } else { negated.iter().any(inside) };
            if applies {
                wrong.extend(
                    needles
                        .iter()
                        .filter(|needle| code.contains(**needle))
                        .map(|needle| format!("{path}: {rule}, but it says {needle:?}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn main_reads_as_a_table_of_contents() {
    let main = fs::read_to_string(root().join("main.rs")).unwrap();
    assert!(main.lines().count() <= 20, "src/main.rs has {} lines", main.lines().count());
}

#[test]
fn every_room_says_what_it_is() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!") || text.starts_with("#![doc"), "{path} does not begin with //!");
    }
}

/// The checks above can fail.
#[test]
fn a_forbidden_arrow_would_be_found() {
    let named = rooms_named(&code("use crate::daemon::run;\nfn f() { crate::store::x(); } // crate::cli"));
    assert_eq!(named, BTreeSet::from(["daemon".to_owned(), "store".to_owned()]));
    assert_eq!(
        rooms_named("use crate::{feed::Feed, model::{id::TaskId, limits}};"),
        ["feed", "model"].map(String::from).into()
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Path within `src` and text of every file that is part of the product, its tests left out.
fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&root(), &mut files);
    let tests = ["tests", "simulation", "properties", "driver", "fake_rows"];
    files
        .into_iter()
        .filter(|path| {
            !path.iter().any(|part| tests.iter().any(|test| part.to_string_lossy().trim_end_matches(".rs") == *test))
        })
        .map(|path| {
            let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect()
}

fn room_of(path: &str) -> String {
    path.split('/').next().unwrap_or_default().trim_end_matches(".rs").to_owned()
}

/// The text without comments and without the tests at its end.
fn code(text: &str) -> String {
    let product = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    product.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The rooms that stand behind `crate::`, also in `crate::{a, b}`.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for part in code.split("crate::").skip(1) {
        if let Some(group) = part.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for letter in group.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => named.extend(first_word(&std::mem::take(&mut word))),
                    letter if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            named.extend(first_word(&word));
        } else {
            named.extend(first_word(part));
        }
    }
    named
}

fn first_word(text: &str) -> Option<String> {
    let word: String =
        text.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    (!word.is_empty() && word.chars().next().is_some_and(char::is_lowercase)).then_some(word)
}
