//! From the tree to a draft: every value checked by itself, names not yet compared with each other.

use super::fields::{Fields, suggestion};
use super::tree::{Node, Value};
use super::{Around, Problems};
use crate::model::command::{Destination, Selector};
use crate::model::id::{PoolId, is_name};
use crate::model::limits;
use crate::model::routing::Strategy;
use crate::model::task::TaskInput;
use crate::model::template::is_step_name;
use crate::model::workflow::{OnFailure, StageTask};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

const FILE: &[&str] = &["name", "on_failure", "pool", "selector", "group", "dir", "stage"];
const STAGE: &[&str] = &["name", "needs", "retries", "timeout", "on_failure", "task"];
const TASK: &[&str] = &["name", "prompt", "pool", "selector", "group", "dir", "context", "priority", "lock"];

/// A file whose values are right, as far as each can tell.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) stages: Vec<DraftStage>,
}

pub(super) struct DraftStage {
    pub(super) name: String,
    pub(super) name_at: usize,
    /// Names and their places; `None`: the stage before it.
    pub(super) needs: Option<Vec<(String, usize)>>,
    pub(super) on_failure: OnFailure,
    pub(super) tasks: Vec<DraftTask>,
}

pub(super) struct DraftTask {
    pub(super) name_at: usize,
    /// Where its prompt stands in the source.
    pub(super) prompt: Range<usize>,
    pub(super) task: StageTask,
}

struct Reading<'a, 'b> {
    around: &'a Around,
    problems: &'a mut Problems<'b>,
    /// Whatever the file says for all of its tasks.
    to: Destination,
    directory: Option<String>,
    tasks: u64,
}

/// What a stage says for its tasks.
struct Tries {
    retries_max: u32,
    timeout: Option<Duration>,
}

pub(super) fn draft(root: &Node, around: &Around, problems: &mut Problems<'_>) -> Option<Draft> {
    let fields = Fields::new(root, "the file", FILE, problems)?;
    let mut reading = Reading {
        around,
        problems,
        to: Destination::Pool(around.pool.clone()),
        directory: around.directory.clone(),
        tasks: 0,
    };
    reading.to = reading.destination(&fields);
    reading.directory = reading.directory(&fields);
    let name = reading.name(&fields, is_name).unwrap_or_default();
    let on_failure = reading.on_failure(&fields).unwrap_or_default();
    let nodes = fields.list("stage", reading.problems).unwrap_or_default();
    if nodes.is_empty() {
        let at = fields.place("stage");
        reading.problems.add(at, "the workflow has no stage; it needs at least one [[stage]]");
    }
    if nodes.len() > limits::WORKFLOW_STAGES_MAX {
        let (given, most) = (nodes.len(), limits::WORKFLOW_STAGES_MAX);
        reading.problems.add(fields.place("stage"), format!("the workflow has {given} stages; at most {most} are"));
        return None;
    }
    let stages = nodes.iter().filter_map(|node| reading.stage(node, on_failure)).collect();
    if reading.tasks > limits::WORKFLOW_TASKS_MAX as u64 {
        let (given, most) = (reading.tasks, limits::WORKFLOW_TASKS_MAX);
        reading.problems.add(fields.place("stage"), format!("the workflow has {given} tasks; at most {most} are"));
        return None;
    }
    Some(Draft { name, stages })
}

impl Reading<'_, '_> {
    fn stage(&mut self, node: &Node, on_failure: OnFailure) -> Option<DraftStage> {
        let fields = Fields::new(node, "a stage", STAGE, self.problems)?;
        let name = self.name(&fields, is_step_name);
        let tries = Tries {
            retries_max: fields
                .whole("retries", 0..=i64::from(limits::RETRIES_MAX), self.problems)
                .and_then(|retries| u32::try_from(retries).ok())
                .unwrap_or(0),
            timeout: fields.timeout(self.problems),
        };
        let on_failure = self.on_failure(&fields).unwrap_or(on_failure);
        let needs = fields.list("needs", self.problems).map(|nodes| self.needs(nodes));
        let nodes = fields.list("task", self.problems).unwrap_or_default();
        if nodes.is_empty() {
            let name = name.as_deref().unwrap_or("?");
            self.problems.add(fields.place("task"), format!("stage {name} has no task; it needs at least one"));
        }
        let tasks = nodes.iter().filter_map(|node| self.task(node, &tries)).collect();
        Some(DraftStage { name: name?, name_at: fields.place("name"), needs, on_failure, tasks })
    }

    fn needs(&mut self, nodes: &[Node]) -> Vec<(String, usize)> {
        let mut needs = Vec::with_capacity(nodes.len());
        for node in nodes {
            match &node.value {
                Value::Text(name) => needs.push((name.clone(), node.at())),
                other => {
                    let sentence = format!("needs has {} in it; it is a list of names of stages", other.kind());
                    self.problems.add(node.at(), sentence);
                }
            }
        }
        needs
    }

    fn task(&mut self, node: &Node, tries: &Tries) -> Option<DraftTask> {
        self.tasks += 1;
        let fields = Fields::new(node, "a task", TASK, self.problems)?;
        let name = self.name(&fields, is_step_name);
        let prompt = fields.required("prompt", self.problems);
        if prompt.is_some_and(|prompt| prompt.len() > limits::CONTENT_BYTES_MAX) {
            let most = limits::CONTENT_BYTES_MAX;
            self.problems.add(fields.place("prompt"), format!("prompt has more than {most} bytes"));
        }
        let to = self.destination(&fields);
        let directory = self.directory(&fields);
        let context = self.context(&fields);
        let (least, most) = (i64::from(limits::PRIORITY_MIN), i64::from(limits::PRIORITY_MAX));
        let priority = fields.whole("priority", least..=most, self.problems).unwrap_or(0);
        let lock = fields.text("lock", self.problems);
        if lock.is_some_and(|lock| lock.is_empty() || lock.len() > limits::ID_BYTES_MAX) {
            let most = limits::ID_BYTES_MAX;
            self.problems.add(fields.place("lock"), format!("lock must have 1 to {most} bytes"));
        }
        let input = TaskInput { prompt: prompt?.to_owned(), context, directory, system_prompt: None };
        let task = StageTask {
            name: name?.into(),
            to,
            input,
            priority: i32::try_from(priority).unwrap_or(0),
            timeout: tries.timeout,
            retries_max: tries.retries_max,
            lock: lock.map(str::to_owned),
        };
        let prompt = fields.get("prompt").map_or(0..0, |node| node.span.clone());
        Some(DraftTask { name_at: fields.place("name"), prompt, task })
    }

    fn name(&mut self, fields: &Fields<'_>, is_good: fn(&str) -> bool) -> Option<String> {
        let name = fields.required("name", self.problems)?;
        if is_good(name) {
            return Some(name.to_owned());
        }
        let sentence = format!(
            "{:?} is no name: letters, digits, '_' and '-', the first a letter or digit, at most {} of them",
            super::fields::shown(name),
            limits::NAME_BYTES_MAX
        );
        self.problems.add(fields.place("name"), sentence);
        None
    }

    fn on_failure(&mut self, fields: &Fields<'_>) -> Option<OnFailure> {
        let word = fields.text("on_failure", self.problems)?;
        let known = OnFailure::parse(word);
        if known.is_none() {
            let shown = super::fields::shown(word);
            let sentence = format!("on_failure is {shown:?}; it is fail or skip");
            self.problems.add(fields.place("on_failure"), sentence);
        }
        known
    }

    /// Where a table sends tasks; what it says nothing of stays as it was said further out.
    fn destination(&mut self, fields: &Fields<'_>) -> Destination {
        let pool = fields.text("pool", self.problems);
        let selector = fields.text("selector", self.problems);
        let group = fields.text("group", self.problems);
        for (key, name) in [("pool", pool), ("group", group)] {
            if name.is_some_and(|name| !is_name(name)) {
                self.problems.add(fields.place(key), format!("{key} is no name of a {key}"));
            }
        }
        match (pool, selector, group) {
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                self.problems.add(fields.place("pool"), "give either pool, or selector and group");
                self.to.clone()
            }
            (Some("pool_local"), ..) => Destination::Pool(PoolId::new("local")),
            (Some(pool), ..) => Destination::Pool(PoolId::new(pool)),
            (None, None, None) => self.to.clone(),
            (None, selector, group) => {
                let selector = self.selector(selector.unwrap_or("least_loaded"), fields.place("selector"));
                Destination::Route { selector, group: group.map(str::to_owned) }
            }
        }
    }

    fn selector(&mut self, word: &str, at: usize) -> Selector {
        let strategy = Strategy::parse(word).unwrap_or_else(|| {
            let near = suggestion(word, Strategy::ALL.into_iter().map(Strategy::as_str));
            let word = super::fields::shown(word);
            self.problems.add(at, format!("Unknown selector strategy: {word}{near}"));
            Strategy::default()
        });
        // One drawn number is enough for all: what comes after it is as good.
        strategy.drawn(self.around.random.wrapping_add(self.tasks.wrapping_mul(0x9E37_79B9)))
    }

    /// Paths start from where the workflow is run.
    fn directory(&mut self, fields: &Fields<'_>) -> Option<String> {
        let Some(dir) = fields.text("dir", self.problems) else { return self.directory.clone() };
        let path = match &self.around.directory {
            Some(base) => Path::new(base).join(dir),
            None => Path::new(dir).to_owned(),
        };
        if !path.is_absolute() || dir.contains('\0') || path.as_os_str().len() > 4096 {
            let shown = super::fields::shown(dir);
            let sentence = format!("dir is {shown:?}; it must be an absolute path, or the workflow be run with a dir");
            self.problems.add(fields.place("dir"), sentence);
        }
        path.to_str().map(str::to_owned)
    }

    fn context(&mut self, fields: &Fields<'_>) -> Option<String> {
        let node = fields.get("context")?;
        if !matches!(node.value, Value::Table(_)) {
            self.problems.add(node.at(), format!("context is {}; it must be a table", node.value.kind()));
            return None;
        }
        let text = node.to_json().to_string();
        if text.len() > limits::JSON_BYTES_MAX {
            self.problems.add(node.at(), format!("context has more than {} bytes", limits::JSON_BYTES_MAX));
        }
        Some(text)
    }
}
