//! `poll stop`: asks the daemon to end and waits until it has; with `--force` it is ended, and its tasks with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::exit::{Failure, OK, Outcome};
use super::input;
use super::output::Output;
use super::session::{Session, read};
use crate::clock::{Clock, SystemClock, Tick};
use crate::control::wire::{self, Request};
use crate::control::{ClientError, Followed, PATIENCE};
use crate::service::{Holder, holder};

/// How often the lock is looked at. Nobody can tell us that a lock was given up.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// Even who does not want to wait asks first, for so long.
const ASK_MIN: Duration = Duration::from_secs(1);
/// A daemon that holds the lock and cannot be reached for so long has its socket elsewhere (another XDG_RUNTIME_DIR).
const UNREACHABLE: Duration = Duration::from_secs(2);
/// How long a process has between TERM and KILL, and to be gone after KILL.
const KILL_GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct Stop {
    /// How long to wait for it, in seconds or like 1m
    #[arg(long, value_name = "S", default_value = "30", value_parser = input::seconds)]
    timeout: f64,
    /// When the time is up: end the daemon and its tasks with TERM, then KILL
    #[arg(long)]
    force: bool,
}

/// Who is to end, as far as it could be asked.
struct Daemon {
    lock: PathBuf,
    /// Marks the processes of its tasks; `None` when neither the daemon nor its lock has said it.
    epoch: Option<String>,
}

impl Daemon {
    /// A socket that was named may belong to the daemon of another state directory.
    fn learn(&mut self, status: &wire::DaemonStatus) {
        self.lock = Path::new(&status.state_dir).join("daemon.lock");
        self.epoch = Some(status.epoch.clone());
    }

    fn holder(&self) -> Result<Option<Holder>, Failure> {
        let failed = |error| Failure::failed(format!("the lock {} cannot be read: {error}", self.lock.display()));
        holder(&self.lock).map_err(failed)
    }

    /// False when it is still there after `wait`.
    fn is_gone_within(&self, wait: Duration, output: &mut Output) -> Result<bool, Failure> {
        let clock = SystemClock::new();
        let deadline = clock.tick().after(wait);
        while self.holder()?.is_some() {
            if clock.tick() >= deadline {
                return Ok(false);
            }
            output.pause(LOOK_INTERVAL)?;
        }
        Ok(true)
    }
}

pub(super) fn run(stop: &Stop, session: &mut Session) -> Outcome {
    let mut daemon = Daemon { lock: session.paths()?.lock, epoch: None };
    let patience = Duration::try_from_secs_f64(stop.timeout).unwrap_or(Duration::MAX);
    let clock = SystemClock::new();
    let deadline = clock.tick().after(patience);
    let asked = ask_to_stop(session, &mut daemon, patience)?;
    if !asked && daemon.holder()?.is_none() {
        return told(session, false, "claude-comms was not running");
    }
    if stop.force {
        session.output.hint("waiting for it to stop; it is killed when the time is up");
    }
    if has_stopped(session, &mut daemon, asked, deadline, &clock)? {
        return told(session, true, "claude-comms has stopped");
    }
    if !stop.force {
        return Err(Failure::timed_out(format!(
            "the daemon has not stopped within {} s, it may be finishing tasks; wait again, or end it with: \
             claude-comms poll stop --force",
            stop.timeout
        )));
    }
    kill(&mut daemon, &mut session.output)?;
    told(session, true, "claude-comms was killed")
}

fn told(session: &mut Session, was_running: bool, sentence: &str) -> Outcome {
    if session.output.json {
        session.output.json(&json!({"running": false, "was_running": was_running}))?;
    } else {
        session.output.line(sentence)?;
    }
    Ok(OK)
}

/// True when the daemon has been asked, or takes requests and does not get round to them; false when there is none
/// to be asked (yet).
fn ask_to_stop(session: &Session, daemon: &mut Daemon, patience: Duration) -> Result<bool, Failure> {
    let mut client = match session.connect() {
        Ok(client) => client,
        Err(Failure::Client(ClientError::NoDaemon { .. })) => return Ok(false),
        Err(failure) => return Err(failure),
    };
    // Both at once, as a daemon that does not answer shall not be waited for twice.
    let status = client.send(&Request::PollStatus(wire::Empty {}))?;
    let stop = client.send(&Request::DaemonStop(wire::Empty {}))?;
    loop {
        match client.receive(Some(patience.clamp(ASK_MIN, PATIENCE))) {
            Ok(Followed::Answer { id, result: Ok(result) }) if id == status => daemon.learn(&read(&result)?),
            Ok(Followed::Answer { id, result }) if id == stop => return Ok(result.map(|_| true)?),
            Ok(_) => {}
            Err(ClientError::NoAnswer | ClientError::Gone) => return Ok(true),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the lock to be free. A daemon that was only starting is asked as soon as it can be.
fn has_stopped(
    session: &mut Session,
    daemon: &mut Daemon,
    mut asked: bool,
    deadline: Tick,
    clock: &dyn Clock,
) -> Result<bool, Failure> {
    let began = clock.tick();
    while !asked {
        let Some(holder) = daemon.holder()? else { return Ok(true) };
        let now = clock.tick();
        if now >= deadline {
            return Ok(false);
        }
        session.output.pause(LOOK_INTERVAL)?;
        asked = ask_to_stop(session, daemon, now.until(deadline))?;
        if !asked && now.since(began) >= UNREACHABLE {
            asked = terminate(&holder);
        }
    }
    daemon.is_gone_within(clock.tick().until(deadline), &mut session.output)
}

/// Asks by a signal whoever holds the lock. False when it does not say which process that is.
fn terminate(holder: &Holder) -> bool {
    let pid = holder.pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok())
}

fn kill(daemon: &mut Daemon, output: &mut Output) -> Result<(), Failure> {
    for signal in [Signal::TERM, Signal::KILL] {
        // Whoever holds the lock at this moment wrote that number itself.
        let Some(held) = daemon.holder()? else { break };
        daemon.epoch = daemon.epoch.take().or(held.epoch);
        let pid = held.pid.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).ok_or_else(|| {
            Failure::failed(
                "the daemon cannot be killed: its lock does not say which process it is; see: ps -C claude-comms",
            )
        })?;
        // One that has just ended needs no signal.
        let _ = kill_process(pid, signal);
        if daemon.is_gone_within(KILL_GRACE, output)? {
            break;
        }
    }
    if daemon.holder()?.is_some() {
        return Err(Failure::timed_out("the daemon does not even end when killed: it hangs in the kernel; see dmesg"));
    }
    match &daemon.epoch {
        Some(epoch) => leftovers::end(epoch, output),
        None => {
            output.say("its tasks may still run, as it did not say which they are; the next start ends them");
            Ok(())
        }
    }
}

/// The processes of tasks that a killed daemon leaves, known by the variable in their environment.
#[cfg(target_os = "linux")]
mod leftovers {
    use std::fs;

    use rustix::fd::OwnedFd;
    use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

    use super::{Failure, KILL_GRACE, LOOK_INTERVAL, Output};
    use crate::clock::{Clock, SystemClock};

    /// Longest environment that is looked through, in bytes.
    const ENVIRONMENT_BYTES_MAX: u64 = 4 << 20;

    /// One such process, held on to so that its number cannot become another's.
    struct Leftover {
        pid: Pid,
        process: OwnedFd,
    }

    impl Leftover {
        fn signal(&self, signal: Signal) {
            // One that has just ended needs no signal. A group of its number is one that it has founded itself.
            if pidfd_send_signal(&self.process, signal).is_ok() {
                let _ = kill_process_group(self.pid, signal);
            }
        }
    }

    pub(super) fn end(epoch: &str, output: &mut Output) -> Result<(), Failure> {
        let clock = SystemClock::new();
        for signal in [Signal::TERM, Signal::KILL] {
            let deadline = clock.tick().after(KILL_GRACE);
            find(epoch).iter().for_each(|leftover| leftover.signal(signal));
            while !find(epoch).is_empty() {
                if clock.tick() >= deadline {
                    break;
                }
                output.pause(LOOK_INTERVAL)?;
                if signal == Signal::KILL {
                    // What they have started meanwhile.
                    find(epoch).iter().for_each(|leftover| leftover.signal(signal));
                }
            }
        }
        if find(epoch).is_empty() {
            return Ok(());
        }
        Err(Failure::timed_out("processes of its tasks do not even end when killed; the next start tries again"))
    }

    fn find(epoch: &str) -> Vec<Leftover> {
        let marker = format!("CLAUDE_COMMS_TASK={epoch}/");
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        numbers.filter_map(|number| marked(Pid::from_raw(number)?, marker.as_bytes())).collect()
    }

    fn marked(pid: Pid, marker: &[u8]) -> Option<Leftover> {
        // Opened before it is looked at, or another could have its number by then.
        let process = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        let file = fs::File::open(format!("/proc/{}/environ", pid.as_raw_nonzero())).ok()?;
        let mut environment = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(file, ENVIRONMENT_BYTES_MAX), &mut environment).ok()?;
        let is_ours = environment.split(|byte| *byte == 0).any(|variable| variable.starts_with(marker));
        is_ours.then_some(Leftover { pid, process })
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::os::unix::process::CommandExt;
        use std::process::{Command, Stdio};

        #[test]
        fn only_processes_of_that_epoch_are_ended() {
            let start = |epoch: &str| {
                let mut command = Command::new("cat");
                command.env("CLAUDE_COMMS_TASK", format!("{epoch}/task/1")).stdin(Stdio::piped()).process_group(0);
                command.spawn().unwrap()
            };
            let epoch = format!("test-{}", std::process::id());
            let (mut ours, mut other) = (start(&epoch), start(&format!("{epoch}-other")));
            let mut output = Output::to(std::io::sink(), false);
            // Kept open, so that nothing but a signal ends it.
            let open = ours.stdin.take();
            let ending = crate::thread::Joined::spawn("reaper", move || ours.wait().unwrap()).unwrap();
            end(&epoch, &mut output).unwrap();
            assert!(!ending.join().unwrap().success());
            drop(open);
            assert!(other.try_wait().unwrap().is_none(), "the other one was ended too");
            drop(other.stdin.take());
            assert!(other.wait().unwrap().success());
        }
    }
}

/// Without /proc there is no looking into other processes.
#[cfg(not(target_os = "linux"))]
mod leftovers {
    use super::{Failure, Output};

    pub(super) fn end(_epoch: &str, output: &mut Output) -> Result<(), Failure> {
        output.say("its tasks may still run; the next start ends them");
        Ok(())
    }
}
