//! The pollers of all upstreams: begun, ordered about and ended as the hub says; what they find goes to the hub as facts.

use super::guard::known_as;
use super::inbox::{DeathNotice, Inbox, Letter};
use crate::clock::{Clock, Tick, Timestamp};
use crate::config;
use crate::mcp::protocol::Era;
use crate::model::breaker::{BreakerChange, BreakerRow, Stands};
use crate::model::hub::{Hub, Input, PollerOrder, upstream_breaker_name};
use crate::model::id::UpstreamName;
use crate::model::rows::Write;
use crate::model::upstream::{PollReport, ToolState, UpstreamRow};
use crate::resilience::{CircuitState, Effects, Event, Metrics, Observer};
use crate::upstream::{CycleOutcome, CycleReport, Listener, Poller, PollerError, PollerSettings};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Longest that the daemon waits for all of them together once it ends: for their farewells, and for names that are being
/// looked up, which nothing can end.
const STOP_TIMEOUT: Duration = Duration::from_millis(1200);

/// What is known of one that was not needed so far: its row, its life, what is stored of its breaker.
type Idle = (UpstreamRow, u64, Option<BreakerRow>);

struct Running {
    poller: Poller,
    /// What it has its breaker tell passes through here, until it is ended.
    tap: Arc<Tap>,
}

pub(super) struct Pollers {
    inbox: Inbox,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    /// Of the upstreams of the configuration; they are not stored.
    tokens: BTreeMap<UpstreamName, String>,
    running: BTreeMap<UpstreamName, Running>,
    /// Neither polled by schedule nor by hand so far: they need no thread yet. With what is stored of their breakers,
    /// where they could not begin.
    idle: BTreeMap<UpstreamName, Idle>,
    /// Told to end. One that is looking up a name cannot do so at once, and nobody waits for it before the daemon ends.
    ending: Vec<Poller>,
    /// Once all are to end: how long they have for that.
    end_until: Option<Tick>,
}

impl Pollers {
    pub(super) fn new(
        config: &[config::Upstream],
        inbox: &Inbox,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
    ) -> Pollers {
        let token = |upstream: &config::Upstream| {
            let token = upstream.token.as_ref()?.reveal().to_owned();
            Some((UpstreamName::new(&upstream.name), token))
        };
        Pollers {
            inbox: inbox.clone(),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            tokens: config.iter().filter_map(token).collect(),
            running: BTreeMap::new(),
            idle: BTreeMap::new(),
            ending: Vec::new(),
            end_until: None,
        }
    }

    /// Takes over all that the hub knows of, their breakers where those of the last daemon stopped.
    pub(super) fn begin_all(&mut self, hub: &mut Hub, breakers: &[BreakerRow]) {
        let rows: Vec<UpstreamRow> = hub.upstream_rows().cloned().collect();
        for row in rows {
            let name = row.name.clone();
            let stored = breakers.iter().find(|stored| stored.name == upstream_breaker_name(&name)).cloned();
            // How a breaker stands only its poller can say.
            if !row.polling && stored.is_none() {
                self.idle.insert(name, (row, 0, stored));
                continue;
            }
            match self.begin(&row, 0, stored.as_ref()) {
                Ok(Some(stands)) => hub.upstream_stands(&name, stands, self.clock.wall().after(stands.wait)),
                Ok(None) => {}
                Err(_) => drop(self.idle.insert(name, (row, 0, stored))),
            }
        }
    }

    /// Does as it is told. What cannot be polled at all is reported as if it had been: somebody may wait for that.
    pub(super) fn obey(&mut self, name: &UpstreamName, order: PollerOrder) -> Option<Input> {
        self.ending.retain(|poller| !poller.has_ended());
        match order {
            PollerOrder::Begin(row, life) => {
                let polling = row.polling;
                self.idle.insert(name.clone(), (*row, life, None));
                return if polling { self.with(name, 0, Poller::start) } else { None };
            }
            PollerOrder::Start => return self.with(name, 0, Poller::start),
            PollerOrder::Poll(number) => return self.with(name, number, |poller| poller.order(number)),
            PollerOrder::Stop => self.running.get(name).into_iter().for_each(|one| one.poller.stop()),
            PollerOrder::Reset => self.reset(name),
            PollerOrder::End => self.end(name),
        }
        None
    }

    /// Begins it, if it was idle. `order`: of the cycle that is asked for, if it is that.
    fn with(&mut self, name: &UpstreamName, order: u64, act: impl FnOnce(&Poller)) -> Option<Input> {
        if let Some((row, life, stored)) = self.idle.remove(name) {
            let row = UpstreamRow { polling: false, ..row };
            if let Err(error) = self.begin(&row, life, stored.as_ref()) {
                self.idle.insert(name.clone(), (row, life, stored));
                let report = Box::new(failure(error.to_string(), order, self.clock.wall()));
                return Some(Input::Polled { upstream: name.clone(), life, report });
            }
        }
        if let Some(one) = self.running.get(name) {
            act(&one.poller);
        }
        None
    }

    fn reset(&mut self, name: &UpstreamName) {
        if let Some((.., stored)) = self.idle.get_mut(name) {
            *stored = None;
        }
        self.running.get(name).into_iter().for_each(|one| one.poller.reset());
    }

    fn end(&mut self, name: &UpstreamName) {
        self.idle.remove(name);
        if let Some(Running { poller, tap }) = self.running.remove(name) {
            poller.shutdown();
            // A call that is ended now settles its permit later, and must not bring the numbers of the breaker back.
            tap.close();
            self.metrics.remove(&upstream_breaker_name(name));
            self.ending.push(poller);
        }
    }

    /// Tells all of them to end, and waits for none.
    pub(super) fn end_all(&mut self) {
        self.running.values().for_each(|one| one.poller.shutdown());
        self.ending.extend(std::mem::take(&mut self.running).into_values().map(|one| one.poller));
        self.end_until.get_or_insert(self.clock.tick().after(STOP_TIMEOUT));
    }

    /// Waits for all of them together, unless there is no time for that; who has not ended by then is left behind.
    pub(super) fn finish(&mut self, hurried: bool) {
        self.end_all();
        let until = self.end_until.filter(|_| !hurried);
        let left = || until.map_or(Duration::ZERO, |until| self.clock.tick().until(until));
        let (ended, stuck): (Vec<Poller>, Vec<Poller>) =
            std::mem::take(&mut self.ending).into_iter().partition(|poller| poller.wait_for_end(left()));
        drop(ended);
        for poller in stuck {
            log::debug!("a poller had not ended in time upstream={}", poller.settings().name);
            poller.leave();
        }
    }

    /// Says how its breaker stands, if that goes on where it stopped.
    fn begin(
        &mut self,
        row: &UpstreamRow,
        life: u64,
        stored: Option<&BreakerRow>,
    ) -> Result<Option<Stands>, PollerError> {
        let tap = Arc::new(Tap { metrics: Arc::clone(&self.metrics), is_open: Mutex::new(true) });
        let poller = self.poller(row, life, &tap).inspect_err(|error| {
            log::error!("an upstream is not polled upstream={} error={error}", row.name);
        })?;
        let stands = stored.map(|stored| restore(&poller, stored, self.clock.wall()));
        if row.polling {
            poller.start();
        }
        self.running.insert(row.name.clone(), Running { poller, tap });
        Ok(stands)
    }

    fn poller(&self, row: &UpstreamRow, life: u64, tap: &Arc<Tap>) -> Result<Poller, PollerError> {
        let settings = PollerSettings {
            interval: row.interval,
            timeout: row.timeout,
            max_retries: row.max_retries,
            retry_delay: row.retry_delay,
            failure_threshold: row.failure_threshold,
            tools: row.tools.clone(),
            token: self.tokens.get(&row.name).cloned(),
            ..PollerSettings::new(row.name.as_str(), &row.endpoint)
        };
        let effects = Effects::system().observed_by(Arc::clone(tap) as Arc<dyn Observer>);
        let reporter = Reporter {
            upstream: row.name.clone(),
            life,
            failures: AtomicU64::new(0),
            inbox: self.inbox.clone(),
            _notice: Mutex::new(DeathNotice::new(&self.inbox, Letter::ThreadDied { name: "poller" })),
        };
        Poller::new(settings, &effects, Arc::new(reporter))
    }
}

fn restore(poller: &Poller, stored: &BreakerRow, now: Timestamp) -> Stands {
    if let Err(error) = poller.restore_breaker(&stored.snapshot, stored.saved_at.until(now)) {
        log::warn!("a circuit breaker begins anew breaker={} error={error}", stored.name);
    }
    let state = known_as(poller.breaker_state());
    Stands { state, wait: poller.retry_after().unwrap_or_default() }
}

/// A round that could not be made.
fn failure(error: String, order: u64, at: Timestamp) -> PollReport {
    PollReport {
        cycle: 0,
        at,
        took: Duration::ZERO,
        order,
        metrics: Vec::new(),
        errors: vec![error.clone()],
        is_well: false,
        is_failed: true,
        is_called: false,
        last_error: Some(error),
        samples: Vec::new(),
        forgotten: Vec::new(),
        tools: Vec::new(),
        era: None,
        consecutive_failures: 0,
        failures: 0,
        next_poll_at: None,
    }
}

/// Tells the hub what a poller finds.
struct Reporter {
    upstream: UpstreamName,
    life: u64,
    failures: AtomicU64,
    inbox: Inbox,
    /// Shared by reference, never used: it speaks when it is dropped by a panic.
    _notice: Mutex<DeathNotice>,
}

impl Listener for Reporter {
    fn polled(&self, report: &CycleReport) {
        let failures = u64::from(report.failures);
        let failures = self.failures.fetch_add(failures, Ordering::Relaxed) + failures;
        let report = PollReport {
            cycle: report.poll_cycle,
            at: report.timestamp,
            took: report.took,
            order: report.order,
            metrics: report.metrics_collected.clone(),
            errors: report.errors.clone(),
            is_well: report.outcome == CycleOutcome::Ok,
            is_failed: report.failures > 0 || report.is_cut_short,
            is_called: report.outcome != CycleOutcome::Skipped,
            last_error: report.last_error.clone(),
            samples: report.samples.clone(),
            forgotten: report.forgotten.clone(),
            tools: report.tools.iter().map(tool).collect(),
            era: report.era.map(|era| match era {
                Era::Legacy => "legacy",
                Era::Modern => "modern",
            }),
            consecutive_failures: report.consecutive_failures,
            failures,
            next_poll_at: report.next_poll_at,
        };
        let (upstream, life) = (self.upstream.clone(), self.life);
        self.inbox.put(Letter::Fact(Input::Polled { upstream, life, report: Box::new(report) }));
    }

    fn breaker_changed(&self, from: CircuitState, to: CircuitState, wait: Option<Duration>, snapshot: String) {
        let (from, to) = (known_as(from), known_as(to));
        let stands = Stands { state: to, wait: wait.unwrap_or_default() };
        let change = BreakerChange { from, to, wait, stands, snapshot };
        let (upstream, life) = (self.upstream.clone(), self.life);
        self.inbox.put(Letter::Fact(Input::UpstreamBreakerChanged { upstream, life, change }));
    }
}

/// The way of one poller's events to the numbers of all, which can be closed for good.
struct Tap {
    metrics: Arc<Metrics>,
    /// Held while an event passes, so that none does after it was closed.
    is_open: Mutex<bool>,
}

impl Tap {
    fn close(&self) {
        *self.is_open.lock() = false;
    }
}

impl Observer for Tap {
    fn observe(&self, event: &Event<'_>) {
        let is_open = self.is_open.lock();
        if *is_open {
            self.metrics.observe(event);
        }
    }
}

fn tool(status: &crate::upstream::ToolStatus) -> ToolState {
    ToolState {
        tool: status.tool.clone(),
        state: status.state.as_str(),
        error: status.error.clone(),
        at: status.last_tried,
    }
}

/// What has to be written so that the upstreams of the configuration are known as it has them: whether they are polled
/// stays as it was switched by hand, until the configuration itself says something else.
pub(super) fn as_configured(config: &[config::Upstream], stored: &[UpstreamRow], now: Timestamp) -> Vec<Write> {
    let mut writes = Vec::new();
    // Of one that was stored by an older program it is not known any more.
    let since = |row: &UpstreamRow| if row.since == Timestamp::default() { now } else { row.since };
    for upstream in config {
        let before = stored.iter().find(|row| row.name.as_str() == upstream.name);
        let row = UpstreamRow { since: before.map_or(now, since), ..row(upstream, before) };
        // What kept a breaker open may have been the address or the token.
        let is_another = |before: &&UpstreamRow| {
            (before.endpoint.as_str(), before.token_mark) != (row.endpoint.as_str(), row.token_mark)
        };
        if before.filter(is_another).is_some() {
            writes.push(Write::DeleteBreaker(upstream_breaker_name(&row.name)));
        }
        if before != Some(&row) {
            writes.push(Write::PutUpstream(row));
        }
    }
    let is_gone = |row: &&UpstreamRow| row.configured && !config.iter().any(|one| one.name == row.name.as_str());
    for row in stored.iter().filter(is_gone) {
        writes.push(Write::DeleteUpstream(row.name.clone()));
        writes.push(Write::DeleteBreaker(upstream_breaker_name(&row.name)));
    }
    let is_old = |row: &&UpstreamRow| !row.configured && since(row) != row.since;
    writes
        .extend(stored.iter().filter(is_old).map(|row| Write::PutUpstream(UpstreamRow { since: now, ..row.clone() })));
    writes
}

fn row(upstream: &config::Upstream, before: Option<&UpstreamRow>) -> UpstreamRow {
    let switched = before.filter(|before| before.configured && before.enabled == upstream.enabled);
    UpstreamRow {
        name: UpstreamName::new(&upstream.name),
        endpoint: upstream.endpoint.clone(),
        interval: upstream.interval,
        timeout: upstream.timeout,
        max_retries: upstream.max_retries,
        retry_delay: upstream.retry_delay,
        failure_threshold: upstream.circuit_breaker_threshold,
        tools: upstream.metrics_to_collect.clone(),
        configured: true,
        enabled: upstream.enabled,
        polling: switched.map_or(upstream.enabled, |before| before.polling),
        token_mark: upstream.token.as_ref().map_or(0, |token| mark(token.reveal())),
        since: Timestamp::default(),
    }
}

/// Sixteen bits of a hash: enough to notice that a token is another, and too little to find it by.
fn mark(token: &str) -> u16 {
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    (hasher.finish() as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;
    use crate::mcp::faulty::{FaultyServer, Reaction};
    use crate::resilience::{CircuitBreaker, presets};

    fn configured(endpoint: &str) -> config::Upstream {
        config::Upstream {
            name: "u".to_owned(),
            enabled: true,
            endpoint: endpoint.to_owned(),
            token: None,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(10),
            max_retries: 3,
            retry_delay: Duration::from_secs(5),
            circuit_breaker_threshold: 5,
            metrics_to_collect: vec!["t".to_owned()],
        }
    }

    fn written(upstream: &config::Upstream, stored: &UpstreamRow) -> Vec<Write> {
        as_configured(std::slice::from_ref(upstream), std::slice::from_ref(stored), Timestamp::from_micros(9))
    }

    #[test]
    fn a_server_that_was_corrected_is_called_at_once() {
        let since = Timestamp::from_micros(5);
        let stored = UpstreamRow { since, ..row(&configured("http://localhost:1/mcp"), None) };
        assert_eq!(written(&configured("http://localhost:1/mcp"), &stored), []);
        let breaker = Write::DeleteBreaker("upstream:u".to_owned());
        let moved = written(&configured("http://localhost:2/mcp"), &stored);
        assert!(moved.contains(&breaker), "{moved:?}");
        let token_changed =
            written(&configured("http://localhost:1/mcp"), &UpstreamRow { token_mark: mark("x"), ..stored.clone() });
        assert!(token_changed.contains(&breaker), "{token_changed:?}");
        assert!(mark("x") != mark("y") && mark("x") > 0);
        let slower = config::Upstream { interval: Duration::from_secs(60), ..configured("http://localhost:1/mcp") };
        let slower = written(&slower, &stored);
        assert!(slower.len() == 1 && !slower.contains(&breaker), "{slower:?}");
    }
    #[test]
    fn since_when_totals_count_is_kept_and_made_up_for_where_it_is_not_known() {
        let old = row(&configured("http://localhost:1/mcp"), None);
        let added = UpstreamRow { name: UpstreamName::new("added"), configured: false, ..old.clone() };
        let now = Timestamp::from_micros(9);
        let put = |row: &UpstreamRow| Write::PutUpstream(UpstreamRow { since: now, ..row.clone() });
        let writes = as_configured(&[configured("http://localhost:1/mcp")], &[added.clone(), old.clone()], now);
        assert_eq!(writes, [put(&old), put(&added)]);
        assert_eq!(as_configured(&[configured("http://localhost:1/mcp")], &[], now), [put(&old)]);
    }
    #[test]
    fn a_permit_that_is_settled_after_its_poller_was_removed_brings_no_numbers_back() {
        let metrics = Metrics::new();
        let tap = Arc::new(Tap { metrics: Arc::clone(&metrics), is_open: Mutex::new(true) });
        let effects = Effects::system().observed_by(Arc::clone(&tap) as Arc<dyn Observer>);
        let breaker = CircuitBreaker::new("upstream:u", presets::MCP_SERVER, &effects).unwrap();
        let permit = breaker.acquire().unwrap();
        let shown = || metrics.samples().iter().any(|sample| sample.name.starts_with("circuit_breaker"));
        assert!(shown());
        tap.close();
        metrics.remove("upstream:u");
        permit.ignore();
        assert!(!shown());
    }

    /// The daemon's inbox, and a server that never answers the call.
    #[test]
    fn a_poller_that_is_removed_under_a_call_leaves_no_numbers() {
        let (called, call) = crossbeam_channel::bounded(64);
        let server = FaultyServer::legacy(move |_| {
            let _ = called.try_send(());
            Reaction::Stall(vec![])
        });
        let (inbox, letters) = super::super::inbox::inbox();
        let (metrics, clock): (_, Arc<dyn Clock>) = (Metrics::new(), Arc::new(SystemClock::new()));
        let mut pollers = Pollers::new(&[], &inbox, &metrics, &clock);
        let name = UpstreamName::new("u");
        let row = UpstreamRow { polling: false, ..UpstreamRow::new(name.clone(), &server.endpoint()) };
        assert!(pollers.obey(&name, PollerOrder::Begin(Box::new(row), 7)).is_none());
        assert!(pollers.obey(&name, PollerOrder::Poll(3)).is_none());
        call.recv_timeout(Duration::from_secs(20)).unwrap();
        let of_breaker = || metrics.samples().iter().filter(|one| one.name.starts_with("circuit_breaker")).count();
        assert!(of_breaker() > 0);
        pollers.obey(&name, PollerOrder::End);
        // Its last word, by which its permit has been settled.
        let told = letters.recv_timeout(Duration::from_secs(20)).unwrap();
        let Letter::Fact(Input::Polled { life, report, .. }) = told else { panic!("no report") };
        assert_eq!((life, report.order), (7, 3));
        assert_eq!(of_breaker(), 0);
        pollers.finish(false);
        assert!(pollers.ending.is_empty());
    }
}
