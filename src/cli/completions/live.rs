//! What the daemon knows at this moment, for whoever presses the tab key: within a moment, or not at all.

use std::env;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::cli::table::short_id;
use crate::control::wire::{self, Request};
use crate::control::{Client, ClientError};
use crate::service::{PathOptions, Paths};
use crate::thread::Joined;

/// Longest that a person waits for candidates.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many are looked at, the newest first.
const ROWS_MAX: usize = 100;

/// Something of which there are many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Pools,
    Groups,
    Tasks,
    Messages,
    Threads,
    Modules,
    Workflows,
    Upstreams,
    Channels,
}

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// How it is called; with an id, the whole of it.
    name: String,
    is_id: bool,
    about: String,
}

/// `None` when there is no daemon, or none that answers in time.
pub(super) fn fetch(options: PathOptions, kind: Kind) -> Option<Vec<Found>> {
    let paths = Paths::resolve(&options, &|name| env::var_os(name)).ok()?;
    let (answer, answered) = bounded(1);
    // A thread of its own, because connecting to a daemon that is stopped can block for ever.
    let asking = Joined::spawn("live-ids", move || {
        let found = Client::connect(&paths.socket).and_then(|mut client| ask(&mut client, kind));
        // Nobody waits for it any more when it comes too late.
        let _ = answer.send(found.ok());
    });
    let found = answered.recv_timeout(PATIENCE).ok().flatten();
    // The process ends, and with it whatever that thread still waits for.
    asking.ok()?.leave();
    found
}

fn ask(client: &mut Client, kind: Kind) -> Result<Vec<Found>, ClientError> {
    let limit = Some(ROWS_MAX);
    Ok(match kind {
        Kind::Pools => pools(client)?.iter().map(|pool| named(&pool.pool_id, &pool.status)).collect(),
        Kind::Groups => groups(&pools(client)?),
        Kind::Channels => channels(&pools(client)?),
        Kind::Tasks => {
            let request = Request::TaskList(wire::TaskList { limit, ..wire::TaskList::default() });
            let found: wire::Tasks = client.call_within(&request, Some(PATIENCE))?;
            found
                .tasks
                .iter()
                .map(|task| with_id(&task.task_id, format!("{}, {}", task.pool_id, task.status)))
                .collect()
        }
        Kind::Messages => {
            let request = Request::MessageList(wire::MessageList { limit, ..wire::MessageList::default() });
            let found: wire::Messages = client.call_within(&request, Some(PATIENCE))?;
            found.messages.iter().map(message).collect()
        }
        Kind::Threads => {
            let request = Request::ThreadList(wire::PageArgs { limit, before: None });
            let found: wire::Threads = client.call_within(&request, Some(PATIENCE))?;
            let about = |thread: &wire::Thread| thread.title.clone().unwrap_or_else(|| thread.modules.join(", "));
            found.threads.iter().map(|thread| with_id(&thread.thread_id, about(thread))).collect()
        }
        Kind::Modules => {
            let found: wire::Modules = client.call_within(&Request::ModuleList(wire::Empty {}), Some(PATIENCE))?;
            found.modules.iter().map(|module| named(&module.name, &module.directory)).collect()
        }
        Kind::Workflows => {
            let request = Request::WorkflowList(wire::WorkflowList { limit, ..wire::WorkflowList::default() });
            let found: wire::Workflows = client.call_within(&request, Some(PATIENCE))?;
            let about = |workflow: &wire::WorkflowSummary| format!("{}, {}", workflow.name, workflow.status);
            found.workflows.iter().map(|workflow| with_id(&workflow.workflow_id, about(workflow))).collect()
        }
        Kind::Upstreams => {
            let found: wire::Upstreams = client.call_within(&Request::UpstreamList(wire::Empty {}), Some(PATIENCE))?;
            found.upstreams.iter().map(|upstream| named(&upstream.name, &upstream.endpoint)).collect()
        }
    })
}

fn pools(client: &mut Client) -> Result<Vec<wire::Pool>, ClientError> {
    let found: wire::Pools = client.call_within(&Request::PoolList(wire::Empty {}), Some(PATIENCE))?;
    Ok(found.pools)
}

fn groups(pools: &[wire::Pool]) -> Vec<Found> {
    let mut groups: Vec<&str> = pools.iter().filter_map(|pool| pool.group.as_deref()).collect();
    groups.sort_unstable();
    groups.dedup();
    groups.into_iter().map(|group| named(group, "a group of pools")).collect()
}

fn channels(pools: &[wire::Pool]) -> Vec<Found> {
    let all =
        [("*", "everything"), ("global", "pools and workflows"), ("messages", "all messages"), ("alerts", "alerts")];
    let all = all.into_iter().map(|(name, about)| named(name, about));
    all.chain(pools.iter().map(|pool| named(&format!("pool:{}", pool.pool_id), "one pool"))).collect()
}

fn message(message: &wire::Message) -> Found {
    let to = message.target_module.as_deref().map(|to| format!(" -> {to}")).unwrap_or_default();
    with_id(&message.message_id, format!("{}{to}, {}", message.module, message.status))
}

fn named(name: &str, about: &str) -> Found {
    Found { name: name.to_owned(), is_id: false, about: about.to_owned() }
}

fn with_id(id: &str, about: String) -> Found {
    Found { name: id.to_owned(), is_id: true, about }
}

/// Those that begin with what was typed; ids by their ends, as tables show them, or whole when somebody types that.
pub(super) fn matching(found: Vec<Found>, typed: &str) -> Vec<(String, String)> {
    let short = |found: &Found| if found.is_id { short_id(&found.name) } else { found.name.clone() };
    let by_end: Vec<(String, String)> = found
        .iter()
        .map(|found| (short(found), found.about.clone()))
        .filter(|(name, _)| name.starts_with(typed))
        .collect();
    if !by_end.is_empty() {
        return by_end;
    }
    let whole = found.into_iter().filter(|found| found.name.starts_with(typed));
    whole.map(|found| (found.name, found.about)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_offered_by_its_end_unless_its_beginning_was_typed() {
        let found = || vec![with_id("0199a0b1-7c2d-7e3f-8a4b-1234567890ab", String::new()), named("local", "")];
        let names = |typed: &str| matching(found(), typed).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names(""), ["567890ab", "local"]);
        assert_eq!(names("567"), ["567890ab"]);
        assert_eq!(names("0199"), ["0199a0b1-7c2d-7e3f-8a4b-1234567890ab"]);
        assert!(names("x").is_empty());
    }
}
