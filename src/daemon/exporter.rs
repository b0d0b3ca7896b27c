//! The thread `otlp`: exports all numbers to a collector at fixed times, and once more when the daemon has stopped. Whatever
//! the collector does, nobody else waits for it, and the end of the daemon only briefly.

use super::inbox::{DeathNotice, Inbox, Letter};
use super::meter::Exposed;
use super::starts::Starts;
use super::{EXIT_CONFIGURATION, StartError, failed};
use crate::clock::{Clock, Tick, Timestamp};
use crate::config::Otlp;
use crate::endpoint;
use crate::model::command::{Command, Refusal, Reply};
use crate::model::pool::PoolView;
use crate::otlp::{Exporter, ExporterSettings, Resource, Stopper};
use crate::ports::Answer;
use crate::telemetry::Family;
use crate::thread::Joined;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use std::sync::Arc;
use std::time::Duration;

/// How long the last export may take, of what the daemon as a whole has to stop.
const LAST_TIMEOUT: Duration = Duration::from_millis(600);
/// How long the daemon waits for that, whatever the thread is at.
const STOP_TIMEOUT: Duration = Duration::from_millis(800);
/// How long the hub may take to say how its pools are. Without its answer, the other numbers are exported.
const ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// What a collector may ask for at most, and is granted at least, when it asks for patience.
const RETRY_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));
/// Connections are numbered from 1 on.
const CLIENT: u64 = 0;

/// What is exported last.
type Last = (Vec<Family>, Starts);

/// The running thread.
pub(super) struct Exporting {
    last: Sender<Last>,
    stopper: Stopper,
    ended: Receiver<()>,
    thread: Joined<()>,
}

impl Exporting {
    /// `None` when nothing is to be exported.
    pub(super) fn start(
        config: &Otlp,
        exposed: &Arc<Exposed>,
        inbox: &Inbox,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Exporting>, StartError> {
        let Some(endpoint) = config.target() else { return Ok(None) };
        let started = clock.wall();
        let settings = ExporterSettings {
            endpoint: endpoint.to_owned(),
            headers: config.headers.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned())).collect(),
            resource: resource(config),
            started,
        };
        let exporter = Exporter::new(settings, &exposed.registry, Arc::clone(clock))
            .map_err(|error| StartError { exit_code: EXIT_CONFIGURATION, sentence: format!("[otlp]: {error}") })?;
        let stopper = exporter.stopper();
        let (last, stopping) = bounded(1);
        let (end, ended) = bounded(0);
        let mut work = Work {
            exporter,
            started,
            exposed: Arc::clone(exposed),
            inbox: inbox.clone(),
            clock: Arc::clone(clock),
            stopping,
            interval: config.interval,
            timeout: config.timeout,
        };
        work.count_since(Starts::default());
        let notice = DeathNotice::new(inbox, Letter::ThreadDied { name: "otlp" });
        let thread = Joined::spawn("otlp", move || {
            let (_kept, _end) = (&notice, end);
            if let Some((families, starts)) = work.until_stopped() {
                work.count_since(starts);
                work.exporter.export_last(&families, LAST_TIMEOUT);
            }
        });
        log::info!("metrics are exported endpoint={} interval={:?}", endpoint::shown(endpoint), config.interval);
        Ok(Some(Exporting { last, stopper, ended, thread: thread.map_err(failed)? }))
    }

    /// Exports these last numbers and ends the thread.
    pub(super) fn finish(self, families: Vec<Family>, starts: Starts) {
        // There is room for one, and nobody else sends any.
        let _ = self.last.try_send((families, starts));
        self.stopper.stop();
        if self.ended.recv_timeout(STOP_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the last numbers were not exported within {STOP_TIMEOUT:?}");
            self.thread.leave();
        }
    }

    /// Ends it without the last numbers, and without waiting.
    pub(super) fn leave(self) {
        self.stopper.stop();
        self.thread.leave();
    }
}

fn resource(config: &Otlp) -> Resource {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let own = Resource::of_service(&config.service_name).text("host.name", &host);
    config.resource.iter().fold(own, |resource, (key, value)| resource.text(key, value))
}

struct Work {
    exporter: Exporter,
    started: Timestamp,
    exposed: Arc<Exposed>,
    inbox: Inbox,
    clock: Arc<dyn Clock>,
    /// The last numbers.
    stopping: Receiver<Last>,
    interval: Duration,
    timeout: Duration,
}

/// What the hub said when it was asked.
enum Asked {
    Pools((Vec<PoolView>, Starts)),
    Busy,
    Stop(Last),
}

impl Work {
    /// Exports by schedule; returns what is to be exported last, if anything.
    fn until_stopped(&mut self) -> Option<Last> {
        let mut due = self.clock.tick().after(self.interval);
        loop {
            match self.stopping.recv_timeout(self.clock.tick().until(due)) {
                Ok(last) => return Some(last),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let pools = match self.ask() {
                Asked::Pools((pools, starts)) => {
                    self.count_since(starts);
                    pools
                }
                // What it said last about their beginnings still holds.
                Asked::Busy => Vec::new(),
                Asked::Stop(last) => return Some(last),
            };
            let patience = self.exporter.export(&self.exposed.all(&pools), self.timeout);
            due = next(due, self.interval, patience, self.clock.tick());
        }
    }

    fn count_since(&mut self, starts: Starts) {
        let started = self.started;
        self.exporter.count_since(move |family, labels| starts.of(started, family, labels));
    }

    /// None of the pools when the hub has no time: that is seldom, and worth no waiting.
    fn ask(&self) -> Asked {
        let (sender, answer) = bounded(1);
        let answering = Box::new(ToChannel(sender));
        self.inbox.offer(Letter::Ask { client: CLIENT, command: Command::Metrics, answer: answering });
        select! {
            recv(answer) -> pools => pools.map_or(Asked::Busy, Asked::Pools),
            recv(self.stopping) -> last => Asked::Stop(last.unwrap_or_default()),
            default(ASK_TIMEOUT) => {
                log::debug!("the hub did not say in time how its pools are");
                Asked::Busy
            }
        }
    }
}

/// Without drift; what was missed is not made up for. A collector that says when it wants to be asked again is asked then.
fn next(due: Tick, interval: Duration, patience: Option<Duration>, now: Tick) -> Tick {
    if let Some(patience) = patience {
        return now.after(patience.clamp(RETRY_AFTER.0, RETRY_AFTER.1));
    }
    let late = now.since(due).as_nanos() / interval.as_nanos().max(1);
    due.after(interval.saturating_mul(u32::try_from(late).unwrap_or(u32::MAX).saturating_add(1)))
}

struct ToChannel(Sender<(Vec<PoolView>, Starts)>);

impl Answer for ToChannel {
    fn deliver(self: Box<Self>, answer: Result<Reply, Refusal>) {
        if let Ok(Reply::Metrics(pools, upstreams)) = answer {
            let starts = Starts::new(&pools, &upstreams);
            // Whoever waits no longer has gone.
            let _ = self.0.try_send((pools, starts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_keep_to_their_times() {
        let at = |seconds: u64| Tick::ZERO.after(Duration::from_secs(seconds));
        let minute = Duration::from_secs(60);
        assert_eq!(next(at(60), minute, None, at(61)), at(120));
        // One took three minutes and a half.
        assert_eq!(next(at(60), minute, None, at(270)), at(300));
        assert_eq!(next(at(60), minute, None, at(60)), at(120));
    }

    #[test]
    fn a_collector_that_asks_for_patience_gets_it_within_reason() {
        let at = |seconds: u64| Tick::ZERO.after(Duration::from_secs(seconds));
        let patience = |seconds| next(at(60), Duration::from_secs(60), Some(Duration::from_secs(seconds)), at(61));
        assert_eq!((patience(7), patience(200), patience(0)), (at(68), at(261), at(62)));
        assert_eq!(patience(1_000_000), at(61 + 3600));
    }
}
