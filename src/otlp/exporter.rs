//! One export: everything as of now, sent to the collector within a limit. What goes wrong is counted, and told once.

use super::message::{Request, Span, Start, requests};
use super::outcome::{CONTENT_TYPE, ExportError, Taken, outcome};
use super::resource::Resource;
use super::state::State;
use crate::clock::{Clock, Tick, Timestamp};
use crate::endpoint::shown;
use crate::http::{Endpoint, EndpointError, Interrupter, Poster, header};
use crate::telemetry::{Counter, Family, Labels, MetricError, Registry};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const EXPORTS: &str = "claude_comms_otlp_exports_total";
const FAILURES: &str = "claude_comms_otlp_export_failures_total";
const REJECTED: &str = "claude_comms_otlp_points_rejected_total";

/// Why nothing can be exported at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("{endpoint:?} cannot be the address of a collector: {reason}")]
    Endpoint { endpoint: String, reason: String },
    #[error("an address must not contain a user and a password: use a header instead")]
    Credentials,
    /// Without the value, which may be a secret.
    #[error("the header {name:?} cannot be sent: {reason}")]
    Header { name: String, reason: &'static str },
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// Where to, and who is speaking.
#[derive(Clone, Debug)]
pub struct ExporterSettings {
    /// Used as it is, path and all.
    pub endpoint: String,
    /// Sent with every request.
    pub headers: BTreeMap<String, String>,
    pub resource: Resource,
    /// Since when series count of which [`Exporter::count_since`] says nothing else.
    pub started: Timestamp,
}

/// Sends to one collector. Belongs to one thread; [`stopper`](Exporter::stopper) is for another.
pub struct Exporter {
    poster: Poster,
    resource: Resource,
    start: Box<Start>,
    clock: Arc<dyn Clock>,
    registry: Registry,
    exports: Counter,
    rejected: Counter,
    state: State,
    stopped: Arc<AtomicBool>,
}

impl Exporter {
    /// `registry`: where exports and failures are counted.
    ///
    /// # Errors
    /// The address or a header can never work.
    pub fn new(settings: ExporterSettings, registry: &Registry, clock: Arc<dyn Clock>) -> Result<Exporter, SetupError> {
        let endpoint = Endpoint::parse(&settings.endpoint).map_err(|error| match error {
            EndpointError::Wrong { reason } => SetupError::Endpoint { endpoint: shown(&settings.endpoint), reason },
            EndpointError::Credentials => SetupError::Credentials,
        })?;
        let checked = |(name, value): (&String, &String)| {
            header(name, value).map_err(|reason| SetupError::Header { name: name.clone(), reason })
        };
        let headers = settings.headers.iter().map(checked).collect::<Result<_, _>>()?;
        let counter = |name, help| registry.counter(name, help, &[]);
        Ok(Exporter {
            exports: counter(EXPORTS, "Exports that a collector of OpenTelemetry has taken.")?,
            rejected: counter(REJECTED, "Points of these that the collector did not want.")?,
            poster: Poster::new(endpoint, headers),
            resource: settings.resource,
            start: Box::new(move |_, _| settings.started),
            clock,
            registry: registry.clone(),
            state: State::default(),
            stopped: Arc::default(),
        })
    }

    /// From the next export on each series counts since then. A collector takes a series whose start has changed for one that
    /// begins anew, so of totals that live longer than the program it must not.
    pub fn count_since(&mut self, start: impl Fn(&Family, &Labels) -> Timestamp + Send + 'static) {
        self.start = Box::new(start);
    }

    /// What ends an export that is under way from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper { interrupter: self.poster.interrupter(), stopped: Arc::clone(&self.stopped) }
    }

    /// Exports once more after it was stopped.
    pub fn export_last(&mut self, families: &[Family], timeout: Duration) {
        self.poster = self.poster.renewed();
        self.stopped = Arc::default();
        self.export(families, timeout);
    }

    /// Sends all of `families`, in several requests if they are many, and says when the collector wants to be asked again,
    /// if it does. What has not been taken is not sent again: the numbers are totals, so the next export has it too.
    pub fn export(&mut self, families: &[Family], timeout: Duration) -> Option<Duration> {
        match self.send_all(families, self.clock.tick().after(timeout)) {
            Ok(taken) => {
                self.exports.increment();
                self.rejected.add(taken.rejected);
                self.state.taken(self.poster.endpoint(), &taken);
                None
            }
            Err(_) if self.stopped.load(Ordering::SeqCst) => None,
            Err(error) => self.failed(&error),
        }
    }

    fn send_all(&self, families: &[Family], deadline: Tick) -> Result<Taken, ExportError> {
        let span = Span { from: &*self.start, to: self.clock.wall() };
        let mut all = Taken::default();
        for request in requests(families, &self.resource, span) {
            let taken = self.send(&request, deadline)?;
            all.rejected += taken.rejected;
            all.said = all.said.or(taken.said);
        }
        Ok(all)
    }

    fn send(&self, request: &Request, deadline: Tick) -> Result<Taken, ExportError> {
        let remaining = self.clock.tick().until(deadline);
        if remaining.is_zero() {
            return Err(ExportError::Late);
        }
        let answer = self.poster.post(CONTENT_TYPE, &request.bytes, remaining, self.clock.wall())?;
        let taken = outcome(answer)?;
        log::debug!("exported points={} bytes={}", request.points, request.bytes.len());
        Ok(taken)
    }

    fn failed(&mut self, error: &ExportError) -> Option<Duration> {
        self.state.failed(self.poster.endpoint(), error);
        match self.registry.counter(FAILURES, "Exports that failed, by reason.", &[("reason", error.kind())]) {
            Ok(failures) => failures.increment(),
            Err(error) => log::error!("left a metric out: {error}"),
        }
        error.retry_after()
    }
}

/// See [`Exporter::stopper`].
#[derive(Clone, Debug)]
pub struct Stopper {
    interrupter: Interrupter,
    stopped: Arc<AtomicBool>,
}

impl Stopper {
    /// Ends what is under way, which is then neither counted nor told.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.interrupter.interrupt();
    }
}
