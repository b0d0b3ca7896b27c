//! The screen of a pool: its figures, its workers, what has happened in it.

use super::brush::{Brush, Rows, flow, line, line_and_end, wrap};
use super::header::{self, heading, staleness};
use super::history;
use crate::clock::Tick;
use crate::monitor::describe::Level;
use crate::monitor::panel::{Link, Panel};
use crate::monitor::pool::PoolPicture;
use crate::monitor::state::State;
use crate::monitor::text::age;
use crate::monitor::workers::{Worker, Workers};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

/// Workers that are listed; more are counted.
const WORKER_ROWS_MAX: usize = 8;
/// What the history gets at least, before workers are listed beyond three.
const HISTORY_ROWS_MIN: u16 = 5;

pub(super) fn paint(
    state: &State,
    panel: &Panel,
    pool: &PoolPicture,
    brush: Brush,
    mut rows: Rows,
    buffer: &mut Buffer,
) {
    header::paint(state, panel, brush, &mut rows, buffer);
    let link = state.panels.first().map_or(&panel.link, |panel| &panel.link);
    let stale = staleness(state.now, panel, link, rows.rest().width);
    let width = rows.rest().width.saturating_sub(2);
    let figures = match instead(panel, link, pool.status.is_some()) {
        Some(sentence) => wrap(&sentence, width).iter().map(|text| Line::from(brush.text(text))).collect(),
        None => flow(&figures(pool, brush), width),
    };
    let height = u16::try_from(figures.len()).unwrap_or(u16::MAX);
    let inner =
        brush.section(heading("Pool", stale.as_deref(), brush), rows.take(height + brush.section_rows()), buffer);
    for (row, figure) in inner.rows().zip(&figures) {
        line(figure, row, buffer);
    }
    workers(&pool.workers, state.now.tick, stale.as_deref(), brush, &mut rows, buffer);
    history::paint(state, 0, brush, rows.rest(), buffer);
}

/// What there is to say in place of figures.
pub(super) fn instead(panel: &Panel, link: &Link, has_figures: bool) -> Option<String> {
    match &panel.unknown {
        Some(unknown) => Some(unknown.clone()),
        None if has_figures => None,
        None => Some(link.trouble().unwrap_or_else(|| "waiting for the server".to_owned())),
    }
}

fn figures(pool: &PoolPicture, brush: Brush) -> Vec<Vec<Span<'static>>> {
    let status = pool.status.as_deref().unwrap_or("unknown");
    let mut items = vec![brush.sign(pool.level(), status).to_vec()];
    if pool.is_held {
        items.push(brush.sign(Level::Warning, "held, too much has failed").to_vec());
    }
    if let Some(why) = &pool.degraded {
        items.push(brush.sign(Level::Error, &format!("the daemon cannot write: {why}")).to_vec());
    }
    let mut add = |name: &str, figure: Option<u64>| {
        if let Some(figure) = figure {
            items.push(vec![brush.text(&format!("{name} ")), brush.styled(&figure.to_string(), brush.strong())]);
        }
    };
    add("workers", pool.worker_count);
    add("busy", pool.active);
    add("idle", pool.idle);
    add("queue", pool.queue_size);
    add("completed", pool.completed);
    add("failed", pool.failed);
    let seen = pool.seen;
    items.push(vec![brush.styled(
        &format!(
            "seen here: {} assigned, {} completed, {} failed, {} retried",
            seen.assigned, seen.completed, seen.failed, seen.retried
        ),
        brush.faint(),
    )]);
    items
}

/// A row for each worker, with a heading that says how old this is.
pub(super) fn workers(
    workers: &Workers,
    now: Tick,
    stale: Option<&str>,
    brush: Brush,
    rows: &mut Rows,
    buffer: &mut Buffer,
) {
    let left = usize::from(rows.rest().height.saturating_sub(HISTORY_ROWS_MIN + 2 * brush.section_rows()));
    let shown = workers.len().min(WORKER_ROWS_MAX).min(left.max(3));
    let height = u16::try_from(shown.max(1)).unwrap_or(1);
    let more = if workers.len() > shown { format!("Workers ({shown} of {})", workers.len()) } else { "Workers".into() };
    let area = rows.take(height + brush.section_rows());
    let inner = brush.section(heading(&more, stale, brush), area, buffer);
    for (row, worker) in inner.rows().zip(workers.iter()) {
        paint_worker(worker, now, brush, row, buffer);
    }
    if workers.len() == 0 {
        line(&Line::styled("none is known yet", brush.faint()), inner, buffer);
    }
}

fn paint_worker(worker: &Worker, now: Tick, brush: Brush, row: Rect, buffer: &mut Buffer) {
    let mut spans = brush.sign(worker.level(), &format!("{:<8}", worker.status)).to_vec();
    spans.push(brush.text(&format!(" {:<9} ", worker.shown)));
    if let Some(task) = worker.task() {
        spans.push(brush.text(&format!("task {task}")));
    }
    let since = worker.since.map_or_else(|| "-".to_owned(), |since| age(now.since(since)));
    line_and_end(&Line::from(spans), &Line::from(brush.styled(&since, brush.faint())), row, buffer);
}
