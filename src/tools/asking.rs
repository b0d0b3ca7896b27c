//! The tool that asks another module and waits for its answer.

use super::Served;
use super::awaited::{Awaited, Patience};
use super::desk::{Desk, answered, refused, unexpected};
use super::schemas::{self, module, text, text_or_null};
use crate::control::wire::{self, Request};
use crate::mcp::server::{Effect, Step, Tool};
use crate::model::command::{Answer, Code, Command, Refusal, Reply, TaskView};
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
    Tool {
        name: "ask_module",
        title: "Ask another module and wait for its answer",
        description: "\
Asks another module a question: an agent is started in its directory, reads and works there, and its answer comes back as \
`content`. The agent knows nothing of this conversation: say everything that it needs. Question and answer stay as messages of \
a thread; give its thread_id to go on with it. Giving up the call ends the agent.",
        input: schemas::arguments(
            vec![
                ("from", module("Who asks")),
                ("to", module("Whom")),
                ("prompt", text("The question.")),
                ("pool_id", text("The pool whose worker starts the agent; else the default one.")),
                ("thread_id", text("The thread to go on with; else a new one is opened.")),
                ("system_prompt", text("What is added to the agent's own instructions.")),
                ("context", schemas::anything("Facts for the agent, handed on as JSON.")),
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
                ("error", text_or_null("")),
                ("final_status", text("complete")),
            ],
            &[],
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
    let desk = desk.clone();
    Step::ask_or_abort(Command::Ask(ask), abort, move |outcome| match outcome {
        Ok(Reply::Asked(answer)) => wait(&desk, answer, &pool, timeout),
        Ok(other) => refused(&unexpected(&other), known),
        Err(refusal) => refused(&refusal, known),
    })
}

fn wait(desk: &Desk, answer: Answer, pool: &PoolId, timeout: Duration) -> Step {
    let then = desk.clone();
    Awaited::start(desk, answer.task.clone(), pool, Patience::ToEnd(timeout), move |ended| {
        tell(&then, answer, ended, timeout)
    })
}

fn tell(desk: &Desk, mut answer: Answer, ended: Result<Box<TaskView>, Refusal>, timeout: Duration) -> Step {
    match ended {
        Ok(view) => answer = answer.ended(&view.task, &view.outcome),
        Err(refusal) => {
            let expired = refusal.code == Code::TimedOut;
            answer.status = if expired { Status::Expired } else { Status::Unknown };
            answer.error = Some(match expired {
                true => format!("no answer within {} s; the module is still at work", timeout.as_secs_f64()).into(),
                false => refusal.message.into(),
            });
        }
    }
    match desk.value_of(Reply::Asked(answer)) {
        Ok(answer) if answer["success"] == true => answered(answer),
        Ok(mut answer) => {
            if answer["final_status"] == Status::Expired.as_str() {
                answer["code"] = Code::TimedOut.as_str().into();
                answer["next"] = "wait_for_message with message_id = question_msg_id, or cancel_task".into();
            }
            Step::failed(&answer)
        }
        Err(refusal) => refused(&refusal, json!({})),
    }
}
