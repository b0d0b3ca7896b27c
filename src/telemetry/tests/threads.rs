//! Many threads at once: nothing is lost, and no text says less than what was known before.

use super::parser::parse;
use super::shown;
use crate::telemetry::{Number, Registry};
use crate::thread::Joined;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const THREADS: usize = 8;
const EACH: u64 = 20_000;

fn on_all(work: impl Fn() + Clone + Send + 'static) {
    let threads: Vec<Joined<()>> =
        (0..THREADS).map(|number| Joined::spawn(format!("count{number}"), work.clone()).unwrap()).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn nothing_is_lost_when_eight_threads_count() {
    let registry = Registry::new();
    let counting = registry.clone();
    on_all(move || {
        // All of them ask at the same time, too.
        let counter = counting.counter("c_total", "C.", &[]).unwrap();
        let seconds = counting.counter("s_total", "S.", &[]).unwrap();
        let gauge = counting.gauge("g", "G.", &[]).unwrap();
        let histogram = counting.histogram("h", "H.", &[0.5], &[]).unwrap();
        for number in 0..EACH {
            counter.increment();
            seconds.add_float(0.25);
            gauge.add(1.0);
            histogram.observe((number % 2) as f64);
        }
    });
    let all = EACH * THREADS as u64;
    assert_eq!(registry.counter("c_total", "C.", &[]).unwrap().value(), Number::Whole(all));
    assert_eq!(registry.counter("s_total", "S.", &[]).unwrap().value(), Number::Float(all as f64 / 4.0));
    assert_eq!(registry.gauge("g", "G.", &[]).unwrap().value(), all as f64);
    let value = registry.histogram("h", "H.", &[0.5], &[]).unwrap().value();
    assert_eq!((value.counts(), value.sum()), (&[all / 2, all / 2][..], all as f64 / 2.0));
}

/// Reads texts while others count, and compares each with what had been counted before it was asked for.
#[test]
fn a_text_holds_all_that_was_counted_before() {
    let registry = Registry::new();
    let counted = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let (registry, counted, done) = (registry.clone(), Arc::clone(&counted), Arc::clone(&done));
        Joined::spawn("reads", move || {
            loop {
                // Once more after the end, however late this thread came to run.
                let last = done.load(Ordering::Acquire);
                let before = counted.load(Ordering::Acquire);
                check(&shown(&registry), before);
                if last {
                    return before;
                }
            }
        })
        .unwrap()
    };
    on_all(move || {
        let histogram = registry.histogram("h", "H.", &[0.5, 1.5, 2.5], &[]).unwrap();
        for number in 0..EACH {
            histogram.observe((number % 4) as f64);
            counted.fetch_add(1, Ordering::AcqRel);
        }
    });
    done.store(true, Ordering::Release);
    assert_eq!(reader.join().unwrap(), EACH * THREADS as u64);
}

fn check(text: &str, before: u64) {
    if text.is_empty() {
        assert_eq!(before, 0);
        return;
    }
    let parsed = parse(text);
    let bucket = |bound| parsed.value("h_bucket", &[("le", bound)]);
    let buckets = ["0.5", "1.5", "2.5", "+Inf"].map(bucket);
    assert!(buckets.is_sorted(), "{buckets:?}");
    assert_eq!(parsed.value("h_count", &[]), buckets[3]);
    assert!(buckets[3] >= before as f64, "{} of {before}", buckets[3]);
}
