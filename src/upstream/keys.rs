//! Which numbers of tools that the table does not know are kept: so many at a time, each under a name of its own.

use super::mapping::{Sample, is_other};
use std::collections::BTreeMap;

/// Most metrics of one upstream that are named after its own tools and keys. One more takes the place of one that its tool
/// does not tell any more, the one that was told last the longest ago.
pub const OTHER_METRICS_MAX: usize = 128;

/// What is remembered from one answer to the next. Tools are known by their place in the settings.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By name, with underscores for dots: two that differ in nothing else are one to Prometheus.
    kept: BTreeMap<String, Kept>,
    /// Counts answers.
    answers: u64,
    /// When each tool answered last.
    answered: BTreeMap<usize, u64>,
    /// There were too many of them before.
    was_full: bool,
}

#[derive(Debug)]
struct Kept {
    metric: String,
    tool: usize,
    /// The answer that it was last in.
    told: u64,
}

/// What became of the samples of an answer.
#[derive(Debug, Default)]
pub(super) struct Admitted {
    pub(super) samples: Vec<Sample>,
    /// Metrics that are told no more, and have made room.
    pub(super) forgotten: Vec<String>,
    /// A sentence each.
    pub(super) bad: Vec<String>,
    /// There are too many for the first time.
    pub(super) is_full_now: bool,
}

impl Keys {
    /// Takes in an answer of a tool.
    pub(super) fn admit(&mut self, tools: &[String], tool: usize, samples: Vec<Sample>) -> Admitted {
        let now = self.answer(tool);
        for sample in &samples {
            if let Some(kept) = self.kept.get_mut(&exported(&sample.metric)).filter(|kept| kept.tool == tool) {
                kept.told = now;
            }
        }
        let (mut admitted, mut left_out) = (Admitted::default(), 0);
        for sample in samples {
            match self.find_place(tool, &sample, &mut admitted.forgotten) {
                Place::Own => admitted.samples.push(sample),
                Place::Full => left_out += 1,
                Place::Of(other) => admitted.bad.push(format!(
                    "{} was left out: the tool {} has a number of that name already",
                    sample.metric, tools[other]
                )),
            }
        }
        if left_out > 0 {
            let left_out = were(left_out, "");
            admitted.bad.push(format!("{left_out} left out: at most {OTHER_METRICS_MAX} are kept at a time"));
        }
        if !admitted.forgotten.is_empty() {
            let forgotten = were(admitted.forgotten.len(), " that it does not tell any more");
            admitted.bad.push(format!("{forgotten} forgotten: at most {OTHER_METRICS_MAX} are kept at a time"));
        }
        let is_full = left_out > 0 || !admitted.forgotten.is_empty();
        admitted.is_full_now = is_full && !self.was_full;
        self.was_full |= is_full;
        admitted
    }

    /// A tool has answered, and had no number to tell; or there is no such tool.
    pub(super) fn answer(&mut self, tool: usize) -> u64 {
        self.answers += 1;
        self.answered.insert(tool, self.answers);
        self.answers
    }

    fn find_place(&mut self, tool: usize, sample: &Sample, forgotten: &mut Vec<String>) -> Place {
        if !is_other(&sample.metric) {
            return Place::Own;
        }
        let name = exported(&sample.metric);
        if let Some(kept) = self.kept.get(&name) {
            return if kept.tool == tool { Place::Own } else { Place::Of(kept.tool) };
        }
        if self.kept.len() >= OTHER_METRICS_MAX {
            let Some(gone) = self.gone() else { return Place::Full };
            forgotten.extend(self.kept.remove(&gone).map(|kept| kept.metric));
        }
        self.kept.insert(name, Kept { metric: sample.metric.clone(), tool, told: self.answers });
        Place::Own
    }

    /// The name that was told last the longest ago, of those that their tool has answered without.
    fn gone(&self) -> Option<String> {
        let is_gone = |kept: &Kept| self.answered.get(&kept.tool).is_some_and(|answered| kept.told < *answered);
        let gone = self.kept.iter().filter(|(_, kept)| is_gone(kept));
        gone.min_by_key(|(_, kept)| kept.told).map(|(name, _)| name.clone())
    }
}

enum Place {
    /// It has one, or needs none.
    Own,
    /// Another tool has it.
    Of(usize),
    Full,
}

fn exported(metric: &str) -> String {
    metric.replace('.', "_")
}

fn were(count: usize, which: &str) -> String {
    if count == 1 { format!("1 number{which} was") } else { format!("{count} numbers{which} were") }
}
