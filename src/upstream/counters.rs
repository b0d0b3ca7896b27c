//! Totals of a program that may be restarted, as totals that only grow.

/// The state of one counter: plain data, so that it can be stored and taken up again after a restart of *this* program.
///
/// A server says how many there were since its own start. What is exported is `offset + last`: a value that is smaller than
/// the one before means that the server began anew, and what it had counted until then is kept in the offset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CounterFold {
    /// What the server said last.
    pub last: f64,
    /// What earlier lives of the server had counted.
    pub offset: f64,
}

impl CounterFold {
    /// The total to be exported.
    pub fn total(&self) -> f64 {
        self.offset + self.last
    }

    /// Takes in an absolute value and returns by how much the total grew: nothing when it is the same as before.
    ///
    /// `None`, and nothing changes, for what cannot be a total: a negative value, one that is not finite, or one that would
    /// make the total infinite.
    pub fn fold(&mut self, value: f64) -> Option<f64> {
        if !value.is_finite() || value < 0.0 {
            return None;
        }
        let offset = if value < self.last { self.total() } else { self.offset };
        let next = CounterFold { last: value, offset };
        let before = self.total();
        next.total().is_finite().then(|| {
            *self = next;
            next.total() - before
        })
    }
}
