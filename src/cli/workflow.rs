//! `workflow`: running a file of stages, and seeing what becomes of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::exit::{FAILED, Failure, OK, Outcome, USAGE};
use super::input;
use super::output::Output;
use super::pages;
use super::session::{Session, patience, read, receive};
use super::table::{self, Details, Kept};
use crate::control::wire::{self, Request};
use crate::control::{Client, Followed, PATIENCE};
use crate::model::command::Code;
use crate::model::limits::WORKFLOW_BYTES_MAX;

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms workflow run release.toml          runs it, and says when a stage is done
  claude-comms workflow run release.toml --no-wait --key release-7   prints the workflow's id
  claude-comms workflow show 5e0f77aa
  claude-comms workflow list --status running
  claude-comms workflow cancel 5e0f77aa

An ID may be shortened to its beginning or its end (at least 4 characters). What a file looks like is in
claude-comms-workflow(1).";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Run a workflow file, and wait until it has ended; exit code 1 when it failed or was cancelled
    Run(Run),
    /// Show a workflow, its stages and tasks
    Show {
        /// The workflow
        id: String,
    },
    /// List workflows, the newest first
    List(List),
    /// Cancel a workflow; those of its tasks that run are ended
    Cancel {
        /// The workflow
        id: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Run {
    /// A TOML file, or JSON where its name ends in .json; - for standard input, in either
    file: PathBuf,
    /// Where its tasks run unless it says, and where paths in it start from; else the current directory
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The same key again is the same workflow, not another one
    #[arg(long, value_name = "K")]
    key: Option<String>,
    /// Do not wait for its end
    #[arg(long)]
    no_wait: bool,
    /// How long to wait, in seconds or like 2h; then the exit code is 124 and the workflow goes on
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    timeout: Option<f64>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only with this status
    #[arg(long, value_parser = ["running", "completed", "failed", "cancelled"])]
    status: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = pages::limit())]
    limit: u16,
}

pub(super) fn run(verb: Verb, session: &mut Session) -> Outcome {
    match verb {
        Verb::Run(run) => return self::perform(run, session),
        Verb::Show { id } => {
            session.ask(&Request::WorkflowShow(wire::WorkflowId { workflow_id: id }), show)?;
        }
        Verb::List(list) => self::list(list, session)?,
        Verb::Cancel { id } => {
            session.ask(&Request::WorkflowCancel(wire::WorkflowId { workflow_id: id }), show_cancelled)?;
        }
    }
    Ok(OK)
}

fn perform(run: Run, session: &mut Session) -> Outcome {
    let source = source(&run.file)?;
    let format = format_of(&run.file, &source);
    let dir = Some(input::directory_or_current(run.dir)?);
    let request =
        Request::WorkflowRun(wire::WorkflowRun { source, format: Some(format.to_owned()), dir, key: run.key });
    let mut client = session.connect()?;
    let answer = client.call_raw(&request, Some(PATIENCE))?;
    let started: wire::WorkflowStarted = read(&answer)?;
    if started.duplicate {
        session.output.say(format_args!("there is a workflow with that key already: {}", started.workflow_id));
    }
    if run.no_wait {
        session.print(&answer, |output, started: wire::WorkflowStarted| output.line(started.workflow_id))?;
        return Ok(OK);
    }
    let ended = wait(&mut client, &started, run.timeout, &mut session.output)?;
    let workflow: wire::Workflow = read(&ended)?;
    session.print(&ended, show)?;
    if workflow.status == "completed" {
        return Ok(OK);
    }
    complain(&workflow, &mut session.output);
    Err(Failure::Shown { exit_code: FAILED })
}

/// Waits for the end, and tells meanwhile of each stage that is done.
fn wait(
    client: &mut Client,
    started: &wire::WorkflowStarted,
    timeout: Option<f64>,
    output: &mut Output,
) -> Result<Box<RawValue>, Failure> {
    let id = &started.workflow_id;
    output.say(format_args!("workflow {id} has started"));
    client.send(&Request::EventFollow(wire::EventFollow {
        since: started.seq,
        channels: vec![format!("workflow:{id}")],
        ..wire::EventFollow::default()
    }))?;
    let wait = wire::WorkflowWait { workflow_id: id.clone(), timeout_seconds: timeout };
    let asked = client.send(&Request::WorkflowWait(wait))?;
    let mut told = 0;
    let answer = loop {
        match receive(client, output, patience(timeout))? {
            Followed::Answer { id, result } if id == asked => break result?,
            Followed::Answer { result, .. } => drop(result?),
            Followed::Frame(frame) => told = tell(&frame, output).unwrap_or(told),
        }
    };
    // The answer may overtake the events that led to it.
    let workflow: wire::Workflow = read(&answer)?;
    while told < workflow.stages_completed && !started.duplicate {
        match client.receive(Some(LATE_MAX)) {
            Ok(Followed::Frame(frame)) => told = tell(&frame, output).unwrap_or(told),
            Ok(Followed::Answer { .. }) => {}
            // The end is known; that a line is missing on the way is no reason to fail.
            Err(_) => break,
        }
    }
    Ok(answer)
}

/// How long the events that an answer speaks of may be behind it.
const LATE_MAX: Duration = Duration::from_secs(1);

/// What is needed of an event.
#[derive(Debug, Deserialize)]
struct Frame {
    event: String,
    data: Progress,
}

#[derive(Debug, Deserialize)]
struct Progress {
    stage_name: Option<String>,
    stages_completed: Option<usize>,
    total_stages: Option<usize>,
    result: Option<StageResult>,
}

#[derive(Debug, Deserialize)]
struct StageResult {
    status: String,
}

/// Tells of a stage that is done. Returns how many are.
fn tell(frame: &str, output: &mut Output) -> Option<usize> {
    let frame: Frame = serde_json::from_str(frame).ok()?;
    if frame.event != "workflow.stage_completed" {
        return None;
    }
    let (done, total) = (frame.data.stages_completed?, frame.data.total_stages?);
    let (stage, status) = (frame.data.stage_name?, frame.data.result?.status);
    output.say(format_args!("stage {stage} {status} ({done} of {total})"));
    Some(done)
}

fn source(file: &Path) -> Result<String, Failure> {
    let bytes = if file.as_os_str() == "-" { limited(io::stdin().lock()) } else { limited_file(file) };
    let name = if file.as_os_str() == "-" { "standard input".into() } else { file.to_string_lossy() };
    let bytes = bytes.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::not_found(format!("{name} cannot be read: {error}")),
        _ => Failure::failed(format!("{name} cannot be read: {error}")),
    })?;
    if bytes.len() > WORKFLOW_BYTES_MAX {
        let sentence = format!("{name} has more than {WORKFLOW_BYTES_MAX} bytes; no workflow needs so many");
        return Err(Failure::Told { exit_code: USAGE, code: Code::TooLarge.as_str(), sentence });
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{name} is not UTF-8 text; convert it with iconv")))
}

/// One byte more than allowed is read, to tell too much from just enough.
fn limited(input: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(WORKFLOW_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn limited_file(path: &Path) -> io::Result<Vec<u8>> {
    limited(File::open(path)?)
}

/// Nothing that begins with a brace is TOML.
fn format_of(file: &Path, source: &str) -> &'static str {
    let named = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    if named || (file.as_os_str() == "-" && source.trim_start().starts_with('{')) { "json" } else { "toml" }
}

fn show_cancelled(output: &mut Output, workflow: wire::Workflow) -> Result<(), Failure> {
    if workflow.status == "running" {
        return output.line(format_args!("workflow {} is being ended", workflow.workflow_id));
    }
    let status = output.status(&workflow.status);
    output.line(format_args!("workflow {} is {status}", workflow.workflow_id))
}

fn show(output: &mut Output, workflow: wire::Workflow) -> Result<(), Failure> {
    let time = |at: Option<&str>| at.map(|at| format!("{} UTC", table::short_time(at)));
    Details::default()
        .foreign("workflow", &workflow.workflow_id)
        .foreign("name", &workflow.name)
        .add("status", output.status(&workflow.status))
        .maybe("error", workflow.error.as_deref())
        .maybe("stage", workflow.current_stage.as_deref())
        .add("stages", format_args!("{} of {} done", workflow.stages_completed, workflow.total_stages))
        .maybe("created", time(Some(&workflow.created_at)).as_deref())
        .maybe("ended", time(workflow.ended_at.as_deref()).as_deref())
        .print(output)?;
    output.line("")?;
    let stage = |stage: &wire::WorkflowStage| {
        let time = |at: Option<&str>| Kept::Whole(at.map_or_else(|| "-".to_owned(), table::short_time));
        vec![
            table::word(&stage.name),
            table::word(&stage.status),
            time(stage.started_at.as_deref()),
            time(stage.completed_at.as_deref()),
        ]
    };
    let heading = ["STAGE", "STATUS", "STARTED (UTC)", "ENDED (UTC)"];
    table::print(output, &heading, workflow.stages.iter().map(stage).collect(), "it has no stages")?;
    output.line("")?;
    let heading = ["STAGE", "NAME", "TASK", "POOL", "STATUS", "REASON", "ATTEMPT", "SECONDS"];
    table::print(output, &heading, workflow.tasks.iter().map(task_row).collect(), "it has no tasks")
}

fn task_row(task: &wire::WorkflowTask) -> Vec<Kept> {
    vec![
        table::word(&task.stage),
        table::word(&task.name),
        table::id(&task.task_id),
        table::word(&task.pool_id),
        table::word(&task.status),
        table::word(task.reason.as_deref().unwrap_or("-")),
        table::number(task.attempt),
        table::word(&task.duration_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.3}"))),
    ]
}

fn list(list: List, session: &mut Session) -> Result<(), Failure> {
    let limit = Some(usize::from(list.limit));
    let request = Request::WorkflowList(wire::WorkflowList { status: list.status, limit, before: None });
    session.ask(&request, |output, found: wire::Workflows| {
        let row = |workflow: &wire::WorkflowSummary| {
            vec![
                table::id(&workflow.workflow_id),
                table::word(&workflow.name),
                table::word(&workflow.status),
                table::number(format_args!("{}/{}", workflow.stages_completed, workflow.total_stages)),
                table::time(&workflow.created_at),
                table::maybe_text(workflow.error.as_deref()),
            ]
        };
        let heading = ["WORKFLOW", "NAME", "STATUS", "STAGES", "CREATED (UTC)", "ERROR"];
        table::print(output, &heading, found.workflows.iter().map(row).collect(), "there are no such workflows")?;
        pages::tell_of_more(output, found.next);
        Ok(())
    })
}

fn complain(workflow: &wire::Workflow, output: &mut Output) {
    let (id, status) = (&workflow.workflow_id, &workflow.status);
    let error = workflow.error.as_deref().filter(|error| error != status);
    let error = error.map(|error| format!(": {error}")).unwrap_or_default();
    output.complain(format_args!("workflow {id} {status}{error}; see: claude-comms workflow show {id}"));
}

#[cfg(test)]
mod tests {
    use super::super::args::parse_words;
    use super::*;

    #[test]
    fn a_file_is_json_by_its_name_and_standard_input_by_its_first_letter() {
        for (file, source, expected) in [
            ("a.toml", "{", "toml"),
            ("a.JSON", "", "json"),
            ("a", "name = 'x'", "toml"),
            ("-", "\n {}", "json"),
            ("-", "name = 'x'", "toml"),
        ] {
            assert_eq!(format_of(Path::new(file), source), expected, "{file} {source}");
        }
    }

    #[test]
    fn a_run_has_all_its_flags() {
        assert!(parse_words("workflow run - --dir . --key k --no-wait --timeout 2h").is_ok());
        assert!(parse_words("workflow list --status pending").is_err());
    }
}
