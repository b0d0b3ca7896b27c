//! From the draft to the definition: names compared with each other, the order of stages, what prompts refer to.

use super::Problems;
use super::fields::{shown, suggestion};
use super::read::{Draft, DraftStage, DraftTask};
use crate::model::limits;
use crate::model::template::{self, Piece, Reference};
use crate::model::workflow::{Definition, Stage};
use std::collections::HashSet;

pub(super) fn definition(draft: Draft, problems: &mut Problems<'_>) -> Option<Definition> {
    let stages = &draft.stages;
    distinct(stages.iter().map(|stage| (&*stage.name, stage.name_at)), "stage", problems);
    for stage in stages {
        distinct(stage.tasks.iter().map(|task| (&*task.task.name, task.name_at)), "task", problems);
    }
    let needs: Vec<Vec<usize>> = (0..stages.len()).map(|at| needs(stages, at, problems)).collect();
    let order = order(stages, &needs, problems)?;
    check_edges(stages, &needs, problems);
    let before = before(&order, &needs);
    for (at, stage) in stages.iter().enumerate() {
        for task in &stage.tasks {
            check_prompt(stages, at, task, &before[at], problems);
        }
    }
    let mut places = vec![0; stages.len()];
    for (place, at) in order.iter().enumerate() {
        places[*at] = place;
    }
    let mut drafts: Vec<Option<DraftStage>> = draft.stages.into_iter().map(Some).collect();
    let stage = |at: &usize| {
        let stage = drafts[*at].take()?;
        Some(Stage {
            name: stage.name.into(),
            needs: needs[*at].iter().map(|needed| places[*needed]).collect(),
            on_failure: stage.on_failure,
            tasks: stage.tasks.into_iter().map(|task| task.task).collect(),
        })
    };
    Some(Definition { name: draft.name, stages: order.iter().filter_map(stage).collect() })
}

fn distinct<'a>(names: impl Iterator<Item = (&'a str, usize)>, what: &str, problems: &mut Problems<'_>) {
    let mut seen = HashSet::new();
    for (name, at) in names {
        if !seen.insert(name) {
            problems.add(at, format!("there is another {what} {name}; names must differ"));
        }
    }
}

/// Which stages a stage needs, by position.
fn needs(stages: &[DraftStage], at: usize, problems: &mut Problems<'_>) -> Vec<usize> {
    let Some(named) = &stages[at].needs else { return at.checked_sub(1).into_iter().collect() };
    let mut needs = Vec::with_capacity(named.len());
    for (name, place) in named {
        match stages.iter().position(|stage| stage.name == *name) {
            // The same one twice is one.
            Some(needed) if needs.contains(&needed) => {}
            Some(needed) => needs.push(needed),
            None => {
                let near = suggestion(name, stages.iter().map(|stage| &*stage.name));
                problems.add(*place, format!("there is no stage {:?}{near}", shown(name)));
            }
        }
    }
    needs
}

/// The stages, each behind all that it needs, else as in the file.
fn order(stages: &[DraftStage], needs: &[Vec<usize>], problems: &mut Problems<'_>) -> Option<Vec<usize>> {
    let mut order: Vec<usize> = Vec::with_capacity(stages.len());
    while order.len() < stages.len() {
        let next =
            (0..stages.len()).find(|at| !order.contains(at) && needs[*at].iter().all(|needed| order.contains(needed)));
        let Some(next) = next else {
            let cycle = cycle(&order, needs);
            let names: Vec<&str> = cycle.iter().map(|at| &*stages[*at].name).collect();
            let at = cycle.first().map_or(0, |at| stages[*at].name_at);
            problems.add(at, format!("stages need each other in a circle: {}", names.join(" -> ")));
            return None;
        };
        order.push(next);
    }
    Some(order)
}

/// Follows what cannot be ordered until a stage comes again; begins and ends with the same.
fn cycle(ordered: &[usize], needs: &[Vec<usize>]) -> Vec<usize> {
    let stuck = |at: &usize| !ordered.contains(at);
    let mut path: Vec<usize> = (0..needs.len()).find(stuck).into_iter().collect();
    while let Some(next) = path.last().and_then(|last| needs[*last].iter().copied().find(stuck)) {
        let seen = path.iter().position(|at| *at == next);
        path.push(next);
        if let Some(start) = seen {
            return path.split_off(start);
        }
    }
    path
}

/// Every task of a stage needs every task of the stages that it needs.
fn check_edges(stages: &[DraftStage], needs: &[Vec<usize>], problems: &mut Problems<'_>) {
    let mut edges = 0;
    for (stage, needs) in stages.iter().zip(needs) {
        let needed: usize = needs.iter().map(|at| stages[*at].tasks.len()).sum();
        edges += needed * stage.tasks.len();
    }
    if edges > limits::WORKFLOW_EDGES_MAX {
        let most = limits::WORKFLOW_EDGES_MAX;
        let sentence = format!("its tasks need each other in {edges} ways; at most {most} are: put a stage between");
        problems.add(stages.last().map_or(0, |stage| stage.name_at), sentence);
    }
}

/// For each stage, all that are completed by the time it begins.
fn before(order: &[usize], needs: &[Vec<usize>]) -> Vec<HashSet<usize>> {
    let mut before: Vec<HashSet<usize>> = vec![HashSet::new(); needs.len()];
    for at in order {
        let mut all: HashSet<usize> = needs[*at].iter().copied().collect();
        for needed in &needs[*at] {
            all.extend(before[*needed].iter().copied());
        }
        before[*at] = all;
    }
    before
}

/// Whatever a prompt refers to must be there when the task begins.
fn check_prompt(
    stages: &[DraftStage],
    at: usize,
    task: &DraftTask,
    before: &HashSet<usize>,
    problems: &mut Problems<'_>,
) {
    let pieces = match template::pieces(&task.task.input.prompt) {
        Ok(pieces) => pieces,
        Err(malformed) => {
            return problems.add(place_of(malformed.written, task, problems), malformed.sentence);
        }
    };
    for piece in pieces {
        if let Piece::Reference(reference) = piece
            && let Err(sentence) = check_reference(stages, at, reference, before)
        {
            problems.add(place_of(reference.written, task, problems), sentence);
        }
    }
}

fn check_reference(
    stages: &[DraftStage],
    at: usize,
    reference: Reference<'_>,
    before: &HashSet<usize>,
) -> Result<(), String> {
    let Reference { stage, task, written } = reference;
    let in_stage = |candidate: &&DraftStage| stage.is_none_or(|stage| candidate.name == *stage);
    let has_task = |candidate: &DraftStage| candidate.tasks.iter().any(|other| *other.task.name == *task);
    let found: Vec<usize> = (0..stages.len()).filter(|at| in_stage(&&stages[*at]) && has_task(&stages[*at])).collect();
    match found[..] {
        [] => {
            let names: Vec<String> = stages
                .iter()
                .flat_map(|stage| stage.tasks.iter().map(|task| format!("{}.{}", stage.name, task.task.name)))
                .collect();
            let whole = stage.map_or_else(|| task.to_owned(), |stage| format!("{stage}.{task}"));
            let known = names.iter().map(|name| match stage {
                Some(_) => &**name,
                None => name.split_once('.').map_or(&**name, |(_, task)| task),
            });
            Err(format!("{written} names no task{}", suggestion(&whole, known)))
        }
        [other] if before.contains(&other) => Ok(()),
        [other] => {
            let (own, other) = (&stages[at].name, &stages[other].name);
            Err(format!("{written} is not there yet: stage {own} does not need stage {other}"))
        }
        _ => Err(format!("{written} could be a task of several stages; write {{{{stage.{task}}}}}")),
    }
}

/// Where that stands in the source; the beginning of the prompt when it is not written the same way there.
fn place_of(written: &str, task: &DraftTask, problems: &Problems<'_>) -> usize {
    let within = problems.source.get(task.prompt.clone()).and_then(|source| source.find(written));
    task.prompt.start + within.unwrap_or(0)
}
