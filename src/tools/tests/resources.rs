//! What can be read by its address, and the texts to begin with.

use super::*;
use crate::mcp::protocol::code;
use crate::mcp::server::{Offer, Order};

fn read(house: &mut House, uri: &str) -> (Value, Value) {
    let result = complete(&house.begin(Order::Read { uri: uri.to_owned() }).outcome());
    let contents = result["contents"].as_array().unwrap();
    assert_eq!(
        (contents.len(), &contents[0]["uri"], &contents[0]["mimeType"]),
        (1, &json!(uri), &json!("application/json"))
    );
    assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(0), &json!("private")));
    (serde_json::from_str(contents[0]["text"].as_str().unwrap()).unwrap(), result)
}

#[test]
fn messages_threads_and_pools_are_read_by_their_addresses() {
    let mut house = House::new();
    let directory = house.directory.path().display().to_string();
    let sent =
        house.answer("send_message", json!({"from": directory, "to": directory, "content": "hello", "title": "Ports"}));
    let message = sent["message_id"].as_str().unwrap();
    let thread = sent["thread_id"].as_str().unwrap();
    let (shown, _) = read(&mut house, &format!("comms://messages/{message}"));
    assert_eq!((&shown["message_id"], &shown["content"]), (&json!(message), &json!("hello")));
    let (shown, _) = read(&mut house, &format!("comms://threads/{thread}"));
    assert_eq!((&shown["thread"]["thread_id"], &shown["messages"][0]["content"]), (&json!(thread), &json!("hello")));
    let (shown, _) = read(&mut house, "comms://pools/local");
    assert_eq!((&shown["pool_id"], &shown["workers_count"]), (&json!("local"), &json!(3)));
    let listed = complete(&house.begin(Order::Resources).outcome());
    let uris: Vec<&str> = listed["resources"].as_array().unwrap().iter().filter_map(|it| it["uri"].as_str()).collect();
    assert_eq!(uris, ["comms://pools/local".to_owned(), format!("comms://threads/{thread}")]);
    assert_eq!(listed["resources"][1]["title"], "Ports");
    for uri in uris {
        read(&mut house, uri);
    }
}

#[test]
fn what_is_not_there_is_named_in_the_error() {
    let mut house = House::new();
    for uri in ["comms://messages/x", "comms://threads/x", "comms://pools/x", "comms://tasks/x", "test://x", ""] {
        let outcome = house.begin(Order::Read { uri: uri.to_owned() }).outcome();
        assert_eq!(
            (error(&outcome).code, &error(&outcome).data),
            (code::INVALID_PARAMS, &json!({"uri": uri})),
            "{uri}"
        );
    }
}

#[test]
fn every_template_names_something_that_is_read() {
    let house = House::new();
    for template in house.toolbox.templates() {
        assert!(template.uri.starts_with("comms://") && template.uri.ends_with("/{id}"), "{}", template.uri);
        // Of a thread nothing is told. Those who cannot subscribe read the descriptions too.
        let is_followed = template.name != "thread";
        assert_eq!(
            house.toolbox.channel(&template.uri.replace("{id}", "x")).is_some(),
            is_followed,
            "{}",
            template.uri
        );
        assert!(!template.description.contains("subscriber"), "{}", template.description);
    }
}

#[test]
fn prompts_say_what_they_were_given() {
    let mut house = House::new();
    for (name, arguments, parts) in [
        (
            "ask_another_module",
            json!({"module": "docs", "question": "Which port?"}),
            vec!["docs", "Which port?", "ask_module"],
        ),
        (
            "share_out_work",
            json!({"work": "Write tests."}),
            vec!["Write tests.", "list_pools", "execute_batch_on_pool"],
        ),
        ("share_out_work", json!({"work": "w", "pool_id": "fast"}), vec!["the pool fast"]),
    ] {
        let result = complete(&house.begin(Order::Prompt { name, arguments: object(arguments) }).outcome());
        let text = result["messages"][0]["content"]["text"].as_str().unwrap();
        assert_eq!(result["messages"][0]["role"], "user");
        assert!(parts.iter().all(|part| text.contains(part)), "{name}: {text}");
        // Tools that a text speaks of are there.
        for word in text.split(|it: char| !it.is_ascii_lowercase() && it != '_').filter(|word| word.contains('_')) {
            let known = house.toolbox.tools().iter().any(|tool| tool.name == word);
            assert!(known || ["thread_id", "task_id"].contains(&word), "{name} speaks of {word}");
        }
    }
}
