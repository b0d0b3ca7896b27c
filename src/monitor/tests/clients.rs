//! The client: how it greets, goes on from where it was, and what it makes of servers that are not as they should be.

use super::server::{EPOCH, LIMIT, Server, frame};
use crate::clock::{Clock, SystemClock};
use crate::monitor::address::Address;
use crate::monitor::client::Timing;
use crate::monitor::crew::Crew;
use crate::monitor::glyphs::Glyphs;
use crate::monitor::settings::{Look, Settings};
use crate::monitor::tell::{Continuity, Tell, Why};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tungstenite::Message;
use tungstenite::protocol::frame::Frame as WireFrame;
use tungstenite::protocol::frame::coding::{Data, OpCode};

const LOOK: Look = Look { glyphs: Glyphs::Unicode, has_colour: false };
/// Of a test in which nothing is to time out.
const PATIENT: Timing = Timing { leave: LIMIT, ..Timing::USUAL };

struct Watched {
    crew: Crew,
}

impl Watched {
    fn start(server: &Server, timing: Timing) -> Watched {
        let settings = Settings::pool("local".to_owned(), Address::new("127.0.0.1", server.port()), LOOK);
        Watched::of(Settings { timing, ..settings })
    }

    fn of(settings: Settings) -> Watched {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Watched { crew: Crew::start(&settings, &clock).unwrap() }
    }

    #[track_caller]
    fn next(&self) -> Tell {
        self.crew.told().recv_timeout(LIMIT).unwrap().tell
    }

    /// Reads on up to what is awaited.
    #[track_caller]
    fn until<T>(&self, what: impl Fn(Tell) -> Option<T>) -> T {
        loop {
            if let Some(found) = what(self.next()) {
                return found;
            }
        }
    }

    #[track_caller]
    fn lost(&self) -> Why {
        self.until(|tell| match tell {
            Tell::Lost(lost) => Some(lost.why),
            _ => None,
        })
    }

    #[track_caller]
    fn continuity(&self) -> Continuity {
        self.until(|tell| match tell {
            Tell::Subscribed(continuity) => Some(continuity),
            _ => None,
        })
    }

    /// The number of the next event, and whether it has just happened.
    #[track_caller]
    fn event(&self) -> (Option<u64>, bool) {
        self.until(|tell| match tell {
            Tell::Event { frame, is_live } => Some((frame.seq, is_live)),
            _ => None,
        })
    }
}

#[test]
fn it_subscribes_asks_and_takes_its_leave() {
    let server = Server::bind();
    let watched = Watched::start(&server, PATIENT);
    let mut peer = server.accept();
    peer.welcome(EPOCH, 7);
    let asked = peer.take_subscription(7, true);
    assert_eq!(asked, json!({"channel": "pool:local"}));
    peer.answer_status(&json!({"pool_id": "local", "status": "running"}));
    peer.event(Some(8), "task.assigned", "pool:local", json!({}));
    assert_eq!(watched.next(), Tell::Connecting { attempt: 1 });
    assert_eq!(watched.next(), Tell::Welcomed);
    assert_eq!(watched.next(), Tell::Subscribed(Continuity::First));
    assert!(matches!(watched.next(), Tell::Status(data) if data["status"] == "running"));
    assert_eq!(watched.event(), (Some(8), true));
    let leaving = crate::thread::Joined::spawn("peer", move || peer.hear_close()).unwrap();
    watched.crew.finish(None);
    assert_eq!(leaving.join(), Some(1000));
}

#[test]
fn a_killed_server_is_gone_on_with_from_the_last_number() {
    let server = Server::bind();
    let watched = Watched::start(&server, PATIENT);
    let status = json!({"pool_id": "local", "status": "running"});
    let mut peer = server.serve(3, &status);
    peer.event(Some(5), "task.assigned", "pool:local", json!({}));
    assert_eq!(watched.event(), (Some(5), true));
    let port = server.port();
    peer.cut();
    drop(server);
    assert_eq!(watched.lost(), Why::Closed(String::new()));

    let server = Server::at(port);
    let mut peer = server.accept();
    peer.welcome(EPOCH, 9);
    let asked = peer.take_subscription(9, true);
    assert_eq!(asked["since"], json!({"epoch": EPOCH, "seq": 5}));
    peer.answer_status(&status);
    // What it has seen may come again; what was kept for it is no measure of how fast events come.
    for seq in [4, 5, 6, 9, 9, 10] {
        peer.event(Some(seq), "task.assigned", "pool:local", json!({}));
    }
    peer.event(None, "pool.status_changed", "pool:local", json!({"snapshot": true}));
    assert_eq!(watched.continuity(), Continuity::Whole);
    let seen: Vec<_> = (0..4).map(|_| watched.event()).collect();
    assert_eq!(seen, [(Some(6), false), (Some(9), false), (Some(10), true), (None, false)]);
    drop(peer);
    watched.crew.finish(None);
}

#[test]
fn numbers_of_another_epoch_mean_nothing() {
    let server = Server::bind();
    let watched = Watched::start(&server, PATIENT);
    let mut peer = server.serve(3, &json!({"status": "running"}));
    peer.event(Some(500), "x", "pool:local", json!({}));
    assert_eq!(watched.event(), (Some(500), true));
    peer.cut();
    let mut peer = server.accept();
    peer.welcome("fedcba9876543210", 2);
    assert_eq!(peer.take_subscription(2, false), json!({"channel": "pool:local"}));
    peer.event(Some(3), "x", "pool:local", json!({}));
    assert_eq!(watched.continuity(), Continuity::Broken);
    assert_eq!(watched.event(), (Some(3), true));
    drop(peer);
    watched.crew.finish(None);
}

#[test]
fn an_original_server_knows_no_numbers() {
    let server = Server::bind();
    let watched = Watched::start(&server, PATIENT);
    for expected in [Continuity::First, Continuity::Broken] {
        let mut peer = server.accept();
        peer.send(&frame("event", "session.created", json!({"connection_id": "c", "message": "Connected"})));
        let request = peer.hear();
        assert!(request["data"].get("since").is_none(), "{request}");
        peer.answer(&request, json!({"status": "subscribed", "channel": "pool:local"}));
        // It does not answer what it does not know.
        assert_eq!(peer.hear()["event"], "get_pool_status");
        peer.send(&json!({"type": "event", "event": "worker.status_changed",
            "data": {"worker_id": "w1", "status": "busy"}, "timestamp": "2026-02-10T23:59:59.999Z"}));
        assert_eq!(watched.continuity(), expected);
        assert_eq!(watched.event(), (None, true));
        peer.cut();
    }
    watched.crew.finish(None);
}

#[test]
fn one_that_is_not_there_yet_is_asked_for_again_when_it_shows() {
    let server = Server::bind();
    let watched = Watched::start(&server, PATIENT);
    let mut peer = server.serve(0, &json!({"pool_id": "local", "status": "not_found", "known": ["a", "b", 5]}));
    let known = watched.until(|tell| match tell {
        Tell::Unknown { known } => Some(known),
        _ => None,
    });
    assert_eq!(known, ["a", "b"]);
    peer.event(Some(1), "pool.spawned", "pool:local", json!({}));
    peer.answer_status(&json!({"pool_id": "local", "status": "running"}));
    watched.until(|tell| matches!(tell, Tell::Status(_)).then_some(()));
    drop(peer);
    watched.crew.finish(None);
}

#[test]
fn the_tasks_of_a_workflow_are_followed_into_their_pools() {
    let server = Server::bind();
    let settings = Settings::workflow("w".to_owned(), Address::new("127.0.0.1", server.port()), LOOK);
    let watched = Watched::of(Settings { timing: PATIENT, ..settings });
    let status = json!({"workflow_id": "w", "status": "running", "tasks": [{"task_id": "t"}]});
    let mut peer = server.serve(1, &status);
    assert_eq!(peer.take_subscription(1, true), json!({"channel": "pool:*"}));
    peer.answer_status(&status);
    peer.event(Some(2), "task.assigned", "pool:local", json!({"task_id": "t"}));
    assert_eq!(watched.event(), (Some(2), true));
    peer.cut();
    let mut peer = server.accept();
    peer.welcome(EPOCH, 2);
    let asked = peer.take_subscription(2, true);
    assert_eq!(asked["channels"], json!(["workflow:w", "pool:*"]), "{asked}");
    drop(peer);
    watched.crew.finish(None);
}

#[test]
fn a_token_is_the_first_thing_said_and_only_to_the_first_server() {
    let server = Server::bind();
    let other = Server::bind();
    let panel = |server: &Server, name: &str| {
        let address = Address::new("127.0.0.1", server.port());
        crate::monitor::settings::PanelSettings::new(name, address, None)
    };
    let settings = Settings::dashboard(vec![panel(&server, "a"), panel(&other, "b")], LOOK);
    let token: crate::monitor::Token = Arc::new(|| Some("s3cret".to_owned()));
    let watched = Watched::of(Settings { timing: PATIENT, token: Some(token), ..settings });
    let mut peer = server.accept();
    let auth = peer.hear();
    assert_eq!((&auth["event"], &auth["data"]), (&json!("auth"), &json!({"token": "s3cret"})));
    peer.answer(&auth, json!({"status": "authenticated"}));
    peer.welcome(EPOCH, 0);
    peer.take_subscription(0, true);
    let mut stranger = other.accept();
    stranger.welcome(EPOCH, 0);
    assert_eq!(stranger.hear()["event"], "subscribe");
    drop((peer, stranger));
    watched.crew.finish(None);
}

#[test]
fn who_is_turned_away_hears_what_to_do() {
    let server = Server::bind();
    let timing = Timing { moment: Duration::from_millis(50), greeting: LIMIT, ..PATIENT };
    let watched = Watched::start(&server, timing);
    let mut peer = server.accept();
    // Nothing is said until a token comes.
    watched.until(|tell| (tell == Tell::NoWelcome).then_some(()));
    peer.close(1008, "authentication required");
    assert_eq!(watched.lost(), Why::WantsToken("1008 authentication required".to_owned()));
    let mut peer = server.accept();
    let mut refusal = frame("error", "auth", json!({}));
    refusal["error_code"] = "AUTH_FAILED".into();
    refusal["error_message"] = "the token is not right".into();
    peer.send(&refusal);
    let why = watched.lost();
    assert_eq!(why, Why::WantsToken("the token is not right".to_owned()));
    assert!(why.to_string().contains("--token-file FILE or CLAUDE_COMMS_TOKEN"));
    drop(peer);
    watched.crew.finish(None);
}

#[test]
fn a_server_that_never_answers_is_left_in_the_end() {
    let server = Server::bind();
    let (moment, greeting) = (Duration::from_millis(20), Duration::from_millis(60));
    let watched = Watched::start(&server, Timing { connect: greeting, moment, greeting, ..PATIENT });
    // No handshake.
    let bare = server.accept_bare();
    assert!(matches!(watched.lost(), Why::NotConnected(_)));
    drop(bare);
    // A handshake, but no greeting.
    let mut peer = server.accept();
    assert!(matches!(watched.lost(), Why::WantsToken(_)));
    assert!(peer.is_left());
    watched.crew.finish(None);
}

#[test]
fn one_that_falls_silent_is_pinged_and_then_left() {
    let server = Server::bind();
    let timing = Timing { silence: Duration::from_millis(50), pong: Duration::from_millis(300), ..PATIENT };
    let watched = Watched::start(&server, timing);
    let mut peer = server.accept();
    peer.welcome(EPOCH, 0);
    peer.hear();
    peer.hear();
    // A pong is enough, as often as it is asked for: reading sends it.
    for _ in 0..3 {
        assert!(matches!(peer.socket.read(), Ok(Message::Ping(_))));
    }
    assert_eq!(watched.lost(), Why::Silent(timing.silence + timing.pong));
    assert!(peer.is_left());
    watched.crew.finish(None);
}

#[test]
fn junk_is_told_and_costs_no_connection() {
    let server = Server::bind();
    let watched = Watched::start(&server, PATIENT);
    let mut peer = server.serve(0, &json!({"status": "running"}));
    for junk in ["", "null", "[1,2]", "{}", "{\"type\":", &"[".repeat(100_000)] {
        peer.send_text(junk);
        watched.until(|tell| (tell == Tell::Junk).then_some(()));
    }
    peer.socket.send(Message::Binary(vec![0xff, 0xfe].into())).unwrap();
    watched.until(|tell| (tell == Tell::Junk).then_some(()));
    let binary = frame("event", "x", json!({})).to_string().into_bytes();
    peer.socket.send(Message::Binary(binary.into())).unwrap();
    assert_eq!(watched.event(), (None, true));
    // As long as is taken.
    let long = json!({"type": "event", "event": "y", "data": {"text": "x".repeat(1_000_000)}});
    peer.send(&long);
    watched.until(|tell| matches!(tell, Tell::Event { frame, .. } if frame.is_cut).then_some(()));
    drop(peer);
    watched.crew.finish(None);
}

#[test]
fn what_breaks_the_protocol_ends_the_connection_and_not_the_client() {
    let server = Server::bind();
    let watched = Watched::start(&server, PATIENT);
    let mut peer = server.serve(0, &json!({"status": "running"}));
    let invalid = WireFrame::message(vec![0xc3, 0x28], OpCode::Data(Data::Text), true);
    peer.socket.send(Message::Frame(invalid)).unwrap();
    assert!(matches!(watched.lost(), Why::Misbehaved(_)));
    drop(peer);
    let mut peer = server.serve(0, &json!({"status": "running"}));
    // Who is told of its length stops reading, so not all of it may go out.
    let _ = peer.socket.send(Message::Text("x".repeat((1 << 20) + 1).into()));
    let Why::Misbehaved(said) = watched.lost() else { panic!("it was taken") };
    assert!(said.contains("1048577"), "{said}");
    drop(peer);
    let mut bare = server.accept_bare();
    bare.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").unwrap();
    assert_eq!(watched.lost(), Why::HttpStatus(404));
    drop(bare);
    let mut bare = server.accept_bare();
    bare.write_all(&[0; 4096]).unwrap();
    assert!(matches!(watched.lost(), Why::Misbehaved(_) | Why::Closed(_)));
    drop(bare);
    drop(server.serve(0, &json!({"status": "running"})));
    watched.crew.finish(None);
}

#[test]
fn one_that_never_stops_talking_is_left_all_the_same() {
    let server = Server::bind();
    let watched = Watched::start(&server, Timing { leave: Duration::from_millis(200), ..PATIENT });
    let mut peer = server.serve(0, &json!({"status": "running"}));
    let talking = crate::thread::Joined::spawn("peer", move || {
        let text = frame("event", "x", json!({})).to_string();
        while peer.socket.send(Message::Text(text.as_str().into())).is_ok() {}
    })
    .unwrap();
    for _ in 0..1000 {
        watched.event();
    }
    watched.crew.finish(None);
    assert_eq!(talking.join(), Some(()));
}

#[test]
fn a_port_where_nobody_is_is_tried_again_later_each_time() {
    let server = Server::bind();
    let port = server.port();
    drop(server);
    let settings = Settings::pool("local".to_owned(), Address::new("127.0.0.1", port), LOOK);
    let watched = Watched::of(settings);
    for attempt in 2..5 {
        let lost = watched.until(|tell| match tell {
            Tell::Lost(lost) => Some(lost),
            _ => None,
        });
        let ceiling = Duration::from_millis(250 << (attempt - 2));
        assert!(lost.attempt == attempt && lost.why == Why::NobodyAnswers && lost.retry_in <= ceiling, "{lost:?}");
    }
    watched.crew.finish(None);
}
