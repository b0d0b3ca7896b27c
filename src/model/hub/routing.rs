//! Choosing a pool for a task that names none, among all or those of a group.

use super::{Effects, Hub};
use crate::model::command::{Code, Refusal, Selector};
use crate::model::id::PoolId;
use crate::model::pool::{ExecutorKind, Pool};
use crate::model::routing::{Candidate, Nowhere, choose};
use crate::model::rows::Write;

impl Hub {
    /// `can_run`: at once, or it has to wait. `is_placed`: it names the directory in which it is to run.
    pub(super) fn route(
        &mut self,
        selector: Selector,
        group: Option<&str>,
        can_run: bool,
        is_placed: bool,
        out: &mut Effects,
    ) -> Result<PoolId, Refusal> {
        let members = self.routable(group, is_placed)?;
        let candidates: Vec<Candidate> = members.iter().map(|pool| pool.candidate(can_run)).collect();
        let chosen = choose(selector, self.round_robin, &candidates).map_err(nowhere)?;
        let chosen = members[chosen].row.id.clone();
        if selector == Selector::RoundRobin {
            self.round_robin = self.round_robin.wrapping_add(1);
            out.writes.push(Write::RoundRobin(self.round_robin));
        }
        Ok(chosen)
    }

    /// Those that a task may go to. Work does not go to an echo, which only repeats it, unless there is nothing else or the
    /// group is meant; and not to a pool that has no directory for it.
    fn routable(&self, group: Option<&str>, is_placed: bool) -> Result<Vec<&Pool>, Refusal> {
        let is_member = |pool: &&Pool| group.is_none() || pool.row.group.as_deref() == group;
        let mut members: Vec<&Pool> = self.pools.values().filter(is_member).collect();
        if let Some(group) = group.filter(|_| members.is_empty()) {
            return Err(Refusal::not_found(format!("there is no pool in group {group}")));
        }
        let works = |pool: &Pool| pool.row.executor == ExecutorKind::Command;
        if group.is_none() && members.iter().any(|pool| works(pool)) {
            members.retain(|pool| works(pool));
        }
        if is_placed || members.is_empty() {
            return Ok(members);
        }
        members.retain(|pool| !works(pool) || pool.row.directory.is_some());
        if members.is_empty() {
            let message =
                "no pool that it could go to has a directory to run it in; give the task one (context.repo, or dir)";
            return Err(Refusal::bad_request(message));
        }
        Ok(members)
    }
}

fn nowhere(reason: Nowhere) -> Refusal {
    let code = match reason {
        Nowhere::NoPool => Code::NotRunning,
        Nowhere::AllFull(_) => Code::QueueFull,
    };
    Refusal::new(code, reason.to_string())
}
