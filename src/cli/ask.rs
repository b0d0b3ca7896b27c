//! `ask`: a question to a module, and its answer.

use clap::Args;
use serde::Serialize;

use super::exit::{FAILED, Failure, OK, Outcome, TIMED_OUT};
use super::input;
use super::output::Output;
use super::session::{Session, patience, read};
use crate::control::PATIENCE;
use crate::control::wire::{self, Request};
use crate::model::pool::DEFAULT_POOL;

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms ask --to ../backend 'Which port do you listen on?'
  claude-comms ask --from frontend --to backend --timeout 20m - < question.txt
  claude-comms ask --to backend --no-wait 'Please update the schema.'   prints the question's id

A module is its name (claude-comms module add) or a directory. The answer is worked out in B's directory, by the
command that [executor] command in the configuration names (claude -p, unless changed).
Exit codes: 0 answered, 1 failed, 124 no answer in time (the question goes on; see claude-comms task wait).";

#[derive(Debug, Args)]
pub(super) struct Ask {
    /// The module that asks: its name or directory; else the current directory
    #[arg(long, value_name = "A")]
    from: Option<String>,
    /// The module that is to answer: its name or directory; else the current directory
    #[arg(long, value_name = "B")]
    to: Option<String>,
    /// The pool whose workers answer
    #[arg(long, value_name = "ID")]
    pool: Option<String>,
    /// Ask within this thread; else a new one is opened
    #[arg(long, value_name = "TH")]
    thread: Option<String>,
    /// What the answering agent is told besides the question
    #[arg(long, value_name = "S")]
    system_prompt: Option<String>,
    /// How long to wait, in seconds or like 20m; else as configured (10 minutes)
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    timeout: Option<f64>,
    /// Do not wait for the answer
    #[arg(long)]
    no_wait: bool,
    /// The question, or - for standard input
    prompt: String,
}

/// What `--json` prints: the shape that callers of the original know.
#[derive(Debug, Serialize)]
struct Shape<'a> {
    success: bool,
    thread_id: &'a str,
    question_msg_id: &'a str,
    response_msg_id: &'a str,
    content: Option<&'a str>,
    /// Where the original has no such thing, it stands only when it says something.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    content_truncated: bool,
    error: Option<&'a str>,
    final_status: &'a str,
}

impl<'a> From<&'a wire::Answer> for Shape<'a> {
    fn from(answer: &'a wire::Answer) -> Shape<'a> {
        Shape {
            success: answer.success,
            thread_id: &answer.thread_id,
            question_msg_id: &answer.question_msg_id,
            response_msg_id: &answer.response_msg_id,
            content: answer.content.as_deref(),
            content_truncated: answer.content_truncated,
            error: answer.error.as_deref(),
            final_status: &answer.final_status,
        }
    }
}

pub(super) fn run(ask: Ask, session: &mut Session) -> Outcome {
    let no_wait = ask.no_wait;
    // Without a timeout of its own the daemon knows how long, and always answers.
    let limit = if no_wait { Some(PATIENCE) } else { patience(ask.timeout) };
    let pool = ask.pool.clone().unwrap_or_else(|| DEFAULT_POOL.to_owned());
    let request = Request::Ask(wire::Ask {
        from: input::party(ask.from)?,
        to: input::party(ask.to)?,
        prompt: input::text_or_stdin(ask.prompt)?,
        pool: ask.pool,
        thread: ask.thread,
        system_prompt: ask.system_prompt,
        context: None,
        timeout_seconds: ask.timeout,
        no_wait,
    });
    let mut client = session.connect()?;
    super::pool::hint_if_held(&mut client, &pool, &mut session.output)?;
    let answer: wire::Answer = read(&client.call_raw(&request, limit)?)?;
    if session.output.json {
        session.output.json(&Shape::from(&answer))?;
    }
    if no_wait { show_asked(&answer, &mut session.output) } else { show_answer(&answer, &mut session.output) }
}

fn show_asked(answer: &wire::Answer, output: &mut Output) -> Outcome {
    if !output.json {
        output.line(&answer.question_msg_id)?;
        output.hint(format_args!("wait for the answer with: claude-comms poll wait {}", answer.question_msg_id));
    }
    Ok(OK)
}

fn show_answer(answer: &wire::Answer, output: &mut Output) -> Outcome {
    if answer.success {
        if !output.json {
            output.paragraph(answer.content.as_deref().unwrap_or_default())?;
            if answer.content_truncated {
                output.say(format_args!(
                    "the answer is cut here; all that was written: claude-comms task log {}",
                    answer.task_id
                ));
            }
        }
        return Ok(OK);
    }
    let exit_code = exit_code(&answer.final_status);
    output.complain(answer.error.as_deref().map_or_else(|| unexplained(answer), ToOwned::to_owned));
    Err(Failure::Shown { exit_code })
}

fn unexplained(answer: &wire::Answer) -> String {
    let task = &answer.task_id;
    format!("the question is {}; see: claude-comms task log {task} --stderr", answer.final_status)
}

/// Of a question that has no answer.
fn exit_code(status: &str) -> u8 {
    if status == "expired" { TIMED_OUT } else { FAILED }
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;
    use super::*;

    fn answer(status: &str, content: Option<&str>, error: Option<&str>) -> wire::Answer {
        wire::Answer {
            success: status == "complete",
            thread_id: "th".to_owned(),
            question_msg_id: "q".to_owned(),
            response_msg_id: "r".to_owned(),
            task_id: "t".to_owned(),
            content: content.map(ToOwned::to_owned),
            content_truncated: false,
            error: error.map(ToOwned::to_owned),
            final_status: status.to_owned(),
        }
    }

    #[test]
    fn the_shape_for_programs_has_seven_keys_in_their_order() {
        let answer = answer("complete", Some("8080"), None);
        assert_eq!(
            serde_json::to_string(&Shape::from(&answer)).unwrap(),
            r#"{"success":true,"thread_id":"th","question_msg_id":"q","response_msg_id":"r","content":"8080","error":null,"final_status":"complete"}"#
        );
    }

    #[test]
    fn the_exit_code_tells_failed_from_late() {
        let mut output = Output::to(std::io::sink(), false);
        let mut said = |answer| show_answer(&answer, &mut output).unwrap_or_else(|failure| failure.exit_code());
        assert_eq!(said(answer("complete", Some("8080"), None)), 0);
        assert_eq!(said(answer("failed", None, Some("no claude"))), 1);
        assert_eq!(said(answer("expired", None, None)), 124);
    }

    #[test]
    fn both_modules_may_be_left_out() {
        assert!(parse_words("ask hello").is_ok());
        assert!(parse_words("ask --to b --timeout 20m -").is_ok());
        assert!(parse_words("ask --to b").is_err());
    }
}
