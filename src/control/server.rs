//! The listener: lets in whoever may come, as many as there is room for, and ends them all.

use super::connection;
use super::intake::Defaults;
use super::shown;
use super::translator::Translator;
use super::wire::DaemonStatus;
use crate::clock::{Clock, Tick};
use crate::feed::Feed;
use crate::model::alert::Alert;
use crate::model::command::HubStatus;
use crate::ports::{Asker, Exposition, Hooks, Readers};
use crate::thread::{Joined, Tether};
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// Connections at a time; each costs two threads.
const CONNECTIONS_MAX: usize = 128;
/// How long a peer may take over one line, or take no bytes, before it is closed.
const PEER_PATIENCE: Duration = Duration::from_secs(30);
const ROOT: u32 = 0;

/// What the daemon is, as `poll status` tells it.
#[derive(Clone, Debug)]
pub struct About {
    pub state_dir: String,
    pub socket: String,
    pub database: String,
    pub listen: Option<String>,
    /// Why there is none, where there was to be one.
    pub listen_error: Option<String>,
    pub interval_seconds: f64,
    pub max_messages: usize,
    /// Read anew each time: it can be changed while the daemon runs.
    pub log_level: fn() -> String,
}

/// What the door is opened onto.
pub struct Means {
    pub asker: Arc<dyn Asker>,
    pub readers: Arc<dyn Readers>,
    pub feed: Arc<Feed>,
    pub clock: Arc<dyn Clock>,
    pub exposition: Arc<dyn Exposition>,
    pub hooks: Arc<dyn Hooks>,
    pub defaults: Defaults,
    pub about: About,
    pub hand_over: HandOver,
}

/// Takes a connection over, what was read of it already, and what is to be written first.
///
/// # Errors
/// There are too many, or nobody takes them any more.
pub type HandOver = Arc<dyn Fn(UnixStream, Vec<u8>, Vec<u8>) -> io::Result<()> + Send + Sync>;

/// What every connection shares.
pub(super) struct Context {
    pub(super) means: Means,
    pub(super) translator: Translator,
    pub(super) patience: Duration,
    started_tick: Tick,
    started_at: String,
    connections: AtomicUsize,
    is_stopping: AtomicBool,
}

impl Context {
    pub(super) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    pub(super) fn status(&self, hub: HubStatus, alerts: &[Alert]) -> DaemonStatus {
        let about = &self.means.about;
        DaemonStatus {
            running: true,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state_dir: about.state_dir.clone(),
            socket: about.socket.clone(),
            database: about.database.clone(),
            listen: about.listen.clone(),
            listen_error: about.listen_error.clone(),
            started_at: self.started_at.clone(),
            uptime_seconds: self.means.clock.tick().since(self.started_tick).as_secs_f64(),
            interval_seconds: about.interval_seconds,
            max_messages: about.max_messages,
            active_messages: hub.active_messages,
            pools: hub.pools,
            tasks_queued: hub.tasks_queued,
            tasks_running: hub.tasks_running,
            upstreams: hub.upstreams,
            connections: self.connections.load(Ordering::Relaxed),
            seq: hub.seq,
            epoch: self.means.feed.epoch().to_owned(),
            degraded: hub.degraded,
            alerts: alerts.iter().map(shown::alert).collect(),
            log_level: (about.log_level)(),
        }
    }
}

/// The open door. Dropping it ends every connection.
pub struct Server {
    tether: Arc<Tether>,
    accepting: Option<Joined<Vec<Served>>>,
    served: Vec<Served>,
    context: Arc<Context>,
}

/// One connection's stream, to end it with, and its thread.
struct Served {
    stream: UnixStream,
    thread: Joined<()>,
}

impl Server {
    /// Starts to accept. `notice` is kept by the thread and dropped when it ends, by a panic too.
    ///
    /// # Errors
    /// No thread or no file descriptor is left.
    pub fn start<N: Send + 'static>(listener: UnixListener, means: Means, notice: N) -> io::Result<Server> {
        Server::start_with(PEER_PATIENCE, listener, means, notice)
    }

    /// With another patience, for tests.
    pub(super) fn start_with<N: Send + 'static>(
        patience: Duration,
        listener: UnixListener,
        means: Means,
        notice: N,
    ) -> io::Result<Server> {
        let now = means.clock.now();
        let translator = Translator::new(means.defaults.clone(), Arc::clone(&means.clock));
        let context = Arc::new(Context {
            means,
            translator,
            patience,
            started_tick: now.tick,
            started_at: now.wall.to_string(),
            connections: AtomicUsize::new(0),
            is_stopping: AtomicBool::new(false),
        });
        let tether = Arc::new(Tether::new()?);
        listener.set_nonblocking(true)?;
        let held = Arc::clone(&tether);
        let shared = Arc::clone(&context);
        let accepting = Joined::spawn("control", move || {
            let _kept = notice;
            accept(&listener, &held, &context)
        })?;
        Ok(Server { tether, accepting: Some(accepting), served: Vec::new(), context: shared })
    }

    /// Lets nobody else in; those inside stay.
    pub fn close_door(&mut self) {
        self.tether.end();
        if let Some(accepting) = self.accepting.take() {
            self.served = accepting.join().unwrap_or_default();
        }
    }
}

impl Server {
    /// Asks whether the door is still kept.
    pub fn ask(&self) {
        self.tether.ask();
    }

    /// Whether it was, or is closed.
    pub fn is_answered(&self) -> bool {
        self.accepting.is_none() || self.tether.is_answered()
    }
}

/// Looks, a millisecond apart, whether the connections have ended by themselves.
const LAST_WORDS_LOOKS_MAX: usize = 100;

impl Drop for Server {
    fn drop(&mut self) {
        self.close_door();
        self.let_finish();
        for served in &self.served {
            let _ = served.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Server {
    /// What has been answered goes out, as the request to stop itself: each connection ends when all of its answers are
    /// written, and whoever follows is told that this was all. Those on which somebody still waits are cut off after a moment.
    fn let_finish(&self) {
        self.context.is_stopping.store(true, Ordering::SeqCst);
        for served in &self.served {
            let _ = served.stream.shutdown(Shutdown::Read);
        }
        let look = rustix::event::Timespec { tv_sec: 0, tv_nsec: 1_000_000 };
        for _ in 0..LAST_WORDS_LOOKS_MAX {
            if self.served.iter().all(|served| served.thread.is_finished()) {
                return;
            }
            let _ = poll(&mut [], Some(&look));
        }
    }
}

fn accept(listener: &UnixListener, tether: &Tether, context: &Arc<Context>) -> Vec<Served> {
    let mut served: Vec<Served> = Vec::new();
    let mut number = 0;
    loop {
        let mut fds = [PollFd::new(listener, PollFlags::IN), PollFd::new(tether, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => log::error!("the control socket cannot be waited on: {error}"),
        }
        if fds[1].revents().contains(PollFlags::IN) && tether.must_end() {
            return served;
        }
        served.retain(|served| !served.thread.is_finished());
        match listener.accept() {
            Ok((stream, _)) => {
                number += 1;
                served.extend(admit(stream, number, context));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => out_of_descriptors(&error, &mut served, tether),
        }
    }
}

/// Nothing can be accepted just now. The waiting connection stays readable, so wait a moment instead of spinning.
fn out_of_descriptors(error: &io::Error, served: &mut Vec<Served>, tether: &Tether) {
    log::warn!("a connection could not be accepted: {error}");
    let pause = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let _ = poll(&mut [PollFd::new(tether, PollFlags::IN)], Some(&pause));
    served.retain(|served| !served.thread.is_finished());
}

fn admit(stream: UnixStream, number: u64, context: &Arc<Context>) -> Option<Served> {
    if let Err(refusal) = may_come_in(&stream, context) {
        turn_away(&stream, refusal);
        return None;
    }
    let other = stream.try_clone().ok()?;
    let connection = Arc::clone(context);
    context.connections.fetch_add(1, Ordering::Relaxed);
    let thread = Joined::spawn(format!("ctl-{number}r"), move || {
        if let Err(error) = connection::serve(&stream, number, &connection) {
            log::debug!("connection {number} ended: {error}");
        }
        connection.connections.fetch_sub(1, Ordering::Relaxed);
    });
    match thread {
        Ok(thread) => Some(Served { stream: other, thread }),
        Err(error) => {
            context.connections.fetch_sub(1, Ordering::Relaxed);
            log::warn!("a connection could not be served: {error}");
            None
        }
    }
}

fn may_come_in(stream: &UnixStream, context: &Context) -> Result<(), &'static str> {
    let peer = rustix::net::sockopt::socket_peercred(stream).map_err(|_| "forbidden")?;
    if peer.uid.as_raw() != rustix::process::geteuid().as_raw() && peer.uid.as_raw() != ROOT {
        return Err("forbidden");
    }
    if context.connections.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
        return Err("busy");
    }
    Ok(())
}

fn turn_away(stream: &UnixStream, code: &str) {
    let message = match code {
        "busy" => format!("{CONNECTIONS_MAX} connections are open already; close one or try again"),
        _ => "only the daemon's own user and root may use this socket".to_owned(),
    };
    let retry = if code == "busy" { r#","retry_after_ms":250"# } else { "" };
    let line = format!(r#"{{"v":1,"id":null,"ok":false,"error":{{"code":"{code}","message":"{message}"{retry}}}}}"#);
    // One short line into an empty buffer does not block; if it does not fit, the closed connection says enough.
    let _ = stream.set_nonblocking(true);
    let _ = (&*stream).write_all(format!("{line}\n").as_bytes());
}
