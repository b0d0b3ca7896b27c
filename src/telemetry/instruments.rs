//! The instruments of one metric, all of one kind.

use super::counter::Counter;
use super::family::{Kind, Points, Series};
use super::gauge::Gauge;
use super::histogram::Histogram;
use super::labels::Labels;
use std::collections::BTreeMap;

#[derive(Debug)]
pub(super) enum Instruments {
    Counters(BTreeMap<Labels, Counter>),
    Gauges(BTreeMap<Labels, Gauge>),
    Histograms(BTreeMap<Labels, Histogram>),
}

impl Instruments {
    pub(super) fn len(&self) -> usize {
        match self {
            Instruments::Counters(counters) => counters.len(),
            Instruments::Gauges(gauges) => gauges.len(),
            Instruments::Histograms(histograms) => histograms.len(),
        }
    }

    /// What they show.
    pub(super) fn read(&self) -> Points {
        match self {
            Instruments::Counters(counters) => Points::Counters(read(counters, Counter::value)),
            Instruments::Gauges(gauges) => Points::Gauges(read(gauges, Gauge::value)),
            Instruments::Histograms(histograms) => Points::Histograms(read(histograms, Histogram::value)),
        }
    }

    /// Says how many have gone.
    pub(super) fn remove_where(&mut self, gone: impl Fn(&Labels) -> bool) -> usize {
        let before = self.len();
        match self {
            Instruments::Counters(counters) => counters.retain(|labels, _| !gone(labels)),
            Instruments::Gauges(gauges) => gauges.retain(|labels, _| !gone(labels)),
            Instruments::Histograms(histograms) => histograms.retain(|labels, _| !gone(labels)),
        }
        before - self.len()
    }
}

fn read<I, V>(instruments: &BTreeMap<Labels, I>, value: impl Fn(&I) -> V) -> Vec<Series<V>> {
    instruments.iter().map(|(labels, one)| Series { labels: labels.clone(), value: value(one) }).collect()
}

/// What the registry has to know of a kind of instrument.
pub(super) trait Instrument: Clone {
    const KIND: Kind;
    fn none() -> Instruments;
    /// Those of this kind; `None` when these are of another.
    fn all(instruments: &mut Instruments) -> Option<&mut BTreeMap<Labels, Self>>;
}

impl Instrument for Counter {
    const KIND: Kind = Kind::Counter;

    fn none() -> Instruments {
        Instruments::Counters(BTreeMap::new())
    }

    fn all(instruments: &mut Instruments) -> Option<&mut BTreeMap<Labels, Counter>> {
        if let Instruments::Counters(counters) = instruments { Some(counters) } else { None }
    }
}

impl Instrument for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn none() -> Instruments {
        Instruments::Gauges(BTreeMap::new())
    }

    fn all(instruments: &mut Instruments) -> Option<&mut BTreeMap<Labels, Gauge>> {
        if let Instruments::Gauges(gauges) = instruments { Some(gauges) } else { None }
    }
}

impl Instrument for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn none() -> Instruments {
        Instruments::Histograms(BTreeMap::new())
    }

    fn all(instruments: &mut Instruments) -> Option<&mut BTreeMap<Labels, Histogram>> {
        if let Instruments::Histograms(histograms) = instruments { Some(histograms) } else { None }
    }
}
