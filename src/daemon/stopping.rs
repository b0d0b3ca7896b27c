//! How the daemon ends: signals, the orderly stop, and workers that die.

use super::adversity::RETRY_WRITING;
use super::alerts;
use super::hub_loop::{EXIT_INTERNAL, EXIT_INTERRUPTED, HubLoop};
use super::reload::Reloaded;
use crate::clock::Tick;
use crate::model::hub::Input;
use crate::model::id::PoolId;
use crate::service::{Signal, notify};
use std::time::Duration;

/// Worker threads that may be replaced in [`REPLACE_WINDOW`] before the daemon gives up.
const REPLACEMENTS_MAX: usize = 3;
const REPLACE_WINDOW: Duration = Duration::from_secs(600);

/// An orderly stop on its way.
pub(super) struct Stopping {
    /// When waiting for the workers ends.
    pub(super) until: Tick,
    hurried: bool,
}

impl HubLoop {
    pub(super) fn signal(&mut self, signal: Signal) -> Vec<Input> {
        match signal {
            Signal::Stop if self.stopping.is_none() => {
                log::info!("stopping");
                self.begin_stop();
            }
            // Also the first one, when somebody had the daemon stop over the socket before.
            Signal::Stop | Signal::StopNow => {
                log::warn!("stopping without waiting");
                self.exit_code = EXIT_INTERRUPTED;
                self.begin_stop();
                if let Some(stopping) = &mut self.stopping {
                    stopping.until = self.clock.tick();
                }
            }
            Signal::Reload => return self.read_again(),
            // Nobody listens for these here.
            Signal::Resized | Signal::Continued => {}
        }
        Vec::new()
    }

    fn read_again(&mut self) -> Vec<Input> {
        let Some(Reloaded { rules, hooks }) = (self.reload)() else { return Vec::new() };
        let rules = rules.map(|rules| Input::AlertRules(alerts::rules(&rules)));
        // A daemon that is stopping begins nothing any more.
        let hooks = hooks.filter(|_| self.stopping.is_none()).map(|hooks| self.hooks.set(&hooks));
        rules.into_iter().chain(hooks.into_iter().flatten()).collect()
    }

    /// No more doors, no more dispatching; running tasks are interrupted and go back to their queues.
    /// That nothing is dispatched any more is no fact to be written, so a daemon that cannot write stops as well.
    pub(super) fn begin_stop(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        notify::stopping();
        if let Some(doors) = &mut self.doors {
            doors.close();
        }
        self.pollers.end_all();
        self.hooks.end_all();
        self.staff.interrupt_all();
        self.stopping = Some(Stopping { until: self.clock.tick().after(self.stop_limit), hurried: false });
        self.hub.stop_dispatching();
    }

    pub(super) fn has_stopped(&mut self) -> bool {
        let running = self.hub.status().tasks_running;
        let Some(stopping) = &mut self.stopping else { return false };
        if running == 0 && self.carried.is_empty() && self.hooks.have_ended() {
            return true;
        }
        if self.clock.tick() < stopping.until {
            return false;
        }
        if !std::mem::replace(&mut stopping.hurried, true) {
            // One last second for the reports of what is killed now.
            stopping.until = self.clock.tick().after(RETRY_WRITING);
            self.staff.kill_all();
            self.hooks.kill_all();
            return false;
        }
        log::warn!("stopped before everything had ended; the next start puts it right");
        true
    }

    pub(super) fn worker_died(&mut self, pool: PoolId, slot: u8) -> Vec<Input> {
        log::error!("worker {slot} of pool {pool} died");
        let Some(row) = self.hub.pool_row(&pool) else { return Vec::new() };
        let now = self.clock.tick();
        self.replaced.retain(|at| now.since(*at) < REPLACE_WINDOW);
        self.replaced.push(now);
        let replaced = self.replaced.len() <= REPLACEMENTS_MAX && self.staff.replace(row, slot).is_ok();
        if !replaced {
            self.exit_code = EXIT_INTERNAL;
            self.begin_stop();
        }
        vec![Input::WorkerDied { pool, slot }]
    }
}
