//! Who counts what: the instruments by name and labels.

use super::buckets::Buckets;
use super::counter::Counter;
use super::error::{MetricError, Shape};
use super::family::{Family, Kind, Number};
use super::gauge::Gauge;
use super::histogram::Histogram;
use super::instruments::{Instrument, Instruments};
use super::labels::Labels;
use super::name::{Name, exported};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most metrics in one registry.
pub const FAMILIES_MAX: usize = 2_048;
/// So many of these are free for the program's own: what is named by others cannot take their places.
pub const FAMILIES_OWN: usize = 256;
/// Most series of one metric.
pub const SERIES_MAX: usize = 2_048;
/// Most text in the labels of one series, names and values together.
pub const LABELS_BYTES_MAX: usize = 1_024;
/// The counter of instruments that were handed out detached because one of these limits was reached. It is in every
/// registry from the start.
pub const SERIES_DROPPED: &str = "claude_comms_telemetry_series_dropped_total";

const SERIES_DROPPED_HELP: &str = "Instruments that count for nobody because the registry is full.";

/// The instruments of a program. Clones are the same registry.
///
/// Ask once and keep the instrument: asking takes a lock, counting does not. Which metrics there are is the program's
/// own doing, so asking for one that cannot be is an error; how many series they have is up to data, so beyond
/// [`SERIES_MAX`] (and [`FAMILIES_MAX`], and [`LABELS_BYTES_MAX`]) one gets an instrument that works and is not shown,
/// and [`SERIES_DROPPED`] says how often.
#[derive(Clone, Debug)]
pub struct Registry {
    shared: Arc<Shared>,
    families_max: usize,
}

#[derive(Debug)]
struct Shared {
    /// By name, with underscores for dots. The lock guards the map, not the instruments in it.
    families: Mutex<BTreeMap<String, Registered>>,
    dropped: Counter,
}

#[derive(Debug)]
struct Registered {
    shape: Shape,
    help: Arc<str>,
    instruments: Instruments,
}

impl Default for Registry {
    fn default() -> Registry {
        Registry::new()
    }
}

impl Registry {
    /// Empty but for [`SERIES_DROPPED`].
    pub fn new() -> Registry {
        let shared = Arc::new(Shared { families: Mutex::default(), dropped: Counter::default() });
        let registry = Registry { shared, families_max: FAMILIES_MAX };
        // The name is a valid one, and a new registry holds no other that it could contradict.
        let _ = registry.ask(SERIES_DROPPED, SERIES_DROPPED_HELP, &[], None, registry.shared.dropped.clone());
        registry
    }

    /// The same registry, for metrics that others name: for these it is full [`FAMILIES_OWN`] sooner.
    #[must_use]
    pub fn for_names_of_others(&self) -> Registry {
        Registry { families_max: FAMILIES_MAX - FAMILIES_OWN, ..self.clone() }
    }

    /// Whether instruments were handed out that are not shown.
    pub fn has_dropped(&self) -> bool {
        self.shared.dropped.value() != Number::Whole(0)
    }

    /// The counter of that name and those labels, at 0 when it is new. `help` is one sentence for people; of several
    /// for one name the first is kept. In Prometheus the name ends in `_total`, whether or not it does here.
    ///
    /// # Errors
    /// [`MetricError::Name`] and [`MetricError::Label`] for names that Prometheus does not allow;
    /// [`MetricError::Conflict`] when the name belongs to another kind or to other labels, or is another one's but for
    /// dots or `_total`.
    pub fn counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Counter, MetricError> {
        self.ask(name, help, labels, None, Counter::default())
    }

    /// The gauge of that name and those labels, at 0 when it is new; otherwise as [`Registry::counter`].
    ///
    /// # Errors
    /// As [`Registry::counter`].
    pub fn gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<Gauge, MetricError> {
        self.ask(name, help, labels, None, Gauge::default())
    }

    /// The histogram of that name and those labels, empty when it is new; otherwise as [`Registry::counter`].
    /// `buckets` are upper bounds in the unit of the name, as [`Buckets::new`] wants them.
    ///
    /// # Errors
    /// As [`Registry::counter`]; [`MetricError::Buckets`] for bounds that cannot be, [`MetricError::Conflict`] for
    /// others than before.
    pub fn histogram(
        &self,
        name: &str,
        help: &str,
        buckets: &[f64],
        labels: &[(&str, &str)],
    ) -> Result<Histogram, MetricError> {
        let buckets = Buckets::new(buckets)?;
        self.ask(name, help, labels, Some(buckets.clone()), Histogram::new(buckets))
    }

    /// Shows one series no longer; says whether there was one. Who still has its instrument counts for nobody, and who
    /// asks for it again begins anew.
    pub fn remove(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let Ok(labels) = Labels::new(labels) else { return false };
        let mut families = self.shared.families.lock();
        let name = exported(name);
        let Some(family) = families.get_mut(&name) else { return false };
        let removed = family.instruments.remove_where(|own| *own == labels);
        if family.instruments.len() == 0 {
            families.remove(&name);
        }
        removed > 0
    }

    /// Shows no longer what has this label with this value, in all metrics: all there is of a pool that was deleted.
    /// Says how many series it were; otherwise as [`Registry::remove`].
    pub fn remove_labelled(&self, label: &str, value: &str) -> usize {
        let mut removed = 0;
        self.shared.families.lock().retain(|_, family| {
            removed += family.instruments.remove_where(|own| own.get(label) == Some(value));
            family.instruments.len() > 0
        });
        removed
    }

    /// All that is counted, in the order of names and labels. Nobody who counts waits for it, only who asks for
    /// instruments; what was counted before the call is in it.
    pub fn snapshot(&self) -> Vec<Family> {
        self.snapshot_of(|_| true)
    }

    /// The same of some metrics only, by their names with underscores for dots.
    pub fn snapshot_of(&self, is_wanted: impl Fn(&str) -> bool) -> Vec<Family> {
        let read = |family: &Registered| Family {
            name: family.shape.name.clone(),
            help: Arc::clone(&family.help),
            points: family.instruments.read(),
        };
        let families = self.shared.families.lock();
        families.iter().filter(|(name, _)| is_wanted(name)).map(|(_, family)| read(family)).collect()
    }

    /// `new`: what is registered when there is nothing yet, and handed out detached when there is no room.
    fn ask<T: Instrument>(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        buckets: Option<Buckets>,
        new: T,
    ) -> Result<T, MetricError> {
        let (name, labels) = (Name::new(name)?, Labels::new(labels)?);
        let label_names = labels.iter().map(|(label, _)| label.to_owned()).collect();
        let asked = Shape { kind: T::KIND, name, label_names, buckets };

        let mut families = self.shared.families.lock();
        let full = families.len() >= self.families_max && !families.contains_key(asked.name.exported());
        if full || labels.bytes() > LABELS_BYTES_MAX {
            return Ok(self.drop_series(new));
        }
        if let Some(rival) = rival(&families, &asked) {
            return Err(MetricError::Conflict { registered: Box::new(rival.clone()), asked: Box::new(asked) });
        }
        let family = families.entry(asked.name.exported().to_owned()).or_insert_with(|| Registered {
            shape: asked.clone(),
            help: help.into(),
            instruments: T::none(),
        });
        let instruments = T::all(&mut family.instruments).filter(|_| family.shape == asked);
        let Some(instruments) = instruments else {
            return Err(MetricError::Conflict { registered: Box::new(family.shape.clone()), asked: Box::new(asked) });
        };
        if instruments.len() >= SERIES_MAX && !instruments.contains_key(&labels) {
            return Ok(self.drop_series(new));
        }
        Ok(instruments.entry(labels).or_insert(new).clone())
    }

    fn drop_series<T>(&self, detached: T) -> T {
        self.shared.dropped.increment();
        detached
    }
}

/// Another metric that Prometheus would have under the same name.
fn rival<'a>(families: &'a BTreeMap<String, Registered>, asked: &Shape) -> Option<&'a Shape> {
    let same = match asked.name.without_total() {
        Some(bare) => families.get(bare).filter(|family| family.shape.kind == Kind::Counter),
        None if asked.kind == Kind::Counter => families.get(&*asked.name.exposed(Kind::Counter)),
        None => None,
    };
    same.map(|family| &family.shape).filter(|other| other.name.exported() != asked.name.exported())
}
