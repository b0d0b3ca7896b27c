//! A queue server under the same load as ours.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const WORKERS: usize = 3;

/// A server that takes jobs and hands them out.
pub(crate) trait Queue: Sync {
    fn connect(&self) -> Wire;

    /// What puts `count` jobs into the queue.
    fn puts(&self, count: usize) -> Vec<u8>;

    /// Waits until one put has been acknowledged.
    fn acknowledged(&self, wire: &mut Wire);

    /// Claims a job and makes it done: each is acknowledged before the next step.
    fn work_off(&self, wire: &mut Wire);

    /// One worker: goes on while there is `more`, and says when a job is `done`.
    fn work(&self, wire: &mut Wire, more: &dyn Fn() -> bool, done: &dyn Fn()) {
        while more() {
            self.work_off(wire);
            done();
        }
    }
}

/// Tasks per second, from the first put until the last is done; one producer has `in_flight` that are not done.
///
/// The producer hears from the workers directly, which costs nothing: more than a client in service can have.
pub(crate) fn throughput(queue: &impl Queue, tasks: usize, in_flight: usize) -> f64 {
    let taken = AtomicUsize::new(0);
    let (free, slots) = std::sync::mpsc::sync_channel(in_flight);
    (0..in_flight).for_each(|_| free.send(()).unwrap());
    let mut producer = queue.connect();
    let mut writer = producer.take_writer();
    let mut workers: Vec<_> = (0..WORKERS).map(|_| queue.connect()).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for wire in &mut workers {
            let (taken, free) = (&taken, free.clone());
            let more = move || taken.fetch_add(1, Ordering::Relaxed) < tasks;
            scope.spawn(move || {
                queue.work(wire, &more, &|| {
                    let _ = free.try_send(());
                });
            });
        }
        scope.spawn(move || {
            let mut sent = 0;
            while sent < tasks {
                slots.recv().unwrap();
                let count = (1 + slots.try_iter().count()).min(tasks - sent);
                writer.write_all(&queue.puts(count)).unwrap();
                sent += count;
            }
        });
        (0..tasks).for_each(|_| queue.acknowledged(&mut producer));
    });
    tasks as f64 / start.elapsed().as_secs_f64()
}

/// Tasks per second of `producers` clients together, each of which puts the next job when the last is acknowledged.
pub(crate) fn producers(queue: &impl Queue, producers: usize, tasks: usize) -> f64 {
    let taken = AtomicUsize::new(0);
    let mut clients: Vec<_> = (0..producers).map(|_| queue.connect()).collect();
    let mut workers: Vec<_> = (0..WORKERS).map(|_| queue.connect()).collect();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for wire in &mut workers {
            let taken = &taken;
            let more = move || taken.fetch_add(1, Ordering::Relaxed) < producers * tasks;
            scope.spawn(move || queue.work(wire, &more, &|| ()));
        }
        for client in &mut clients {
            scope.spawn(|| (0..tasks).for_each(|_| put(queue, client)));
        }
    });
    (producers * tasks) as f64 / start.elapsed().as_secs_f64()
}

/// Times of one job after the other, from the put until it is done, in microseconds.
pub(crate) fn one_at_a_time(queue: &impl Queue, count: usize) -> Vec<f64> {
    let mut wire = queue.connect();
    let mut one = || {
        let start = Instant::now();
        put(queue, &mut wire);
        queue.work_off(&mut wire);
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..count).map(|_| one()).collect()
}

fn put(queue: &impl Queue, wire: &mut Wire) {
    wire.send(&queue.puts(1));
    queue.acknowledged(wire);
}

/// A connection on which lines go both ways.
pub(crate) struct Wire {
    reader: BufReader<Box<dyn Read + Send>>,
    writer: Option<Box<dyn Write + Send>>,
    line: String,
}

impl Wire {
    pub(crate) fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Wire {
        let reader: Box<dyn Read + Send> = Box::new(reader);
        Wire { reader: BufReader::new(reader), writer: Some(Box::new(writer)), line: String::new() }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.writer.as_mut().unwrap().write_all(bytes).unwrap();
    }

    /// The next line, without its end.
    pub(crate) fn line(&mut self) -> &str {
        self.line.clear();
        self.reader.read_line(&mut self.line).unwrap();
        self.line.trim_end()
    }

    /// For another thread to write with.
    fn take_writer(&mut self) -> Box<dyn Write + Send> {
        self.writer.take().unwrap()
    }
}
