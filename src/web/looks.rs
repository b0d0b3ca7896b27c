//! What requests of MCP want looked up: whoever wants much does not hold up whoever wants little.

use super::calls::Call;
use crate::mcp::server::Look;
use std::collections::{BTreeMap, VecDeque};

/// Looks that the desk has at a time; the next one is chosen when it has done one.
const AT_THE_DESK_MAX: usize = 2;

/// Waiting looks. Connections take turns, each with one look a turn.
#[derive(Default)]
pub(super) struct Looks {
    waiting: BTreeMap<usize, VecDeque<(Call, Look)>>,
    /// Connections that have some, in the order of their turns.
    turns: VecDeque<usize>,
    at_the_desk: usize,
}

impl Looks {
    pub(super) fn put(&mut self, connection: usize, call: Call, look: Look) {
        let of_it = self.waiting.entry(connection).or_default();
        if of_it.is_empty() {
            self.turns.push_back(connection);
        }
        of_it.push_back((call, look));
    }

    pub(super) fn put_first(&mut self, connection: usize, call: Call, look: Look) {
        self.turns.retain(|other| *other != connection);
        self.turns.push_front(connection);
        self.waiting.entry(connection).or_default().push_front((call, look));
    }

    /// What the desk is to look up next, if it has room for it.
    pub(super) fn next(&mut self) -> Option<(Call, Look)> {
        if self.at_the_desk >= AT_THE_DESK_MAX {
            return None;
        }
        let connection = self.turns.pop_front()?;
        let of_it = self.waiting.get_mut(&connection)?;
        let next = of_it.pop_front()?;
        if of_it.is_empty() {
            self.waiting.remove(&connection);
        } else {
            self.turns.push_back(connection);
        }
        self.at_the_desk += 1;
        Some(next)
    }

    /// The desk has done one.
    pub(super) fn done(&mut self) {
        self.at_the_desk -= 1;
    }

    /// Nobody waits for it any more.
    pub(super) fn forget(&mut self, connection: usize, call: Call) {
        let Some(of_it) = self.waiting.get_mut(&connection) else { return };
        of_it.retain(|(other, _)| *other != call);
        if of_it.is_empty() {
            self.waiting.remove(&connection);
            self.turns.retain(|other| *other != connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mcp::server::Step;

    fn look() -> Look {
        Box::new(|_| Step::error(0, ""))
    }

    fn next(looks: &mut Looks) -> Option<Call> {
        let next = looks.next().map(|(call, _)| call);
        next.inspect(|_| looks.done())
    }

    #[test]
    fn who_wants_much_does_not_hold_up_who_wants_little() {
        let mut looks = Looks::default();
        (1..=100).for_each(|call| looks.put(7, Call::of(call), look()));
        (201..=202).for_each(|call| looks.put(8, Call::of(call), look()));
        let order: Vec<Option<Call>> = (0..5).map(|_| next(&mut looks)).collect();
        assert_eq!(order, [1, 201, 2, 202, 3].map(|call| Some(Call::of(call))));
        looks.forget(7, Call::of(4));
        assert_eq!(next(&mut looks), Some(Call::of(5)));
    }

    #[test]
    fn the_desk_is_given_what_it_can_do_soon() {
        let mut looks = Looks::default();
        (0..5).for_each(|call| looks.put(7, Call::of(call), look()));
        assert_eq!((0..5).filter_map(|_| looks.next()).count(), AT_THE_DESK_MAX);
        looks.done();
        assert!(looks.next().is_some() && looks.next().is_none());
    }

    #[test]
    fn what_the_desk_has_no_room_for_is_the_first_again() {
        let mut looks = Looks::default();
        (1..=2).for_each(|call| looks.put(7, Call::of(call), look()));
        looks.put(8, Call::of(3), look());
        let (call, first) = looks.next().unwrap();
        looks.done();
        looks.put_first(7, call, first);
        let order: Vec<Option<Call>> = (0..4).map(|_| next(&mut looks)).collect();
        assert_eq!(order, [Some(Call::of(1)), Some(Call::of(3)), Some(Call::of(2)), None]);
    }

    #[test]
    fn what_nobody_waits_for_is_not_looked_up() {
        let mut looks = Looks::default();
        looks.put(7, Call::of(1), look());
        looks.forget(7, Call::of(1));
        looks.put(8, Call::of(2), look());
        assert_eq!([next(&mut looks), next(&mut looks)], [Some(Call::of(2)), None]);
        assert!(looks.waiting.is_empty() && looks.turns.is_empty());
    }
}
