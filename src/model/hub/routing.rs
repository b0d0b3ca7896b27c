//! Choosing a pool for a task that names none.

use super::{Effects, Hub};
use crate::model::command::{Code, Refusal, Selector};
use crate::model::id::PoolId;
use crate::model::pool::{Pool, PoolStatus};
use crate::model::rows::Write;

impl Hub {
    /// Prefers pools that run and are well, then those that run, then paused ones; full ones only have a turn when the
    /// caller has to be told that they are full.
    pub(super) fn route(
        &mut self,
        selector: Selector,
        group: Option<&str>,
        can_run: bool,
        out: &mut Effects,
    ) -> Result<PoolId, Refusal> {
        let members = || self.pools.values().filter(|pool| group.is_none() || pool.row.group.as_deref() == group);
        if let Some(group) = group.filter(|_| members().next().is_none()) {
            return Err(Refusal::not_found(format!("there is no pool in group {group}")));
        }
        let is_first_choice = |pool: &&Pool| pool.row.status == PoolStatus::Running && pool.is_healthy();
        let is_second_choice = |pool: &&Pool| pool.row.status == PoolStatus::Running;
        let open: Vec<&Pool> = members().filter(|pool| pool.row.status.accepts()).collect();
        let free: Vec<&Pool> = open.iter().copied().filter(|pool| pool.has_room(can_run)).collect();
        let choices = [&is_first_choice as &dyn Fn(&&Pool) -> bool, &is_second_choice, &|_: &&Pool| true];
        let candidates: Vec<&Pool> = choices
            .iter()
            .map(|choice| free.iter().copied().filter(|pool| choice(pool)).collect::<Vec<_>>())
            .find(|some| !some.is_empty())
            .unwrap_or_default();
        if candidates.is_empty() {
            return Err(nowhere(&open));
        }
        let chosen = match selector {
            Selector::LeastLoaded => candidates.iter().min_by_key(|pool| pool.load()).copied(),
            Selector::RoundRobin => candidates.get(turn(self.round_robin, candidates.len())).copied(),
            Selector::Random(number) => candidates.get(turn(number, candidates.len())).copied(),
        };
        let chosen = chosen.map(|pool| pool.row.id.clone()).ok_or_else(|| nowhere(&[]))?;
        if selector == Selector::RoundRobin {
            self.round_robin = self.round_robin.wrapping_add(1);
            out.writes.push(Write::RoundRobin(self.round_robin));
        }
        Ok(chosen)
    }
}

fn turn(number: u64, count: usize) -> usize {
    usize::try_from(number % count as u64).unwrap_or(0)
}

fn nowhere(full: &[&Pool]) -> Refusal {
    if full.is_empty() {
        return Refusal::new(Code::NotRunning, "No pools available for routing");
    }
    Refusal::new(Code::QueueFull, format!("the queues of all {} pools are full; try again later", full.len()))
}
