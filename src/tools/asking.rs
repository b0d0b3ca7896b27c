//! The tool that asks another module and waits for its answer.

use super::Served;
use super::awaited::{Awaited, End, Patience, finished};
use super::desk::{Desk, answered, refused, unexpected, with};
use super::schemas::{self, flag, module, text, text_or_null};
use super::standing::{Place, Standing};
use super::strangers;
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Step, Tool};
use crate::model::command::{Answer, Code, Command, Refusal, Reply};
use crate::model::id::PoolId;
use crate::model::message::Status;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

pub(super) fn tools(desk: &Desk) -> Vec<Served> {
    vec![Served::new(ask_module(desk.translator.defaults().ask_timeout), ask)]
}

fn ask_module(timeout: Duration) -> Tool {
    let timeout = schemas::default(
        schemas::timeout("Seconds to wait for the answer. The work goes on after that."),
        timeout.as_secs_f64(),
    );
    let context = schemas::anything(
        "For programs, as JSON in the variable CLAUDE_COMMS_CONTEXT: an agent does not see it unless its command reads that, so \
         put facts into the prompt. It works in its module's directory, whatever stands in repo.",
    );
    Tool {
        name: "ask_module",
        title: "Ask another module and wait for its answer",
        description: "\
Asks another module a question: an agent is started in its directory, reads and works there, and its answer comes back as \
`content`. The agent knows nothing of this conversation: say everything that it needs. Question and answer stay as messages of \
a thread. With thread_id the question is filed in that one; the agent is not shown what is in it: repeat what it needs. Giving up \
the call ends the agent, except over HTTP in the legacy era of the protocol; cancel_task ends it anywhere.",
        input: schemas::arguments(
            vec![
                ("from", module("Who asks")),
                ("to", module("Whom")),
                ("prompt", schemas::filled("The question.")),
                ("pool_id", text("The pool whose worker starts the agent; else local.")),
                ("thread_id", schemas::id("The thread to file it in, else a new one; its id")),
                ("system_prompt", text("What is added to the agent's own instructions.")),
                ("context", context),
                ("timeout", timeout),
            ],
            &["from", "to", "prompt"],
        ),
        output: Some(schemas::answer(
            vec![
                ("thread_id", text("")),
                ("question_msg_id", text("")),
                ("response_msg_id", text("")),
                ("task_id", text("")),
                ("content", text_or_null("the answer")),
                ("content_truncated", flag("it is cut; the task's log has more of it")),
                ("log", text("where the rest of it is")),
                ("error", text_or_null("")),
                ("final_status", text("complete")),
            ],
            &["content_truncated", "log"],
        )),
        effect: Effect::Adds { again: false },
        open_world: true,
        waits: true,
    }
}

#[derive(Deserialize)]
struct Ask {
    from: String,
    to: String,
    prompt: String,
    pool_id: Option<String>,
    thread_id: Option<String>,
    system_prompt: Option<String>,
    context: Option<Value>,
    timeout: Option<f64>,
}

/// The question is answered as soon as it cannot be lost; its task is waited for here, so that its progress can be told.
fn ask(desk: &Desk, args: Ask) -> Step {
    let known = args.pool_id.as_ref().map_or_else(|| json!({}), |id| json!({"pool_id": id}));
    let request = Request::Ask(wire::Ask {
        from: args.from,
        to: args.to,
        prompt: args.prompt,
        pool: args.pool_id,
        thread: args.thread_id,
        system_prompt: args.system_prompt,
        context: args.context,
        timeout_seconds: args.timeout,
        no_wait: true,
    });
    let then = desk.clone();
    desk.command(request, move |command| match command {
        Ok(Command::Ask(ask)) => asked(&then, ask, known),
        Ok(other) => refused(&Refusal::new(Code::Internal, format!("{other:.40?} is no ask")), known),
        Err(refusal) => refused(&refusal, known),
    })
}

fn asked(desk: &Desk, ask: crate::model::command::Ask, known: Value) -> Step {
    let abort = vec![Command::CancelTask { id: ask.task.clone() }];
    let (pool, timeout) = (ask.pool.clone(), ask.timeout);
    let parties = [ask.from.clone(), ask.to.clone()];
    let desk = desk.clone();
    Step::ask_or_abort(Command::Ask(ask), abort, move |outcome| match outcome {
        Ok(Reply::Asked(answer)) => wait(&desk, answer, &pool, timeout),
        Ok(other) => refused(&unexpected(&other), known),
        Err(refusal) => strangers::refused(refusal, parties, known),
    })
}

fn wait(desk: &Desk, answer: Answer, pool: &PoolId, timeout: Duration) -> Step {
    let then = desk.clone();
    Awaited::start(desk, answer.task.clone(), pool, Patience::ToEnd(timeout), move |end| {
        tell(&then, answer, end, timeout)
    })
}

fn tell(desk: &Desk, mut answer: Answer, end: End, timeout: Duration) -> Step {
    let mut more = json!({});
    match end {
        End::Ended(view) | End::NotBegun(view, _) => {
            answer = answer.ended(&view.task, &view.outcome);
            more = match desk.value_of(Reply::Task(view)) {
                Ok(task) => about(&task),
                Err(refusal) => return refused(&refusal, more),
            };
        }
        End::Late(standing) => {
            answer.status = Status::Expired;
            answer.error = Some(late(&standing, timeout).into());
            more = standing.details.into_iter().collect();
            more["code"] = Code::TimedOut.as_str().into();
            more["next"] = "wait_for_message with message_id = question_msg_id, or cancel_task".into();
        }
        End::Refused(refusal) => {
            answer.status = Status::Unknown;
            more["code"] = refusal.code.as_str().into();
            answer.error = Some(refusal.message.into());
        }
    }
    match desk.value_of(Reply::Asked(answer)) {
        Ok(answer) if answer["success"] == true => answered(with(answer, more)),
        Ok(answer) => Step::failed(&with(answer, more)),
        Err(refusal) => refused(&refusal, json!({})),
    }
}

fn late(standing: &Standing, timeout: Duration) -> String {
    let seconds = timeout.as_secs_f64();
    match &standing.place {
        Place::Runs(_) => format!("no answer within {seconds} s; the module is still at work"),
        Place::Waits(pool) => {
            format!("no answer within {seconds} s; the question still waits for a worker of pool {pool}")
        }
        Place::Kept(why) => format!("no answer within {seconds} s; the question waits: {why}"),
    }
}

/// What there is to be said of the task that has answered, beside the answer: why it failed, or where the rest of it is.
fn about(task: &Value) -> Value {
    let keys: &[&str] = match finished(task) {
        Ok(_) => &["log"],
        Err(_) => &["pool_id", "status", "reason", "exit_code", "exit_signal", "log"],
    };
    let shown = finished(task).unwrap_or_else(|failed| failed);
    keys.iter().filter_map(|key| Some(((*key).to_owned(), shown.get(*key)?.clone()))).collect()
}
