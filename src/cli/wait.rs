//! `poll wait` and `poll show --follow`: each change as it happens, and the end.
//!
//! The daemon's answer to a wait may overtake the events that led to it, so it carries the number of the last one.

use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::exit::{FAILED, Failure, OK, Outcome, TIMED_OUT};
use super::input;
use super::output::Output;
use super::session::{Session, patience, read, receive};
use crate::control::wire::{self, Request};
use crate::control::{Client, ClientError, Followed, PATIENCE};

/// How long the events that an answer speaks of may be behind it.
const LATE_MAX: Duration = Duration::from_secs(1);
const STATUS_CHANGED: &str = "message.status_changed";

#[derive(Debug, Args)]
pub(super) struct Wait {
    /// The message or task, watched or not
    id: String,
    /// How long to wait, in seconds or like 5m; else until the watch ends
    #[arg(long, value_name = "S", value_parser = input::seconds)]
    timeout: Option<f64>,
    /// Print the last status only
    #[arg(long, short)]
    quiet: bool,
}

/// What is needed of an event.
#[derive(Debug, Deserialize)]
struct Frame {
    event: String,
    seq: Option<u64>,
    data: Change,
}

#[derive(Debug, Default, Deserialize)]
struct Change {
    previous_status: Option<String>,
    current_status: Option<String>,
    #[serde(default)]
    r#final: bool,
}

impl Change {
    fn print(&self, output: &mut Output) -> Result<(), Failure> {
        let from = output.status(self.previous_status.as_deref().unwrap_or("unknown"));
        let to = output.status(self.current_status.as_deref().unwrap_or("unknown"));
        output.line(format_args!("Status changed: {from} -> {to}"))?;
        // It is to be seen when it happens, not when the pipe is full.
        output.flush()
    }
}

fn parse(frame: &str) -> Result<Frame, Failure> {
    serde_json::from_str(frame).map_err(|error| Failure::Client(ClientError::Malformed(error.to_string())))
}

pub(super) fn run(wait: Wait, session: &mut Session) -> Outcome {
    let mut client = session.connect()?;
    let limit = patience(wait.timeout);
    let timeout_seconds = wait.timeout;
    let answer = if wait.quiet || session.output.json {
        client.call_raw(&Request::PollWait(wire::Wait { id: wait.id, timeout_seconds }), limit)?
    } else {
        let shown: wire::Watched = client.call(&Request::PollShow(wire::Id { id: wait.id }))?;
        let name = name_of(&shown);
        let request = Request::PollWait(wire::Wait { id: name.to_owned(), timeout_seconds });
        watch_and_wait(&mut client, name, shown.seq, &request, limit, &mut session.output)?
    };
    let waited: wire::Waited = read(&answer)?;
    session.print(&answer, |output, waited: wire::Waited| {
        let status = output.status(&waited.status);
        output.line(status)
    })?;
    Ok(tell_end(&waited, &mut session.output))
}

fn name_of(shown: &wire::Watched) -> &str {
    shown.watch.message_id.as_deref().or(shown.watch.task_id.as_deref()).unwrap_or_default()
}

fn events_of(name: &str, since: u64) -> wire::EventFollow {
    wire::EventFollow {
        since: Some(since),
        since_epoch: None,
        channels: vec![format!("message:{name}")],
        events: vec![STATUS_CHANGED.to_owned()],
    }
}

/// Prints changes from `since` on until the wait is answered, and those that the answer has overtaken.
fn watch_and_wait(
    client: &mut Client,
    name: &str,
    since: u64,
    request: &Request,
    limit: Option<Duration>,
    output: &mut Output,
) -> Result<Box<serde_json::value::RawValue>, Failure> {
    client.send(&Request::EventFollow(events_of(name, since)))?;
    let asked = client.send(request)?;
    let mut seen = since;
    let answer = loop {
        match receive(client, output, limit)? {
            Followed::Answer { id, result } if id == asked => break result?,
            Followed::Answer { result, .. } => drop(result?),
            Followed::Frame(frame) => seen = print_frame(&frame, output)?.unwrap_or(seen),
        }
    };
    let waited: wire::Waited = read(&answer)?;
    let last = waited.seq.unwrap_or(seen);
    if waited.id == name {
        print_late(client, seen, last, output)?;
    } else {
        // The watch on a task has found its message, whose changes go by the message's name.
        print_history(client, &waited.id, seen, last, output)?;
    }
    Ok(answer)
}

/// Returns the number of the event, if it has one.
fn print_frame(frame: &str, output: &mut Output) -> Result<Option<u64>, Failure> {
    let frame = parse(frame)?;
    match frame.event.as_str() {
        STATUS_CHANGED => frame.data.print(output)?,
        "gap" => output.say("some changes came too fast to be shown"),
        _ => {}
    }
    Ok(frame.seq)
}

fn print_late(client: &mut Client, mut seen: u64, last: u64, output: &mut Output) -> Result<(), Failure> {
    while seen < last {
        match client.receive(Some(LATE_MAX)) {
            Ok(Followed::Frame(frame)) => seen = print_frame(&frame, output)?.unwrap_or(seen),
            Ok(Followed::Answer { .. }) => {}
            // The end is known; that a change is missing on the way is no reason to fail.
            Err(_) => return Ok(()),
        }
    }
    Ok(())
}

fn print_history(client: &mut Client, id: &str, seen: u64, last: u64, output: &mut Output) -> Result<(), Failure> {
    let Ok(shown) = client.call::<wire::Watched>(&Request::PollShow(wire::Id { id: id.to_owned() })) else {
        return Ok(());
    };
    for step in shown.history.into_iter().filter(|step| step.seq > seen && step.seq <= last) {
        Change { previous_status: step.from, current_status: Some(step.to), r#final: false }.print(output)?;
    }
    Ok(())
}

fn tell_end(waited: &wire::Waited, output: &mut Output) -> u8 {
    let exit_code = exit_code(&waited.status);
    let id = &waited.id;
    match (exit_code, waited.status.as_str()) {
        (OK, _) => {}
        (TIMED_OUT, _) => output.complain(format_args!("nothing came of {id} before its watch expired")),
        (_, "removed") => output.complain(format_args!("{id} is watched no longer: somebody removed it")),
        _ => output.complain(format_args!("{id} failed; see why with: claude-comms poll show {id}")),
    }
    exit_code
}

fn exit_code(status: &str) -> u8 {
    match status {
        "complete" => OK,
        "expired" => TIMED_OUT,
        _ => FAILED,
    }
}

/// Prints what happens to a message that has been shown, until its status is final.
pub(super) fn follow(shown: &wire::Watched, client: &mut Client, output: &mut Output) -> Result<(), Failure> {
    if shown.r#final {
        return Ok(());
    }
    output.flush()?;
    let asked = client.send(&Request::EventFollow(events_of(name_of(shown), shown.seq)))?;
    let mut limit = Some(PATIENCE);
    loop {
        match receive(client, output, limit)? {
            Followed::Answer { id, result } if id == asked => {
                result?;
                // From here on it is for the message to say how long it takes.
                limit = None;
            }
            Followed::Answer { .. } => {}
            Followed::Frame(text) => {
                let frame = parse(&text)?;
                if output.json {
                    output.json_text(&text)?;
                    output.flush()?;
                } else {
                    print_frame(&text, output)?;
                }
                if frame.event == STATUS_CHANGED && frame.data.r#final {
                    return Ok(());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixListener;
    use std::sync::Arc;

    use parking_lot::Mutex;

    use crate::thread::Joined;

    /// What was printed, kept for looking at it.
    #[derive(Clone, Default)]
    struct Printed(Arc<Mutex<Vec<u8>>>);

    impl Write for Printed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Printed {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }
    }

    fn frame(seq: u64, from: &str, to: &str) -> String {
        let last = ["complete", "failed"].contains(&to);
        format!(
            r#"{{"id":"{seq}","type":"event","event":"message.status_changed","data":{{"previous_status":{from},"current_status":"{to}","final":{last}}},"seq":{seq}}}"#
        )
    }

    /// A daemon that reads `requests` lines and then says `lines`.
    fn daemon(requests: usize, lines: Vec<String>) -> (tempfile::TempDir, Client, Joined<()>) {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let client = Client::connect(&socket).unwrap();
        let serving = Joined::spawn("daemon", move || {
            let (mut stream, _) = listener.accept().unwrap();
            let asked = BufReader::new(stream.try_clone().unwrap()).lines().take(requests).count();
            assert_eq!(asked, requests);
            for line in lines {
                writeln!(stream, "{line}").unwrap();
            }
        })
        .unwrap();
        (dir, client, serving)
    }

    const FOLLOWING: &str = r#"{"v":1,"id":1,"ok":true,"result":{"seq":4,"epoch":"e","recovered":true}}"#;
    const COMPLETE: &str = r#"{"v":1,"id":2,"ok":true,"result":{"id":"m","status":"complete","seq":6}}"#;

    fn wait(lines: Vec<String>) -> (Result<wire::Waited, Failure>, String) {
        let (_dir, mut client, _serving) = daemon(2, lines);
        let printed = Printed::default();
        let mut output = Output::to(printed.clone(), false);
        let request = Request::PollWait(wire::Wait { id: "m".to_owned(), timeout_seconds: None });
        let answer = watch_and_wait(&mut client, "m", 4, &request, Some(PATIENCE), &mut output);
        (answer.and_then(|answer| read(&answer)), printed.text())
    }

    #[test]
    fn changes_that_the_answer_has_overtaken_are_printed_all_the_same() {
        let late = [frame(5, "\"pending\"", "processing"), frame(6, "\"processing\"", "complete")];
        let expected = "Status changed: pending -> processing\nStatus changed: processing -> complete\n";
        for place in 0..3 {
            let mut lines = vec![FOLLOWING.to_owned()];
            lines.extend(late.iter().take(place).cloned());
            lines.push(COMPLETE.to_owned());
            lines.extend(late.iter().skip(place).cloned());
            let (waited, printed) = wait(lines);
            assert_eq!(waited.unwrap().status, "complete");
            assert_eq!(printed, expected, "answer at {place}");
        }
    }

    #[test]
    fn a_message_that_is_inserted_was_unknown_before() {
        let (_, printed) = wait(vec![FOLLOWING.to_owned(), frame(6, "null", "complete"), COMPLETE.to_owned()]);
        assert_eq!(printed, "Status changed: unknown -> complete\n");
    }

    #[test]
    fn an_end_without_all_its_changes_is_still_the_end() {
        let (waited, printed) = wait(vec![FOLLOWING.to_owned(), COMPLETE.to_owned()]);
        assert_eq!((waited.unwrap().status.as_str(), printed.as_str()), ("complete", ""));
    }

    #[test]
    fn a_wait_that_times_out_is_124_and_a_lost_daemon_3() {
        let timed_out = r#"{"v":1,"id":2,"ok":false,"error":{"code":"timed_out","message":"no"}}"#;
        let (waited, _) = wait(vec![FOLLOWING.to_owned(), timed_out.to_owned()]);
        assert_eq!(waited.unwrap_err().exit_code(), 124);
        let (waited, _) = wait(vec![FOLLOWING.to_owned()]);
        assert_eq!(waited.unwrap_err().exit_code(), 3);
    }

    #[test]
    fn how_it_ended_is_the_exit_code() {
        let codes = ["complete", "failed", "removed", "expired"].map(exit_code);
        assert_eq!(codes, [0, 1, 1, 124]);
    }

    #[test]
    fn following_ends_with_a_final_status() {
        let lines =
            vec![FOLLOWING.to_owned(), frame(5, "\"pending\"", "processing"), frame(6, "\"processing\"", "failed")];
        let (_dir, mut client, _serving) = daemon(1, lines);
        let printed = Printed::default();
        let mut output = Output::to(printed.clone(), true);
        let shown =
            r#"{"message_id":"m","status":"pending","added_at":"","updated_at":"","final":false,"history":[],"seq":4}"#;
        follow(&serde_json::from_str(shown).unwrap(), &mut client, &mut output).unwrap();
        let printed = printed.text();
        assert_eq!(printed.lines().count(), 2);
        assert!(printed.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{printed}");
    }
}
