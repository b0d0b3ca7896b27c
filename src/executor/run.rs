//! Running one job on the calling thread: one poll loop over its pipes, its pidfd and the worker's wake, with the next
//! deadline as timeout. Whatever happens, nothing of the process group outlives the run.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use crate::clock::{Clock, Tick};

use super::announce::Announcement;
use super::answer::Answer;
use super::finished::{COMPLAINT_BYTES_MAX, Ending, Evidence, Exit, Finished, Standing};
use super::job::Job;
use super::leader::Leader;
use super::limits::{Graces, Limits};
use super::output::{LogFile, Tail};
use super::pipes::{Input, Stream};
use super::poll::poll;
use super::procfs::{self, Process};
use super::start::start;
use super::sweep::Sweep;
use super::wake::{Stop, Wake};

/// As much as a pipe holds, so that one read empties it.
const CHUNK_BYTES: usize = 64 << 10;

/// Who wants to hear about a run while it goes on. Called on the thread that runs it, which waits meanwhile.
pub trait Observer {
    /// The process has just been started; to be remembered for the case that this one is killed.
    fn started(&mut self, process: Process);

    /// How much it has written to its logs so far, in bytes: at most five times a second.
    fn output(&mut self, stdout: u64, stderr: u64);

    /// Everything that the agent has said so far: at most five times a second, and only with stream-json.
    fn progress(&mut self, text: &str);
}

/// Runs the job to its end and says how it ended; every failure is an ending. `token` is what [`Wake::ask`] names.
///
/// The process leads a group of its own. After the run nothing of that group is left, and after one that was stopped
/// neither is any process that carries the job's marker, wherever it went.
pub fn run(job: &Job, token: u64, wake: &Wake, clock: &dyn Clock, observer: &mut dyn Observer) -> Finished {
    if let Some(stop) = wake.asked(token) {
        let sentence = "stopped before it was started".to_owned();
        return Finished::without_process(ending_of(stop), Standing::Untold, sentence);
    }
    let began = clock.tick();
    let input = job.input().filter(|input| !input.is_empty());
    let started = match start(job, input.is_some()) {
        Ok(started) => started,
        Err(err) => {
            let sentence = err.sentence(job.purpose);
            return Finished::without_process(Ending::NotStarted, err.standing(), sentence);
        }
    };
    let log = |name| LogFile::new(&job.output_directory, name, job.log_bytes_max);
    let mut run = Run {
        job,
        token,
        wake,
        clock,
        leader: started.leader,
        stdin: started.stdin.zip(input).map(|(pipe, text)| Input::new(pipe, text)),
        stdout: Stream::new(started.stdout, log("stdout")),
        stderr: Stream::new(started.stderr, log("stderr")),
        answer: Answer::of(job),
        complaint: Tail::new(COMPLAINT_BYTES_MAX),
        announcement: Announcement::new(began),
        limits: Limits::new(began, job.timeout, Graces { ended: job.grace, stopped: job.stop_grace }),
        chunk: vec![0; CHUNK_BYTES],
    };
    // A panic of the observer is passed on, but not before the processes are gone.
    let watched = catch_unwind(AssertUnwindSafe(|| run.watch(observer)));
    run.sweep();
    if let Err(panic) = watched {
        resume_unwind(panic);
    }
    run.finish(began, observer)
}

struct Run<'a> {
    job: &'a Job,
    token: u64,
    wake: &'a Wake,
    clock: &'a dyn Clock,
    leader: Leader,
    stdin: Option<Input<'a>>,
    stdout: Stream,
    stderr: Stream,
    answer: Answer,
    complaint: Tail,
    announcement: Announcement,
    limits: Limits,
    chunk: Vec<u8>,
}

/// What poll(2) found.
struct Ready {
    stdin: bool,
    stdout: bool,
    stderr: bool,
    exited: bool,
    woken: bool,
}

impl Run<'_> {
    /// Until the leader has exited and its pipes are empty, or nobody can be waited for any longer.
    fn watch(&mut self, observer: &mut dyn Observer) {
        observer.started(identify(&self.leader));
        self.write();
        loop {
            let now = self.clock.tick();
            self.signal_what_is_due(now);
            let is_drained = self.stdout.pipe().is_none() && self.stderr.pipe().is_none();
            if self.limits.is_over(now, is_drained, self.wake.is_impatient()) {
                return;
            }
            let limit = self.limits.next().min(self.answer.progress_due()).min(self.announcement.due(self.lengths()));
            match self.wait(now.until(limit)) {
                Ok(ready) => self.handle(&ready, observer),
                Err(err) => {
                    // Out of memory in the kernel: without poll there is no supervision, so the run ends here.
                    log::error!("could not wait for a task, task_id={} error={err}", self.job.task_id);
                    return;
                }
            }
        }
    }

    fn handle(&mut self, ready: &Ready, observer: &mut dyn Observer) {
        if ready.woken {
            self.wake.hush();
        }
        if ready.stdin {
            self.write();
        }
        self.read(ready);
        let now = self.clock.tick();
        if ready.exited {
            self.limits.note_exit(now);
            // Nobody of ours will read it now.
            self.stdin = None;
        }
        if let Some(text) = self.answer.progress(now) {
            observer.progress(&text);
        }
        if let Some((stdout, stderr)) = self.announcement.take(now, self.lengths()) {
            observer.output(stdout, stderr);
        }
    }

    fn lengths(&self) -> (u64, u64) {
        (self.stdout.length(), self.stderr.length())
    }

    fn signal_what_is_due(&mut self, now: Tick) {
        loop {
            let asked = self.wake.asked(self.token).map(ending_of);
            match self.limits.due(now, asked, self.wake.is_impatient()) {
                Some(signal) => self.leader.signal_group(signal),
                None => return,
            }
        }
    }

    fn wait(&self, limit: Duration) -> io::Result<Ready> {
        let has_exited = self.limits.has_exited();
        let mut fds = [
            self.place(self.stdin.as_ref().map(Input::pipe), PollFlags::OUT),
            self.place(self.stdout.pipe(), PollFlags::IN),
            self.place(self.stderr.pipe(), PollFlags::IN),
            PollFd::new(&self.leader, if has_exited { PollFlags::empty() } else { PollFlags::IN }),
            PollFd::new(self.wake, PollFlags::IN),
        ];
        poll(&mut fds, limit)?;
        let [stdin, stdout, stderr, exited, woken] = fds.map(|fd| !fd.revents().is_empty());
        Ok(Ready { stdin, stdout, stderr, exited: exited && !has_exited, woken })
    }

    /// What is closed has its place taken by the wake, which is then asked for nothing.
    fn place<'a>(&'a self, fd: Option<&'a OwnedFd>, flags: PollFlags) -> PollFd<'a> {
        match fd {
            Some(fd) => PollFd::from_borrowed_fd(fd.as_fd(), flags),
            None => PollFd::new(self.wake, PollFlags::empty()),
        }
    }

    fn write(&mut self) {
        if self.stdin.as_mut().is_some_and(Input::write) {
            self.stdin = None;
        }
    }

    /// At most one chunk of each, so that neither a flood nor a slow disk keeps us from the limits.
    fn read(&mut self, ready: &Ready) {
        if ready.stdout {
            self.stdout.read(&mut self.chunk, |bytes| self.answer.push(bytes));
        }
        if ready.stderr {
            self.stderr.read(&mut self.chunk, |bytes| self.complaint.push(bytes));
        }
    }

    /// Ends whatever the leader has left behind. It costs a look through /proc, so only where there is reason to.
    fn sweep(&mut self) {
        let holds_pipes = self.stdout.pipe().is_some() || self.stderr.pipe().is_some();
        if !self.limits.has_exited() {
            self.leader.signal_group(Signal::KILL);
        } else if self.limits.stopped().is_none() && !holds_pipes && !self.leader.has_company() {
            return;
        }
        let group = self.leader.pid();
        let swept = Sweep {
            wanted: &|pid, stat| {
                i32::try_from(stat.group) == Ok(group.as_raw_pid())
                    || procfs::marker(pid).is_some_and(|marker| marker == self.job.marker)
            },
            group: Some(group),
            group_asked: self.limits.stopped().is_some(),
            kill_at: self.limits.kill_rest_at(self.clock.tick()),
            clock: self.clock,
            wake: Some(self.wake),
        }
        .run();
        match swept {
            Ok(swept) if swept.left.is_empty() => {}
            Ok(swept) => {
                log::error!("processes of a task do not end, task_id={} pids={:?}", self.job.task_id, swept.left);
            }
            Err(err) => {
                log::error!("could not look for processes of a task, task_id={} error={err}", self.job.task_id);
                self.leader.signal_group(Signal::KILL);
            }
        }
    }

    fn finish(mut self, began: Tick, observer: &mut dyn Observer) -> Finished {
        let stopped = match self.limits.stopped() {
            // Who cancels what is being stopped does not want to see it again.
            Some(Ending::Shutdown) => self.wake.asked(self.token).map(ending_of),
            other => other,
        };
        if let Some(text) = self.answer.end() {
            observer.progress(&text);
        }
        let mut evidence = Evidence {
            stopped,
            exit: self.reap(),
            result: String::new(),
            truncated: false,
            refused: false,
            standing: Standing::Untold,
            usage: None,
            complaint: self.complaint.text(),
            duration: self.clock.tick().since(began),
        };
        self.answer.tell(&mut evidence);
        evidence.judge(self.job)
    }

    fn reap(&mut self) -> Exit {
        let Some(status) = self.leader.reap() else { return Exit::Stuck };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Stuck,
        }
    }
}

fn identify(leader: &Leader) -> Process {
    let pid = leader.pid().as_raw_pid().unsigned_abs();
    Process::of(pid).unwrap_or_else(|err| {
        log::warn!("could not identify a process, pid={pid} error={err}");
        // No process started before the machine did, so this matches none.
        Process { pid, started: 0, boot_id: String::new() }
    })
}

fn ending_of(stop: Stop) -> Ending {
    match stop {
        Stop::Cancel => Ending::Cancelled,
        Stop::Shutdown => Ending::Shutdown,
        Stop::Stuck => Ending::Stuck,
    }
}
