//! Breakers by name, so that everybody who calls the same service shares one, and each can be found and reset.

use std::collections::BTreeMap;
use std::time::Duration;

use super::circuit_breaker::{BreakerSettings, CircuitBreaker, SnapshotError};
use super::effects::Effects;
use super::settings::SettingsError;
use super::sync::Mutex;

/// Most breakers of one registry.
pub const BREAKERS_MAX: usize = 4_096;

/// Why there is no breaker of that name for you.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Two parts of the program disagree about one service.
    #[error("circuit breaker {name} exists already: {differences}")]
    Conflict { name: String, differences: SettingsError },
    #[error("no more than {BREAKERS_MAX} circuit breakers")]
    Full,
}

/// The breakers of a program.
#[derive(Debug)]
pub struct Registry {
    effects: Effects,
    breakers: Mutex<BTreeMap<String, CircuitBreaker>>,
}

impl Registry {
    /// An empty registry; its breakers will work by these effects.
    pub fn new(effects: Effects) -> Registry {
        Registry { effects, breakers: Mutex::new(BTreeMap::new()) }
    }

    /// The breaker of that name; it is made when there is none.
    ///
    /// # Errors
    /// It exists with other settings, the settings cannot work, or there are too many.
    pub fn breaker(&self, name: &str, settings: BreakerSettings) -> Result<CircuitBreaker, RegistryError> {
        let mut breakers = self.breakers.lock();
        if let Some(breaker) = breakers.get(name) {
            let agreed = settings.same_as(breaker.settings());
            let conflict = |differences| RegistryError::Conflict { name: name.to_owned(), differences };
            return agreed.map(|()| breaker.clone()).map_err(conflict);
        }
        if breakers.len() >= BREAKERS_MAX {
            return Err(RegistryError::Full);
        }
        let breaker = CircuitBreaker::untold(name, settings, &self.effects)?;
        breakers.insert(name.to_owned(), breaker.clone());
        // Observers are told without the lock, as always.
        drop(breakers);
        breaker.tell_created();
        Ok(breaker)
    }

    /// The breaker of that name, if somebody has made it.
    pub fn get(&self, name: &str) -> Option<CircuitBreaker> {
        self.breakers.lock().get(name).cloned()
    }

    /// All of them, by name.
    pub fn breakers(&self) -> Vec<CircuitBreaker> {
        self.breakers.lock().values().cloned().collect()
    }

    /// What to store so that the breakers survive a restart: name and snapshot.
    pub fn snapshots(&self) -> Vec<(String, String)> {
        self.breakers().into_iter().map(|breaker| (breaker.name().to_owned(), breaker.snapshot())).collect()
    }

    /// The breaker of that name, in the state that was stored `elapsed` ago. A snapshot that cannot be read leaves it
    /// closed, which the log tells.
    ///
    /// # Errors
    /// As [`breaker`](Self::breaker).
    pub fn restored(
        &self,
        name: &str,
        settings: BreakerSettings,
        snapshot: &str,
        elapsed: Duration,
    ) -> Result<CircuitBreaker, RegistryError> {
        let breaker = self.breaker(name, settings)?;
        if let Err(SnapshotError) = breaker.restore(snapshot, elapsed) {
            log::warn!("stored circuit breaker state was not usable, it starts closed breaker={name}");
        }
        Ok(breaker)
    }
}
