//! What goes over the socket and into the log of events: commands, answers, codes and events, as their page has them.

use std::collections::{BTreeMap, BTreeSet};

use claude_comms::control::wire::Request;
use claude_comms::model::command::Code;

use crate::page::Page;
use crate::{assert_same, constants, source};

#[test]
fn every_command_of_the_socket_is_described_with_what_it_takes_and_answers() {
    let files = ["wire.rs", "wire/alert.rs", "wire/hook.rs", "wire/upstream.rs", "wire/workflow.rs"];
    let wire = files.map(|file| source::read(&format!("src/control/{file}"))).concat();
    let page = Page::read("claude-comms-protocol.7");
    let (arguments, results) = (source::arguments(&wire), source::results(&wire));
    let takes: BTreeMap<String, String> = source::requests(&wire).into_iter().collect();
    assert_same(
        "the source as this test reads it",
        Request::COMMANDS.iter().map(ToString::to_string),
        takes.keys().cloned(),
    );
    let commands = page.section("COMMANDS");
    let described: Vec<&str> = commands.subsections().iter().map(|part| part.head).collect();
    assert_same("commands", Request::COMMANDS.iter().copied(), described);

    let mut answered = BTreeSet::from(["Empty".to_owned()]);
    for part in commands.subsections() {
        let shape = arguments.iter().find(|shape| shape.name == takes[part.head]).unwrap();
        let expected = shape.fields.iter().map(|field| (field.name.clone(), field.required));
        let written = part.items();
        let written =
            written.iter().map(|item| (item.head_arguments("Va")[0].to_owned(), item.head.ends_with("(required)")));
        assert_same(&format!("arguments of {}", part.head), expected, written);
        assert!(!part.arguments("Vt").is_empty(), "{} does not say what it answers", part.head);
        answered.extend(part.arguments("Vt").into_iter().map(ToOwned::to_owned));
    }
    check_results(&page, &results, answered);
}

fn check_results(page: &Page, results: &[source::Shape], mut mentioned: BTreeSet<String>) {
    let section = page.section("RESULTS");
    let expected = results.iter().map(|shape| shape.name.clone()).chain(["Empty".to_owned()]);
    assert_same("results", expected.clone(), section.subsections().iter().map(|part| part.head.to_owned()));
    for part in section.subsections() {
        mentioned.extend(part.arguments("Vt").into_iter().map(ToOwned::to_owned));
        let Some(shape) = results.iter().find(|shape| shape.name == part.head) else { continue };
        let items = part.items();
        let written = items.iter().flat_map(|item| item.head_arguments("Va"));
        assert_same(
            &format!("keys of {}", part.head),
            shape.fields.iter().map(|field| field.name.clone()),
            written.map(ToOwned::to_owned),
        );
    }
    assert_same("results that something answers", expected, mentioned);
}

#[test]
fn every_error_code_is_described_with_its_exit_code() {
    let exit = source::read("src/cli/exit.rs");
    let numbers: BTreeMap<String, u8> = constants(&exit).collect();
    let refusals = source::between(&exit, "fn of_refusal", "\n}\n");
    let page = Page::read("claude-comms-protocol.7");
    let section = page.section("ERROR CODES");
    let mut written = Vec::new();
    for item in section.items() {
        let word = item.head.strip_prefix("Er ").unwrap();
        let code = Code::parse(word).unwrap_or_else(|| panic!("there is no code {word}"));
        let arm = refusals.lines().find(|line| line.replace([',', '|'], " ").contains(&format!("Code::{code:?} ")));
        let name = arm.and_then(|arm| arm.split_once("=> ")).unwrap().1.trim_end_matches(',');
        assert_eq!(item.lines[0], format!("{}.", numbers[name]), "the exit code of {word}");
        written.push(word);
    }
    assert_same("error codes", Code::ALL.map(Code::as_str), written);
}

#[test]
fn every_event_is_described_with_its_keys() {
    let page = Page::read("claude-comms-protocol.7");
    let events = page.section("EVENTS");
    let names = events.subsections().into_iter().find(|part| part.head == "Names").unwrap();
    let frame = source::read("src/feed/frame.rs");
    let model = source::read("src/model/event.rs");
    let body = source::between(&model, "pub fn name(", "\n    }\n");
    let exist = source::literals(body).into_iter().chain(["gap".to_owned()]);
    let written =
        names.items().iter().map(|item| item.head.strip_prefix("Ic ").unwrap().to_owned()).collect::<Vec<_>>();
    assert_same("events", exist, written);

    let entries = frame.split("serialize_entry(").skip(1).filter_map(|rest| source::literals(rest).into_iter().next());
    let parts = frame
        .split("#[derive(serde::Serialize)]\nstruct ")
        .filter(|part| part.split('{').next().unwrap().contains("Part"));
    let fields = parts
        .flat_map(|part| part.split("\n}").next().unwrap().lines().skip(1))
        .filter_map(|line| line.trim().split_once(": ").map(|(name, _)| name.to_owned()));
    // Of the smaller objects in some events: `config`, `metadata` and `result`.
    let of_config = [
        "executor",
        "queue_max",
        "timeout_seconds",
        "name",
        "stages",
        "tasks_completed",
        "tasks_failed",
        "tasks_cancelled",
    ];
    for key in of_config.iter().chain(&["from", "to"]) {
        assert!(frame.contains(&format!("\"{key}\": ")), "no event has {key}");
    }
    let more = of_config.into_iter().chain(["from", "to"]).map(ToOwned::to_owned);
    // `epoch` is spoken of before the events are.
    let written = events.arguments("Va").into_iter().filter(|key| *key != "epoch").map(ToOwned::to_owned);
    assert_same("keys of events", entries.chain(fields).chain(more), written);
}
