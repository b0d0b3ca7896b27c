//! What is said to a server and made of its answers: greeting, subscription, the place in its log. Pure.

use super::frame::{Frame, Kind};
use super::tell::{Continuity, Tell};
use serde_json::{Map, Value, json};

/// Most names of pools or workflows that are taken from an answer.
const KNOWN_MAX: usize = 64;

const AUTH: &str = "auth";
const SUBSCRIBE: &str = "subscribe";
const WELCOME: &str = "session.created";

/// What is asked for besides events: how something is at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Pool(String),
    Workflow(String),
}

impl Question {
    fn event(&self) -> &'static str {
        match self {
            Question::Pool(_) => "get_pool_status",
            Question::Workflow(_) => "get_workflow_status",
        }
    }

    fn data(&self) -> Value {
        match self {
            Question::Pool(id) => json!({ "pool_id": id }),
            Question::Workflow(id) => json!({ "workflow_id": id }),
        }
    }
}

/// The last event that was seen. A number means something only together with the epoch that it was given in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Position {
    epoch: Option<String>,
    seq: Option<u64>,
}

/// What came of a frame.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) tell: Option<Tell>,
    /// To be sent, in this order.
    pub(crate) say: Vec<Value>,
    /// The server turns us away until it is told who we are; why, in its words.
    pub(crate) turned_away: Option<String>,
}

/// One panel's side of the conversation, over all its connections.
#[derive(Debug)]
pub(crate) struct Talk {
    channels: Vec<String>,
    question: Option<Question>,
    position: Position,
    /// Within this connection.
    greeted: bool,
    subscribed: bool,
    /// What the server said when it took the subscription: events up to here were kept for us.
    kept_until: Option<u64>,
    /// Over all connections.
    ever_subscribed: bool,
    /// What was asked about is not there; an event about it would mean that it is now.
    is_unknown: bool,
    /// Asked how things are, and not answered yet.
    is_asked: bool,
    /// Something has happened since that may change the answer.
    is_outdated: bool,
}

impl Talk {
    pub(crate) fn new(channel: String, question: Option<Question>) -> Talk {
        Talk {
            channels: vec![channel],
            question,
            position: Position::default(),
            greeted: false,
            subscribed: false,
            kept_until: None,
            ever_subscribed: false,
            is_unknown: false,
            is_asked: false,
            is_outdated: false,
        }
    }

    /// What to say first on a new connection. The greeting comes unasked, unless the server wants a token.
    pub(crate) fn begin(&mut self, token: Option<&str>) -> Option<Value> {
        self.greeted = false;
        self.subscribed = false;
        self.kept_until = None;
        self.is_asked = false;
        self.is_outdated = false;
        token.map(|token| request(AUTH, &json!({ "token": token }), AUTH))
    }

    pub(crate) fn is_greeted(&self) -> bool {
        self.greeted
    }

    pub(crate) fn hear(&mut self, frame: Frame) -> Heard {
        let turned_away = frame.kind == Kind::Error
            && (frame.event == AUTH || frame.error_code.as_deref().is_some_and(|code| code.starts_with("AUTH_")));
        if turned_away {
            return Heard { turned_away: Some(frame.error_message.unwrap_or_default()), ..Heard::default() };
        }
        match (frame.kind, frame.event.as_str()) {
            (_, WELCOME) if !self.greeted => self.greet(&frame),
            (Kind::Event, _) => self.event(frame),
            (Kind::Response | Kind::Error, AUTH) => Heard::default(),
            (Kind::Response, SUBSCRIBE) => self.subscription(&frame),
            (Kind::Response, event) if self.question.as_ref().is_some_and(|question| question.event() == event) => {
                self.status(frame.data)
            }
            (Kind::Error, _) => self.refusal(frame),
            (Kind::Response | Kind::Other, _) => Heard::default(),
        }
    }

    fn greet(&mut self, frame: &Frame) -> Heard {
        self.greeted = true;
        let epoch = text(&frame.data, "epoch");
        // After a restore from a backup the numbers begin anew.
        if epoch != self.position.epoch {
            self.position = Position { epoch, seq: None };
        }
        let mut say = vec![self.subscribe()];
        say.extend(self.ask());
        Heard { tell: Some(Tell::Welcomed), say, turned_away: None }
    }

    fn subscribe(&self) -> Value {
        let first = self.channels.first().map_or("", String::as_str);
        let mut data = json!({ "channel": first });
        if self.channels.len() > 1 {
            data["channels"] = json!(self.channels);
        }
        if let Position { epoch: Some(epoch), seq: Some(seq) } = &self.position {
            data["since"] = json!({ "epoch": epoch, "seq": seq });
        }
        request(SUBSCRIBE, &data, &format!("sub_{}", first.replace(':', "_")))
    }

    /// Asks now, or once the last question is answered: however fast things change, one question is under way.
    fn ask(&mut self) -> Option<Value> {
        let question = self.question.as_ref()?;
        if self.is_asked {
            self.is_outdated = true;
            return None;
        }
        self.is_asked = true;
        Some(request(question.event(), &question.data(), "status"))
    }

    /// After a while in which nothing was told: not all that changes is told by events.
    pub(crate) fn ask_again(&mut self) -> Option<Value> {
        if self.is_asked { None } else { self.ask() }
    }

    fn subscription(&mut self, frame: &Frame) -> Heard {
        let seq = frame.data.get("seq").and_then(Value::as_u64);
        if self.subscribed {
            return Heard::default();
        }
        self.subscribed = true;
        let went_on = frame.data.get("recovered").and_then(Value::as_bool).unwrap_or(false);
        let continuity = match (self.ever_subscribed, went_on && self.position.seq.is_some()) {
            (false, _) => Continuity::First,
            (true, true) => Continuity::Whole,
            (true, false) => Continuity::Broken,
        };
        self.ever_subscribed = true;
        self.kept_until = seq;
        if continuity != Continuity::Whole {
            self.position.seq = seq;
        }
        Heard { tell: Some(Tell::Subscribed(continuity)), ..Heard::default() }
    }

    fn event(&mut self, frame: Frame) -> Heard {
        if let Some(seq) = frame.seq {
            // What was seen before the connection was lost may come again.
            if self.position.seq.is_some_and(|seen| seq <= seen) {
                return Heard::default();
            }
            self.position.seq = Some(seq);
        }
        let was_kept = frame.seq.is_some_and(|seq| self.kept_until.is_some_and(|until| seq <= until));
        let is_live = !was_kept && !frame.is_snapshot();
        let changes = match self.question {
            Some(Question::Pool(_)) => {
                matches!(frame.event.as_str(), "pool.spawned" | "pool.closed" | "pool.breaker_changed")
            }
            // Which stages run now is not said by the end of another.
            Some(Question::Workflow(_)) => frame.event.starts_with("workflow."),
            None => false,
        };
        let again = std::mem::take(&mut self.is_unknown) || changes;
        let say = if again { self.ask().into_iter().collect() } else { Vec::new() };
        Heard { tell: Some(Tell::Event { frame, is_live }), say, turned_away: None }
    }

    fn status(&mut self, data: Map<String, Value>) -> Heard {
        self.is_asked = false;
        let mut heard = self.answer(data);
        if std::mem::take(&mut self.is_outdated) {
            heard.say.extend(self.ask());
        }
        heard
    }

    fn answer(&mut self, data: Map<String, Value>) -> Heard {
        if text(&data, "status").as_deref() == Some("not_found") {
            return self.unknown(&data);
        }
        self.is_unknown = false;
        let say = self.follow_tasks(&data).into_iter().collect();
        Heard { tell: Some(Tell::Status(data)), say, turned_away: None }
    }

    fn unknown(&mut self, data: &Map<String, Value>) -> Heard {
        self.is_unknown = true;
        let named = data.get("known").and_then(Value::as_array).into_iter().flatten();
        let known = named.filter_map(Value::as_str).take(KNOWN_MAX).map(str::to_owned).collect();
        Heard { tell: Some(Tell::Unknown { known }), ..Heard::default() }
    }

    /// The tasks of a workflow run in pools, and what becomes of them is said there.
    fn follow_tasks(&mut self, data: &Map<String, Value>) -> Vec<Value> {
        const ALL_POOLS: &str = "pool:*";
        let names_tasks = data.get("tasks").and_then(Value::as_array).is_some_and(|tasks| !tasks.is_empty());
        let is_workflow = matches!(self.question, Some(Question::Workflow(_)));
        if !names_tasks || !is_workflow || self.channels.iter().any(|channel| channel == ALL_POOLS) {
            return Vec::new();
        }
        self.channels.push(ALL_POOLS.to_owned());
        // Asked again, because tasks may have moved on before the pools were listened to.
        let more = request(SUBSCRIBE, &json!({ "channel": ALL_POOLS }), "sub_pools");
        [more].into_iter().chain(self.ask()).collect()
    }

    fn refusal(&mut self, frame: Frame) -> Heard {
        let about_status = self.question.as_ref().is_some_and(|question| question.event() == frame.event);
        self.is_asked &= !about_status;
        if about_status && frame.error_code.as_deref().is_some_and(|code| code.eq_ignore_ascii_case("not_found")) {
            return self.unknown(&frame.data);
        }
        let code = frame.error_code.unwrap_or_else(|| "error".to_owned());
        let message = frame.error_message.unwrap_or_default();
        Heard { tell: Some(Tell::Refused { code, message }), ..Heard::default() }
    }
}

fn request(event: &str, data: &Value, id: &str) -> Value {
    json!({ "type": "request", "event": event, "data": data, "id": id })
}

fn text(data: &Map<String, Value>, name: &str) -> Option<String> {
    data.get(name).and_then(Value::as_str).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(talk: &mut Talk, kind: &str, event: &str, data: Value) -> Vec<String> {
        let text = json!({"type": kind, "event": event, "data": data}).to_string();
        let heard = talk.hear(Frame::parse(text.as_bytes()).unwrap());
        heard.say.iter().map(|said| said["event"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn however_fast_things_change_one_question_is_under_way() {
        let mut talk = Talk::new("workflow:w".to_owned(), Some(Question::Workflow("w".to_owned())));
        assert_eq!(talk.begin(None), None);
        assert_eq!(said(&mut talk, "event", WELCOME, json!({})), ["subscribe", "get_workflow_status"]);
        for _ in 0..3 {
            assert!(said(&mut talk, "event", "workflow.stage_completed", json!({})).is_empty());
        }
        let status = json!({"status": "running"});
        assert_eq!(said(&mut talk, "response", "get_workflow_status", status.clone()), ["get_workflow_status"]);
        assert!(said(&mut talk, "response", "get_workflow_status", status).is_empty());
        assert_eq!(said(&mut talk, "event", "workflow.completed", json!({})), ["get_workflow_status"]);
        // One that is refused is over too.
        let refused = said(&mut talk, "error", "get_workflow_status", json!({}));
        assert!(refused.is_empty());
        assert_eq!(said(&mut talk, "event", "workflow.started", json!({})), ["get_workflow_status"]);
    }

    #[test]
    fn a_pool_is_asked_about_when_it_may_be_held_and_after_a_silence() {
        let mut talk = Talk::new("pool:p".to_owned(), Some(Question::Pool("p".to_owned())));
        talk.begin(None);
        assert_eq!(said(&mut talk, "event", WELCOME, json!({})), ["subscribe", "get_pool_status"]);
        assert_eq!(talk.ask_again(), None);
        said(&mut talk, "response", "get_pool_status", json!({"status": "running"}));
        assert_eq!(said(&mut talk, "event", "pool.breaker_changed", json!({})), ["get_pool_status"]);
        said(&mut talk, "response", "get_pool_status", json!({"status": "running"}));
        assert_eq!(talk.ask_again().unwrap()["event"], "get_pool_status");
    }

    #[test]
    fn what_was_not_asked_for_is_not_taken_for_an_answer() {
        let mut talk = Talk::new("global".to_owned(), None);
        talk.begin(Some("token"));
        for (kind, event) in [("response", "get_pool_status"), ("pong", "ping"), ("response", "auth"), ("ack", "x")] {
            assert!(said(&mut talk, kind, event, json!({"status": "running"})).is_empty(), "{event}");
        }
        assert_eq!(said(&mut talk, "event", WELCOME, json!({"epoch": 5, "seq": "x"})), ["subscribe"]);
        // A second greeting is an event like others.
        assert!(said(&mut talk, "event", WELCOME, json!({})).is_empty());
    }
}
