//! From a request of the control socket to the steps that it takes, and how a refusal is told.

use crate::clock::Clock;
use crate::control::wire::Request;
use crate::control::{Defaults, Meaning, Translator};
use crate::mcp::server::Step;
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::ports::Reader;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What every tool is served with. Cheap to copy: each step takes one along.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) translator: Translator,
    pub(super) clock: Arc<dyn Clock>,
}

/// What a request has come to, once its ids are known.
pub(super) enum Meant {
    Command(Box<Command>),
    Read(Box<Request>),
}

impl Desk {
    pub(super) fn new(defaults: Defaults, clock: Arc<dyn Clock>) -> Desk {
        Desk { translator: Translator::new(defaults, Arc::clone(&clock)), clock }
    }

    /// Asks or reads what the request says. `then` gets the result as the control socket shows it, as the text that goes
    /// out there: an object.
    pub(super) fn request(
        &self,
        request: Request,
        then: impl FnOnce(Result<Box<RawValue>, Refusal>) -> Step + Send + 'static,
    ) -> Step {
        let desk = self.clone();
        self.meaning(request, move |meant| match meant {
            Ok(Meant::Command(command)) => {
                Step::ask(*command, move |outcome| then(outcome.and_then(|reply| desk.translator.shown(reply))))
            }
            Ok(Meant::Read(request)) => Step::look(move |reader| then(desk.translator.read(&request, reader))),
            Err(refusal) => then(Err(refusal)),
        })
    }

    /// As [`request`](Desk::request), for what is a command and is answered in a way that the tool itself looks at.
    pub(super) fn command(
        &self,
        request: Request,
        then: impl FnOnce(Result<Command, Refusal>) -> Step + Send + 'static,
    ) -> Step {
        self.meaning(request, move |meant| match meant {
            Ok(Meant::Command(command)) => then(Ok(*command)),
            Ok(Meant::Read(request)) => {
                then(Err(Refusal::new(Code::Internal, format!("{} is no command", request.command()))))
            }
            Err(refusal) => then(Err(refusal)),
        })
    }

    /// The hub's answer as the control socket shows it, for tools that take it apart.
    pub(super) fn value_of(&self, reply: Reply) -> Result<Value, Refusal> {
        self.translator.shown(reply).map(|shown| value(&shown))
    }

    /// What a request finds as the control socket shows it, for tools that take it apart.
    pub(super) fn found(&self, request: &Request, reader: &mut dyn Reader) -> Result<Value, Refusal> {
        self.translator.read(request, reader).map(|shown| value(&shown))
    }

    /// The store is asked only where there is an id in the request that is not whole. Directories are looked at where the
    /// store is: whoever takes the first step must not wait for a disk.
    fn meaning(&self, request: Request, then: impl FnOnce(Result<Meant, Refusal>) -> Step + Send + 'static) -> Step {
        let meaning =
            if names_directory(&request) { Ok(Meaning::Unresolved) } else { self.translator.meaning(&request, None) };
        match meaning {
            Ok(Meaning::Command(command)) => then(Ok(Meant::Command(command))),
            Ok(Meaning::Read) => then(Ok(Meant::Read(Box::new(request)))),
            Err(refusal) => then(Err(refusal)),
            Ok(Meaning::Unresolved) => {
                let desk = self.clone();
                Step::look(move |reader| then(desk.resolved(request, reader)))
            }
        }
    }

    fn resolved(&self, request: Request, reader: &mut dyn Reader) -> Result<Meant, Refusal> {
        match self.translator.meaning(&request, Some(reader))? {
            Meaning::Command(command) => Ok(Meant::Command(command)),
            Meaning::Read => Ok(Meant::Read(Box::new(request))),
            Meaning::Unresolved => Err(Refusal::new(Code::Internal, "an id is not found out in spite of a reader")),
        }
    }
}

/// Whether there is a directory in it that must be there.
fn names_directory(request: &Request) -> bool {
    let is_path = |party: &str| party.contains('/');
    match request {
        Request::TaskSubmit(args) => args.context.as_ref().is_some_and(|context| context.get("repo").is_some()),
        Request::MessageSend(args) => is_path(&args.from) || is_path(&args.to),
        Request::Ask(args) => is_path(&args.from) || is_path(&args.to),
        Request::PoolCreate(args) => args.dir.is_some(),
        _ => false,
    }
}

/// What a tool says when it was refused: why, and what is known of what it was about.
pub(super) fn refused(refusal: &Refusal, known: Value) -> Step {
    Step::failed(&refusal_shown(refusal, known))
}

pub(super) fn refusal_shown(refusal: &Refusal, known: Value) -> Value {
    let mut shown = known;
    shown["success"] = false.into();
    shown["error"] = refusal.message.as_str().into();
    shown["code"] = refusal.code.as_str().into();
    if let Some(wait) = refusal.retry_after_ms {
        shown["retry_after_ms"] = wait.into();
    }
    shown
}

/// An object with the members of another one added.
pub(super) fn with(mut shown: Value, more: Value) -> Value {
    if let (Value::Object(shown), Value::Object(more)) = (&mut shown, more) {
        shown.extend(more);
    }
    shown
}

/// What a tool says that has done what it was asked to; `answer` is an object.
pub(super) fn answered(mut answer: Value) -> Step {
    answer["success"] = true.into();
    Step::answered(&answer)
}

/// As [`answered`], with what the control socket shows, as it is.
pub(super) fn passed_on(shown: &RawValue) -> Step {
    with_success(members(shown))
}

/// As [`answered`], with what the control socket shows under a name of its own, and beside it what names it.
pub(super) fn named(key: &'static str, name: &'static str, shown: &RawValue) -> Step {
    let id = members(shown).get(key).copied().unwrap_or(RawValue::NULL);
    with_success(BTreeMap::from([(key, id), (name, shown)]))
}

/// As [`answered`], with a list of the control socket's: how many there are, and they.
pub(super) fn counted(count: &'static str, list: &'static str, shown: &RawValue) -> Step {
    let mut members = members(shown);
    let length = members.get(list).map_or(0, |list| parsed::<Vec<&RawValue>>(list).len());
    let length = RawValue::from_string(length.to_string()).unwrap_or_default();
    members.insert(count, &length);
    with_success(members)
}

fn with_success(mut members: BTreeMap<&str, &RawValue>) -> Step {
    members.insert("success", RawValue::TRUE);
    Step::answered(&members)
}

/// The members of an object, none of which is looked into.
fn members(object: &RawValue) -> BTreeMap<&str, &RawValue> {
    parsed(object)
}

/// All that is in what the control socket shows, for tools that take it apart.
pub(super) fn value(shown: &RawValue) -> Value {
    parsed(shown)
}

/// It was written here a moment ago: that it is no such JSON cannot be, and comes to nothing.
fn parsed<'a, T: Deserialize<'a> + Default>(json: &'a RawValue) -> T {
    serde_json::from_str(json.get()).unwrap_or_default()
}

/// The answer to a question that should have had another one.
pub(super) fn unexpected(reply: &Reply) -> Refusal {
    Refusal::new(Code::Internal, format!("the hub answered something else: {reply:.80?}"))
}
