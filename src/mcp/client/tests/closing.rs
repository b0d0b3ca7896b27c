//! Taking leave.

use super::*;
use crate::thread::Joined;
use std::sync::Arc;

#[test]
fn a_call_under_way_ends_when_the_client_is_closed() {
    let reactions: [fn() -> Reaction; 2] =
        [|| Reaction::Stall(vec![]), || Reaction::events("id: 1\nretry: 20000\ndata:\n\n")];
    for reaction in reactions {
        let server = FaultyServer::legacy(move |_| reaction());
        let client = Arc::new(client(&server));
        let calling = Joined::spawn("calling", {
            let client = client.clone();
            move || client.call_tool("numbers", &Map::new(), Duration::from_secs(30))
        })
        .unwrap();
        while server.count("tools/call") == 0 {
            std::thread::yield_now();
        }
        let clock = SystemClock::new();
        client.close(Duration::from_secs(2));
        assert!(matches!(calling.join(), Some(Err(CallError::Closed))));
        assert!(clock.tick().since(crate::clock::Tick::ZERO) < SLACK);
        assert_eq!(server.count("DELETE"), 1);
        assert!(matches!(call(&client), Err(CallError::Closed)));
    }
}

#[test]
fn a_farewell_needs_no_answer() {
    let farewells: [fn() -> Reaction; 3] =
        [|| Reaction::status(405, ""), || Reaction::Reset, || Reaction::Stall(vec![])];
    for farewell in farewells {
        let server = FaultyServer::start(move |seen| match seen.verb.as_str() {
            "DELETE" => farewell(),
            _ => crate::mcp::faulty::legacy_opening(seen).unwrap_or_else(|| Reaction::json(&seen.result(&numbers()))),
        });
        let client = client(&server);
        call(&client).unwrap();
        client.close(HANGING_TIMEOUT);
        client.close(HANGING_TIMEOUT);
        assert_eq!(server.count("DELETE"), 1);
    }
}

#[test]
fn a_token_goes_with_every_request() {
    let server = FaultyServer::legacy(|seen| Reaction::json(&seen.result(&numbers())));
    let settings = ClientSettings::default().bearer_token("secret").header("x-team", "blue");
    let client = Client::new(&server.endpoint(), &settings).unwrap();
    call(&client).unwrap();
    client.close(TIMEOUT);
    let seen = server.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|seen| seen.header("authorization") == "Bearer secret" && seen.header("x-team") == "blue"));
    assert!(!format!("{client:?}").contains("secret"));
}
