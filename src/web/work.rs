//! What the loop has others do, because it may take a while: questions to the hub and to the store, on a thread of
//! their own. Each connection has at most one under way.

use super::calls::{self, Call};
use super::query::Query;
use super::request::Fault;
use super::snapshot::{self, Stand, Wanted};
use crate::clock::Clock;
use crate::feed::{Feed, Filter};
use crate::mcp::server::{Look, Step};
use crate::model::alert::Alert;
use crate::model::command::{Code, Command, Refusal, Reply};
use crate::model::event::Publication;
use crate::model::pool::PoolView;
use crate::model::upstream::Upstream;
use crate::ports::{Answer, Asker, Exposition, ReadError, Reader, Readers, StoredEvent};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// What waits to be done at most; the rest waits with its connection.
pub(super) const JOBS_MAX: usize = 256;
/// Events that are read from the table at a time.
const PAGE_EVENTS_MAX: usize = 256;
/// How long the hub is waited for.
const HUB_PATIENCE: Duration = Duration::from_secs(5);
/// A store that nobody needs for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// The number under which this door asks: those of connections on the control socket count from 0.
const CLIENT: u64 = 1 << 63;

pub(super) enum Job {
    /// Where a subscription can begin, and how things stand.
    Subscribe {
        since: Option<u64>,
        channels: Vec<String>,
        filters: Vec<Filter>,
        snapshot: bool,
    },
    Events {
        after: u64,
    },
    Snapshot {
        channels: Vec<String>,
        filters: Vec<Filter>,
    },
    Query(Query),
    /// A step of a request of MCP.
    Look(Call, Look),
    Publish(Publication),
    /// The text for Prometheus.
    Metrics,
    /// Whether the hub answers.
    Health,
}

pub(super) enum Done {
    Subscribed {
        from: u64,
        recovered: bool,
        snapshot: bytes::Bytes,
    },
    Events {
        events: Vec<StoredEvent>,
        /// Numbers that are kept no longer.
        gap: Option<(u64, u64)>,
    },
    Snapshot(bytes::Bytes),
    Answer(Value),
    Looked(Call, Step),
    Text(String),
    Failed(Fault),
}

/// What the work is done with.
pub(super) struct Desk {
    pub(super) asker: Arc<dyn Asker>,
    pub(super) readers: Arc<dyn Readers>,
    pub(super) exposition: Arc<dyn Exposition>,
    pub(super) feed: Arc<Feed>,
    pub(super) clock: Arc<dyn Clock>,
    /// Its other side goes when the daemon stops.
    pub(super) stopped: Receiver<()>,
}

impl Desk {
    /// Does what comes, until nobody can send anything any more.
    pub(super) fn run(&self, jobs: &Receiver<(usize, Job)>, done: impl Fn(usize, Done)) {
        let mut reader = None;
        loop {
            match jobs.recv_timeout(IDLE) {
                Ok((id, job)) => {
                    let outcome = self.perform(job, &mut reader);
                    done(id, outcome.unwrap_or_else(|refusal| Done::Failed(fault(&refusal))));
                }
                Err(RecvTimeoutError::Timeout) => reader = None,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn perform(&self, job: Job, reader: &mut Option<Box<dyn Reader>>) -> Result<Done, Refusal> {
        Ok(match job {
            Job::Subscribe { since, channels, filters, snapshot } => {
                let recovered = match since {
                    Some(since) => self.is_kept(since, self.reader(reader)?)?,
                    None => snapshot,
                };
                // Read before the picture is taken: what happens meanwhile is told after it once more, and not lost.
                let last = self.feed.last_seq();
                let from = since.filter(|_| recovered).unwrap_or(last);
                let wants = snapshot || !recovered;
                let snapshot = if wants { self.snapshot(&channels, &filters, reader)? } else { bytes::Bytes::new() };
                Done::Subscribed { from, recovered, snapshot }
            }
            Job::Events { after } => {
                let events = self.reader(reader)?.events_after(after, PAGE_EVENTS_MAX)?;
                let gap = events.first().filter(|first| first.seq > after + 1).map(|first| (after + 1, first.seq - 1));
                Done::Events { events, gap }
            }
            Job::Snapshot { channels, filters } => Done::Snapshot(self.snapshot(&channels, &filters, reader)?),
            Job::Query(query) => Done::Answer(self.answer(&query, reader)?),
            Job::Look(call, look) => match self.reader(reader) {
                Ok(reader) => Done::Looked(call, calls::look(look, reader)),
                Err(error) => Done::Looked(call, calls::unreadable(&error)),
            },
            Job::Publish(publication) => match self.ask(Command::Publish(publication))? {
                Reply::Published(seq) => Done::Answer(json!({"status": "published", "seq": seq})),
                other => return Err(unexpected(&other)),
            },
            Job::Metrics => match self.ask(Command::Metrics)? {
                Reply::Metrics(pools, _) => Done::Text(self.exposition.text(&pools)),
                other => return Err(unexpected(&other)),
            },
            Job::Health => match self.ask(Command::Status)? {
                Reply::Status { hub: status, .. } => Done::Answer(json!({
                    "status": if status.degraded.is_some() { "degraded" } else { "ok" },
                    "degraded": status.degraded,
                    "version": env!("CARGO_PKG_VERSION"),
                    "epoch": self.feed.epoch(),
                    "seq": status.seq,
                })),
                other => return Err(unexpected(&other)),
            },
        })
    }

    pub(super) fn reader<'a>(&self, slot: &'a mut Option<Box<dyn Reader>>) -> Result<&'a mut dyn Reader, ReadError> {
        Ok(match slot {
            Some(reader) => &mut **reader,
            slot => &mut **slot.insert(self.readers.open()?),
        })
    }

    /// Whether everything behind that number is still there.
    fn is_kept(&self, since: u64, reader: &mut dyn Reader) -> Result<bool, ReadError> {
        let (oldest, _) = reader.events_kept()?;
        Ok(since <= self.feed.last_seq() && since + 1 >= oldest)
    }

    fn snapshot(
        &self,
        channels: &[String],
        filters: &[Filter],
        reader: &mut Option<Box<dyn Reader>>,
    ) -> Result<bytes::Bytes, Refusal> {
        let wanted = Wanted::new(channels);
        let mut stand = Stand::default();
        if wanted.pools() {
            stand.pools = self.pools()?;
        }
        if wanted.upstreams() {
            stand.upstreams = self.upstreams()?;
        }
        if wanted.alerts() {
            stand.alerts = self.alerts()?;
        }
        Ok(snapshot::frames(&wanted, filters, &stand, self.reader(reader)?, self.clock.wall())?)
    }

    pub(super) fn pools(&self) -> Result<Vec<PoolView>, Refusal> {
        match self.ask(Command::ListPools)? {
            Reply::Pools(pools) => Ok(pools),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn upstreams(&self) -> Result<Vec<Upstream>, Refusal> {
        match self.ask(Command::ListUpstreams)? {
            Reply::Upstreams(upstreams) => Ok(upstreams),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) fn alerts(&self) -> Result<Vec<Alert>, Refusal> {
        match self.ask(Command::ListAlerts)? {
            Reply::Alerts(alerts) => Ok(alerts),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks the hub and waits for what it says.
    pub(super) fn ask(&self, command: Command) -> Result<Reply, Refusal> {
        struct Waiting(Sender<Result<Reply, Refusal>>);
        impl Answer for Waiting {
            fn deliver(self: Box<Self>, answer: Result<Reply, Refusal>) {
                let _ = self.0.try_send(answer);
            }
        }
        let (waiting, answer) = bounded(1);
        self.asker.ask(CLIENT, command, Box::new(Waiting(waiting)))?;
        let late = || Err(Refusal::new(Code::Busy, "the daemon did not answer in time; try again"));
        select! {
            recv(answer) -> answer => answer.unwrap_or_else(|_| late()),
            recv(self.stopped) -> _ => Err(Refusal::new(Code::NotRunning, "the daemon is stopping")),
            default(HUB_PATIENCE) => late(),
        }
    }
}

fn fault(refusal: &Refusal) -> Fault {
    let code = match refusal.code {
        Code::NotFound => "NOT_FOUND",
        Code::Forbidden => "FORBIDDEN",
        Code::BadRequest | Code::TooLarge => "DECODE_ERROR",
        Code::Conflict | Code::NotRunning => "CONFLICT",
        _ => "SERVER_ERROR",
    };
    Fault::new(code, refusal.message.clone())
}

pub(super) fn unexpected(reply: &Reply) -> Refusal {
    log::error!("the hub answered something else than was asked: {reply:?}");
    Refusal::new(Code::Internal, "the daemon answered something else than was asked")
}
