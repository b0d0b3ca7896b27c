//! The library for Rust programs: talk to the daemon, watch messages with callbacks, ask modules.
//!
//! Everything here goes through the control socket, so it sees and may do what the command line does. Calls block; each
//! opens a connection of its own, so a [`Comms`] can be shared between threads.
//!
//! ```
//! # let (_dir, state_dir, _daemon) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/doc_daemon.rs"));
//! use claude_comms::comms::{Comms, Question};
//! use std::time::Duration;
//!
//! let comms = Comms::in_directory(&state_dir);
//! let repository = state_dir.to_str().unwrap();
//! let answer = comms.ask_module(
//!     Question::new(repository, repository, "What is the meaning of life?").timeout(Duration::from_secs(20)),
//! )?;
//! assert_eq!(answer.final_status, "complete");
//! println!("{}", answer.content.unwrap_or_default());
//! # comms.stop()?;
//! # Ok::<(), claude_comms::comms::CommsError>(())
//! ```

use crate::control::wire::{self, EventFollow, Request};
use crate::control::{Client, ClientError, Followed};
use crate::thread::Joined;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use serde_json::value::RawValue;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

pub use crate::control::wire::{Answer, DaemonStatus, Message, Watch, Watched};

/// Beyond the daemon's own limit on a wait, before the connection itself is given up.
const WAIT_SLACK: Duration = Duration::from_secs(5);
/// How long the events that an answer speaks of may be behind it.
const LATE_MAX: Duration = Duration::from_secs(1);
/// How long the daemon may be away before callbacks are told that it is.
const RECONNECT_MAX: usize = 60;
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Why a call came to nothing. Its text is one sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum CommsError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the daemon could not be started: {0}")]
    NotStarted(String),
    /// The message was not final within the time given; it goes on.
    #[error("{id} was still {status} when the time was up")]
    TimedOut { id: String, status: String },
    #[error("no thread could be started: {0}")]
    NoThread(#[from] io::Error),
}

/// A way to the daemon. Cheap; holds no connection.
#[derive(Clone, Debug)]
pub struct Comms {
    socket: PathBuf,
    state_dir: Option<PathBuf>,
}

impl Comms {
    /// The daemon that keeps everything in one directory (`--state-dir`).
    pub fn in_directory(state_dir: &Path) -> Comms {
        Comms { socket: state_dir.join("control.sock"), state_dir: Some(state_dir.to_owned()) }
    }

    /// The daemon behind a socket.
    pub fn at_socket(socket: &Path) -> Comms {
        Comms { socket: socket.to_owned(), state_dir: None }
    }

    /// Starts the daemon if none runs, by `PROGRAM poll start --if-needed`; returns once it answers.
    ///
    /// # Errors
    /// [`CommsError::NotStarted`] with what the command said.
    pub fn start(&self, program: &Path) -> Result<(), CommsError> {
        let mut command = Command::new(program);
        match &self.state_dir {
            Some(dir) => command.arg("--state-dir").arg(dir),
            None => command.arg("--socket").arg(&self.socket),
        };
        let output = command
            .args(["poll", "start", "--if-needed"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| CommsError::NotStarted(format!("{}: {error}", program.display())))?;
        if output.status.success() {
            return Ok(());
        }
        Err(CommsError::NotStarted(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }

    /// Has the daemon stop in order. Returns when it has taken the request.
    ///
    /// # Errors
    /// [`ClientError::NoDaemon`] when none runs.
    pub fn stop(&self) -> Result<(), CommsError> {
        let _: wire::Empty = self.connect()?.call(&Request::DaemonStop(wire::Empty {}))?;
        Ok(())
    }

    /// What the daemon is doing.
    ///
    /// # Errors
    /// [`ClientError::NoDaemon`] when none runs.
    pub fn status(&self) -> Result<DaemonStatus, CommsError> {
        Ok(self.connect()?.call(&Request::PollStatus(wire::Empty {}))?)
    }

    /// The watches that have not ended: at most 1,000, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn active_messages(&self) -> Result<Vec<Watch>, CommsError> {
        let args = wire::PollList { limit: Some(crate::model::limits::PAGE_ROWS_MAX), ..wire::PollList::default() };
        let watches: wire::Watches = self.connect()?.call(&Request::PollList(args))?;
        Ok(watches.messages)
    }

    /// A message, watched or not, with its content and the history of its status.
    ///
    /// # Errors
    /// Refused with `not_found` when there is none of that id.
    pub fn message(&self, id: &str) -> Result<Watched, CommsError> {
        Ok(self.connect()?.call(&Request::PollShow(wire::Id { id: id.to_owned() }))?)
    }

    /// Watches a message or a task, and calls back on a thread of its own as its status changes. The value returned
    /// stands for the watching: dropping it ends the callbacks (the daemon's own watch stays).
    ///
    /// ```
    /// # let (_dir, state_dir, _daemon) = include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/doc_daemon.rs"));
    /// use claude_comms::comms::{Comms, Question, Watching};
    /// use std::sync::mpsc;
    ///
    /// let comms = Comms::in_directory(&state_dir);
    /// let repository = state_dir.to_str().unwrap();
    /// let asked = comms.ask_module(Question::new(repository, repository, "ready?").no_wait())?;
    ///
    /// let (told, complete) = mpsc::channel();
    /// let watching = comms.add_message(
    ///     Watching::message(&asked.response_msg_id).on_complete(move |_id, content| drop(told.send(content.to_owned()))),
    /// )?;
    /// assert!(complete.recv().unwrap().contains("ready?"));
    /// # drop(watching);
    /// # comms.stop()?;
    /// # Ok::<(), claude_comms::comms::CommsError>(())
    /// ```
    ///
    /// # Errors
    /// Refused with `busy` when `--max-messages` are watched already.
    pub fn add_message(&self, watching: Watching) -> Result<Callbacks, CommsError> {
        let mut client = self.connect()?;
        let watch: Watch = client.call(&Request::PollAdd(watching.add.clone()))?;
        Callbacks::start(self.clone(), client, &watch, watching)
    }

    /// Ends the daemon's watch on a message; whoever waits for it is told.
    ///
    /// # Errors
    /// Refused with `not_found` when it is not watched.
    pub fn remove_message(&self, id: &str) -> Result<(), CommsError> {
        let _: wire::Watch = self.connect()?.call(&Request::PollRemove(wire::Id { id: id.to_owned() }))?;
        Ok(())
    }

    /// Waits until a message is complete or failed and returns it. `progress` is called with each new status.
    ///
    /// # Errors
    /// [`CommsError::TimedOut`] after `timeout`; refused with `not_found` when it is neither watched nor known.
    pub fn poll_message_until_complete(
        &self,
        id: &str,
        timeout: Duration,
        mut progress: impl FnMut(&str),
    ) -> Result<Watched, CommsError> {
        let mut client = self.connect()?;
        let before = self.message(id)?;
        let whole = name_of(&before.watch).unwrap_or(id).to_owned();
        client.follow(EventFollow {
            since: Some(before.seq),
            channels: vec![format!("message:{whole}")],
            ..EventFollow::default()
        })?;
        let wait = wire::Wait { id: whole.clone(), timeout_seconds: Some(timeout.as_secs_f64()) };
        let asked = client.send(&Request::PollWait(wait))?;
        let mut seen = before.seq;
        loop {
            match client.receive(Some(timeout + WAIT_SLACK))? {
                Followed::Frame(frame) => seen = tell_status(&frame, &mut progress).unwrap_or(seen),
                Followed::Answer { id: answered, result } if answered == asked => {
                    if let Ok(answer) = &result {
                        tell_late(&mut client, answer, seen, &mut progress);
                    }
                    return self.waited(&whole, result);
                }
                Followed::Answer { .. } => {}
            }
        }
    }

    fn waited(&self, id: &str, result: Result<Box<RawValue>, ClientError>) -> Result<Watched, CommsError> {
        let timed_out = match result {
            Ok(waited) => {
                serde_json::from_str::<wire::Waited>(waited.get()).is_ok_and(|waited| waited.status == "expired")
            }
            Err(ClientError::Refused { code: crate::model::command::Code::TimedOut, .. }) => true,
            Err(error) => return Err(error.into()),
        };
        let message = self.message(id)?;
        if timed_out {
            // The watch has expired; the message is what it was.
            let status = self.connect()?.call(&Request::MessageShow(wire::Id { id: id.to_owned() }));
            let status = status.map_or(message.watch.status, |message: Message| message.status);
            return Err(CommsError::TimedOut { id: id.to_owned(), status });
        }
        Ok(message)
    }

    /// Asks a module and waits for its answer (unless told not to). A failure of the module is an answer too: look at
    /// `success` and `error`.
    ///
    /// # Errors
    /// Refused with `not_found` when a module is not registered, with `busy` or `queue_full` when there is no room.
    pub fn ask_module(&self, question: Question) -> Result<Answer, CommsError> {
        let patience = question.args.timeout_seconds.map(Duration::from_secs_f64).map(|timeout| timeout + WAIT_SLACK);
        Ok(self.connect()?.call_within(&Request::Ask(question.args), patience)?)
    }

    fn connect(&self) -> Result<Client, CommsError> {
        Ok(Client::connect(&self.socket)?)
    }
}

/// A question to a module.
#[derive(Clone, Debug)]
pub struct Question {
    args: wire::Ask,
}

impl Question {
    /// `from` and `to`: a registered module's name, or an absolute directory. `prompt`: at most 1 MiB.
    pub fn new(from: &str, to: &str, prompt: &str) -> Question {
        let args =
            wire::Ask { from: from.to_owned(), to: to.to_owned(), prompt: prompt.to_owned(), ..wire::Ask::default() };
        Question { args }
    }

    /// How long the answer is waited for, and how long the module's process may run: 0.1 s to 7 days, else the
    /// daemon's `[ask] timeout_seconds`.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Question {
        self.args.timeout_seconds = Some(timeout.as_secs_f64());
        self
    }

    #[must_use]
    pub fn pool(mut self, pool: &str) -> Question {
        self.args.pool = Some(pool.to_owned());
        self
    }

    /// Goes on in a thread that exists.
    #[must_use]
    pub fn thread(mut self, thread_id: &str) -> Question {
        self.args.thread = Some(thread_id.to_owned());
        self
    }

    #[must_use]
    pub fn system_prompt(mut self, text: &str) -> Question {
        self.args.system_prompt = Some(text.to_owned());
        self
    }

    /// Returns as soon as the question is stored, with its ids.
    #[must_use]
    pub fn no_wait(mut self) -> Question {
        self.args.no_wait = true;
        self
    }
}

type OnText = Box<dyn FnMut(&str, &str) + Send>;

/// What to watch, and whom to call.
#[derive(Default)]
pub struct Watching {
    add: wire::PollAdd,
    on_complete: Option<OnText>,
    on_fail: Option<OnText>,
    on_status: Option<OnText>,
}

impl Watching {
    /// A message, which need not exist yet.
    pub fn message(id: &str) -> Watching {
        let add = wire::PollAdd { message_id: Some(id.to_owned()), ..wire::PollAdd::default() };
        Watching { add, ..Watching::default() }
    }

    /// A task of ours, or whatever message turns out to be about a task of that id.
    pub fn task(id: &str) -> Watching {
        let add = wire::PollAdd { task_id: Some(id.to_owned()), ..wire::PollAdd::default() };
        Watching { add, ..Watching::default() }
    }

    #[must_use]
    pub fn thread(mut self, thread_id: &str) -> Watching {
        self.add.thread_id = Some(thread_id.to_owned());
        self
    }

    #[must_use]
    pub fn source_module(mut self, module: &str) -> Watching {
        self.add.source = Some(module.to_owned());
        self
    }

    #[must_use]
    pub fn target_module(mut self, module: &str) -> Watching {
        self.add.target = Some(module.to_owned());
        self
    }

    /// When the watch expires: at most a year from now, else the daemon's `[watch] timeout_seconds`.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Watching {
        self.add.timeout_seconds = Some(timeout.as_secs_f64());
        self
    }

    /// Called once with the id and the content, when it is complete.
    #[must_use]
    pub fn on_complete(mut self, call: impl FnMut(&str, &str) + Send + 'static) -> Watching {
        self.on_complete = Some(Box::new(call));
        self
    }

    /// Called once with the id and a sentence, when it has failed, expired or been removed.
    #[must_use]
    pub fn on_fail(mut self, call: impl FnMut(&str, &str) + Send + 'static) -> Watching {
        self.on_fail = Some(Box::new(call));
        self
    }

    /// Called with the id and the status, for every change of it.
    #[must_use]
    pub fn on_status(mut self, call: impl FnMut(&str, &str) + Send + 'static) -> Watching {
        self.on_status = Some(Box::new(call));
        self
    }
}

/// A watching with callbacks; dropping it ends them and waits for one that is being made.
pub struct Callbacks {
    // Closing this is what wakes the thread between two connections, and the closer wakes it within one.
    stop: Option<Sender<()>>,
    closer: crate::control::Closer,
    _thread: Joined<()>,
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        self.stop = None;
        self.closer.close();
    }
}

impl Callbacks {
    fn start(comms: Comms, client: Client, watch: &Watch, watching: Watching) -> Result<Callbacks, CommsError> {
        let (stop, stopped) = bounded(0);
        let closer = client.closer()?;
        let name = name_of(watch).unwrap_or_default().to_owned();
        let mut calling =
            Calling { comms, closer: closer.clone(), id: name, seen: 0, last: String::new(), watching, stopped };
        let thread = Joined::spawn("callbacks", move || calling.run(client))?;
        Ok(Callbacks { stop: Some(stop), closer, _thread: thread })
    }
}

/// The thread that calls back.
struct Calling {
    comms: Comms,
    closer: crate::control::Closer,
    id: String,
    /// The last event that was told.
    seen: u64,
    last: String,
    watching: Watching,
    stopped: Receiver<()>,
}

impl Calling {
    fn run(&mut self, client: Client) {
        let mut client = Some(client);
        let mut away = 0;
        loop {
            match client.take().map(|client| self.follow(client)) {
                Some(Ok(())) => return,
                Some(Err(_)) | None if away == RECONNECT_MAX => {
                    return self.fail("the daemon has gone away");
                }
                Some(Err(_)) | None => away += 1,
            }
            // Woken at once when the owner is dropped.
            if !matches!(self.stopped.recv_timeout(RECONNECT_PAUSE), Err(RecvTimeoutError::Timeout)) {
                return;
            }
            client = self.comms.connect().ok();
            if let Some(client) = &client {
                away = 0;
                if self.closer.replace(client).is_err() {
                    return;
                }
            }
        }
    }

    /// Follows until the message is final, over one connection.
    fn follow(&mut self, mut client: Client) -> Result<(), CommsError> {
        client.follow(EventFollow { channels: vec![format!("message:{}", self.id)], ..EventFollow::default() })?;
        // Read after the following began, so that no change falls in between.
        let now = match self.comms.message(&self.id) {
            Ok(now) => now,
            Err(CommsError::Client(ClientError::Refused { .. })) => {
                self.fail("it is no longer watched");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.seen = self.seen.max(now.seq);
        if self.tell(&now.watch.status, now.r#final) {
            return Ok(());
        }
        loop {
            if let Followed::Frame(frame) = client.receive(None)?
                && let Some(change) = change_in(&frame)
                && change.seq > self.seen
            {
                self.seen = change.seq;
                if self.tell(&change.status, change.is_final) {
                    return Ok(());
                }
            }
        }
    }

    /// Makes the calls that a status asks for. Returns whether it is the last one, which the word alone does not say: any
    /// program may write one.
    fn tell(&mut self, status: &str, is_final: bool) -> bool {
        if status != self.last {
            status.clone_into(&mut self.last);
            if let Some(call) = &mut self.watching.on_status {
                call(&self.id, status);
            }
        }
        match status {
            _ if !is_final => {}
            "complete" => {
                let content = self.comms.message(&self.id).ok().and_then(|message| message.content);
                if let Some(call) = &mut self.watching.on_complete {
                    call(&self.id, content.as_deref().unwrap_or_default());
                }
            }
            "expired" => self.fail("its time ran out"),
            _ => {
                let error = self.comms.message(&self.id).ok().and_then(|message| message.error);
                self.fail(error.as_deref().unwrap_or("it failed"));
            }
        }
        is_final
    }

    fn fail(&mut self, error: &str) {
        if let Some(call) = &mut self.watching.on_fail {
            call(&self.id, error);
        }
    }
}

fn name_of(watch: &Watch) -> Option<&str> {
    watch.message_id.as_deref().or(watch.task_id.as_deref())
}

/// Tells the status that a frame brings. Returns its number.
fn tell_status(frame: &str, progress: &mut impl FnMut(&str)) -> Option<u64> {
    let change = change_in(frame)?;
    progress(&change.status);
    Some(change.seq)
}

/// The answer to a wait may overtake the events that led to it; it says which was the last.
fn tell_late(client: &mut Client, answer: &RawValue, mut seen: u64, progress: &mut impl FnMut(&str)) {
    let Ok(wire::Waited { seq: Some(last), .. }) = serde_json::from_str(answer.get()) else { return };
    while seen < last {
        match client.receive(Some(LATE_MAX)) {
            Ok(Followed::Frame(frame)) => seen = tell_status(&frame, progress).unwrap_or(seen),
            Ok(Followed::Answer { .. }) => {}
            // The end is known; that a change is missing on the way is no reason to fail.
            Err(_) => return,
        }
    }
}

/// What a frame tells of a message.
struct Change {
    seq: u64,
    status: String,
    is_final: bool,
}

/// The change of status that a frame tells, if it does.
fn change_in(frame: &str) -> Option<Change> {
    #[derive(serde::Deserialize)]
    struct Frame {
        seq: u64,
        event: String,
        data: Data,
    }
    #[derive(serde::Deserialize)]
    struct Data {
        current_status: String,
        r#final: bool,
    }
    let Frame { seq, event, data } = serde_json::from_str(frame).ok()?;
    (event == "message.status_changed").then_some(Change { seq, status: data.current_status, is_final: data.r#final })
}
