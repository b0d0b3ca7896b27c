//! What commands write: floods, closed pipes, bytes that are no text, and the files that it is kept in.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn a_flood_is_cut_and_costs_no_memory() {
    const FLOOD_BYTES: u64 = 200 << 20;
    const GROWTH_BYTES_MAX: u64 = 16 << 20;
    if !is_alone("output::a_flood_is_cut_and_costs_no_memory") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let job = Job {
        output_directory: directory.path().join("task/1"),
        log_bytes_max: 3 << 20,
        ..shell(&format!("yes 'a line of the flood' | head -c {FLOOD_BYTES}; echo end >&2"))
    };
    let before = peak_memory_bytes();
    let finished = ran(&job);
    assert!(peak_memory_bytes() - before < GROWTH_BYTES_MAX);
    assert_eq!((finished.ending, finished.truncated), (Ending::Succeeded, true));
    assert_eq!(finished.result.len(), Job::RESULT_BYTES_MAX);
    let log = fs::read_to_string(job.output_directory.join("stdout")).unwrap();
    assert!(log.len() < (3 << 20) + 100 && log.ends_with("is not kept]\n"));
    assert_eq!(fs::read_to_string(job.output_directory.join("stderr")).unwrap(), "end\n");
}

fn peak_memory_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn output_that_is_closed_early_is_not_the_end() {
    let job = Job { prompt: "x".repeat(1 << 20), ..shell("echo early; exec >&- 2>&-; cat > /dev/null; exit 5") };
    let finished = ran(&job);
    assert_eq!((finished.exit_code, finished.result.as_str()), (Some(5), "early"));
}

#[test]
fn output_files_belong_to_us_alone() {
    let directory = tempfile::tempdir().unwrap();
    let job =
        Job { output_directory: task_directory(directory.path(), "task", 3), ..shell("printf out; printf err >&2") };
    ran(&job);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&job.output_directory), 0o700);
    for (name, text) in [("stdout", "out"), ("stderr", "err")] {
        let path = job.output_directory.join(name);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), (text, 0o600));
    }
    ran(&Job { argv: vec!["true".to_owned()], ..job.clone() });
    assert!(!job.output_directory.join("stdout").exists(), "the output of the run before is left");
}

#[test]
fn what_is_no_text_becomes_text() {
    let finished = ran(&shell(r"printf 'a\377b'"));
    assert_eq!((finished.ending, finished.result.as_str()), (Ending::Succeeded, "a\u{fffd}b"));
}
