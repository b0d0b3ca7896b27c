//! What the hub has answered, on its way to the wire.

use super::server::Context;
use super::{shown, upstreams, wire, workflows};
use crate::model::command::{Code, Refusal, Reply};
use crate::ports::Hooks;
use serde_json::value::{RawValue, to_raw_value};

pub(super) fn encoded<T: serde::Serialize>(value: &T) -> Result<Box<RawValue>, Refusal> {
    to_raw_value(value).map_err(|error| Refusal::new(Code::Internal, format!("the answer is no JSON: {error}")))
}

/// The answer to `hook.list`, which needs neither the hub nor the store.
pub(super) fn hooks(hooks: &dyn Hooks) -> Result<Box<RawValue>, Refusal> {
    encoded(&wire::Hooks { hooks: hooks.hooks().into_iter().map(shown::hook).collect() })
}

/// The hub's answer to a command, as the wire has it.
pub(super) fn show(reply: Reply, context: &Context) -> Result<Box<RawValue>, Refusal> {
    match reply {
        Reply::Metrics(pools, _) => encoded(&wire::Metrics { text: context.means.exposition.text(&pools) }),
        Reply::Status { hub, alerts } => encoded(&context.status(hub, &alerts)),
        // An answer goes out only when what it tells of is stored.
        Reply::Workflow(id) => encoded(&workflows::show(id.as_str(), &mut *context.means.readers.open()?)?),
        reply => show_alone(reply),
    }
}

/// As [`show`], of an answer that needs nothing beside it.
pub(super) fn show_alone(reply: Reply) -> Result<Box<RawValue>, Refusal> {
    match reply {
        Reply::Done => encoded(&wire::Empty {}),
        Reply::Upstreams(all) => encoded(&upstreams::list(&all)),
        Reply::Upstream(one) => encoded(&upstreams::shown(&one)),
        Reply::Alerts(alerts) => encoded(&wire::Alerts { alerts: alerts.iter().map(shown::alert).collect() }),
        Reply::Watching(watch) => encoded(&shown::watch(&watch)),
        Reply::Waited(waited) => encoded(&shown::waited(waited)),
        Reply::Sent { message_id, thread_id, status } => encoded(&wire::Sent {
            message_id: message_id.to_string(),
            thread_id: thread_id.to_string(),
            status: status.to_string(),
        }),
        Reply::Updated { message_id, status, changed } => {
            encoded(&wire::Updated { message_id: message_id.to_string(), status: status.to_string(), changed })
        }
        Reply::Imported { id, added } => encoded(&wire::Imported { id, added }),
        Reply::Asked(answer) => encoded(&shown::answer(answer)),
        Reply::Pool(view) => encoded(&shown::pool(&view)),
        Reply::PoolHealth(view) => encoded(&shown::pool_health(&view)),
        Reply::AllHealth(views) => encoded(&shown::all_health(&views)),
        Reply::Deleted(pool) => encoded(&wire::Deleted { pool_id: pool.to_string(), deleted: true }),
        Reply::Scaled(scaled) => encoded(&shown::scaled(&scaled)),
        Reply::Pools(views) => encoded(&wire::Pools { pools: views.iter().map(shown::pool).collect() }),
        Reply::Submitted { task, pool, status, duplicate, held_until } => encoded(&wire::Submitted {
            task_id: task.to_string(),
            pool_id: pool.to_string(),
            status: status.as_str().to_owned(),
            duplicate,
            held_until: held_until.map(|at| at.to_string()),
        }),
        Reply::Task(view) => encoded(&shown::task_view(*view)),
        Reply::Started { workflow, status, duplicate, seq } => encoded(&wire::WorkflowStarted {
            workflow_id: workflow.to_string(),
            status: status.shown().to_owned(),
            duplicate,
            seq,
        }),
        Reply::Published(seq) => encoded(&wire::Published { seq }),
        Reply::Metrics(..) | Reply::Status { .. } | Reply::Workflow(_) => {
            Err(Refusal::new(Code::Internal, "this answer is shown on the control socket alone"))
        }
    }
}
