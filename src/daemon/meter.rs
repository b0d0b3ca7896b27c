//! The daemon's own numbers: what the hub's batches tell is counted as it comes, what pools are is looked at when
//! somebody asks.

use super::metrics::families;
use crate::model::breaker::BreakerState;
use crate::model::hub::{Effects, PollerOrder};
use crate::model::id::PoolId;
use crate::model::measure::Measure;
use crate::model::pool::PoolView;
use crate::model::upstream::SampleKind;
use crate::ports::Exposition;
use crate::resilience::Metrics;
use crate::telemetry::{Counter, Family, Gauge, Histogram, MetricError, Registry, encode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// From a millisecond, which is what a commit takes, to hours, which is what an agent may.
const SECONDS_BUCKETS: [f64; 14] =
    [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0];

/// Sizes, minutes, milliseconds: an upstream's histograms have no unit in common.
const SAMPLE_BUCKETS: [f64; 13] =
    [0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 50.0, 100.0, 500.0, 1000.0, 10_000.0, 100_000.0, 1_000_000.0];
const EVENTS_BUCKETS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// The hub's side: counts.
pub(super) struct Meter {
    registry: Registry,
    /// For what upstreams name.
    named: Registry,
    told_of_crowd: bool,
    events: Counter,
    batches: Histogram,
    messages: Histogram,
    pools: BTreeMap<PoolId, OfPool>,
}

struct OfPool {
    queued: Histogram,
    ran: Histogram,
}

impl Meter {
    pub(super) fn new(registry: &Registry) -> Result<Meter, MetricError> {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        registry.gauge("claude_comms_build_info", "1, with the version of the program.", &version)?.set(1.0);
        Ok(Meter {
            registry: registry.clone(),
            named: registry.for_names_of_others(),
            told_of_crowd: false,
            events: registry.counter("claude_comms_events_total", "Events that were numbered.", &[])?,
            batches: registry.histogram(
                "claude_comms_batch_events",
                "Events that were written with one commit.",
                &EVENTS_BUCKETS,
                &[],
            )?,
            messages: registry.histogram(
                "claude_comms_message_seconds",
                "From a question asked of a module to its answer, or its failure.",
                &SECONDS_BUCKETS,
                &[],
            )?,
            pools: BTreeMap::new(),
        })
    }

    /// Counts what a batch that is durable has told.
    pub(super) fn count(&mut self, effects: &Effects) {
        if !effects.events.is_empty() {
            self.events.add(effects.events.len() as u64);
            self.batches.observe(effects.events.len() as f64);
        }
        for measure in &effects.measures {
            if let Err(error) = self.observe(measure) {
                log::error!("left a metric out: {error}");
            }
        }
        for pool in &effects.dismissed {
            self.pools.remove(pool);
            self.registry.remove_labelled("pool", pool.as_str());
        }
        for (upstream, order) in &effects.pollers {
            if *order == PollerOrder::End {
                self.registry.remove_labelled("upstream", upstream.as_str());
            }
        }
    }

    fn observe(&mut self, measure: &Measure) -> Result<(), MetricError> {
        match measure {
            Measure::TaskQueued { pool, wait } => self.of(pool)?.queued.observe_duration(*wait),
            Measure::TaskRan { pool, took } => self.of(pool)?.ran.observe_duration(*took),
            Measure::MessageEnded { took } => self.messages.observe_duration(*took),
            Measure::Sampled { upstream, metric, kind, value } => {
                return self.sampled(upstream.as_str(), metric, *kind, *value);
            }
            Measure::Forgotten { upstream, metric } => {
                self.named.remove(metric, &[("upstream", upstream.as_str())]);
            }
            Measure::Polled { upstream, took, failed } => {
                return self.polled(upstream.as_str(), *took, *failed);
            }
            Measure::PollerBreaker { upstream, state } => return self.poller_breaker(upstream.as_str(), *state),
        }
        Ok(())
    }

    /// What an upstream counts or measures, under its own name.
    fn sampled(&mut self, upstream: &str, metric: &str, kind: SampleKind, value: f64) -> Result<(), MetricError> {
        let (help, labels) = ("As an upstream counts it.", [("upstream", upstream)]);
        match kind {
            SampleKind::Counter => {
                // The hub tells whole totals, which never fall; here only what is new is added.
                let counter = self.named.counter(metric, help, &labels)?;
                counter.add_float(value - counter.value().as_f64());
            }
            SampleKind::Gauge => self.measured(metric, help, &labels)?.set(value),
            SampleKind::Histogram => self.named.histogram(metric, help, &SAMPLE_BUCKETS, &labels)?.observe(value),
        }
        if self.named.has_dropped() && !std::mem::replace(&mut self.told_of_crowd, true) {
            log::warn!("there are too many different metrics, and some of upstreams are not shown upstream={upstream}");
        }
        Ok(())
    }

    /// What another upstream's tool has under a name that differs in dots only is one metric with this, as it is in the text.
    fn measured(&self, metric: &str, help: &str, labels: &[(&str, &str)]) -> Result<Gauge, MetricError> {
        match self.named.gauge(metric, help, labels) {
            Err(MetricError::Conflict { registered, asked })
                if registered.kind == asked.kind && registered.name.exported() == asked.name.exported() =>
            {
                self.named.gauge(registered.name.as_str(), help, labels)
            }
            asked => asked,
        }
    }

    fn poller_breaker(&mut self, upstream: &str, state: BreakerState) -> Result<(), MetricError> {
        let number = match state {
            BreakerState::Closed => 0.0,
            BreakerState::Open => 1.0,
            BreakerState::HalfOpen => 2.0,
        };
        let help = "0 while closed, 1 while open, 2 while half-open.";
        let name = "session_buddy_poller.circuit_breaker_state";
        self.registry.gauge(name, help, &[("upstream", upstream)])?.set(number);
        Ok(())
    }

    fn polled(&mut self, upstream: &str, took: Option<Duration>, failed: bool) -> Result<(), MetricError> {
        let labels = [("upstream", upstream)];
        let cycles = "session_buddy_poller.poll_cycles_total";
        self.registry.counter(cycles, "Cycles of a poller.", &labels)?.increment();
        let errors =
            self.registry.counter("session_buddy_poller.poll_errors_total", "Cycles with an error.", &labels)?;
        if failed {
            errors.increment();
        }
        let seconds = "session_buddy_poller.poll_duration_seconds";
        let help = "How long cycles took in which anything was called.";
        let durations = self.registry.histogram(seconds, help, &SECONDS_BUCKETS, &labels)?;
        took.into_iter().for_each(|took| durations.observe_duration(took));
        Ok(())
    }

    fn of(&mut self, pool: &PoolId) -> Result<&OfPool, MetricError> {
        if !self.pools.contains_key(pool) {
            let histogram = |name: &str, help: &str| {
                self.registry.histogram(name, help, &SECONDS_BUCKETS, &[("pool", pool.as_str())])
            };
            let queued = histogram(
                "claude_comms_task_queue_seconds",
                "From the submission of a task, or the end of its delay, to when a worker got it.",
            )?;
            let ran = histogram("claude_comms_task_run_seconds", "How long attempts at tasks took.")?;
            self.pools.insert(pool.clone(), OfPool { queued, ran });
        }
        Ok(&self.pools[pool])
    }
}

/// The doors' side: puts together what is counted here, what circuit breakers count, and what pools are.
pub(super) struct Exposed {
    pub(super) registry: Registry,
    pub(super) breakers: Arc<Metrics>,
}

impl Exposed {
    /// All numbers of the metrics that are wanted, by the names that Prometheus has.
    pub(super) fn families(
        &self,
        pools: &[PoolView],
        is_wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Vec<Family>, MetricError> {
        let mut all = self.registry.snapshot_of(is_wanted);
        all.extend(of_pools(pools, is_wanted)?);
        all.extend(of_process(is_wanted)?);
        let samples = self.breakers.samples().into_iter();
        all.extend(families(samples.filter(|sample| is_wanted(sample.name)).collect()));
        Ok(all)
    }

    /// All numbers, for whoever takes them away.
    pub(super) fn all(&self, pools: &[PoolView]) -> Vec<Family> {
        self.families(pools, &|_| true).unwrap_or_else(|error| {
            log::error!("the metrics could not be put together: {error}");
            self.registry.snapshot()
        })
    }
}

impl Exposition for Exposed {
    fn text(&self, pools: &[PoolView]) -> String {
        encode(&self.all(pools))
    }
}

/// Pools come and go, and what they are is known already; so these are made anew each time.
fn of_pools(pools: &[PoolView], is_wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Family>, MetricError> {
    let registry = Registry::new();
    for view in pools {
        let (row, pool) = (&view.row, [("pool", view.row.id.as_str())]);
        let count = |name: &str, help: &str, value: u64| {
            let name = format!("claude_comms_pool_tasks_{name}_total");
            if is_wanted(&name) { registry.counter(&name, help, &pool).map(|it| it.add(value)) } else { Ok(()) }
        };
        count("submitted", "Tasks that were given to a pool, retries by hand included.", row.submitted)?;
        count("completed", "Tasks of a pool that were completed.", row.completed)?;
        count("failed", "Tasks of a pool that failed for good.", row.failed)?;
        let show = |name: &str, help: &str, value: f64| {
            let name = format!("claude_comms_pool_{name}");
            if is_wanted(&name) { registry.gauge(&name, help, &pool).map(|it| it.set(value)) } else { Ok(()) }
        };
        show("success_rate", "Completed tasks among those that ended; 1 when none has.", row.success_rate())?;
        show("queue_size", "Tasks that wait in a pool, for whatever reason.", view.queue_size as f64)?;
        show("tasks_running", "Tasks of a pool that its workers have.", view.running as f64)?;
        show("workers_healthy", "Workers of a pool that are well, of three.", view.workers_healthy() as f64)?;
    }
    Ok(without_own(registry))
}

fn of_process(is_wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Family>, MetricError> {
    let registry = Registry::new();
    let count = |name: &str, help: &str, path: &str| {
        let entries = if is_wanted(name) { std::fs::read_dir(path).ok() } else { None };
        entries.map_or(Ok(()), |entries| registry.gauge(name, help, &[]).map(|it| it.set(entries.count() as f64)))
    };
    count("claude_comms_threads", "Threads of the daemon.", "/proc/self/task")?;
    count("process_open_fds", "Open file descriptors of the daemon.", "/proc/self/fd")?;
    Ok(without_own(registry))
}

/// Every registry counts what it has dropped; one such count, of the one that lasts, is enough.
fn without_own(registry: Registry) -> Vec<Family> {
    let mut families = registry.snapshot();
    families.retain(|family| family.name.exported() != crate::telemetry::SERIES_DROPPED);
    families
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::mcp::client::ToolAnswer;
    use crate::model::id::UpstreamName;
    use crate::model::pool::{ExecutorKind, Pool, PoolRow};
    use crate::resilience::{CircuitBreaker, Effects as Means, Event, Observer, presets};
    use crate::telemetry::tests::promtool;
    use crate::upstream::{Mapped, Sample, map};

    fn view(id: &str, completed: u64, failed: u64) -> PoolView {
        let timeout = Duration::from_secs(1);
        let row = PoolRow::new(PoolId::new(id), ExecutorKind::Echo, 10, timeout, Timestamp::default());
        Pool::new(PoolRow { submitted: completed + failed, completed, failed, ..row }).view()
    }

    fn effects(measures: Vec<Measure>) -> Effects {
        Effects { measures, ..Effects::default() }
    }

    #[test]
    fn pools_are_shown_as_they_are_and_what_took_time_is_counted() {
        let registry = Registry::new();
        let mut meter = Meter::new(&registry).unwrap();
        let exposed = Exposed { registry, breakers: Metrics::new() };
        let pool = PoolId::new("p");
        meter.count(&effects(vec![
            Measure::TaskQueued { pool: pool.clone(), wait: Duration::from_millis(20) },
            Measure::TaskRan { pool: pool.clone(), took: Duration::from_secs(2) },
            Measure::MessageEnded { took: Duration::from_secs(3) },
        ]));
        let text = exposed.text(&[view("p", 3, 1), view("q", 0, 0)]);
        for line in [
            "claude_comms_pool_tasks_submitted_total{pool=\"p\"} 4",
            "claude_comms_pool_success_rate{pool=\"p\"} 0.75",
            "claude_comms_pool_success_rate{pool=\"q\"} 1",
            "claude_comms_pool_workers_healthy{pool=\"q\"} 3",
            "claude_comms_task_queue_seconds_bucket{pool=\"p\",le=\"0.025\"} 1",
            "claude_comms_task_run_seconds_sum{pool=\"p\"} 2",
            "claude_comms_message_seconds_count 1",
            "claude_comms_telemetry_series_dropped_total 0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        assert_eq!(text.matches("# TYPE claude_comms_telemetry_series_dropped_total").count(), 1);
        meter.count(&Effects { dismissed: vec![pool], ..Effects::default() });
        assert!(!exposed.text(&[]).contains("pool=\"p\""));
    }

    /// However many names the tools of upstreams think of.
    #[test]
    fn upstreams_leave_room_for_the_numbers_of_the_daemon() {
        let exposed = Exposed { registry: Registry::new(), breakers: Metrics::new() };
        let mut meter = Meter::new(&exposed.registry).unwrap();
        let told = |number: usize| Measure::Sampled {
            upstream: UpstreamName::new("u"),
            metric: format!("upstream.t.k{number}"),
            kind: SampleKind::Gauge,
            value: 1.0,
        };
        meter.count(&effects((0..3_000).map(told).collect()));
        let pool = PoolId::new("p");
        meter.count(&effects(vec![
            Measure::TaskRan { pool: pool.clone(), took: Duration::from_secs(1) },
            Measure::Polled { upstream: UpstreamName::new("u"), took: Some(Duration::from_millis(3)), failed: false },
        ]));
        let text = exposed.text(&[]);
        for line in [
            "claude_comms_task_run_seconds_count{pool=\"p\"} 1",
            "session_buddy_poller_poll_cycles_total{upstream=\"u\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not there");
        }
    }

    /// `get` with `x_y` and `get_x` with `y` are one name to Prometheus.
    #[test]
    fn two_upstreams_whose_names_differ_in_dots_share_a_metric() {
        let exposed = Exposed { registry: Registry::new(), breakers: Metrics::new() };
        let mut meter = Meter::new(&exposed.registry).unwrap();
        for (upstream, metric) in [("u", "upstream.get.x_y"), ("v", "upstream.get_x.y")] {
            let (upstream, metric) = (UpstreamName::new(upstream), metric.to_owned());
            let told = Measure::Sampled { upstream, metric, kind: SampleKind::Gauge, value: 2.0 };
            meter.count(&effects(vec![told]));
        }
        let text = exposed.text(&[]);
        for upstream in ["u", "v"] {
            assert!(text.contains(&format!("upstream_get_x_y{{upstream=\"{upstream}\"}} 2")), "{text}");
        }
    }

    /// Keys as they are documented, those of real servers, and a tool that nobody knows.
    const ANSWERS: [(&str, &str); 5] = [
        ("get_activity_summary", r#"{"active_sessions": 3, "total_sessions": 41}"#),
        (
            "get_workflow_metrics",
            r#"{"workflows_completed": 5, "workflows_failed": 1, "avg_duration": 2.5, "total_sessions": 9,
                "avg_session_duration_minutes": 3, "avg_checkpoints_per_session": 1, "avg_commits_per_session": 1,
                "avg_velocity_commits_per_hour": 1, "avg_quality_score": 80, "total_files_modified": 7}"#,
        ),
        (
            "get_session_analytics",
            r#"{"total_checkpoints": 9, "avg_checkpoint_size": 1, "avg_session_duration": 2, "total_analyzed": 4}"#,
        ),
        ("get_performance_metrics", r#"{"cpu_usage": 12.5, "memory_usage": 80, "response_time": 0.2}"#),
        ("get_weather", r#"{"rain_total": 1, "wind": 7, "hit_count": 2}"#),
    ];

    #[test]
    fn promtool_has_nothing_to_say_about_pools_upstreams_breakers_and_retries() {
        let exposed = Exposed { registry: Registry::new(), breakers: Metrics::new() };
        let mut meter = Meter::new(&exposed.registry).unwrap();
        let upstream = || UpstreamName::new("u");
        let sampled = |sample: Sample| Measure::Sampled {
            upstream: upstream(),
            metric: sample.metric,
            kind: sample.kind,
            value: sample.value,
        };
        for (tool, answer) in ANSWERS {
            let mapped = map(tool, &ToolAnswer::Object(serde_json::from_str(answer).unwrap()));
            let Mapped::Samples { samples, bad } = mapped else { panic!("{mapped:?}") };
            assert_eq!(bad, [""; 0]);
            meter.count(&effects(samples.into_iter().map(sampled).collect()));
        }
        let pool = || PoolId::new("p");
        meter.count(&effects(vec![
            Measure::Polled { upstream: upstream(), took: Some(Duration::from_millis(3)), failed: true },
            Measure::PollerBreaker { upstream: upstream(), state: BreakerState::Open },
            Measure::TaskQueued { pool: pool(), wait: Duration::from_millis(20) },
            Measure::TaskRan { pool: pool(), took: Duration::from_secs(2) },
        ]));
        let wait = Duration::from_secs(1);
        exposed.breakers.observe(&Event::Retrying { operation: "call", attempt: 1, kind: "timeout", wait });
        let means = Means::system().observed_by(Arc::clone(&exposed.breakers) as Arc<dyn Observer>);
        CircuitBreaker::new("upstream:u", presets::MCP_SERVER, &means).unwrap().acquire().unwrap().failure();

        let text = exposed.text(&[view("p", 3, 1)]);
        for line in [
            "session_buddy_workflows_failed_total{upstream=\"u\"} 1",
            "session_buddy_sessions_total{upstream=\"u\"} 41",
            "retry_attempts_total{exception_type=\"timeout\"} 1",
            "circuit_breaker_failures{breaker_name=\"upstream:u\"} 1",
        ] {
            assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
        }
        let Some(complaints) = promtool::complaints(&text) else { return };
        assert_eq!(complaints, [""; 0], "{text}");
    }
}
