//! Which tool comes first.

/// What is remembered from one cycle to the next. Tools are known by their place in the settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rotation {
    last_tried: Option<usize>,
    last_worked: Option<usize>,
    /// The last cycle ran out of time.
    cut_short: bool,
}

impl Rotation {
    /// The order of the next cycle. A probe asks the tool that worked last; otherwise a cycle that had no time for all tools is
    /// followed by one that begins where it ended, so that no tool is left out for ever.
    pub(super) fn order(&self, tools: usize, probing: bool) -> Vec<usize> {
        let after_last = self.last_tried.filter(|_| self.cut_short).map(|last| last + 1);
        let first = if probing { self.last_worked } else { after_last };
        let first = first.unwrap_or(0) % tools.max(1);
        (first..tools).chain(0..first).collect()
    }

    pub(super) fn begin(&mut self) {
        self.cut_short = false;
    }

    pub(super) fn tried(&mut self, tool: usize) {
        self.last_tried = Some(tool);
    }

    pub(super) fn worked(&mut self, tool: usize) {
        self.last_worked = Some(tool);
    }

    pub(super) fn ran_out_of_time(&mut self) {
        self.cut_short = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_come_in_order_unless_time_ran_out() {
        let mut rotation = Rotation::default();
        assert_eq!(rotation.order(4, false), [0, 1, 2, 3]);
        rotation.tried(1);
        assert_eq!(rotation.order(4, false), [0, 1, 2, 3]);
        rotation.ran_out_of_time();
        assert_eq!(rotation.order(4, false), [2, 3, 0, 1]);
        rotation.tried(3);
        assert_eq!(rotation.order(4, false), [0, 1, 2, 3]);
    }

    #[test]
    fn a_probe_asks_what_worked_last() {
        let mut rotation = Rotation::default();
        assert_eq!(rotation.order(3, true), [0, 1, 2]);
        rotation.worked(2);
        assert_eq!(rotation.order(3, true), [2, 0, 1]);
    }
}
