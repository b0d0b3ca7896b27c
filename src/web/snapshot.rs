//! How things stand on some channels, in the shape of the events that would have told it.

use super::outbox::put_text;
use crate::clock::Timestamp;
use crate::feed::{Filter, encode_snapshot};
use crate::model::alert::Alert;
use crate::model::event::Body;
use crate::model::id::{MessageId, WorkflowId};
use crate::model::message::Message;
use crate::model::pool::{PoolView, WorkerView};
use crate::model::upstream::Upstream;
use crate::model::watch::WatchFilter;
use crate::model::workflow::{self, Tally, WorkflowStatus};
use crate::ports::{ReadError, Reader, WorkflowDetail, WorkflowFilter};
use bytes::Bytes;

/// Messages and workflows that are told at most; of each the newest.
const ROWS_MAX: usize = 1_000;

/// What there is, as far as somebody who asks for these channels may want it.
#[derive(Debug, Default)]
pub(super) struct Stand {
    pub(super) pools: Vec<PoolView>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) alerts: Vec<Alert>,
}

/// What has to be looked at for these channels.
pub(super) struct Wanted<'a>(&'a [String]);

impl<'a> Wanted<'a> {
    pub(super) fn new(channels: &'a [String]) -> Wanted<'a> {
        Wanted(channels)
    }

    fn any(&self, holds: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|channel| channel == "*" || holds(channel))
    }

    pub(super) fn pools(&self) -> bool {
        self.any(|channel| channel == "global" || channel.starts_with("pool:") || channel.starts_with("worker:"))
    }

    pub(super) fn upstreams(&self) -> bool {
        self.any(|channel| channel.starts_with("upstream:"))
    }

    pub(super) fn alerts(&self) -> bool {
        self.any(|channel| channel == "alerts")
    }

    fn all_messages(&self) -> bool {
        self.any(|channel| channel == "messages" || channel == "message:*")
    }

    fn all_workflows(&self) -> bool {
        self.any(|channel| channel == "global" || channel == "workflow:*")
    }

    /// Named one by one: also what has ended long ago.
    fn named(&self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(move |channel| channel.strip_prefix(kind)).filter(|id| *id != "*")
    }
}

/// The frames, of what the filters let through.
///
/// # Errors
/// The store cannot be read.
pub(super) fn frames(
    wanted: &Wanted<'_>,
    filters: &[Filter],
    stand: &Stand,
    reader: &mut dyn Reader,
    at: Timestamp,
) -> Result<Bytes, ReadError> {
    let mut bodies: Vec<Body> = stand.pools.iter().flat_map(pool).collect();
    bodies.extend(stand.upstreams.iter().flat_map(upstream));
    bodies.extend(stand.alerts.iter().map(|alert| Body::AlertRaised(Box::new(alert.clone()))));
    bodies.extend(workflows(wanted, reader)?);
    bodies.extend(messages(wanted, reader)?);
    let mut out = Vec::new();
    for event in bodies.iter().map(|body| encode_snapshot(body, at)) {
        if filters.iter().any(|filter| filter.lets_through(&event)) {
            put_text(&mut out, &event.frame);
        }
    }
    Ok(out.into())
}

fn pool(view: &PoolView) -> Vec<Body> {
    let active = view.workers.iter().filter(|worker| worker.status == "busy").count();
    let status = Body::PoolStatus {
        pool: view.row.id.clone(),
        status: view.row.status,
        queue_size: view.queue_size,
        active_workers: active,
        idle_workers: view.workers.len() - active,
        completed: view.row.completed,
        failed: view.row.failed,
    };
    let worker = |worker: &WorkerView| Body::WorkerStatus {
        pool: view.row.id.clone(),
        slot: worker.slot,
        status: worker.status,
    };
    std::iter::once(status).chain(view.workers.iter().map(worker)).collect()
}

fn upstream(upstream: &Upstream) -> Vec<Body> {
    let name = || upstream.row.name.clone();
    let polled = upstream.last.as_ref().map(|report| Body::UpstreamPolled {
        upstream: name(),
        cycle: report.cycle,
        metrics: report.metrics.clone(),
        errors: Vec::new(),
        is_well: report.is_well,
    });
    let breaker = Body::UpstreamBreakerChanged { upstream: name(), from: upstream.breaker, to: upstream.breaker };
    polled.into_iter().chain([breaker]).collect()
}

fn workflows(wanted: &Wanted<'_>, reader: &mut dyn Reader) -> Result<Vec<Body>, ReadError> {
    let mut details = Vec::new();
    if wanted.all_workflows() {
        let statuses = WorkflowStatus::ALL.into_iter().filter(|status| !status.is_final()).collect();
        let page = reader.workflows(&WorkflowFilter { statuses, before: None, rows_max: ROWS_MAX })?;
        for row in page.rows {
            details.extend(reader.workflow(&row.id)?);
        }
    }
    for id in wanted.named("workflow:") {
        details.extend(reader.workflow(&WorkflowId::new(id))?);
    }
    Ok(details.iter().flat_map(workflow).collect())
}

fn workflow(detail: &WorkflowDetail) -> Vec<Body> {
    let (row, id) = (&detail.row, || detail.row.id.clone());
    let stages = workflow::stages(row, &detail.tasks);
    let mut bodies = vec![Body::WorkflowStarted {
        workflow: id(),
        name: row.name.clone(),
        stages: stages.iter().map(|stage| std::sync::Arc::clone(&stage.name)).collect(),
    }];
    let done = stages.iter().filter(|stage| stage.tally.is_done());
    bodies.extend(done.enumerate().map(|(before, stage)| Body::WorkflowStageCompleted {
        workflow: id(),
        stage: std::sync::Arc::clone(&stage.name),
        tally: stage.tally,
        stages_completed: before + 1,
        total_stages: stages.len(),
    }));
    if row.status.is_final() {
        let mut tally = Tally::default();
        detail.tasks.iter().for_each(|task| tally.count(task.status));
        bodies.push(Body::WorkflowEnded {
            workflow: id(),
            status: row.status,
            tally,
            stages_completed: row.stages_completed,
            total_stages: stages.len(),
            error: row.error.clone(),
        });
    }
    bodies
}

fn messages(wanted: &Wanted<'_>, reader: &mut dyn Reader) -> Result<Vec<Body>, ReadError> {
    let mut bodies = Vec::new();
    if wanted.all_messages() {
        let page = reader.watches(WatchFilter::Active, None, ROWS_MAX)?;
        bodies.extend(page.rows.into_iter().filter_map(|watch| {
            let task = watch.task_id.as_ref().map(|task| MessageId::new(task.as_str()));
            Some(Body::MessageStatus {
                message_id: watch.message_id.clone().or(task)?,
                thread_id: watch.thread_id.clone(),
                previous: None,
                current: Some(watch.status.clone()),
                content_length: None,
            })
        }));
    }
    for id in wanted.named("message:") {
        bodies.extend(reader.message(&MessageId::new(id))?.map(message));
    }
    Ok(bodies)
}

fn message(message: Message) -> Body {
    Body::MessageStatus {
        content_length: u64::try_from(message.content.chars().count()).ok(),
        message_id: message.id,
        thread_id: Some(message.thread_id),
        previous: None,
        current: Some(message.status),
    }
}
