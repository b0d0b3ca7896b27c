//! What agents can do by MCP, as its page has it: tools with arguments and answers, resources, prompts.

use std::sync::Arc;
use std::time::Duration;

use claude_comms::clock::SystemClock;
use claude_comms::control::Defaults;
use claude_comms::mcp::server::{Argument, Offer};
use claude_comms::model::id::PoolId;
use claude_comms::tools::Toolbox;
use serde_json::Value;

use crate::assert_same;
use crate::page::{Page, Part};

/// With what holds unless it is configured otherwise.
fn toolbox() -> Toolbox {
    let defaults = Defaults {
        ask_timeout: Duration::from_secs(600),
        watch_timeout: Duration::from_secs(3600),
        task_timeout: Duration::from_secs(1800),
        queue_max: 1000,
        pool: PoolId::new("local"),
    };
    Toolbox::new(defaults, Arc::new(SystemClock::new()))
}

fn page() -> Page {
    Page::read("claude-comms-mcp.7")
}

/// The text of a part up to its first macro.
fn prose(part: &Part<'_>) -> String {
    let lines: Vec<&str> = part.lines.iter().map(String::as_str).take_while(|line| !line.starts_with('.')).collect();
    lines.join(" ")
}

/// What an argument's schema says, in words.
fn in_words(property: &Value) -> String {
    let mut text = property["description"].as_str().unwrap().to_owned();
    if let Some(words) = property["enum"].as_array() {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        text.push_str(&format!(" One of: {}.", words.join(", ")));
    }
    for (keys, what) in [(["minimum", "maximum"], "From"), (["minItems", "maxItems"], "So many:")] {
        let [least, most] = keys.map(|key| property[key].as_f64());
        match (least, most) {
            (Some(least), Some(most)) => text.push_str(&format!(" {what} {least} to {most}.")),
            (None, Some(most)) => text.push_str(&format!(" {what} 0 to {most}.")),
            _ => {}
        }
    }
    match &property["default"] {
        Value::Null => {}
        Value::String(word) => text.push_str(&format!(" Default: {word}.")),
        number => text.push_str(&format!(" Default: {}.", number.as_f64().unwrap())),
    }
    text.replace('`', "")
}

#[test]
fn every_tool_is_described_with_what_it_takes_and_answers() {
    let (page, toolbox) = (page(), toolbox());
    let section = page.section("TOOLS");
    let described: Vec<&str> = section.subsections().iter().map(|part| part.head).collect();
    assert_same("tools", toolbox.tools().iter().map(|tool| tool.name), described);
    for (part, tool) in section.subsections().iter().zip(toolbox.tools()) {
        assert_eq!(part.head, tool.name, "the order of the page");
        assert_eq!(prose(part), tool.description.replace('`', ""), "what {} is for", tool.name);
        let properties = tool.input["properties"].as_object().unwrap();
        let required = tool.input["required"].as_array().unwrap();
        let items = part.items();
        let written = items.iter().map(|item| {
            let name = item.head_arguments("Va")[0].to_owned();
            (name, item.head.ends_with("(required)"), prose(item))
        });
        let expected = properties
            .iter()
            .map(|(name, property)| (name.clone(), required.contains(&Value::from(name.as_str())), in_words(property)));
        assert_same(&format!("arguments of {}", tool.name), expected, written);
        let answers = part.lines.iter().find(|line| line.starts_with(".Va ")).unwrap();
        let answers = answers[4..].split_whitespace().filter(|word| word.len() > 1).map(ToOwned::to_owned);
        let keys = tool.output.as_ref().unwrap()["properties"].as_object().unwrap().keys().cloned();
        assert_same(&format!("answer of {}", tool.name), keys, answers);
    }
}

#[test]
fn every_resource_and_prompt_is_described() {
    let (page, toolbox) = (page(), toolbox());
    let resources = page.section("RESOURCES");
    let written = resources.items().iter().map(|item| (item.head.to_owned(), prose(item))).collect::<Vec<_>>();
    let expected = toolbox.templates().iter().map(|it| (format!("Ql {}", it.uri), it.description.to_owned()));
    assert_same("resources", expected, written);

    let prompts = page.section("PROMPTS");
    let described: Vec<&str> = prompts.subsections().iter().map(|part| part.head).collect();
    assert_same("prompts", toolbox.prompts().iter().map(|prompt| prompt.name), described);
    for (part, prompt) in prompts.subsections().iter().zip(toolbox.prompts()) {
        assert_eq!((part.head, prose(part).as_str()), (prompt.name, prompt.description));
        let items = part.items();
        let written = items
            .iter()
            .map(|item| (item.head_arguments("Va")[0].to_owned(), item.head.ends_with("(required)"), prose(item)));
        let expected =
            prompt.arguments.iter().map(|it: &Argument| (it.name.to_owned(), it.required, it.description.to_owned()));
        assert_same(&format!("arguments of {}", prompt.name), expected, written);
    }
}
