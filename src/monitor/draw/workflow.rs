//! The screen of a workflow: how far it is, its stages, its workers, what has happened.

use super::brush::{Brush, Rows, flow, line, line_and_end, wrap};
use super::header::{self, heading, staleness};
use super::{history, pool};
use crate::clock::Timestamp;
use crate::monitor::panel::Panel;
use crate::monitor::state::State;
use crate::monitor::text::{age, clock, span};
use crate::monitor::workflow::{Stage, WorkflowPicture, level_of};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Stages that are listed in any case.
const STAGE_ROWS_MIN: u16 = 3;
/// What workers and history get before stages are listed beyond that.
const OTHER_ROWS_MIN: u16 = 6;
const BAR_WIDTH_MAX: u16 = 60;
const BAR_WIDTH_SHORT: u16 = 10;

pub(super) fn paint(
    state: &State,
    panel: &Panel,
    workflow: &WorkflowPicture,
    brush: Brush,
    mut rows: Rows,
    buffer: &mut Buffer,
) {
    header::paint(state, panel, brush, &mut rows, buffer);
    let link = state.panels.first().map_or(&panel.link, |panel| &panel.link);
    let stale = staleness(state.now, panel, link, rows.rest().width);
    let width = rows.rest().width.saturating_sub(2);
    let about = match pool::instead(panel, link, workflow.status.is_some()) {
        Some(sentence) => wrap(&sentence, width).iter().map(|text| Line::from(brush.text(text))).collect(),
        None => progress(workflow, width, brush),
    };
    let height = u16::try_from(about.len()).unwrap_or(u16::MAX);
    let area = rows.take(height.saturating_add(brush.section_rows()));
    let inner = brush.section(heading("Workflow", stale.as_deref(), brush), area, buffer);
    for (row, text) in inner.rows().zip(&about) {
        line(text, row, buffer);
    }
    stages(state, workflow, stale.as_deref(), brush, &mut rows, buffer);
    pool::workers(&workflow.workers, state.now.tick, stale.as_deref(), brush, &mut rows, buffer);
    history::paint(state, 0, brush, rows.rest(), buffer);
}

/// In what state it is, how far it has come, and what remains to be said.
fn progress(workflow: &WorkflowPicture, width: u16, brush: Brush) -> Vec<Line<'static>> {
    let status = workflow.status.as_deref().unwrap_or("unknown");
    let mut items = vec![brush.sign(workflow.level(), status).to_vec()];
    items.extend(workflow.name.as_deref().map(|name| vec![brush.styled(name, brush.strong())]));
    let (done, all) = (workflow.done.unwrap_or(0), workflow.total.unwrap_or(workflow.stages.len() as u64));
    let bar = |width| Span::styled(brush.glyphs().bar(done, all, width), brush.level(workflow.level()));
    let stages = brush.text(&format!("{done}/{all} stages"));
    // Where rows are few the bar has none of its own.
    let has_own_row = brush.section_rows() > 1;
    items.push(if has_own_row { vec![stages] } else { vec![bar(BAR_WIDTH_SHORT), Span::raw(" "), stages] });
    items.extend(workflow.current().map(|stage| vec![brush.text("at "), brush.styled(stage, brush.strong())]));
    let mut lines = flow(&items, width);
    lines.extend(has_own_row.then(|| Line::from(bar(width.min(BAR_WIDTH_MAX)))));
    let closing = workflow.closing().map(|closing| wrap(&closing, width)).unwrap_or_default();
    lines.extend(closing.iter().map(|text| Line::from(brush.styled(text, brush.strong()))));
    lines
}

/// As many as there is room for, around the one that it is at.
fn stages(
    state: &State,
    workflow: &WorkflowPicture,
    stale: Option<&str>,
    brush: Brush,
    rows: &mut Rows,
    buffer: &mut Buffer,
) {
    let count = workflow.stages.len();
    let left = rows.rest().height.saturating_sub(OTHER_ROWS_MIN + 3 * brush.section_rows());
    let shown = count.min(usize::from(left.max(STAGE_ROWS_MIN)));
    let at = workflow.stages.iter().position(Stage::is_open).unwrap_or(count);
    let first = at.saturating_sub(shown / 2).min(count - shown);
    let name = if shown < count { format!("Stages ({shown} of {count})") } else { "Stages".to_owned() };
    let height = u16::try_from(shown.max(1)).unwrap_or(u16::MAX);
    let area = rows.take(height.saturating_add(brush.section_rows()));
    let inner = brush.section(heading(&name, stale, brush), area, buffer);
    for (row, stage) in inner.rows().zip(&workflow.stages[first..]) {
        paint_stage(stage, workflow.current(), state.now.wall, brush, row, buffer);
    }
    if count == 0 {
        line(&Line::styled("none is known yet", brush.faint()), inner, buffer);
    }
}

fn paint_stage(stage: &Stage, current: Option<&str>, now: Timestamp, brush: Brush, row: Rect, buffer: &mut Buffer) {
    let status = format!("{:<10}", stage.status);
    let mut spans = match stage.status.as_str() {
        "pending" => vec![Span::raw(brush.glyphs().empty()), Span::raw(" "), brush.styled(&status, brush.faint())],
        _ => brush.sign(level_of(&stage.status), &status).to_vec(),
    };
    let style = if current == Some(stage.name.as_str()) { brush.strong() } else { ratatui::style::Style::new() };
    spans.extend([Span::raw(" "), brush.styled(&stage.name, style)]);
    let took = match (stage.started, stage.ended) {
        (Some(from), Some(to)) => span(from.until(to)),
        (Some(from), None) if stage.is_open() => format!("for {}", age(from.until(now))),
        _ => "-".to_owned(),
    };
    let when = stage.started.or(stage.ended).map(|at| clock(&at.to_string())).unwrap_or_default();
    let end = Line::from(brush.styled(&format!("{when}  {took:>10}"), brush.faint()));
    line_and_end(&Line::from(spans), &end, row, buffer);
}
