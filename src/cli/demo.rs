//! `demo`: the main job on a throwaway directory, with a real daemon, real processes and a real SIGKILL.

use super::exit::{Failure, OK, Outcome};
use super::output::Output;
use super::session::{Session, read, receive};
use crate::clock::{Clock, SystemClock, Tick};
use crate::control::wire::{self, EventFollow, Request};
use crate::control::{Client, Followed, PATIENCE};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde::Deserialize;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(super) const EXAMPLES: &str = "\
Examples:
  claude-comms demo        three seconds, in a directory that is removed afterwards; no agent is needed";

/// What stands in for an agent: it notes that it was started, thinks for a second, and answers.
const AGENT: &str =
    r#"read -r question; echo started >> runs.txt; sleep 1; echo "backend says: $question -- yes, on port 8080.""#;
/// How long the agent may work on the second question before the daemon is killed.
const AT_WORK: Duration = Duration::from_millis(400);
/// Longest wait for one answer.
const ANSWER_MAX: Duration = Duration::from_secs(12);

pub(super) fn run(session: &mut Session) -> Outcome {
    let scratch = tempfile::Builder::new()
        .prefix("claude-comms-demo-")
        .tempdir()
        .map_err(|error| Failure::failed(format!("no throwaway directory could be made: {error}")))?;
    let mut demo = Demo {
        program: env::current_exe().map_err(|error| Failure::failed(error.to_string()))?,
        state_dir: scratch.path().join("state"),
        frontend: scratch.path().join("frontend"),
        backend: scratch.path().join("backend"),
        clock: SystemClock::new(),
        began: Tick::ZERO,
        said: Vec::new(),
        output: &mut session.output,
    };
    demo.began = demo.clock.tick();
    let told = demo.prepare().and_then(|()| demo.play());
    // Whatever happened, nothing is left behind.
    let _ = demo.command(&["poll", "stop", "--force", "--timeout", "5"]);
    told?;
    drop(scratch);
    hand_over(&mut session.output)?;
    Ok(OK)
}

struct Demo<'a> {
    program: PathBuf,
    state_dir: PathBuf,
    frontend: PathBuf,
    backend: PathBuf,
    clock: SystemClock,
    began: Tick,
    /// The changes of the present question that were said.
    said: Vec<String>,
    output: &'a mut Output,
}

impl Demo<'_> {
    fn prepare(&mut self) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::failed(format!("the demo's files could not be made: {error}"));
        for directory in [&self.state_dir, &self.frontend, &self.backend] {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let agent = serde_json::to_string(AGENT).map_err(|error| Failure::failed(error.to_string()))?;
        let config = format!("[executor]\ncommand = [\"/bin/sh\", \"-c\", {agent}]\n");
        fs::write(self.state_dir.join("config.toml"), config).map_err(failed)
    }

    fn play(&mut self) -> Result<(), Failure> {
        self.say("starting a daemon in a throwaway directory; a shell command plays the agent of module backend")?;
        let pid = self.start()?;
        self.say(&format!("the daemon is running (pid {pid})"))?;

        self.say("frontend asks backend: Are you up?")?;
        let first = self.ask("Are you up?")?;
        let answer = self.follow(&first)?;
        self.say(&format!("the answer: {}", answer.trim_end()))?;

        self.say("frontend asks backend: Still there?")?;
        self.said.clear();
        let second = self.ask("Still there?")?;
        self.wait_for(&second, "processing")?;
        self.output.pause(AT_WORK)?;
        self.say(&format!("kill -9 {pid}, while the agent is at work"))?;
        kill(pid)?;
        let pid = self.start()?;
        self.say(&format!("started again (pid {pid}); it ends what the old one left running, and goes on"))?;
        let answer = self.follow(&second)?;
        self.say(&format!("the answer: {}", answer.trim_end()))?;
        self.sum_up(&second)
    }

    fn say(&mut self, text: &str) -> Result<(), Failure> {
        let since = self.clock.tick().since(self.began);
        self.output.line(format!("{:>7.3} s  {text}", since.as_secs_f64()))?;
        self.output.flush()
    }

    /// Runs a verb of this very program on the throwaway directory.
    fn command(&self, verb: &[&str]) -> Result<(), Failure> {
        let output = Command::new(&self.program)
            .arg("--state-dir")
            .arg(&self.state_dir)
            .args(verb)
            .stdin(Stdio::null())
            .output()
            .map_err(|error| Failure::failed(format!("{}: {error}", self.program.display())))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Failure::failed(said.trim().trim_start_matches("claude-comms: ")))
    }

    fn start(&self) -> Result<u32, Failure> {
        self.command(&["poll", "start", "--listen", "none"])?;
        let status: wire::DaemonStatus = self.connect()?.call(&Request::PollStatus(wire::Empty {}))?;
        Ok(status.pid)
    }

    fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.state_dir.join("control.sock"))?)
    }

    fn ask(&self, prompt: &str) -> Result<wire::Answer, Failure> {
        let ask = wire::Ask {
            from: self.frontend.display().to_string(),
            to: self.backend.display().to_string(),
            prompt: prompt.to_owned(),
            no_wait: true,
            ..wire::Ask::default()
        };
        Ok(self.connect()?.call(&Request::Ask(ask))?)
    }

    /// Shows each change of the question's status until it is final, and returns the answer's text.
    fn follow(&mut self, asked: &wire::Answer) -> Result<String, Failure> {
        self.wait_for(asked, "complete")?;
        let id = wire::Id { id: asked.response_msg_id.clone() };
        let response: wire::Message = self.connect()?.call(&Request::MessageShow(id))?;
        Ok(response.content)
    }

    fn wait_for(&mut self, asked: &wire::Answer, status: &str) -> Result<(), Failure> {
        let id = &asked.question_msg_id;
        let mut client = self.connect()?;
        let shown: wire::Watched = client.call(&Request::PollShow(wire::Id { id: id.clone() }))?;
        for step in &shown.history {
            self.change(step.from.as_deref(), &step.to)?;
        }
        if shown.watch.status == status {
            return Ok(());
        }
        let channels = vec![format!("message:{id}")];
        client.follow(EventFollow { since: Some(shown.seq), channels, ..EventFollow::default() })?;
        loop {
            let Followed::Frame(frame) = receive(&mut client, self.output, Some(ANSWER_MAX))? else { continue };
            let Ok(frame) = serde_json::from_str::<Frame>(&frame) else { continue };
            let (from, to) = (frame.data.previous_status, frame.data.current_status);
            self.change(from.as_deref(), &to)?;
            if to == status {
                return Ok(());
            }
            if to == "failed" {
                return Err(Failure::failed("the question failed; see claude-comms poll logs"));
            }
        }
    }

    /// Says each change once, however often it is read.
    fn change(&mut self, from: Option<&str>, to: &str) -> Result<(), Failure> {
        let change = format!("  question: {} -> {to}", from.unwrap_or("new"));
        if self.said.contains(&change) {
            return Ok(());
        }
        self.say(&change)?;
        self.said.push(change);
        Ok(())
    }

    fn sum_up(&mut self, second: &wire::Answer) -> Result<(), Failure> {
        let mut client = self.connect()?;
        let args = wire::MessageList { thread: Some(second.thread_id.clone()), ..wire::MessageList::default() };
        let messages = client.call_raw(&Request::MessageList(args), Some(PATIENCE))?;
        let messages: wire::Messages = read(&messages)?;
        let answers = messages.messages.iter().filter(|message| message.r#type == "response").count();
        let runs = fs::read_to_string(self.backend.join("runs.txt")).unwrap_or_default().lines().count();
        let status: wire::DaemonStatus = client.call(&Request::PollStatus(wire::Empty {}))?;
        self.output.line("")?;
        self.output.line("2 questions, 2 answers. For the second the agent was started twice, once by each daemon;")?;
        self.output.line(format!(
            "its answer is recorded {answers} time(s). {runs} starts in all, {} events, {} tasks left.",
            status.seq,
            status.tasks_queued + status.tasks_running
        ))?;
        if answers == 1 && status.tasks_queued + status.tasks_running == 0 {
            return Ok(());
        }
        Err(Failure::failed("the second question was not answered exactly once"))
    }
}

/// The part of an event that is shown.
#[derive(Deserialize)]
struct Frame {
    data: Change,
}

#[derive(Deserialize)]
struct Change {
    previous_status: Option<String>,
    current_status: String,
}

/// Kills the daemon as nobody should, and waits until the kernel has let go of it.
fn kill(pid: u32) -> Result<(), Failure> {
    let failed = |error: rustix::io::Errno| Failure::failed(format!("the daemon could not be killed: {error}"));
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(pid) = pid else { return Err(Failure::failed("the daemon has no process id")) };
    let exit = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
    kill_process(pid, Signal::KILL).map_err(failed)?;
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    poll(&mut [PollFd::new(&exit, PollFlags::IN)], Some(&limit)).map_err(failed)?;
    Ok(())
}

/// What to try next, with the agent that is there.
fn hand_over(output: &mut Output) -> Result<(), Failure> {
    output.line("")?;
    if is_on_path("claude") {
        output.line("`claude` is on your PATH. Next, ask it something about a repository of yours:")?;
    } else {
        output.line("`claude` is not on your PATH: install it, or name another agent under [executor] command in")?;
        output.line("the configuration (see claude-comms config show). Then ask it about a repository of yours:")?;
    }
    output.line("  claude-comms poll start")?;
    output.line("  claude-comms ask --to PATH/TO/REPOSITORY 'What does this project do?'")
}

fn is_on_path(program: &str) -> bool {
    env::var_os("PATH").is_some_and(|path| env::split_paths(&path).any(|dir: PathBuf| is_file(&dir.join(program))))
}

fn is_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file())
}
