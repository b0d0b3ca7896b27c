//! Choosing a pool for a task that names none, among all or those of a group.

use super::{Effects, Hub};
use crate::model::command::{Code, Refusal, Selector};
use crate::model::id::PoolId;
use crate::model::pool::Pool;
use crate::model::routing::{Candidate, Nowhere, choose};
use crate::model::rows::Write;

impl Hub {
    pub(super) fn route(
        &mut self,
        selector: Selector,
        group: Option<&str>,
        can_run: bool,
        out: &mut Effects,
    ) -> Result<PoolId, Refusal> {
        let is_member = |pool: &&Pool| group.is_none() || pool.row.group.as_deref() == group;
        let members: Vec<&Pool> = self.pools.values().filter(is_member).collect();
        if let Some(group) = group.filter(|_| members.is_empty()) {
            return Err(Refusal::not_found(format!("there is no pool in group {group}")));
        }
        let candidates: Vec<Candidate> = members.iter().map(|pool| pool.candidate(can_run)).collect();
        let chosen = choose(selector, self.round_robin, &candidates).map_err(nowhere)?;
        let chosen = members[chosen].row.id.clone();
        if selector == Selector::RoundRobin {
            self.round_robin = self.round_robin.wrapping_add(1);
            out.writes.push(Write::RoundRobin(self.round_robin));
        }
        Ok(chosen)
    }
}

fn nowhere(reason: Nowhere) -> Refusal {
    let code = match reason {
        Nowhere::NoPool => Code::NotRunning,
        Nowhere::AllFull(_) => Code::QueueFull,
    };
    Refusal::new(code, reason.to_string())
}
