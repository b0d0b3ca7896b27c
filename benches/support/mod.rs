//! What the benchmarks share: a daemon of their own on a real disk, peers, medians with their spread.
//! Every figure is a ratio of interleaved runs within one process; absolute times depend on the neighbours.
#![allow(dead_code, clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

pub(crate) mod load;

use claude_comms::control::Client;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The program under test, built with the benchmark.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_claude-comms");

/// A daemon in a directory of its own; ends with the value.
pub(crate) struct Daemon {
    pub(crate) dir: tempfile::TempDir,
    child: Child,
}

impl Daemon {
    pub(crate) fn start() -> Daemon {
        Daemon::start_in(scratch())
    }

    pub(crate) fn start_in(dir: tempfile::TempDir) -> Daemon {
        Daemon::start_with(dir, &[])
    }

    pub(crate) fn start_with(dir: tempfile::TempDir, flags: &[&str]) -> Daemon {
        let child = Command::new(PROGRAM)
            .args(["--state-dir".as_ref(), dir.path().as_os_str(), "daemon".as_ref()])
            .args(flags)
            .env("CLAUDE_COMMS_LOG", "warn")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Daemon { dir, child };
        let start = Instant::now();
        while Client::connect(&daemon.socket()).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "the daemon does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
        daemon
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("control.sock")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.path().join("claude-comms.db")
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.socket()).unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The time that its threads have had a processor, in seconds.
    pub(crate) fn processor_seconds(&self) -> f64 {
        processor_seconds(self.pid())
    }

    /// What the kernel has charged it with by its clock tick: utime + stime, in hundredths of a second.
    pub(crate) fn processor_ticks(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        behind_name.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<f64>().ok()).sum()
    }

    /// How often its threads have gone to sleep, each time to be woken again.
    pub(crate) fn wake_ups(&self) -> f64 {
        threads(self.pid(), "status").iter().map(|text| number_of(text, "voluntary_ctxt_switches:")).sum()
    }

    /// Memory that it has at present, in megabytes.
    pub(crate) fn resident_megabytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        number_of(&status, "VmRSS:") / 1024.0
    }

    /// Stops in order and gives the directory back.
    pub(crate) fn stop(mut self) -> tempfile::TempDir {
        self.terminate();
        std::mem::replace(&mut self.dir, scratch())
    }

    /// Ends without a chance to do anything about it, and gives the directory back.
    pub(crate) fn kill(mut self) -> tempfile::TempDir {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::mem::replace(&mut self.dir, scratch())
    }

    fn terminate(&mut self) {
        // One that has been waited for may have left its number to another process.
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.terminate();
    }
}

/// The time that the threads of a process have had a processor, in seconds.
pub(crate) fn processor_seconds(pid: u32) -> f64 {
    let nanos = |text: &str| text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    threads(pid, "schedstat").iter().filter_map(|text| nanos(text)).sum::<f64>() / 1e9
}

/// A file of the kernel's about each thread of a process.
fn threads(pid: u32, file: &str) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // One that has just ended is not there to be read.
    threads.filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join(file)).ok()).collect()
}

/// The number behind `name` in a file of the kernel's, where lines begin with names.
fn number_of(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

/// On the disk the sources are on, not in memory: what is measured is mostly its sync.
pub(crate) fn scratch() -> tempfile::TempDir {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tempfile::Builder::new().prefix("bench").tempdir_in(target).unwrap()
}

/// Runs of one contender.
#[derive(Default)]
pub(crate) struct Runs {
    values: Vec<f64>,
}

impl Runs {
    pub(crate) fn push(&mut self, value: f64) {
        self.values.push(value);
    }

    pub(crate) fn median(&self) -> f64 {
        quantile(&self.values, 0.5)
    }

    /// Run by run, as often as `other`.
    pub(crate) fn over(&self, other: &Runs) -> Runs {
        Runs { values: self.values.iter().zip(&other.values).map(|(ours, theirs)| ours / theirs).collect() }
    }

    /// Median, least and greatest.
    pub(crate) fn show(&self, unit: &str) -> String {
        let (least, most) = (quantile(&self.values, 0.0), quantile(&self.values, 1.0));
        format!("{:>10} {unit} ({} … {})", number(self.median()), number(least), number(most))
    }
}

pub(crate) fn quantile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count => sorted[((count - 1) as f64 * part).round() as usize],
    }
}

fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// One line of the verdict: `ratio` against what is asked for.
pub(crate) fn verdict(what: &str, ratio: f64, asked: f64, at_least: bool) {
    let met = if at_least { ratio >= asked } else { ratio <= asked };
    let sign = if at_least { "≥" } else { "≤" };
    println!("{} {what}: {ratio:.2}× (asked for: {sign} {asked}×)", word(met));
}

/// As [`verdict`], with the spread of a ratio that each run has one of.
pub(crate) fn verdict_of_runs(what: &str, ratios: &Runs, asked: f64, at_least: bool) {
    let (least, most) = (quantile(&ratios.values, 0.0), quantile(&ratios.values, 1.0));
    verdict(&format!("{what} ({least:.2} … {most:.2})"), ratios.median(), asked, at_least);
}

/// As [`verdict`], for a figure that has a unit of its own and a greatest value.
pub(crate) fn verdict_at_most(what: &str, value: f64, asked: f64, unit: &str) {
    println!("{} {what}: {} {unit} (asked for: ≤ {asked} {unit})", word(value <= asked), number(value));
}

/// As [`verdict`], for a figure that has a unit of its own and a least value.
pub(crate) fn verdict_at_least(what: &str, value: f64, asked: f64, unit: &str) {
    println!("{} {what}: {} {unit} (asked for: ≥ {asked} {unit})", word(value >= asked), number(value));
}

fn word(met: bool) -> &'static str {
    if met { "ok  " } else { "MISS" }
}

/// Says how busy the machine is, as that is in every figure.
pub(crate) fn tell_load() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = load.split_whitespace().next().unwrap_or("unknown");
    println!("load of the machine before this: {load}, on {cores} processors");
}

/// How often to repeat; `CLAUDE_COMMS_BENCH_RUNS`, at least five for a figure that is to be quoted.
pub(crate) fn runs() -> usize {
    std::env::var("CLAUDE_COMMS_BENCH_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// Says so, and what would help, when it is not there.
pub(crate) fn has(program: &str, hint: &str) -> bool {
    let found = is_installed(program);
    if !found {
        tell_skipped(program, hint);
    }
    found
}

pub(crate) fn tell_skipped(peer: &str, hint: &str) {
    println!("skipped: {peer} is not installed ({hint}); its figures are missing below");
}

pub(crate) fn is_installed(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
