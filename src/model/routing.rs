//! Choosing a pool for a task that names none.

use super::command::Selector;
use super::pool::{Pool, PoolStatus};

/// How a pool is chosen, by the word that people write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// The pool with the fewest tasks, queued and running.
    #[default]
    LeastLoaded,
    /// One after the other.
    RoundRobin,
    /// Any.
    Random,
}

impl Strategy {
    pub const ALL: [Strategy; 3] = [Strategy::LeastLoaded, Strategy::RoundRobin, Strategy::Random];

    pub fn as_str(self) -> &'static str {
        match self {
            Strategy::LeastLoaded => "least_loaded",
            Strategy::RoundRobin => "round_robin",
            Strategy::Random => "random",
        }
    }

    pub fn parse(text: &str) -> Option<Strategy> {
        Strategy::ALL.into_iter().find(|strategy| strategy.as_str() == text)
    }

    /// With the number that whoever asks has drawn, should chance decide.
    pub fn drawn(self, number: u64) -> Selector {
        match self {
            Strategy::LeastLoaded => Selector::LeastLoaded,
            Strategy::RoundRobin => Selector::RoundRobin,
            Strategy::Random => Selector::Random(number),
        }
    }
}

/// What is looked at in a pool when one is chosen.
#[derive(Clone, Copy, Debug)]
pub struct Candidate {
    pub status: PoolStatus,
    pub is_healthy: bool,
    pub has_room: bool,
    pub load: usize,
}

impl Pool {
    /// For a task that could run at once, or would have to wait.
    pub fn candidate(&self, can_run: bool) -> Candidate {
        Candidate {
            status: self.row.status,
            is_healthy: self.is_healthy(),
            has_room: self.has_room(can_run),
            load: self.load(),
        }
    }
}

/// Why none was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nowhere {
    #[error("No pools available for routing")]
    NoPool,
    #[error("the queues of all {0} pools are full; try again later")]
    AllFull(usize),
}

/// Prefers pools that run and are well, then those that run, then paused ones; full ones only have a turn when the
/// caller has to be told that they are full. `turn` counts the choices by round robin. Says which of `pools` it is.
pub fn choose(selector: Selector, turn: u64, pools: &[Candidate]) -> Result<usize, Nowhere> {
    let is_first_choice = |pool: &Candidate| pool.status == PoolStatus::Running && pool.is_healthy;
    let is_second_choice = |pool: &Candidate| pool.status == PoolStatus::Running;
    let choices = [&is_first_choice as &dyn Fn(&Candidate) -> bool, &is_second_choice, &|_| true];
    let open: Vec<(usize, &Candidate)> = pools.iter().enumerate().filter(|(_, pool)| pool.status.accepts()).collect();
    let candidates = choices
        .iter()
        .map(|choice| open.iter().filter(|(_, pool)| pool.has_room && choice(pool)).collect::<Vec<_>>())
        .find(|some| !some.is_empty())
        .unwrap_or_default();
    let chosen = match selector {
        Selector::LeastLoaded => candidates.iter().min_by_key(|(_, pool)| pool.load),
        Selector::RoundRobin => candidates.get(place(turn, candidates.len())),
        Selector::Random(number) => candidates.get(place(number, candidates.len())),
    };
    match chosen {
        Some((position, _)) => Ok(*position),
        None if open.is_empty() => Err(Nowhere::NoPool),
        None => Err(Nowhere::AllFull(open.len())),
    }
}

/// Whose turn it is among so many; the first one's when there is none.
fn place(number: u64, count: usize) -> usize {
    number.checked_rem(count as u64).and_then(|place| usize::try_from(place).ok()).unwrap_or(0)
}
