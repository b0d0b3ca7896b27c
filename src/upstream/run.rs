//! The poller's thread: what wakes it, and what it does then.

use super::keys::Keys;
use super::listener::Listener;
use super::report::CycleReport;
use super::rotation::Rotation;
use super::shared::Shared;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest that the farewell to a server may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// The same where an answer was being waited for, perhaps in vain.
const HASTY_FAREWELL_TIMEOUT: Duration = Duration::from_millis(200);

/// What the thread is asked.
pub(super) enum Order {
    /// The schedule or the breaker has changed.
    Look,
    /// One cycle now; whoever asks gets its report.
    Poll(Sender<CycleReport>),
}

/// Until there is nobody left to give orders.
pub(super) fn run(shared: &Shared, orders: &Receiver<Order>, listener: &dyn Listener) {
    let (mut rotation, mut keys) = (Rotation::default(), Keys::default());
    while let Ok(order) = next(shared, orders) {
        shared.tell_changes(listener);
        let mut askers: Vec<Sender<CycleReport>> = asker(order).into_iter().collect();
        if askers.is_empty() && !is_due(shared) {
            continue;
        }
        let is_due = is_due(shared);
        // All who have asked by now are served by one cycle, and it is also the one that is due.
        askers.extend(orders.try_iter().filter_map(asker));
        let report = shared.poll(&mut rotation, &mut keys, !askers.is_empty(), listener);
        if is_due {
            advance(shared);
        }
        for asker in askers {
            // Who does not wait any more does not need it.
            let _ = asker.try_send(report.clone());
        }
    }
    let is_hasty = shared.is_interrupted.load(Ordering::SeqCst);
    shared.caller.tools.close(if is_hasty { HASTY_FAREWELL_TIMEOUT } else { FAREWELL_TIMEOUT });
}

/// Waits for an order, but no longer than until the next cycle is due. An error: there will be none any more.
fn next(shared: &Shared, orders: &Receiver<Order>) -> Result<Order, ()> {
    let planned = shared.state.lock().schedule.map(|schedule| schedule.next());
    let order = match planned {
        Some(planned) => orders.recv_timeout(shared.effects.timer.tick().until(planned)),
        None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
    };
    match order {
        Ok(order) => Ok(order),
        Err(RecvTimeoutError::Timeout) => Ok(Order::Look),
        Err(RecvTimeoutError::Disconnected) => Err(()),
    }
}

fn asker(order: Order) -> Option<Sender<CycleReport>> {
    match order {
        Order::Look => None,
        Order::Poll(asker) => Some(asker),
    }
}

fn is_due(shared: &Shared) -> bool {
    let now = shared.effects.timer.tick();
    shared.state.lock().schedule.is_some_and(|schedule| schedule.is_due(now))
}

fn advance(shared: &Shared) {
    let now = shared.effects.timer.tick();
    if let Some(schedule) = &mut shared.state.lock().schedule {
        schedule.advance(now);
    }
}
