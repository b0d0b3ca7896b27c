//! The three effects of this room (time, chance, telling) in one value that is handed to everything built here.

use std::fmt;
use std::sync::Arc;

use super::event::Observer;
use super::rng::{Rng, SplitMix64};
use super::timer::Timer;
use crate::clock::{ManualClock, SystemClock};

/// Where time and chance come from, and who is told. Cheap to clone.
#[derive(Clone)]
pub struct Effects {
    /// Reads the time, and waits.
    pub timer: Arc<dyn Timer>,
    /// Draws jitter.
    pub rng: Arc<dyn Rng>,
    /// Are told what happens, in this order.
    pub observers: Arc<[Arc<dyn Observer>]>,
}

impl Effects {
    /// The machine's clock, and a seed of its own.
    pub fn system() -> Effects {
        Effects::new(Arc::new(SystemClock::new()), Arc::new(SplitMix64::from_entropy()))
    }

    /// Virtual time and a fixed seed: every run is the same.
    pub fn manual(clock: &ManualClock, seed: u64) -> Effects {
        Effects::new(Arc::new(clock.clone()), Arc::new(SplitMix64::seeded(seed)))
    }

    /// Any clock and any chance, observed by nobody yet.
    pub fn new(timer: Arc<dyn Timer>, rng: Arc<dyn Rng>) -> Effects {
        Effects { timer, rng, observers: Arc::from([]) }
    }

    /// Adds somebody who is told what happens.
    #[must_use]
    pub fn observed_by(mut self, observer: Arc<dyn Observer>) -> Effects {
        self.observers = self.observers.iter().cloned().chain([observer]).collect();
        self
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Effects").field("observers", &self.observers.len()).finish_non_exhaustive()
    }
}
